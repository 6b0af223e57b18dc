//! The routes of a server and the document that tells them (OpenAPI 3.1): one list makes both.
//!
//! A route comes with an [`Operation`], and there is no other way to add one. Schemas are derived from the wire
//! types as serde writes them.

mod parts;

use axum::Router;
use axum::body::Bytes;
use axum::handler::Handler;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::{self, MethodRouter};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::wire::format::Container;
use crate::wire::{
    Credit, CreditWanted, Failure, PipelineAnswer, ProblemDocument, REQUEST_ID, SERVER_TIMING,
};

/// A page of ours that shows the document of the server it comes from; it needs nothing from elsewhere.
const PAGE: &str = include_str!("openapi/docs.html");

/// Makes the schema of a type, and notes what it refers to.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The routes of one server so far.
pub(crate) struct Api<S> {
    title: &'static str,
    routes: Router<S>,
    paths: Map<String, Value>,
    schemas: SchemaGenerator,
}

/// What one route takes and answers.
pub(crate) struct Operation {
    summary: &'static str,
    parameters: Vec<Value>,
    body: Vec<(&'static str, Shape)>,
    answers: Vec<Answer>,
    timed: bool,
}

struct Answer {
    status: u16,
    about: &'static str,
    /// Media type and schema, where there is a body.
    body: Option<(&'static str, Shape)>,
}

/// A route that does so; the rest is said by its methods.
pub(crate) fn does(summary: &'static str) -> Operation {
    Operation { summary, parameters: Vec::new(), body: Vec::new(), answers: Vec::new(), timed: false }
}

/// What `/credits` does wherever there are credits.
pub(crate) fn gives_credit() -> Operation {
    does("Promise a place in the queue to what will come, for a minute.")
        .takes::<CreditWanted>()
        .gives::<Credit>("The credit.")
        .problems(&[400, 413, 429])
}

/// What `/credits/release` does there.
pub(crate) fn takes_credit_back() -> Operation {
    does("Take back a credit that will not be used; one that is void is none.")
        .takes::<Credit>()
        .gives_status(204, "It is void.")
        .problems(&[400, 413])
}

// === impl Operation ===

impl Operation {
    /// It reads these headers.
    pub(crate) fn reads(mut self, headers: &[HeaderName]) -> Self {
        self.parameters.extend(headers.iter().map(|name| reference("parameters", name.as_str())));
        self
    }

    /// It refuses requests without this header.
    pub(crate) fn needs(mut self, header: HeaderName) -> Self {
        let mut told = parts::parameters()[header.as_str()].take();
        told["required"] = true.into();
        self.parameters.push(told);
        self
    }

    /// It has the query `?wait=true`.
    pub(crate) fn waits(mut self) -> Self {
        self.parameters.push(reference("parameters", "wait"));
        self
    }

    /// Its body is this in JSON.
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body.push(("application/json", SchemaGenerator::subschema_for::<T>));
        self
    }

    /// Its body is a form with a file.
    pub(crate) fn takes_file(mut self) -> Self {
        self.body.push(("multipart/form-data", parts::form));
        self
    }

    /// Its body is an activation, in any container.
    pub(crate) fn takes_activation(mut self) -> Self {
        self.body.extend(
            [Container::Safetensors, Container::Raw].map(|c| (c.media_type(), parts::bytes as Shape)),
        );
        self
    }

    /// It answers this in JSON.
    pub(crate) fn gives<T: JsonSchema>(self, about: &'static str) -> Self {
        self.answers(200, about, Some(("application/json", SchemaGenerator::subschema_for::<T>)))
    }

    /// It answers one of these in JSON.
    pub(crate) fn gives_either<T: JsonSchema, U: JsonSchema>(self, about: &'static str) -> Self {
        self.answers(200, about, Some(("application/json", either::<T, U>)))
    }

    /// It fails with these statuses in the original's form, or tells how a run of the pipeline failed so.
    pub(crate) fn or_run<T: JsonSchema>(self, statuses: &[u16]) -> Self {
        let shape: Shape = either::<T, PipelineAnswer>;
        let of = |it: Self, status: &u16| {
            it.answers(*status, parts::meaning(*status), Some(("application/json", shape)))
        };
        statuses.iter().fold(self, of)
    }

    /// It answers plain text, or another type that is.
    pub(crate) fn gives_text(self, media_type: &'static str, about: &'static str) -> Self {
        self.answers(200, about, Some((media_type, parts::text)))
    }

    /// It answers with such a status alone.
    pub(crate) fn gives_status(self, status: u16, about: &'static str) -> Self {
        self.answers(status, about, None)
    }

    /// It speaks Engine.IO 4, under Socket.IO 5, by polling and WebSocket.
    pub(crate) fn speaks_engine_io(self) -> Self {
        self.gives_text("text/plain", "Packets of Engine.IO.").answers(
            400,
            "Not what Engine.IO asks.",
            Some(("application/json", parts::complaint)),
        )
    }

    /// What it answers with phases, a run that failed too, has a `Server-Timing`.
    pub(crate) fn timed(mut self) -> Self {
        self.timed = true;
        self
    }

