//! A client of the whole pipeline: its three servers under one name.

mod error;

pub use error::ClientError;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use splitscale_spec::{Replicas, Stage};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::metrics::{PODS_CPU, PROCESS_CPU};
use crate::serve::{explain, http_client_for};
use crate::wire::{
    Event, Failure, PipelineAnswer, PodCount, PodsState, QueueThreshold, SlotsState, ThreadCount,
};

/// How often a state that is waited for is asked for.
const POLL: Duration = Duration::from_millis(20);
/// The same where it could not be told.
const UNHEARD: Duration = Duration::from_millis(200);
/// How long a question about a state may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a server that is waited for may be silent before it counts as gone.
const SILENCE: Duration = Duration::from_secs(5);

/// Base URLs of the three servers, such as `http://127.0.0.1:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Stage A.
    pub a: String,
    /// The proxy.
    pub proxy: String,
    /// Stage B.
    pub b: String,
}

/// How the pipeline stands.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineState {
    /// Stage A.
    pub a: PodsState,
    /// The proxy.
    pub proxy: SlotsState,
    /// Stage B.
    pub b: PodsState,
}

/// Where the pods of both stages are asked for: at the two servers themselves, or at whatever else starts them.
pub trait Stages: Debug + Send + Sync {
    /// How A stands; where it is several servers, all of them together.
    fn a(&self) -> BoxFuture<'_, Result<PodsState, ClientError>>;

    /// How B stands.
    fn b(&self) -> BoxFuture<'_, Result<PodsState, ClientError>>;

    /// Asks both stages to have so many pods.
    fn set_pods(&self, pods: Replicas) -> BoxFuture<'_, Result<(), ClientError>>;

    /// Uses only so many of the pods there are; it holds when this returns.
    fn use_pods(&self, pods: Replicas) -> BoxFuture<'_, Result<(), ClientError>>;
}

/// A client of the pipeline; it keeps its connections, and clones share them.
#[derive(Debug, Clone)]
pub struct PipelineClient {
    pub(crate) http: reqwest::Client,
    pub(crate) endpoints: Endpoints,
    stages: Arc<dyn Stages>,
}

/// Two servers that start their pods themselves.
#[derive(Debug)]
struct Servers {
    http: reqwest::Client,
    a: String,
    b: String,
}

