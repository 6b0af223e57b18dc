//! The proxy: a queue, N transfer slots, the emulated link, and the responses.
//!
//! ```text
//! A ─▶ queue ─▶ slot: sleep + bytes*8/bandwidth + RTT ─▶ POST B ─▶ B's answer ─▶ slot free
//!                                                                     └─▶ /responses, /events, waiting A
//! ```
//!
//! | route | |
//! |---|---|
//! | `POST /complete` | queues an activation; answers at once, with `?wait=true` when the pipeline has (502 where it failed) |
//! | `POST /set_threads` | `{"thread_count": n}`: the number of slots, at once and without waiting |
//! | `POST /set_queue_threshold`, `/clear_responses` | `{"queue_threshold": n}`; begin a new epoch |
//! | `GET /responses`, `/response_count`, `/request_count` | responses since the clearing; how many; activations waiting for a slot |
//! | `GET /events` | WebSocket of [`Event`](crate::wire::Event) |
//! | `GET /slots`, `/metrics`, `/livez`, `/readyz` | |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use splitscale_spec::{Encoding, Invalid, Status};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::{self, Board};
use crate::metrics::{Exposition, Histogram};
use crate::pod::wait_until;
use crate::serve::{ServeError, explain, finish_routes, http_client, serve, within_grace};
use crate::slots::Slots;
use crate::wire::{
    ACTIVATION_BYTES_MAX, CUT, Count, ENCODING, Failure, PipelineAnswer, QueueThreshold, STAGE_A, SlotsState,
    StageTimes, TailAnswer, ThreadCount, Wait, activation_headers, check_count, checked_query, header, parse,
    request_id,
};

/// How the proxy transfers.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyOptions {
    /// B's base URL.
    pub b: String,
    /// Transfer slots to start with.
    pub slots: u32,
    /// Most slots that may be asked for.
    pub slots_max: u32,
    /// Emulated bandwidth of a slot \[Mbit/s\]; none: as fast as the wire is.
    pub slot_bandwidth_mbit_s: Option<f64>,
    /// Fixed time added to every transfer.
    pub rtt: Duration,
    /// The original's SLEEP_TIME: a pause before every transfer, the slot being held.
    pub sleep: Duration,
    /// How long B may take to answer, its queue included.
    pub b_timeout: Duration,
    /// Most activations that may wait; one more is refused with 503.
    pub queue_max: usize,
    /// After a shutdown was asked for: how long what was accepted may take to finish.
    pub grace: Duration,
}

/// The proxy; clones are the same one.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    options: ProxyOptions,
    http: reqwest::Client,
    inner: Mutex<Inner>,
    transfers: TaskTracker,
    /// Ends the transfers.
    end: CancellationToken,
    listeners: TaskTracker,
    /// Ends the listeners, once they have heard how the last transfer ended.
    silence: CancellationToken,
}

struct Inner {
    slots: Slots<Activation>,
    board: Board,
    requests: u64,
    refused: u64,
    answered: u64,
    failed: u64,
    bytes: u64,
    transfer_s: f64,
    duration: Histogram,
}

/// An activation on its way to B.
struct Activation {
    id: String,
    epoch: u64,
    /// Slots when it came.
    slots: u32,
    cut: String,
    body: Bytes,
    stage_a: Option<StageTimes>,
    received: Instant,
    waiting: Option<oneshot::Sender<PipelineAnswer>>,
}

/// Serves the proxy until `shutdown`, then finishes what was accepted within the grace; what is left then
/// ends as failed.
///
/// # Errors
/// Options out of range, a listener that breaks.
pub async fn serve_proxy(
    listener: TcpListener,
    options: ProxyOptions,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let proxy = Proxy::new(options)?;
    let serving = async {
        let served = serve(listener, proxy.app(), shutdown.clone()).await;
        // No new activation can come any more: the tracker is empty once the backlog is through.
        proxy.0.transfers.close();
        proxy.0.transfers.wait().await;
        served
    };
    let served = within_grace(serving, shutdown.clone(), proxy.0.options.grace).await;
    proxy.close().await;
    Ok(served.unwrap_or(Ok(()))?)
}

// === impl ProxyOptions ===

impl ProxyOptions {
    fn validate(&self) -> Result<(), Invalid> {
        if self.slots == 0 || self.slots > self.slots_max {
            return Err(Invalid::new("slots", format!("{} is not in 1..={}", self.slots, self.slots_max)));
        }
        if let Some(mbit_s) = self.slot_bandwidth_mbit_s
            && !(mbit_s.is_finite() && mbit_s > 0.0)
        {
            let problem = format!("{mbit_s} is not a finite number above zero");
            return Err(Invalid::new("slot_bandwidth_mbit_s", problem));
        }
        if self.queue_max == 0 {
            return Err(Invalid::new("queue_max", "zero; it takes at least 1"));
        }
        Ok(())
    }

