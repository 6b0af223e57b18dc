//! What operations share: headers, parameters, bodies that no type of ours describes, what a status means.

use axum::http::HeaderName;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, RETRY_AFTER};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::wire::format::Compression;
use crate::wire::{COMPRESSION, CREDIT, CUT, DEADLINE, ENCODING, REQUEST_ID, SERVER_TIMING, STAGE_A};

pub(super) fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "binary" })
}

pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

/// What Engine.IO says to who does not speak it.
pub(super) fn complaint(_: &mut SchemaGenerator) -> Schema {
    let text = json!({ "type": "string" });
    json_schema!({ "type": "object", "properties": { "code": text, "message": text }, "required": ["code", "message"] })
}

/// An image, or a tensor where A's half takes one.
pub(super) fn form(_: &mut SchemaGenerator) -> Schema {
    let about =
        "A JPEG, PNG, GIF or WebP image; of media type application/vnd.safetensors, A's input tensor.";
    json_schema!({
        "type": "object",
        "properties": { "file": { "type": "string", "format": "binary", "description": about } },
        "required": ["file"],
    })
}

/// What a status means on any route.
pub(super) fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is not what this route takes; the text says what is wrong.",
        408 => "The body came too slowly, or stopped.",
        413 => "The body, or the image in it, is larger than is taken.",
        415 => {
            "A media type, encoding or compression that is not spoken here; Accept and Accept-Encoding tell which are."
        }
        422 => "An image whose content is damaged.",
        426 => "The connection cannot become a WebSocket.",
        429 => "The queue is full; Retry-After says when it will have room, from the rate that was measured.",
        500 => "The engine failed.",
        502 => "The next server did not answer, or not well.",
        503 => "It is shutting down, or no pod runs.",
        504 => {
            "The time that x-request-timeout gave was up before the body, a pod, a slot or the next server was done."
        }
        _ => "Another failure.",
    }
}

/// Headers of answers with this status.
pub(super) fn headers_of(status: u16) -> Vec<HeaderName> {
    match status {
        415 => vec![REQUEST_ID, ACCEPT, ACCEPT_ENCODING],
        429 => vec![REQUEST_ID, RETRY_AFTER],
        _ => vec![REQUEST_ID],
    }
}

/// The headers of answers.
pub(super) fn headers() -> Value {
    let text = json!({ "type": "string" });
    let told = [
        (REQUEST_ID, true, text.clone(), "Name of the request: as it came, or a new one."),
        (SERVER_TIMING, false, text.clone(), "W3C Server Timing: each phase that was seen, in milliseconds."),
        (RETRY_AFTER, true, json!({ "type": "integer", "minimum": 1 }), "When to try again, in seconds."),
        (ACCEPT, false, text.clone(), "Media types of activations that are taken; of a format that is not."),
        (ACCEPT_ENCODING, false, text, "Compressions that are taken."),
    ];
    let told = told.map(|(name, required, schema, about)| {
        (name.to_string(), json!({ "required": required, "schema": schema, "description": about }))
    });
    Map::from_iter(told).into()
}

/// What requests say outside of their bodies.
pub(super) fn parameters() -> Value {
    let (encodings, compressions) = (json!(["f32", "bf16", "u8"]), json!(["lz4", "zstd"]));
    let all = json!(Compression::ALL.map(|c| c.content_encoding().unwrap_or("none")));
    let header = |name: HeaderName, schema: Value, about: &str| {
        let told = json!({ "name": name.as_str(), "in": "header", "schema": schema, "description": about });
        (name.to_string(), told)
    };
    let told = [
        header(
            REQUEST_ID,
            json!({ "type": "string" }),
            "Name of the request, kept from end to end; one that is not 1 to 128 visible ASCII characters is replaced.",
        ),
        header(
            DEADLINE,
            json!({ "type": "number", "minimum": 0, "maximum": 1e6 }),
            "How long the sender will still wait, in seconds; work for which it is too late is not begun.",
        ),
        header(
            ENCODING,
            json!({ "enum": encodings }),
            "Encoding of the activation: the one that A shall send, or the one that this body has.",
        ),
        header(COMPRESSION, json!({ "enum": all }), "Compression of the activation that A shall send."),
        header(
            CONTENT_ENCODING,
            json!({ "enum": compressions }),
            "Compression of the body; none where absent.",
        ),
        header(CUT, json!({ "type": "string", "minLength": 1 }), "Where the network is cut, such as layer3."),
        header(STAGE_A, json!({ "type": "string" }), "What A did and how long it took: StageTimes in JSON."),
        header(CREDIT, json!({ "type": "integer", "minimum": 0 }), "A credit that this server gave before."),
        (
            "wait".to_owned(),
            json!({
                "name": "wait",
                "in": "query",
                "schema": { "type": "boolean", "default": false },
                "description": "Answer only when the pipeline has.",
            }),
        ),
    ];
    Map::from_iter(told).into()
}