/// The proxy's push events.
#[derive(Debug)]
pub(crate) struct Events(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl PipelineClient {
    /// A client of the servers at these URLs; nothing is asked yet.
    ///
    /// # Errors
    /// A URL that does not begin with `http://`.
    pub fn new(endpoints: Endpoints) -> Result<Self, ClientError> {
        let endpoints =
            Endpoints { a: base(&endpoints.a)?, proxy: base(&endpoints.proxy)?, b: base(&endpoints.b)? };
        let http = client(false)?;
        let stages = Servers { http: http.clone(), a: endpoints.a.clone(), b: endpoints.b.clone() };
        Ok(PipelineClient { http, endpoints, stages: Arc::new(stages) })
    }

    /// The same client, with the pods of both stages somewhere else.
    pub fn with_stages(self, stages: Arc<dyn Stages>) -> Self {
        PipelineClient { stages, ..self }
    }

    /// The same, with a connection a request from now on: whoever balances connections before several A then balances
    /// requests.
    ///
    /// # Errors
    /// The system has no HTTP client to give.
    pub fn with_fresh_connections(self) -> Result<Self, ClientError> {
        Ok(PipelineClient { http: client(true)?, ..self })
    }

    /// Waits until all three answer and both stages have all the pods they were asked for.
    ///
    /// # Errors
    /// Pods that cannot start, another server, or another program, at one of the addresses, or the timeout.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<(), ClientError> {
        // Servers may only just be starting.
        self.wait(timeout, timeout, "the pipeline is not ready", settled).await
    }

    /// Waits until nothing waits and nothing is at work anywhere.
    ///
    /// # Errors
    /// A server that went away, or the timeout.
    pub async fn wait_idle(&self, timeout: Duration) -> Result<(), ClientError> {
        let idle = |s: &PipelineState| {
            let stage = |pods: &PodsState| u64::from(pods.busy) + pods.queued + pods.forwarding;
            Ok(stage(&s.a) + stage(&s.b) + s.proxy.queued + u64::from(s.proxy.held) == 0)
        };
        self.wait(timeout, SILENCE, "the pipeline is not idle", idle).await
    }

    /// Waits until no pod is on its way out.
    ///
    /// # Errors
    /// A server that went away, or the timeout.
    pub async fn wait_drained(&self, timeout: Duration) -> Result<(), ClientError> {
        let drained = |s: &PipelineState| Ok(s.a.draining + s.b.draining == 0);
        self.wait(timeout, SILENCE, "pods still drain", drained).await
    }

    /// How the pipeline stands. A is asked before the others, as requests go: one that has left A by then
    /// is seen by the proxy, which has it until B has answered.
    ///
    /// # Errors
    /// The first server that does not answer.
    pub async fn state(&self) -> Result<PipelineState, ClientError> {
        let (a, proxy) = self.front().await?;
        Ok(PipelineState { a, proxy, b: self.state_of_b().await? })
    }

    /// How A and the proxy stand, for who only sends requests: B may be in a network of its own.
    ///
    /// # Errors
    /// The first of them that does not answer.
    pub async fn front(&self) -> Result<(PodsState, SlotsState), ClientError> {
        let a = is_stage(Stage::A, self.stages.a().await?)?;
        Ok((a, self.proxy_state().await?))
    }

    pub(crate) async fn state_of_b(&self) -> Result<PodsState, ClientError> {
        is_stage(Stage::B, self.stages.b().await?)
    }

    /// Sets the number of transfer slots; it holds when this returns.
    ///
    /// # Errors
    /// What the proxy said.
    pub async fn set_threads(&self, slots: u32) -> Result<(), ClientError> {
        let url = format!("{}/set_threads", self.endpoints.proxy);
        self.post(url, ThreadCount { thread_count: slots }).await
    }

    /// Starts or drains pods of both stages and waits until as many serve; those that drain may still be
    /// at what they have. All of them are used.
    ///
    /// # Errors
    /// What a stage said, pods that cannot start, a server that went away, or the timeout.
    pub async fn set_pods(&self, pods: Replicas, timeout: Duration) -> Result<(), ClientError> {
        self.stages.set_pods(pods).await?;
        self.wait(timeout, SILENCE, "the pods are not ready", settled).await
    }

    /// Asks both stages to have so many pods, and does not wait for them.
    ///
    /// # Errors
    /// What a stage said.
    pub async fn ask_pods(&self, pods: Replicas) -> Result<(), ClientError> {
        self.stages.set_pods(pods).await
    }

    /// Uses only so many of the ready pods, until the next `set_pods`; it holds when this returns.
    ///
    /// # Errors
    /// What a stage said.
    pub async fn use_pods(&self, pods: Replicas) -> Result<(), ClientError> {
        self.stages.use_pods(pods).await
    }

    /// CPU time that A, the proxy and B have used since they started, their pods' own processes included \[s\]; absent where a server does not say.
    pub async fn cpu_s(&self) -> [Option<f64>; 3] {
        let of = async |base: &str| {
            let answer = self.http.get(format!("{base}/metrics")).timeout(ANSWER).send().await.ok()?;
            let text = answer.error_for_status().ok()?.text().await.ok()?;
            let value = |name| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                line.rsplit(' ').next()?.parse::<f64>().ok()
            };
            Some(value(PROCESS_CPU)? + value(PODS_CPU).unwrap_or(0.0))
        };
        let Endpoints { a, proxy, b } = &self.endpoints;
        tokio::join!(of(a), of(proxy), of(b)).into()
    }

    pub(crate) async fn proxy_state(&self) -> Result<SlotsState, ClientError> {
        self.get(format!("{}/slots", self.endpoints.proxy)).await
    }

    pub(crate) async fn responses(&self) -> Result<Vec<PipelineAnswer>, ClientError> {
        self.get(format!("{}/responses", self.endpoints.proxy)).await
    }

    pub(crate) async fn clear_responses(&self) -> Result<(), ClientError> {
        self.post(format!("{}/clear_responses", self.endpoints.proxy), Value::Null).await
    }

    pub(crate) async fn set_queue_threshold(&self, queue_threshold: u64) -> Result<(), ClientError> {
        let url = format!("{}/set_queue_threshold", self.endpoints.proxy);
        self.post(url, QueueThreshold { queue_threshold }).await
    }

    /// Connects to the proxy's events; they are pushed from now on.
    pub(crate) async fn events(&self) -> Result<Events, ClientError> {
        let url = format!("{}/events", self.endpoints.proxy.replacen("http://", "ws://", 1));
        let unreachable = |problem: String| ClientError::Unreachable { url: url.clone(), problem };
        let connecting = tokio::time::timeout(ANSWER, connect_async_with_config(&url, None, true));
        let connected = connecting.await.map_err(|e| unreachable(e.to_string()))?;
        let (socket, _) = connected.map_err(|e| unreachable(e.to_string()))?;
        let mut events = Events(socket);
        let hello = tokio::time::timeout(ANSWER, events.next()).await.ok().flatten();
        match hello {
            Some(Event::Hello(_)) => Ok(events),
            _ => Err(unreachable("it did not begin with `hello`".to_owned())),
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: String) -> Result<T, ClientError> {
        get(&self.http, url).await
    }

    async fn post(&self, url: String, body: impl serde::Serialize) -> Result<(), ClientError> {
        post(&self.http, url, body).await
    }

    /// Asks until `done` says yes. A server that does not answer is waited for too, if not for ever.
    async fn wait(
        &self,
        timeout: Duration,
        silence_max: Duration,
        what: &str,
        done: impl Fn(&PipelineState) -> Result<bool, ClientError>,
    ) -> Result<(), ClientError> {
        let deadline = Instant::now() + timeout;
        let mut heard = Instant::now();
        loop {
            let mut pause = POLL;
            let seen = match self.state().await {
                Ok(state) if done(&state)? => return Ok(()),
                Ok(state) => {
                    heard = Instant::now();
                    summary(&state)
                }
                Err(ClientError::Unreachable { url, problem })
                    if heard.elapsed() >= silence_max && Instant::now() < deadline =>
                {
                    return Err(self.gone(&url, heard.elapsed(), problem));
                }
                // Whoever has no such route will not have one later, nor become another stage, nor give rights.
                Err(
                    error @ (ClientError::Swapped { .. }
                    | ClientError::Refused { status: 200 | 401 | 403 | 404, .. }),
                ) => return Err(error),
                Err(error) => {
                    pause = UNHEARD;
                    error.to_string()
                }
            };
            if Instant::now() >= deadline {
                return Err(ClientError::TimedOut { what: what.to_owned(), after: timeout, seen });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whichever server was asked this.
    fn gone(&self, asked: &str, after: Duration, problem: String) -> ClientError {
        let Endpoints { a, proxy, b } = &self.endpoints;
        let asked_of =
            |base: &String| asked.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let servers = [("stage A", a), ("the proxy", proxy), ("stage B", b)];
        let found = servers.into_iter().find(|(_, base)| asked_of(base));
        let (server, url) = found.map_or(("a stage", asked), |(server, base)| (server, base.as_str()));
        ClientError::Gone { server, url: url.to_owned(), after, problem }
    }
}

impl Stages for Servers {
    fn a(&self) -> BoxFuture<'_, Result<PodsState, ClientError>> {
        Box::pin(get(&self.http, format!("{}/pods", self.a)))
    }

    fn b(&self) -> BoxFuture<'_, Result<PodsState, ClientError>> {
        Box::pin(get(&self.http, format!("{}/pods", self.b)))
    }

    fn set_pods(&self, pods: Replicas) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(self.post_pods("set_pods", pods))
    }

    fn use_pods(&self, pods: Replicas) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(self.post_pods("use_pods", pods))
    }
}

