//! The way to the API server, in the test's hands: what is asked is passed on, refused, left without an answer, or made old, as a
//! rule says. Plain HTTP in, so that it can be told what is asked; whoever asks brings a token, so that rights are real.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::http::{Response, StatusCode};
use axum::response::{IntoResponse, Json};
use futures_util::StreamExt;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// A refusal with this status.
    Answer(u16),
    /// Nothing until the rule is another; of a watch, nothing more.
    Never,
    /// A watch from a version that is long gone.
    Old,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
}

type Rule = Arc<dyn Fn(&Asked) -> Fate + Send + Sync>;

/// A way to the API server.
pub(crate) struct Gate {
    pub(crate) url: String,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

struct Inner {
    upstream: String,
    http: reqwest::Client,
    rule: watch::Sender<Rule>,
    /// How often all that is under way was cut off.
    cuts: watch::Sender<u32>,
    asked: Mutex<Vec<Asked>>,
}

impl Asked {
    /// Whether it writes something whose path ends so.
    pub(crate) fn writes(&self, path: &str) -> bool {
        self.method != "GET" && self.path.ends_with(path)
    }

    pub(crate) fn watches(&self) -> bool {
        self.query.contains("watch=true")
    }
}

impl Gate {
    /// To whoever speaks plain HTTP for the API server; everything passes.
    pub(crate) async fn to(upstream: &str) -> Gate {
        let pass: Rule = Arc::new(|_| Fate::Pass);
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            rule: watch::Sender::new(pass),
            cuts: watch::Sender::new(0),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass_on).with_state(inner.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Gate { url, inner, serving }
    }

    /// Another rule from now on. What was left without an answer goes by it too.
    pub(crate) fn rule(&self, rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static) {
        self.inner.rule.send_replace(Arc::new(rule));
    }

    /// Everything passes again.
    pub(crate) fn open(&self) {
        self.rule(|_| Fate::Pass);
    }

    /// Ends every answer that is still being given: watches are.
    pub(crate) fn cut(&self) {
        self.inner.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// What was asked since there were so many requests.
    pub(crate) fn since(&self, before: usize) -> Vec<Asked> {
        self.asked().split_off(before)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Inner {
    /// What becomes of a request, once it is to become anything.
    async fn fate(&self, asked: &Asked) -> Fate {
        let mut rule = self.rule.subscribe();
        loop {
            let fate = rule.borrow_and_update()(asked);
            if fate != Fate::Never || rule.changed().await.is_err() {
                return fate;
            }
        }
    }
}

async fn pass_on(State(gate): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
    };
    gate.asked.lock().unwrap().push(asked.clone());
    let mut cuts = gate.cuts.subscribe();
    let fate = gate.fate(&asked).await;
    if let Fate::Answer(status) = fate {
        let told = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
            "reason": "ServiceUnavailable", "message": "the test says so"});
        return (StatusCode::from_u16(status).unwrap(), Json(told)).into_response();
    }
    let mut query = asked.query.clone();
    if fate == Fate::Old {
        let kept = query.split('&').filter(|pair| !pair.starts_with("resourceVersion="));
        query = kept.chain(["resourceVersion=1"]).collect::<Vec<_>>().join("&");
    }
    let mut headers = head.headers;
    headers.remove(HOST);
    let url = format!("{}{}?{query}", gate.upstream, asked.path);
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let passed = gate.http.request(head.method, url).headers(headers).body(body).send().await;
    let (mut head, body) = match passed {
        Ok(answer) => Response::<reqwest::Body>::from(answer).into_parts(),
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    for header in [TRANSFER_ENCODING, CONNECTION] {
        head.headers.remove(header);
    }
    let frames = Body::new(body).into_data_stream().then({
        let gate = gate.clone();
        move |frame| {
            let (gate, asked) = (gate.clone(), asked.clone());
            async move {
                gate.fate(&asked).await;
                frame
            }
        }
    });
    let cut = async move { drop(cuts.changed().await) };
    Response::from_parts(head, Body::from_stream(frames.take_until(Box::pin(cut))))
}
