//! What the fuzz targets share: the three servers around an engine that computes nothing.
//!
//! ```text
//! bytes ─▶ target ─▶ a route, in memory ─▶ (A, proxy) ─▶ B, on loopback
//! ```
//!
//! A target fails where anything panics, on whatever thread (libFuzzer ends the process then), where a server
//! says that the fault is its own, or where two ways to the same answer differ.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use serde_json::Value;
use splitscale_serving::activation::Activation;
use splitscale_serving::engine::{About, Engine, EngineError, EngineFactory, Head, Input, Tail};
use splitscale_serving::proxy::{Balance, Proxy, ProxyOptions};
use splitscale_serving::stage::{Downstream, StageOptions, StageServer, serve_b};
use splitscale_serving::wire::format::Format;
use splitscale_serving::{Ending, QueueBound};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Shape of an activation, and of the tensors that A takes.
pub const SHAPE: [usize; 2] = [2, 3];
/// Where the network is said to be cut.
pub const CUT: &str = "layer3";
/// Far beyond what anything here takes, and below libFuzzer's own time-out.
const LONG: Duration = Duration::from_secs(10);

/// The pipeline, once for the process.
pub static PIPELINE: LazyLock<Pipeline> = LazyLock::new(Pipeline::start);

/// The three servers, to be asked in memory.
#[derive(Debug)]
pub struct Pipeline {
    runtime: Runtime,
    /// Stage A.
    pub a: Router,
    /// The proxy.
    pub proxy: Router,
    /// Stage B; A and the proxy ask another one of its kind on loopback.
    pub b: Router,
}

/// The headers of a request, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Those that HTTP allows.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// All after the first empty line.
    pub body: &'a [u8],
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// All of its body.
    pub body: Vec<u8>,
}

struct Nothing {
    about: About,
}

struct NothingEngine;

impl Pipeline {
    fn start() -> Pipeline {
        let runtime = Runtime::new().expect("a runtime starts");
        let _inside = runtime.enter();
        let queue = QueueBound { requests: 100, bytes: 256 << 20 };
        let ending = Ending { delay: Duration::ZERO, grace: LONG };
        let stage = || StageOptions { pods: 1, pods_max: 2, cpu_share: 1.0, rated_cpu: None, queue, ending };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        runtime.spawn(serve_b(listener, stage(), nothing(), CancellationToken::new()));
        let downstream = Downstream {
            b: url.clone(),
            proxy: url.clone(),
            timeout: LONG,
            format: Format::default(),
            fresh_connections: false,
        };
        let proxy = ProxyOptions {
            b: vec![url],
            balance: Balance::OneQueue,
            b_limit: None,
            balance_seed: 1,
            slots: 1,
            slots_max: 4,
            slot_bandwidth_mbit_s: None,
            link_bandwidth: None,
            rtt: Duration::ZERO,
            sleep: Duration::ZERO,
            b_timeout: LONG,
            fresh_connections: false,
            queue,
            ending,
        };
        let a = StageServer::a(stage(), downstream, nothing()).expect("options in range");
        let b = StageServer::b(stage(), nothing()).expect("options in range");
        let proxy = Proxy::new(proxy).expect("options in range").app();
        runtime.block_on(async { a.ready().await.and(b.ready().await) }).expect("pods that compute nothing");
        Pipeline { a: a.app(), b: b.app(), proxy, runtime }
    }

    /// Asks one of them.
    ///
    /// # Panics
    /// The server says that the fault is its own, or does not say in JSON what the fault is.
    pub fn post(&self, server: &Router, path: &str, message: &Message<'_>) -> Answer {
        let mut request = Request::post(path).body(Body::from(message.body.to_vec())).expect("a plain path");
        request.headers_mut().extend(message.headers.iter().cloned().map(|(n, v)| (Some(n), v)));
        let answer = self.runtime.block_on(async {
            let answer = server.clone().oneshot(request).await.expect("a router always answers");
            let status = answer.status();
            let body = to_bytes(answer.into_body(), usize::MAX).await.expect("it is in memory");
            Answer { status, body: body.to_vec() }
        });
        let text = String::from_utf8_lossy(&answer.body);
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {text}");
        if !answer.status.is_success() {
            let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}"));
            let error = json["error"].as_str().or(json["detail"].as_str());
            assert!(error.is_some_and(|error| !error.is_empty()), "{path}: {text}");
        }
        answer
    }
}

impl<'a> Message<'a> {
    /// Reads lines of `name: value` and, after an empty one, the body. What HTTP does not allow is left out.
    pub fn read(mut data: &'a [u8]) -> Message<'a> {
        let mut headers = Vec::new();
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (data[..end].trim_ascii_end(), &data[end + 1..]);
            data = rest;
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            headers.extend(name.ok().zip(value.ok()));
        }
        Message { headers, body: data }
    }

    /// Whether it has such a header.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(own, _)| own == name)
    }
}

fn nothing() -> Arc<dyn EngineFactory> {
    Arc::new(Nothing {
        about: About {
            engine: "nothing".into(),
            device: "none".into(),
            model: "nothing".into(),
            cut: CUT.into(),
            input: Some(SHAPE.to_vec()),
            shape: SHAPE.to_vec(),
            emulated: true,
        },
    })
}

impl EngineFactory for Nothing {
    fn about(&self) -> &About {
        &self.about
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(NothingEngine))
    }
}

impl Engine for NothingEngine {
    fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError> {
        let activation = match input {
            Input::Image(_) => Activation::zeros(&SHAPE),
            Input::Tensor(tensor) => of_shape(tensor)?.clone(),
        };
        Ok(Head { activation, decode_s: 0.0, forward_s: 0.0 })
    }

    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
        of_shape(activation)?;
        Ok(Tail { class_id: 0, class_name: "nothing".into(), logit: 0.0, forward_s: 0.0 })
    }
}

fn of_shape(activation: &Activation) -> Result<&Activation, EngineError> {
    if activation.shape() == SHAPE {
        return Ok(activation);
    }
    Err(EngineError::BadActivation(format!("its shape is {:?}", activation.shape())))
}