    /// How long a slot waits before it posts `bytes` to B.
    fn emulated(&self, bytes: usize) -> Duration {
        let wire_s = self.slot_bandwidth_mbit_s.map_or(0.0, |mbit_s| bytes as f64 * 8e-6 / mbit_s);
        self.sleep + self.rtt + Duration::from_secs_f64(wire_s)
    }
}

// === impl Proxy ===

impl Proxy {
    /// A proxy with nothing to transfer yet.
    ///
    /// # Errors
    /// Options out of range.
    pub fn new(options: ProxyOptions) -> Result<Self, ServeError> {
        options.validate()?;
        let inner = Inner {
            slots: Slots::new(Instant::now(), options.slots),
            board: Board::new(),
            requests: 0,
            refused: 0,
            answered: 0,
            failed: 0,
            bytes: 0,
            transfer_s: 0.0,
            duration: Histogram::new(),
        };
        Ok(Proxy(Arc::new(Shared {
            options,
            http: http_client()?,
            inner: Mutex::new(inner),
            transfers: TaskTracker::new(),
            end: CancellationToken::new(),
            listeners: TaskTracker::new(),
            silence: CancellationToken::new(),
        })))
    }

    /// The proxy's routes.
    pub fn app(&self) -> Router {
        let routes = Router::new()
            .route("/complete", post(complete).layer(DefaultBodyLimit::max(ACTIVATION_BYTES_MAX)))
            .route("/set_threads", post(set_threads))
            .route("/set_queue_threshold", post(set_queue_threshold))
            .route("/clear_responses", post(clear_responses))
            .route("/responses", get(responses))
            .route("/response_count", get(response_count))
            .route("/request_count", get(request_count))
            .route("/slots", get(slots))
            .route("/events", get(listen))
            .route("/metrics", get(metrics))
            .route("/readyz", get(|| async { "ready\n" }));
        finish_routes(routes.with_state(self.clone()))
    }

    /// Ends every transfer, the waiting ones too, as failed, and every listener when it has heard so.
    pub async fn close(&self) {
        self.0.end.cancel();
        self.0.transfers.close();
        self.0.transfers.wait().await;
        self.0.silence.cancel();
        self.0.listeners.close();
        // One that does not read its connection is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.listeners.wait()).await;
    }

    /// Starts transfers while there are both a free slot and a waiting activation.
    fn dispatch(&self, inner: &mut Inner) {
        let now = Instant::now();
        while let Some(activation) = inner.slots.take(now) {
            let proxy = self.clone();
            self.0.transfers.spawn(async move {
                let outcome = tokio::select! {
                    outcome = proxy.transfer(&activation, now) => outcome,
                    () = proxy.0.end.cancelled() => Err("the proxy was shut down before B answered".to_owned()),
                };
                proxy.finish(activation, now, outcome);
            });
        }
    }

