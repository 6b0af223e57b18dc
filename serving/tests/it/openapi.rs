//! `/openapi.json` against what the servers really do: every route, every status, every field of every answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use splitscale_serving::QueueBound;
use splitscale_serving::proxy::{Proxy, ProxyOptions};
use splitscale_serving::stage::{StageOptions, StageServer};
use tower::ServiceExt;

use crate::double::{
    Double, Gate, Line, PAYLOAD, factory, line, port, proxy_options, stage_options, towards, until,
};

const ONE_WAITS: QueueBound = QueueBound { requests: 1, bytes: 1 << 30 };

/// A document, and what of it was seen.
struct Told {
    document: Value,
    seen: BTreeSet<(String, u16)>,
}

impl Told {
    async fn by(app: &Router) -> Told {
        let answer = app.clone().oneshot(get("/openapi.json")).await.unwrap();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        Told { document: serde_json::from_slice(&bytes).unwrap(), seen: BTreeSet::new() }
    }

    /// Every operation, as `post /predict`.
    fn operations(&self) -> BTreeSet<String> {
        let paths = self.document["paths"].as_object().unwrap();
        let methods =
            |item: &Value| item.as_object().unwrap().keys().filter(|k| *k != "parameters").cloned().collect();
        paths
            .iter()
            .flat_map(|(path, item)| {
                let methods: Vec<String> = methods(item);
                methods.into_iter().map(move |method| format!("{method} {path}"))
            })
            .collect()
    }

    /// Every operation with every status it may answer.
    fn answers(&self) -> BTreeSet<(String, u16)> {
        let of = |operation: &String| -> Vec<(String, u16)> {
            let (method, path) = operation.split_once(' ').unwrap();
            let answers = self.document["paths"][path][method]["responses"].as_object().unwrap();
            answers.keys().map(|status| (operation.clone(), status.parse().unwrap())).collect()
        };
        self.operations().iter().flat_map(of).collect()
    }

    /// Asks, and holds the answer against the document.
    async fn ask(&mut self, app: &Router, request: Request<Body>, status: u16) -> Value {
        let operation =
            format!("{} {}", request.method().as_str().to_ascii_lowercase(), request.uri().path());
        let (method, path) = operation.split_once(' ').unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(head.status.as_u16(), status, "{operation}: {text}");
        let told = &self.document["paths"][path][method]["responses"][status.to_string()];
        assert!(told.is_object(), "{operation}: {status} is not in the document");
        for name in told["headers"].as_object().unwrap().keys() {
            let must = &self.document["components"]["headers"][name]["required"];
            assert!(
                *must != json!(true) || head.headers.contains_key(name),
                "{operation} {status}: no {name}"
            );
        }
        for name in ["server-timing", "retry-after"].iter().filter(|name| head.headers.contains_key(**name)) {
            assert!(told["headers"][name].is_object(), "{operation} {status}: {name} is not in the document");
        }
        self.seen.insert((operation.clone(), status));
        let content = told["content"].as_object().unwrap();
        if content.is_empty() && path != "/openapi.json" {
            assert!(bytes.is_empty(), "{operation} {status}: a body that is not in the document: {text}");
            return Value::Null;
        }
        let media_type = head.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        if path == "/openapi.json" {
            assert_eq!(media_type, "application/json");
            return Value::Null;
        }
        let schema = content.get(media_type).unwrap_or_else(|| panic!("{operation} {status}: {media_type}"));
        let value = match media_type.ends_with("json") {
            true => serde_json::from_slice(&bytes).unwrap(),
            false => Value::String(text.into_owned()),
        };
        if let Err(why) = fits(&self.document, &schema["schema"], &value) {
            panic!("{operation} {status}: {why}\nin {value}");
        }
        value
    }

    /// Whether everything was seen but these.
    fn check_all_seen_but(&self, unseen: &[(&str, u16)]) {
        let unseen: BTreeSet<(String, u16)> = unseen.iter().map(|(o, s)| ((*o).to_owned(), *s)).collect();
        assert_eq!(self.answers().difference(&self.seen).cloned().collect::<BTreeSet<_>>(), unseen);
    }
}