impl Servers {
    async fn post_pods(&self, route: &str, pods: Replicas) -> Result<(), ClientError> {
        let (of_a, of_b) = (PodCount { pod_count: pods.a }, PodCount { pod_count: pods.b });
        let (a, b) = tokio::join!(
            post(&self.http, format!("{}/{route}", self.a), &of_a),
            post(&self.http, format!("{}/{route}", self.b), &of_b),
        );
        a.and(b)
    }
}

impl Events {
    /// The next event; absent where the connection has ended or says what is no event.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) => return serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// What a stage says, if it is that stage.
fn is_stage(asked: Stage, state: PodsState) -> Result<PodsState, ClientError> {
    match state.stage {
        answers if answers == asked => Ok(state),
        answers => Err(ClientError::Swapped { asked, answers }),
    }
}

/// Whether both stages have the pods they were asked for.
fn settled(state: &PipelineState) -> Result<bool, ClientError> {
    for stage in [&state.a, &state.b] {
        if let Some(error) =
            stage.last_error.as_ref().filter(|_| stage.starting == 0 && stage.ready < stage.desired)
        {
            let (ready, desired) = (stage.ready, stage.desired);
            return Err(ClientError::Pods { stage: stage.stage, ready, desired, error: error.clone() });
        }
    }
    Ok([&state.a, &state.b].iter().all(|stage| stage.ready == stage.desired && stage.starting == 0))
}

fn summary(state: &PipelineState) -> String {
    let stage = |p: &PodsState| {
        format!(
            "{:?} {} of {} pods ready, {} busy, {} waiting",
            p.stage, p.ready, p.desired, p.busy, p.queued
        )
    };
    let (a, b) = (stage(&state.a), stage(&state.b));
    format!("{a}; proxy {} slots held, {} waiting; {b}", state.proxy.held, state.proxy.queued)
}

/// Asks one server whether it takes requests.
///
/// # Errors
/// It does not, or gives no answer in time; or the URL does not begin with `http://`.
pub async fn ready(server: &str, timeout: Duration) -> Result<(), ClientError> {
    let url = format!("{}/readyz", base(server)?);
    exchange(client(false)?.get(&url).timeout(timeout), &url).await.map(drop)
}

fn client(fresh: bool) -> Result<reqwest::Client, ClientError> {
    http_client_for(fresh).map_err(|e| ClientError::Setup(format!("no HTTP client: {}", explain(&e))))
}

/// A base URL without the slash that it may end with.
fn base(url: &str) -> Result<String, ClientError> {
    match url.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err(ClientError::Setup(format!("{url:?} is not a base URL such as http://127.0.0.1:5000"))),
    }
}

