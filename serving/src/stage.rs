//! A stage server, A or B: HTTP before a pool of pods.
//!
//! | route | A | B |
//! |---|---|---|
//! | `POST /predict` | image in, B asked directly, class out | |
//! | `POST /predict-proxy` | image in, activation to the proxy; answers once it is queued there, with `?wait=true` once the pipeline has answered | |
//! | `POST /complete` | | activation in, class out |
//! | `POST /set_pods`, `/use_pods` | start or drain pods; use only so many of the ready ones, until the next `/set_pods` | same |
//! | `GET /pods`, `/metrics`, `/livez`, `/readyz` | | |

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use splitscale_spec::{Invalid, PodPhase, Stage};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::{EngineError, EngineFactory};
use crate::metrics::Exposition;
use crate::pod::{Output, Served};
use crate::pool::{Meters, Pool};
use crate::serve::{ServeError, explain, finish_routes, http_client, serve, within_grace};
use crate::wire::{
    ACTIVATION_BYTES_MAX, CUT, Failure, IMAGE_BYTES_MAX, PipelineAnswer, PodCount, PodsState, Prediction,
    StageTimes, TailAnswer, Wait, activation_headers, check_count, checked_query, header, parse, request_id,
};

/// How a stage serves.
#[derive(Debug, Clone, PartialEq)]
pub struct StageOptions {
    /// Pods to start with.
    pub pods: u32,
    /// Most pods that may be asked for.
    pub pods_max: u32,
    /// Share of one core a pod computes with, in (0, 1]; 1 does not pace.
    pub cpu_share: f64,
    /// Most requests that may wait; one more is refused with 503.
    pub queue_max: usize,
    /// After a shutdown was asked for: how long what was accepted may take to finish.
    pub grace: Duration,
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
}

/// A stage with its pods; dropping it leaves them running, [`StageServer::close`] ends them.
#[derive(Clone)]
pub struct StageServer {
    pool: Arc<Pool>,
    /// Absent at B.
    next: Option<Arc<Next>>,
}

struct Next {
    http: reqwest::Client,
    downstream: Downstream,
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
        if self.queue_max == 0 {
            return Err(Invalid::new("queue_max", "zero; it takes at least 1"));
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
        let next = Next { http: http_client()?, downstream };
        Ok(StageServer { pool: Pool::start(Stage::A, options, factory), next: Some(Arc::new(next)) })
    }

    /// Starts the pods of stage B.
    ///
    /// # Errors
    /// Options out of range.
    pub fn b(options: StageOptions, factory: Arc<dyn EngineFactory>) -> Result<Self, ServeError> {
        options.validate()?;
        Ok(StageServer { pool: Pool::start(Stage::B, options, factory), next: None })
    }

    /// The stage's routes.
    pub fn app(&self) -> Router {
        let routes = match self.pool.stage {
            Stage::A => Router::new()
                .route("/predict", post(predict))
                .route("/predict-proxy", post(predict_proxy))
                // The form around the image takes some bytes too; the file itself is checked below.
                .layer(DefaultBodyLimit::max(IMAGE_BYTES_MAX + 64 * 1024)),
            Stage::B => Router::new()
                .route("/complete", post(complete))
                .layer(DefaultBodyLimit::max(ACTIVATION_BYTES_MAX)),
        };
        let routes = routes
            .route("/set_pods", post(set_pods))
            .route("/use_pods", post(use_pods))
            .route("/pods", get(pods))
            .route("/metrics", get(metrics))
            .route("/readyz", get(readyz));
        finish_routes(routes.with_state(self.clone()))
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

    /// Drains the pods and waits for their threads: for each, until it has answered what it has.
    pub async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || self.pool.close()).await;
        closed.expect("closing a pool does not panic");
    }

    async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let server = serve(listener, self.app(), shutdown.clone());
        let served = within_grace(until_unfit(server, self.ready()), shutdown, self.pool.options.grace).await;
        self.close().await;
        served.unwrap_or(Ok(()))
    }

    async fn compute(&self, input: Bytes) -> Result<Served, Failure> {
        match self.pool.submit(input)?.await {
            Ok(Ok(served)) => Ok(served),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Failure::unavailable("the stage ended before this request had its turn")),
        }
    }

    fn cut(&self) -> &'static str {
        self.pool.factory.cut().name()
    }
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
            EngineError::BadImage(_) | EngineError::BadActivation(_) => StatusCode::BAD_REQUEST,
            EngineError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, error.to_string())
    }
}