/// Whether a value is what a schema says, and has nothing that it does not say. A keyword that is not known
/// here is an error, so that nothing passes unchecked.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, said) in schema.as_object().ok_or("a schema is an object")? {
        let good = match keyword.as_str() {
            "description" | "format" | "title" | "default" | "required" | "additionalProperties" => true,
            "minimum" => value.as_f64().is_none_or(|number| number >= said.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= said.as_f64().unwrap()),
            "$ref" => {
                let pointer = said.as_str().unwrap().trim_start_matches('#');
                let schema = document.pointer(pointer).ok_or_else(|| format!("{pointer} leads nowhere"))?;
                return fits(document, schema, value);
            }
            "anyOf" | "oneOf" => {
                said.as_array().unwrap().iter().any(|one| fits(document, one, value).is_ok())
            }
            "const" => said == value,
            "enum" => said.as_array().unwrap().contains(value),
            "type" => match said {
                Value::String(name) => is(value, name),
                names => names.as_array().unwrap().iter().any(|name| is(value, name.as_str().unwrap())),
            },
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| fits(document, said, item))?;
                true
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    let schema = said.get(name).ok_or_else(|| format!("{name} is not in the schema"))?;
                    fits(document, schema, field).map_err(|why| format!("{name}: {why}"))?;
                }
                true
            }
            other => return Err(format!("the keyword {other} is not checked by this test")),
        };
        if !good {
            return Err(format!("{value} does not fit {keyword}: {said}"));
        }
    }
    let lacks = |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
    match schema.get("required").and_then(|names| names.as_array()?.iter().find(lacks)) {
        Some(name) => Err(format!("{name} is missing")),
        None => Ok(()),
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).body(body.into()).unwrap()
}

fn image(path: &str, file: &[u8]) -> Request<Body> {
    let head = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.jpg\"\r\n\r\n";
    let body = [head.as_bytes(), file, b"\r\n--edge--\r\n"].concat();
    with(post(path, body), "content-type", "multipart/form-data; boundary=edge")
}