async fn get<T: DeserializeOwned>(http: &reqwest::Client, url: String) -> Result<T, ClientError> {
    answer(http.get(&url).timeout(ANSWER), url).await
}

async fn post(http: &reqwest::Client, url: String, body: impl serde::Serialize) -> Result<(), ClientError> {
    answer::<Value>(http.post(&url).timeout(ANSWER).json(&body), url).await.map(drop)
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder, url: String) -> Result<T, ClientError> {
    let (status, body) = exchange(request, &url).await?;
    serde_json::from_slice(&body).map_err(|e| {
        let error = format!("not what was asked for: {e}");
        ClientError::Refused { url, status: status.as_u16(), error }
    })
}

/// Status and body of an answer that does not say no.
async fn exchange(request: RequestBuilder, url: &str) -> Result<(StatusCode, Bytes), ClientError> {
    let exchange = async {
        let answer = request.send().await?;
        Ok((answer.status(), answer.bytes().await?))
    };
    let (status, body) = exchange.await.map_err(|error: reqwest::Error| ClientError::Unreachable {
        url: url.to_owned(),
        problem: explain(&error),
    })?;
    if status.is_success() {
        return Ok((status, body));
    }
    let said = String::from_utf8_lossy(&body).into_owned();
    let error = serde_json::from_slice::<Failure>(&body).map_or(said, |failure| failure.error);
    Err(ClientError::Refused { url: url.to_owned(), status: status.as_u16(), error })
}