// === routes of A ===

async fn predict(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Prediction>, Failure> {
    let image = image(form).await?;
    let arrived = Instant::now();
    let (times, status, body) = stage.forward(image, &request_id(&headers), Towards::B).await?;
    if !status.is_success() {
        return Err(relayed("stage B", status, &body));
    }
    let answer: TailAnswer = serde_json::from_slice(&body)
        .map_err(|e| Failure::bad_gateway(format!("stage B's answer is none: {e}")))?;
    Ok(Json(Prediction {
        class_id: answer.class_id,
        class_name: answer.class_name,
        total_time: arrived.elapsed().as_secs_f64(),
        inference_time_a: times.service_s(),
        inference_time_b: answer.inference_time_b,
    }))
}

async fn predict_proxy(
    State(stage): State<StageServer>,
    query: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Failure> {
    let Wait { wait } = checked_query(query)?;
    let image = image(form).await?;
    let (_, status, body) = stage.forward(image, &request_id(&headers), Towards::Proxy { wait }).await?;
    // A pipeline run that failed is passed on as the proxy tells it, with its phases.
    if !status.is_success() && serde_json::from_slice::<PipelineAnswer>(&body).is_err() {
        return Err(relayed("the proxy", status, &body));
    }
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Whom A sends an activation.
#[derive(Debug, Clone, Copy)]
enum Towards {
    B,
    Proxy { wait: bool },
}

impl StageServer {
    /// Runs A's half and posts the activation: A's times, and what the next server answered.
    async fn forward(
        &self,
        image: Bytes,
        id: &str,
        towards: Towards,
    ) -> Result<(StageTimes, StatusCode, Bytes), Failure> {
        let Served { output: Output::Activation(activation), times } = self.compute(image).await? else {
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine is not A's half"));
        };
        let next = self.next.as_ref().expect("A knows what comes next");
        let url = match towards {
            Towards::B => format!("{}/complete", next.downstream.b),
            Towards::Proxy { wait } => format!("{}/complete?wait={wait}", next.downstream.proxy),
        };
        let request = next
            .http
            .post(&url)
            .headers(activation_headers(id, self.cut(), Some(&times)))
            .timeout(next.downstream.timeout)
            .body(activation);
        let answer = async {
            let answer = request.send().await?;
            Ok((times, answer.status(), answer.bytes().await?))
        };
        answer.await.map_err(|e: reqwest::Error| Failure::bad_gateway(format!("no answer: {}", explain(&e))))
    }
}

/// What the next server would not do.
fn relayed(name: &str, status: StatusCode, body: &[u8]) -> Failure {
    let said = serde_json::from_slice::<Failure>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |failure| failure.error);
    Failure::bad_gateway(format!("{name} answered {status}: {said}"))
}

/// The bytes of the field `file`.
async fn image(form: Result<Multipart, MultipartRejection>) -> Result<Bytes, Failure> {
    let mut form = form.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
    let broken = |e: axum::extract::multipart::MultipartError| Failure::new(e.status(), e.body_text());
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() != Some("file") {
            continue;
        }
        let image = field.bytes().await.map_err(broken)?;
        return match image.len() {
            0 => Err(Failure::bad("the form field `file` is empty; it takes an image file")),
            n if n > IMAGE_BYTES_MAX => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the image has {n} bytes; {IMAGE_BYTES_MAX} are the most"),
            )),
            _ => Ok(image),
        };
    }
    Err(Failure::bad("no form field `file`; send the image as multipart/form-data"))
}

// === routes of B ===

