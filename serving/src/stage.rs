//! A stage server, A or B: HTTP before a pool of pods.
//!
//! | route | A | B |
//! |---|---|---|
//! | `POST /predict` | image in, B asked directly, class out | |
//! | `POST /predict-proxy` | image in, activation to the proxy; answers once it is queued there, with `?wait=true` once the pipeline has answered | |
//! | `POST /complete` | | activation in, class out |
//! | `POST /set_pods`, `/use_pods` | start or drain pods; use only so many of the ready ones, until the next `/set_pods` | same |
//! | `POST /credits` | | a place in the queue for what will come |
//! | `GET /pods`, `/metrics`, `/livez`, `/readyz`, `/v2/health/live`, `/v2/health/ready`, `/docs`, `/openapi.json` | | same |

mod a;
mod b;
mod credit;
mod exposition;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Json, Router};
use splitscale_spec::{Invalid, Stage};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::credit::Turn;
use crate::admission::{Admission, QueueBound};
use crate::bodies::Bodies;
use crate::engine::{About, EngineError, EngineFactory};
use crate::metrics::Exposition;
use crate::openapi::does;
use crate::pod::{Job, Served, Work};
use crate::pool::Pool;
use crate::serve::{
    Ending, ServeError, Server, finish_routes, http_client, http_client_for, serve, within_grace,
};
use crate::wire::format::Format;
use crate::wire::{Failure, PodCount, PodsState, Problem, check_count, parse};

/// How long pods that still compute once the grace is over are waited for.
const PODS_END_LIMIT: Duration = Duration::from_secs(1);
/// Most CPU time that a request may be rated at.
const RATED_MAX: Duration = Duration::from_secs(3600);

/// How a stage serves.
#[derive(Debug, Clone, PartialEq)]
pub struct StageOptions {
    /// Pods to start with.
    pub pods: u32,
    /// Most pods that may be asked for.
    pub pods_max: u32,
    /// Share of one core a pod computes with, in (0, 1]; 1 does not pace.
    pub cpu_share: f64,
    /// CPU time a request is taken to cost, in place of what it did; its pod is held for that over its share, and for
    /// as long as it computes at least.
    pub rated_cpu: Option<Duration>,
    /// What may wait; more is refused with 429.
    pub queue: QueueBound,
    /// What happens when it is asked to stop.
    pub ending: Ending,
}

/// Where A sends its activations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downstream {
    /// B's base URL, for `/predict`.
    pub b: String,
    /// The proxy's base URL, for `/predict-proxy`.
    pub proxy: String,
    /// How long an answer of either may take.
    pub timeout: Duration,
    /// How activations travel, where the client asks for nothing else.
    pub format: Format,
    /// B's address stands for several, and who gives them out gives out connections: each request to B is one of its own,
    /// and asks for no place there first, which another B would have promised.
    pub fresh_connections: bool,
}

/// A stage with its pods; dropping it leaves them running, [`StageServer::close`] ends them.
#[derive(Clone)]
pub struct StageServer {
    pool: Arc<Pool>,
    bodies: Bodies,
    /// Cancelled once it is to stop.
    stopping: CancellationToken,
    /// Absent at B.
    next: Option<Arc<Next>>,
}

struct Next {
    http_b: reqwest::Client,
    http_proxy: reqwest::Client,
    downstream: Downstream,
    /// Who asks B for a credit.
    turn_b: Turn,
    /// Who asks the proxy.
    turn_proxy: Turn,
}

/// Serves stage A until `shutdown`. The listener is bound already, so that a port in use is the caller's
/// error.
///
/// # Errors
/// Options out of range, no pod that can start, a listener that breaks.
pub async fn serve_a(
    listener: TcpListener,
    options: StageOptions,
    downstream: Downstream,
    factory: Arc<dyn EngineFactory>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    StageServer::a(options, downstream, factory)?.serve(listener, shutdown).await
}

/// Serves stage B until `shutdown`.
///
/// # Errors
/// As [`serve_a`].
pub async fn serve_b(
    listener: TcpListener,
    options: StageOptions,
    factory: Arc<dyn EngineFactory>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    StageServer::b(options, factory)?.serve(listener, shutdown).await
}

// === impl StageOptions ===

impl StageOptions {
    fn validate(&self) -> Result<(), Invalid> {
        if self.pods == 0 || self.pods > self.pods_max {
            return Err(Invalid::new("pods", format!("{} is not in 1..={}", self.pods, self.pods_max)));
        }
        if !(self.cpu_share > 0.0 && self.cpu_share <= 1.0) {
            return Err(Invalid::new("cpu_share", format!("{} is not in (0, 1]", self.cpu_share)));
        }
        if self.rated_cpu.is_some_and(|rated| rated.is_zero() || rated > RATED_MAX) {
            return Err(Invalid::new(
                "rated_cpu",
                format!("{:?} is not in (0, {RATED_MAX:?}]", self.rated_cpu),
            ));
        }
        if self.queue.requests == 0 {
            return Err(Invalid::new("queue.requests", "zero; it takes at least 1"));
        }
        Ok(())
    }
}

// === impl StageServer ===

impl StageServer {
    /// Starts the pods of stage A.
    ///
    /// # Errors
    /// Options out of range.
    pub fn a(
        options: StageOptions,
        downstream: Downstream,
        factory: Arc<dyn EngineFactory>,
    ) -> Result<Self, ServeError> {
        options.validate()?;
        let next = Next {
            http_b: http_client_for(downstream.fresh_connections)?,
            http_proxy: http_client()?,
            downstream,
            turn_b: Turn::default(),
            turn_proxy: Turn::default(),
        };
        Ok(StageServer {
            pool: Pool::start(Stage::A, options, factory),
            bodies: Bodies::default(),
            stopping: CancellationToken::new(),
            next: Some(Arc::new(next)),
        })
    }