    /// Holds the slot for the emulated transfer, then until B has answered.
    async fn transfer(&self, activation: &Activation, acquired: Instant) -> Result<TailAnswer, String> {
        let Shared { options, http, .. } = self.0.as_ref();
        pause_until(acquired + options.emulated(activation.body.len())).await;
        let sent = http
            .post(format!("{}/complete", options.b))
            .headers(activation_headers(&activation.id, &activation.cut, None))
            .timeout(options.b_timeout)
            .body(activation.body.clone())
            .send()
            .await;
        let answer = sent.map_err(|e| format!("stage B did not answer: {}", explain(&e)))?;
        let status = answer.status();
        let body =
            answer.bytes().await.map_err(|e| format!("stage B's answer broke off: {}", explain(&e)))?;
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body).into_owned();
            let said = serde_json::from_slice::<Failure>(&body).map_or(said, |failure| failure.error);
            return Err(format!("stage B answered {status}: {said}"));
        }
        serde_json::from_slice(&body).map_err(|e| format!("stage B's answer is none: {e}"))
    }

    /// Enters the outcome, tells whoever waits, and passes the slot on.
    fn finish(&self, activation: Activation, acquired: Instant, outcome: Result<TailAnswer, String>) {
        let now = Instant::now();
        let held_s = (now - acquired).as_secs_f64();
        let bytes = activation.body.len() as u64;
        let answer = activation.answer(acquired, held_s, outcome, self.0.options.slot_bandwidth_mbit_s);
        let mut inner = self.lock();
        inner.slots.release(now);
        match answer.total_time {
            Some(total_s) => {
                inner.answered += 1;
                inner.bytes += bytes;
                inner.transfer_s += answer.transfer_s;
                inner.duration.add(total_s);
            }
            None => inner.failed += 1,
        }
        inner.board.enter(answer.clone());
        if let Some(waiting) = activation.waiting {
            // Whoever waited may have left.
            let _ = waiting.send(answer);
        }
        self.dispatch(&mut inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock leaves the state half changed when it panics.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activation {
    /// The request as the pipeline leaves it. Of a slot's time, what B says it had is B's, and the rest is
    /// the transfer; B's answer on its way back is in it.
    fn answer(
        &self,
        acquired: Instant,
        held_s: f64,
        outcome: Result<TailAnswer, String>,
        bandwidth_mbit_s: Option<f64>,
    ) -> PipelineAnswer {
        let queue_proxy_s = (acquired - self.received).as_secs_f64();
        let (tail, error) = match outcome {
            Ok(tail) => (Some(tail), None),
            Err(error) => (None, Some(error)),
        };
        let stage_b = tail.as_ref().map(|tail| tail.stage_b);
        let residence_a_s = self.stage_a.map_or(0.0, |a| a.residence_s());
        PipelineAnswer {
            request_id: self.id.clone(),
            epoch: self.epoch,
            status: if error.is_none() { Status::Answered } else { Status::Failed },
            error,
            class_id: tail.as_ref().map(|tail| tail.class_id),
            inference_time_a: self.stage_a.map(|a| a.service_s()),
            inference_time_b: stage_b.map(|b| b.service_s()),
            total_time: stage_b.map(|_| residence_a_s + queue_proxy_s + held_s),
            class_name: tail.map(|tail| tail.class_name),
            cut: self.cut.clone(),
            encoding: Encoding::F32,
            bytes: self.body.len() as u64,
            slots: self.slots,
            bandwidth_mbit_s,
            queue_proxy_s,
            transfer_s: held_s - stage_b.map_or(0.0, |b| b.residence_s()),
            stage_a: self.stage_a,
            stage_b,
        }
    }
}

/// As [`wait_until`], without holding up the reactor: tokio's timer counts in milliseconds, so the last
/// two of them are waited for on a thread.
async fn pause_until(deadline: Instant) {
    const LAST: Duration = Duration::from_millis(2);
    if let Some(early) = deadline.checked_sub(LAST).filter(|&early| early > Instant::now()) {
        tokio::time::sleep_until(early.into()).await;
    }
    if deadline > Instant::now() {
        // It fails only where the runtime ends, and this task with it.
        let _ = tokio::task::spawn_blocking(move || wait_until(deadline, Instant::now())).await;
    }
}

// === routes ===

async fn complete(
    State(proxy): State<Proxy>,
    query: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let Wait { wait } = checked_query(query)?;
    let body = body?;
    if body.is_empty() {
        return Err(Failure::bad("an empty body; it takes an activation"));
    }
    if let Some(encoding) = header(&headers, &ENCODING).filter(|&encoding| encoding != "f32") {
        return Err(Failure::bad(format!("{ENCODING}: {encoding} is not known; it takes f32")));
    }
    let cut = header(&headers, &CUT).filter(|cut| !cut.is_empty());
    let cut =
        cut.ok_or_else(|| Failure::bad(format!("no header {CUT}; it names where the network is cut")))?;
    let stage_a = header(&headers, &STAGE_A)
        .map(serde_json::from_str)
        .transpose()
        .map_err(|e| Failure::bad(format!("{STAGE_A}: {e}")))?;
    let id = request_id(&headers);
    let (sender, receiver) = oneshot::channel();
    {
        let now = Instant::now();
        let mut inner = proxy.lock();
        inner.requests += 1;
        let refusal = if proxy.0.end.is_cancelled() {
            Some("the proxy is shutting down".to_owned())
        } else if inner.slots.queued() >= proxy.0.options.queue_max {
            Some(format!("the queue is full: {} activations wait", inner.slots.queued()))
        } else {
            None
        };
        if let Some(why) = refusal {
            inner.refused += 1;
            return Err(Failure::unavailable(why));
        }
        let activation = Activation {
            id,
            epoch: inner.board.epoch(),
            slots: inner.slots.slots(),
            cut: cut.to_owned(),
            body,
            stage_a,
            received: now,
            waiting: wait.then_some(sender),
        };
        inner.slots.push(now, activation);
        proxy.dispatch(&mut inner);
    }
    if !wait {
        return Ok(message("data received and added to the transfer queue").into_response());
    }
    let answer = receiver.await.map_err(|_| Failure::unavailable("the proxy ended before B answered"))?;
    let status = if answer.status == Status::Answered { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    Ok((status, Json(answer)).into_response())
}

async fn set_threads(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let ThreadCount { thread_count } = parse(body)?;
    let slots = check_count("thread_count", thread_count, proxy.0.options.slots_max)?;
    let mut inner = proxy.lock();
    inner.slots.resize(Instant::now(), slots);
    proxy.dispatch(&mut inner);
    Ok(message(&format!("transfer thread count set to {slots}")))
}

async fn set_queue_threshold(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failure> {
    let QueueThreshold { queue_threshold } = parse(body)?;
    if queue_threshold == 0 {
        return Err(Failure::bad("queue_threshold: zero; it takes at least 1"));
    }
    proxy.lock().board.set_threshold(queue_threshold);
    Ok(message(&format!("queue threshold set to {queue_threshold}")))
}

async fn clear_responses(State(proxy): State<Proxy>) -> Json<Value> {
    proxy.lock().board.clear();
    message("responses cleared")
}

async fn responses(State(proxy): State<Proxy>) -> Json<Vec<PipelineAnswer>> {
    let responses = proxy.lock().board.responses();
    Json(responses)
}

async fn response_count(State(proxy): State<Proxy>) -> Json<Count> {
    Json(Count { count: proxy.state().board.response_count })
}

async fn request_count(State(proxy): State<Proxy>) -> Json<Count> {
    Json(Count { count: proxy.state().board.request_count })
}

async fn slots(State(proxy): State<Proxy>) -> Json<SlotsState> {
    Json(proxy.state())
}

async fn listen(
    State(proxy): State<Proxy>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
    let tracked = proxy.0.listeners.token();
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _tracked = tracked;
        let listener = {
            let inner = proxy.lock();
            inner.board.listen(inner.slots.queued() as u64)
        };
        events::push(socket, listener, proxy.0.silence.clone()).await;
    }))
}

fn message(text: &str) -> Json<Value> {
    Json(json!({ "message": text }))
}

impl Proxy {
    fn state(&self) -> SlotsState {
        let inner = self.lock();
        let queued = inner.slots.queued() as u64;
        SlotsState {
            slots: inner.slots.slots(),
            held: inner.slots.held(),
            queued,
            bandwidth_mbit_s: self.0.options.slot_bandwidth_mbit_s,
            board: inner.board.state(queued),
        }
    }
}

async fn metrics(State(proxy): State<Proxy>) -> String {
    let inner = proxy.lock();
    let now = Instant::now();
    let of_stage = [("stage", "proxy")];
    let of_queue = [("queue", "proxy")];
    let mut text = Exposition::default();
    text.metric("split_requests_total", "counter", "Activations that came to the proxy.")
        .sample(&of_stage, inner.requests as f64);
    text.metric(
        "split_answers_total",
        "counter",
        "Activations that left it: answered by B, failed, or refused.",
    );
    for (status, count) in
        [("answered", inner.answered), ("failed", inner.failed), ("refused", inner.refused)]
    {
        text.sample(&[("stage", "proxy"), ("status", status)], count as f64);
    }
    text.metric("split_queue_depth", "gauge", "Activations waiting for a slot.")
        .sample(&of_queue, inner.slots.queued() as f64);
    text.metric("split_queue_depth_seconds_total", "counter", "Integral of the queue depth over time.")
        .sample(&of_queue, inner.slots.depth.total(now));
    text.metric("split_transfer_slots", "gauge", "Transfer slots asked for.")
        .sample(&[], f64::from(inner.slots.slots()));
    text.metric(
        "split_transfer_slot_seconds_total",
        "counter",
        "Integral of the slots there are, surplus ones that still finish included.",
    )
    .sample(&[], inner.slots.there.total(now));
    text.metric("split_transfer_slot_held_seconds_total", "counter", "Integral of the slots held.")
        .sample(&[], inner.slots.busy.total(now));
    text.metric(
        "split_transfer_seconds_total",
        "counter",
        "Time of answered transfers without B's residence, summed over slots, credited with their bytes.",
    )
    .sample(&[], inner.transfer_s);
    text.metric("split_transfer_bytes_total", "counter", "Bytes of answered transfers.")
        .sample(&[("encoding", "f32")], inner.bytes as f64);
    text.metric(
        "split_pipeline_duration_seconds",
        "histogram",
        "Answered requests: arrival at A to B's answer at the proxy, the hop from A to the proxy left out.",
    )
    .histogram(&inner.duration);
    text.metric("split_build_info", "gauge", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.finish()
}