async fn complete(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<TailAnswer>, Failure> {
    let activation = body?;
    let expected = stage.pool.factory.payload_bytes();
    if let Some(cut) = header(&headers, &CUT).filter(|&cut| cut != stage.cut()) {
        return Err(Failure::bad(format!(
            "this activation is cut after {cut}, stage B serves {}",
            stage.cut()
        )));
    }
    if activation.len() as u64 != expected {
        return Err(Failure::bad(format!(
            "this activation has {} bytes; one cut after {} has {expected}",
            activation.len(),
            stage.cut()
        )));
    }
    let Served { output: Output::Class { id, name, logit }, times } = stage.compute(activation).await? else {
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine is not B's half"));
    };
    Ok(Json(TailAnswer {
        class_id: id,
        class_name: name,
        logit,
        inference_time_b: times.service_s(),
        stage_b: times,
    }))
}

// === routes of both ===

async fn set_pods(
    State(stage): State<StageServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PodsState>, Failure> {
    let PodCount { pod_count } = parse(body)?;
    stage.pool.set_pods(check_count("pod_count", pod_count, stage.pool.options.pods_max)?);
    Ok(pods(State(stage)).await)
}

async fn use_pods(
    State(stage): State<StageServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PodsState>, Failure> {
    let PodCount { pod_count } = parse(body)?;
    stage.pool.use_pods(check_count("pod_count", pod_count, stage.pool.options.pods_max)?)?;
    Ok(pods(State(stage)).await)
}

async fn pods(State(stage): State<StageServer>) -> Json<PodsState> {
    Json(stage.pool.read(|state, _| state.clone()))
}

async fn readyz(State(stage): State<StageServer>) -> Result<&'static str, Failure> {
    let counts = *stage.pool.counts().borrow();
    if counts.ready > 0 {
        return Ok("ready\n");
    }
    let why = stage.pool.last_error().unwrap_or_else(|| format!("{} are starting", counts.starting));
    Err(Failure::unavailable(format!("no pod is ready: {why}")))
}

async fn metrics(State(stage): State<StageServer>) -> String {
    stage.pool.read(expose)
}

fn expose(state: &PodsState, meters: &Meters) -> String {
    let now = Instant::now();
    let stage = if state.stage == Stage::A { "a" } else { "b" };
    let of_stage = [("stage", stage)];
    let mut text = Exposition::default();
    text.metric("split_requests_total", "counter", "Requests that came to the stage.")
        .sample(&of_stage, meters.requests as f64);
    text.metric(
        "split_answers_total",
        "counter",
        "Requests that left the stage: answered, failed, refused before the queue, or abandoned by whoever waited.",
    );
    for (status, count) in [
        ("answered", meters.answered),
        ("failed", meters.failed),
        ("refused", meters.refused),
        ("abandoned", meters.abandoned),
    ] {
        text.sample(&[("stage", stage), ("status", status)], count as f64);
    }
    text.metric("split_queue_depth", "gauge", "Requests waiting for a pod.")
        .sample(&[("queue", stage)], state.queued as f64);
    text.metric("split_queue_depth_seconds_total", "counter", "Integral of the queue depth over time.")
        .sample(&[("queue", stage)], meters.queue.total(now));
    text.metric("split_pods", "gauge", "Pods: asked for, used by the balancer, and by phase.");
    for (name, count) in [
        ("desired", state.desired),
        ("in_use", state.in_use),
        ("ready", state.ready),
        ("starting", state.starting),
        ("draining", state.draining),
    ] {
        text.sample(&[("stage", stage), ("state", name)], f64::from(count));
    }
    text.metric("split_pod_busy_seconds_total", "counter", "Integral of pods in use that are at work.")
        .sample(&of_stage, meters.busy.total(now));
    text.metric("split_pod_ready_seconds_total", "counter", "Integral of ready pods in use.")
        .sample(&of_stage, meters.ready.total(now));
    text.metric(
        "split_pod_cpu_seconds_total",
        "counter",
        "Thread CPU time on requests, credited as each ends.",
    );
    for (pod, cpu_s) in &meters.cpu_s {
        text.sample(&[("stage", stage), ("pod", &pod.to_string())], *cpu_s);
    }
    expose_pods(&mut text, stage, state);
    text.metric("split_build_info", "gauge", "Which engine serves which cut.").sample(
        &[("engine", &state.engine), ("cut", &state.cut), ("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    text.finish()
}

fn expose_pods(text: &mut Exposition, stage: &str, state: &PodsState) {
    type Of = fn(&PodsState, &crate::wire::PodState) -> Option<f64>;
    let families: [(&'static str, &str, Of); 3] = [
        ("split_pod_phase", "0 starting, 1 ready, 2 draining.", |_, pod| {
            Some(match pod.phase {
                PodPhase::Starting => 0.0,
                PodPhase::Ready => 1.0,
                PodPhase::Draining => 2.0,
            })
        }),
        ("split_pod_ready_age_seconds", "Time since the pod became ready.", |_, pod| pod.ready_age_s),
        ("split_pod_cpu_request_cores", "Share of one core the pod computes with.", |s, _| Some(s.cpu_share)),
    ];
    for (name, help, of) in families {
        text.metric(name, "gauge", help);
        for pod in &state.pods {
            if let Some(value) = of(state, pod) {
                text.sample(&[("stage", stage), ("pod", &pod.pod.to_string())], value);
            }
        }
    }
}