fn activation(path: &str, tag: u8) -> Request<Body> {
    with(post(path, vec![tag; PAYLOAD]), "x-cut", "layer3")
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn a_before(line: &Line, options: StageOptions, double: &Arc<Double>) -> StageServer {
    let downstream = towards(line.endpoints.b.clone(), line.endpoints.proxy.clone());
    StageServer::a(options, downstream, factory(double)).unwrap()
}

/// Sends such requests to a stage of one gated pod and one place, until one is at the pod and one waits.
async fn fill(app: &Router, request: impl Fn() -> Request<Body>) {
    for queued in 0..2 {
        tokio::spawn(app.clone().oneshot(request()));
        until("it has its place", async || {
            let answer = app.clone().oneshot(get("/pods")).await.unwrap();
            let pods = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let pods: Value = serde_json::from_slice(&pods).unwrap();
            pods["busy"] == json!(1) && pods["queued"] == json!(queued)
        })
        .await;
    }
}

/// Asks what every server has.
async fn ask_common(told: &mut Told, app: &Router) {
    for path in
        ["/livez", "/v2/health/live", "/readyz", "/v2/health/ready", "/metrics", "/docs", "/openapi.json"]
    {
        told.ask(app, get(path), 200).await;
    }
}

/// More than any body may have.
fn too_large() -> Vec<u8> {
    vec![0; (64 << 20) + 1]
}

#[tokio::test(flavor = "multi_thread")]
async fn stage_a_answers_what_its_document_says() {
    let b = Arc::new(Double { fails: Some(8), ..Double::default() });
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    let double = Arc::new(Double { fails: Some(9), ..Double::default() });
    let stage = a_before(&line, stage_options(1), &double);
    let app = stage.app();
    let mut told = Told::by(&app).await;
    stage.ready().await.unwrap();
    ask_common(&mut told, &app).await;
    let queued = told.ask(&app, image("/predict-proxy", b"image1"), 200).await;
    assert!(queued["message"].is_string());
    let run = told.ask(&app, image("/predict-proxy?wait=true", b"image\x02"), 200).await;
    assert_eq!(run["class_id"], 2);
    let failed = told.ask(&app, image("/predict-proxy?wait=true", b"image\x08"), 502).await;
    assert_eq!(failed["status"], "failed");
    // A run that B had no room for is passed on as such.
    let (listener, url) = port().await;
    let no_room = Router::new().route(
        "/complete",
        axum::routing::post(async move || (StatusCode::TOO_MANY_REQUESTS, axum::Json(failed))),
    );
    tokio::spawn(async move { axum::serve(listener, no_room).await });
    let downstream = towards(url.clone(), url);
    let before = StageServer::a(stage_options(1), downstream, factory(&double)).unwrap();
    let run = told.ask(&before.app(), image("/predict-proxy?wait=true", b"image1"), 429).await;
    assert_eq!(run["status"], "failed");
    before.close().await;
    for path in ["/predict", "/predict-proxy"] {
        told.ask(&app, image(path, b"image1"), 200).await;
        told.ask(&app, image(path, b"GIF"), 400).await;
        told.ask(&app, image(path, &vec![0; 11 << 20]), 413).await;
        told.ask(&app, with(image(path, b"image1"), "x-encoding", "f99"), 415).await;
        told.ask(&app, image(path, b"torn"), 422).await;
        told.ask(&app, image(path, b"image\x09"), 500).await;
        told.ask(&app, with(image(path, b"image1"), "x-request-timeout", "0"), 504).await;
    }
    told.ask(&app, image("/predict", b"image\x08"), 502).await;
    ask_pods(&mut told, &app).await;
    stage.close().await;
    for path in ["/predict", "/predict-proxy"] {
        told.ask(&app, image(path, b"image1"), 503).await;
    }

    let (double, gate) = Double::gated();
    let stage = a_before(&line, StageOptions { queue: ONE_WAITS, ..stage_options(1) }, &double);
    let app = stage.app();
    fill(&app, || image("/predict", b"image1")).await;
    for path in ["/predict", "/predict-proxy"] {
        told.ask(&app, image(path, b"image1"), 429).await;
    }
    gate.let_through(2);
    ask_unready(&mut told, |double| a_before(&line, stage_options(1), double)).await;
    // What a client that stands still is told takes its time: another test waits for it.
    told.check_all_seen_but(&[("post /predict", 408), ("post /predict-proxy", 408)]);
    line.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stage_b_answers_what_its_document_says() {
    let double = Arc::new(Double { fails: Some(9), ..Double::default() });
    let stage = StageServer::b(stage_options(1), factory(&double)).unwrap();
    let app = stage.app();
    let mut told = Told::by(&app).await;
    stage.ready().await.unwrap();
    ask_common(&mut told, &app).await;
    told.ask(&app, activation("/complete", 1), 200).await;
    told.ask(&app, post("/complete", "short"), 400).await;
    told.ask(&app, post("/complete", too_large()), 413).await;
    told.ask(&app, with(activation("/complete", 1), "content-type", "text/html"), 415).await;
    told.ask(&app, activation("/complete", 9), 500).await;
    told.ask(&app, with(activation("/complete", 1), "x-request-timeout", "0"), 504).await;
    ask_credits(&mut told, &app).await;
    ask_pods(&mut told, &app).await;
    stage.close().await;
    told.ask(&app, activation("/complete", 1), 503).await;
    told.ask(&app, post("/credits", r#"{"bytes":1}"#), 503).await;

    let (double, gate) = Double::gated();
    let options = StageOptions { queue: ONE_WAITS, ..stage_options(1) };
    let stage = StageServer::b(options, factory(&double)).unwrap();
    let app = stage.app();
    fill(&app, || activation("/complete", 1)).await;
    told.ask(&app, activation("/complete", 1), 429).await;
    told.ask(&app, post("/credits", r#"{"bytes":1}"#), 429).await;
    gate.let_through(2);
    ask_unready(&mut told, |double| StageServer::b(stage_options(1), factory(double)).unwrap()).await;
    told.check_all_seen_but(&[("post /complete", 408)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_answers_what_its_document_says() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    let options = ProxyOptions { queue: ONE_WAITS, ..proxy_options(&line.endpoints.b, 1) };
    let proxy = Proxy::new(options).unwrap();
    let app = proxy.app();
    let mut told = Told::by(&app).await;
    ask_common(&mut told, &app).await;
    told.ask(&app, activation("/complete", 1), 200).await;
    told.ask(&app, activation("/complete", 2), 200).await;
    told.ask(&app, activation("/complete", 3), 429).await;
    told.ask(&app, post("/credits", r#"{"bytes":1}"#), 429).await;
    gate.let_through(9);
    until("both are through", async || {
        let answer = app.clone().oneshot(get("/response_count")).await.unwrap();
        to_bytes(answer.into_body(), 99).await.unwrap() == r#"{"count":2}"#
    })
    .await;
    let run = told.ask(&app, activation("/complete?wait=true", 4), 200).await;
    assert_eq!(run["class_id"], 4);
    let failed = told.ask(&app, with(activation("/complete?wait=true", 4), "x-cut", "layer1"), 502).await;
    assert_eq!(failed["status"], "failed");
    let late = with(activation("/complete?wait=true", 4), "x-request-timeout", "0");
    assert_eq!(told.ask(&app, late, 504).await["status"], "failed");
    told.ask(&app, post("/complete", ""), 400).await;
    told.ask(&app, post("/complete", too_large()), 413).await;
    told.ask(&app, with(activation("/complete", 1), "content-type", "text/html"), 415).await;
    for (path, good, bad) in [
        ("/set_threads", r#"{"thread_count":2}"#, r#"{"thread_count":0}"#),
        ("/set_queue_threshold", r#"{"queue_threshold":1}"#, r#"{"queue_threshold":0}"#),
        ("/set_bandwidth", r#"{"slot_bandwidth_mbit_s":1e5}"#, r#"{"slot_bandwidth_mbit_s":0}"#),
    ] {
        told.ask(&app, post(path, good), 200).await;
        told.ask(&app, post(path, bad), 400).await;
        told.ask(&app, post(path, vec![b' '; 3 << 20]), 413).await;
    }
    let this_b = json!({ "b": [line.endpoints.b] }).to_string();
    for (body, status) in [(this_b, 200), (r#"{"b":[]}"#.into(), 400), (" ".repeat(3 << 20), 413)] {
        told.ask(&app, post("/set_b", body), status).await;
    }
    for path in ["/responses", "/response_count", "/request_count", "/slots"] {
        told.ask(&app, get(path), 200).await;
    }
    told.ask(&app, post("/clear_responses", ""), 200).await;
    ask_credits(&mut told, &app).await;
    told.ask(&app, get("/events"), 400).await;
    let mut listens = get("/events");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        listens = with(listens, name, value);
    }
    told.ask(&app, listens, 426).await;
    told.ask(&app, get("/socket.io/"), 400).await;
    told.ask(&app, post("/socket.io/", ""), 400).await;
    let opened = told.ask(&app, get("/socket.io/?EIO=4&transport=polling"), 200).await;
    let opened: Value = serde_json::from_str(opened.as_str().unwrap().strip_prefix('0').unwrap()).unwrap();
    let session = format!("/socket.io/?EIO=4&transport=polling&sid={}", opened["sid"].as_str().unwrap());
    told.ask(&app, post(&session, "40"), 200).await;
    told.ask(&app, post(&session, vec![b'4'; 5000]), 413).await;
    proxy.close().await;
    told.ask(&app, activation("/complete", 1), 503).await;
    // These take a connection of their own, or a signal: the other tests see them.
    told.check_all_seen_but(&[
        ("post /complete", 408),
        ("get /events", 101),
        ("get /readyz", 503),
        ("get /v2/health/ready", 503),
        ("get /socket.io/", 101),
    ]);
    line.stop().await;
}

async fn ask_credits(told: &mut Told, app: &Router) {
    let credit = told.ask(app, post("/credits", r#"{"bytes":1}"#), 200).await;
    told.ask(app, post("/credits/release", credit.to_string()), 204).await;
    for path in ["/credits", "/credits/release"] {
        told.ask(app, post(path, "{}"), 400).await;
        told.ask(app, post(path, vec![b' '; 3 << 20]), 413).await;
    }
}

async fn ask_pods(told: &mut Told, app: &Router) {
    for path in ["/set_pods", "/use_pods"] {
        told.ask(app, post(path, r#"{"pod_count":1}"#), 200).await;
        told.ask(app, post(path, r#"{"pod_count":0}"#), 400).await;
        told.ask(app, post(path, vec![b' '; 3 << 20]), 413).await;
    }
    let pods = told.ask(app, get("/pods"), 200).await;
    assert_eq!(pods["pods"].as_array().unwrap().len(), 1);
}

async fn ask_unready(told: &mut Told, stage: impl FnOnce(&Arc<Double>) -> StageServer) {
    let gate = Arc::new(Gate::default());
    let stage = stage(&Arc::new(Double { start_gate: Some(Arc::clone(&gate)), ..Double::default() }));
    for path in ["/readyz", "/v2/health/ready"] {
        told.ask(&stage.app(), get(path), 503).await;
    }
    gate.let_through(1);
    stage.close().await;
}

#[tokio::test]
async fn every_route_is_in_the_document_and_takes_no_other_method() {
    let nowhere = "http://127.0.0.1:9".to_owned();
    let downstream = towards(nowhere.clone(), nowhere.clone());
    let a = StageServer::a(stage_options(1), downstream, factory(&Double::sleeping(0))).unwrap();
    let b = StageServer::b(stage_options(1), factory(&Double::sleeping(0))).unwrap();
    let proxy = Proxy::new(proxy_options(&nowhere, 1)).unwrap();
    for app in [a.app(), b.app(), proxy.app()] {
        let operations = Told::by(&app).await.operations();
        assert!(operations.len() >= 10, "{operations:?}");
        for operation in &operations {
            let path = operation.split_once(' ').unwrap().1;
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
                let status = app.clone().oneshot(request).await.unwrap().status();
                let told = operations.contains(&format!("{} {path}", method.to_ascii_lowercase()));
                assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
                assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, told, "{method} {path}");
            }
        }
    }
    // A router cannot be asked for its routes. But there is one place that adds any, and it tells them.
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![sources];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("src/openapi.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let adds =
                    [".route(", ".route_service(", ".nest(", ".merge("].iter().any(|add| text.contains(add));
                assert!(!adds, "{}: a route beside the document; use Api", path.display());
            }
        }
    }
    a.close().await;
    b.close().await;
}