    /// It fails with these statuses in the original's form, `{"error": "..."}`.
    pub(crate) fn fails(self, statuses: &[u16]) -> Self {
        let of = |it: Self, status: &u16| it.answers(*status, parts::meaning(*status), Some(FAILURE));
        statuses.iter().fold(self, of)
    }

    /// It fails with these statuses and a problem document.
    pub(crate) fn problems(self, statuses: &[u16]) -> Self {
        let of = |it: Self, status: &u16| it.answers(*status, parts::meaning(*status), Some(PROBLEM));
        statuses.iter().fold(self, of)
    }

    fn answers(mut self, status: u16, about: &'static str, body: Option<(&'static str, Shape)>) -> Self {
        self.answers.push(Answer { status, about, body });
        self
    }

    fn tell(self, id: String, schemas: &mut SchemaGenerator) -> Value {
        let mut told = json!({ "operationId": id, "summary": self.summary, "responses": {} });
        if !self.parameters.is_empty() {
            told["parameters"] = self.parameters.into();
        }
        if !self.body.is_empty() {
            let content: Map<String, Value> =
                self.body.iter().map(|(media, shape)| content(media, *shape, schemas)).collect();
            told["requestBody"] = json!({ "required": true, "content": content });
        }
        for Answer { status, about, body } in self.answers {
            let content: Map<String, Value> =
                body.iter().map(|(media, shape)| content(media, *shape, schemas)).collect();
            let mut names = parts::headers_of(status);
            names
                .extend((self.timed && [200, 415, 429, 502, 504].contains(&status)).then_some(SERVER_TIMING));
            let headers: Map<String, Value> =
                names.iter().map(|name| (name.to_string(), reference("headers", name.as_str()))).collect();
            told["responses"][status.to_string()] =
                json!({ "description": about, "headers": headers, "content": content });
        }
        told
    }
}

const FAILURE: (&str, Shape) = ("application/json", SchemaGenerator::subschema_for::<Failure>);
const PROBLEM: (&str, Shape) =
    ("application/problem+json", SchemaGenerator::subschema_for::<ProblemDocument>);

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn content(media: &str, shape: Shape, schemas: &mut SchemaGenerator) -> (String, Value) {
    (media.to_owned(), json!({ "schema": shape(schemas) }))
}

fn either<T: JsonSchema, U: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [schemas.subschema_for::<T>(), schemas.subschema_for::<U>()] })
}

// === impl Api ===

impl<S: Clone + Send + Sync + 'static> Api<S> {
    /// A server without routes.
    pub(crate) fn new(title: &'static str) -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Api { title, routes: Router::new(), paths: Map::new(), schemas: settings.into_generator() }
    }

    /// Adds a route that takes GET.
    pub(crate) fn get<T: 'static>(
        self,
        path: &str,
        handler: impl Handler<T, S>,
        operation: Operation,
    ) -> Self {
        self.add(path, routing::get(handler), [("get", operation)])
    }

    /// Adds a route that takes POST.
    pub(crate) fn post<T: 'static>(
        self,
        path: &str,
        handler: impl Handler<T, S>,
        operation: Operation,
    ) -> Self {
        self.add(path, routing::post(handler), [("post", operation)])
    }

    /// Adds a route that takes these methods.
    pub(crate) fn add<const N: usize>(
        mut self,
        path: &str,
        route: MethodRouter<S>,
        operations: [(&str, Operation); N],
    ) -> Self {
        for (method, operation) in operations {
            self.tell(method, path, operation);
        }
        self.routes = self.routes.route(path, route);
        self
    }

    /// Notes a type that travels where an operation cannot say so.
    pub(crate) fn knows<T: JsonSchema>(mut self) -> Self {
        self.schemas.subschema_for::<T>();
        self
    }

    /// The routes, and the document of them all at `/openapi.json` and `/docs`.
    pub(crate) fn finish(mut self) -> Router<S> {
        let page = does("Show the routes, to people.").gives_text("text/html", "The page.");
        let document = does("Tell the routes, to programs.").gives_status(200, "This document.");
        self.tell("get", "/docs", page);
        self.tell("get", "/openapi.json", document);
        let document = self.document();
        let document = async move || ([(CONTENT_TYPE, "application/json")], document);
        self.routes.route("/docs", routing::get(Html(PAGE))).route("/openapi.json", routing::get(document))
    }

    fn tell(&mut self, method: &str, path: &str, operation: Operation) {
        let id = format!("{method}{}", path.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let told = operation.tell(id.trim_end_matches('_').to_owned(), &mut self.schemas);
        let every = json!({ "parameters": [reference("parameters", REQUEST_ID.as_str())] });
        self.paths.entry(path).or_insert(every)[method] = told;
    }

    fn document(&mut self) -> Bytes {
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "servers": [{ "url": "." }],
            "paths": std::mem::take(&mut self.paths),
            "components": {
                "schemas": self.schemas.take_definitions(true),
                "headers": parts::headers(),
                "parameters": parts::parameters(),
            },
        });
        unescape(&mut document);
        document.to_string().into()
    }
}

/// Takes what rustdoc needs, and no other reader, out of the descriptions: `\[s\]` is `[s]` to them, and a
/// link in brackets its name.
fn unescape(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "description" => {
                        *text = text.replace("[`", "`").replace("`]", "`").replace('\\', "");
                    }
                    value => unescape(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unescape),
        _ => {}
    }
}