    /// Starts the pods of stage B.
    ///
    /// # Errors
    /// Options out of range.
    pub fn b(options: StageOptions, factory: Arc<dyn EngineFactory>) -> Result<Self, ServeError> {
        options.validate()?;
        Ok(StageServer {
            pool: Pool::start(Stage::B, options, factory),
            bodies: Bodies::default(),
            stopping: CancellationToken::new(),
            next: None,
        })
    }

    /// The stage's routes.
    pub fn app(&self) -> Router {
        let api = match self.pool.stage {
            Stage::A => a::routes(),
            Stage::B => b::routes(),
        };
        let [sets, uses] =
            ["Start or drain pods.", "Use only so many of the ready pods, until the next /set_pods."].map(
                |summary| {
                    does(summary).takes::<PodCount>().gives::<PodsState>("The pods.").problems(&[400, 413])
                },
            );
        let api = api.post("/set_pods", set_pods, sets).post("/use_pods", use_pods, uses).get(
            "/pods",
            pods,
            does("Tell the pods.").gives::<PodsState>("The pods."),
        );
        finish_routes(api, self.clone())
    }

    /// Waits until a pod is ready.
    ///
    /// # Errors
    /// [`ServeError::NoPod`] where none is and none starts any more.
    pub async fn ready(&self) -> Result<(), ServeError> {
        let mut counts = self.pool.counts();
        let settled = counts.wait_for(|c| c.ready > 0 || c.starting == 0).await;
        if settled.is_ok_and(|c| c.ready > 0) {
            return Ok(());
        }
        Err(ServeError::NoPod(self.pool.last_error().unwrap_or_else(|| "it was closed before".to_owned())))
    }

    /// Drains the pods and waits until each has answered what it has, but a second at most: what computes for
    /// longer cannot be told to stop, and ends with the process.
    pub async fn close(self) {
        self.pool.close();
        if tokio::time::timeout(PODS_END_LIMIT, self.pool.ended()).await.is_err() {
            tracing::warn!(stage = ?self.pool.stage, "pods still compute; nobody waits for them any more");
        }
    }

    async fn serve(mut self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        self.stopping = shutdown.clone();
        let ending = self.pool.options.ending;
        let server = serve(listener, self.app(), shutdown.clone(), ending.delay);
        let serving = async {
            let served = until_unfit(server, self.ready()).await;
            // What is left of the grace is the pods': one that starts is not cut off in the middle.
            self.pool.close();
            self.pool.ended().await;
            served
        };
        let served = within_grace(serving, shutdown, ending).await;
        self.close().await;
        served.unwrap_or(Ok(()))
    }

    /// Waits for a pod and its work, on a place in the queue that was had before, but not past the deadline.
    async fn compute(&self, work: Work, asked: Asked) -> Result<Served, Failure> {
        let (reply, answer) = oneshot::channel();
        let Asked { arrived, deadline, place } = asked;
        let place = Some(place);
        self.pool.submit(Job { work, arrived, pods_in_use: 0, deadline, place, pods_lost: 0, reply });
        let answer = async {
            let ended = |_| Err(Failure::unavailable("the stage ended before this request had its turn"));
            answer.await.unwrap_or_else(ended)
        };
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), answer)
                .await
                .unwrap_or_else(|_| Err(Failure::expired("a pod"))),
            None => answer.await,
        }
    }

    fn about(&self) -> &About {
        self.pool.factory.about()
    }
}

impl Server for StageServer {
    fn ready(&self) -> Result<(), Failure> {
        if self.stopping.is_cancelled() {
            return Err(Failure::unavailable("it is shutting down"));
        }
        let counts = *self.pool.counts().borrow();
        if counts.ready > 0 {
            return Ok(());
        }
        let why = self.pool.last_error().unwrap_or_else(|| format!("{} are starting", counts.starting));
        Err(Failure::unavailable(format!("no pod is ready: {why}")))
    }

    fn expose(&self, text: &mut Exposition) {
        let depth = self.pool.depth(Instant::now());
        self.pool.read(|state, meters| exposition::expose(text, state, meters, depth));
    }
}

/// What a request brought besides its work.
struct Asked {
    arrived: Instant,
    deadline: Option<Instant>,
    place: Admission,
}

/// Serves, but gives up where the stage turns out to be unfit.
async fn until_unfit(
    server: impl Future<Output = std::io::Result<()>>,
    ready: impl Future<Output = Result<(), ServeError>>,
) -> Result<(), ServeError> {
    let mut server = std::pin::pin!(server);
    tokio::select! {
        served = &mut server => return Ok(served?),
        ready = ready => ready?,
    }
    Ok(server.await?)
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let status = match error {
            EngineError::BadImage { status, .. } => {
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
            }
            EngineError::BadActivation(_) => StatusCode::BAD_REQUEST,
            EngineError::Failed(_) | EngineError::Gone(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, error.to_string())
    }
}

// === routes of both ===

async fn set_pods(
    State(stage): State<StageServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PodsState>, Problem> {
    let PodCount { pod_count } = parse(body)?;
    stage.pool.set_pods(check_count("pod_count", pod_count, stage.pool.options.pods_max)?);
    Ok(pods(State(stage)).await)
}

async fn use_pods(
    State(stage): State<StageServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PodsState>, Problem> {
    let PodCount { pod_count } = parse(body)?;
    stage.pool.use_pods(check_count("pod_count", pod_count, stage.pool.options.pods_max)?)?;
    Ok(pods(State(stage)).await)
}

async fn pods(State(stage): State<StageServer>) -> Json<PodsState> {
    Json(stage.pool.read(|state, _| state.clone()))
}
