//! The proxy's routes, and what `/metrics` says.

use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokio::sync::oneshot;

use super::transfer::Activation;
use super::{Inner, Proxy};
use crate::admission::Admission;
use crate::bodies::{expected, in_time, turned_away};
use crate::events::{self, Listener, socket_io};
use crate::metrics::Exposition;
use crate::openapi::{Api, does, gives_credit, takes_credit_back};
use crate::serve::Server;
use crate::wire::envelope::{Envelope, credit};
use crate::wire::format::encoding_name;
use crate::wire::{
    ACTIVATION_BYTES_MAX, BWanted, Bandwidths, CREDIT, CUT, Count, Credit, CreditWanted, DEADLINE, ENCODING,
    Event, Failure, Message, PipelineAnswer, Problem, QueueThreshold, STAGE_A, SlotsState, ThreadCount, Wait,
    check_count, checked_query, parse,
};

pub(super) fn routes(proxy: &Proxy) -> Api<Proxy> {
    let completes = does("Queue an activation for a transfer slot; answer at once.")
        .needs(CUT)
        .reads(&[ENCODING, CONTENT_ENCODING, STAGE_A, DEADLINE, CREDIT])
        .waits()
        .takes_activation()
        .gives_either::<Message, PipelineAnswer>("It is queued; with ?wait=true, how it went.")
        .fails(&[400, 408, 413, 503])
        .or_run::<Failure>(&[415, 429])
        .or_run::<PipelineAnswer>(&[502, 504]);
    let counts = |summary| does(summary).gives::<Count>("How many.");
    let does_so = |summary| does(summary).gives::<Message>("It is done.");
    let sets_slots = does_so("Set the number of transfer slots, at once and without waiting.");
    let sets_threshold = does_so("Set at how many responses `queue_threshold_reached` is pushed.");
    let listens = does("Listen to the events: a WebSocket whose text messages are each an Event.")
        .gives_status(101, "The WebSocket.")
        .fails(&[400, 426]);
    let hears = does("Listen to the events by Socket.IO 5, each under its name; clients are libraries.")
        .speaks_engine_io()
        .gives_status(101, "The WebSocket.");
    let says = does("Speak to Socket.IO; what is said but to begin and end is ignored.")
        .speaks_engine_io()
        .gives_status(413, "It is larger than is taken.");
    Api::new("splitscale, proxy: a queue, transfer slots, and the responses")
        .post("/complete", complete, completes)
        .post("/set_threads", set_threads, sets_slots.takes::<ThreadCount>().fails(&[400, 413]))
        .post(
            "/set_queue_threshold",
            set_queue_threshold,
            sets_threshold.takes::<QueueThreshold>().fails(&[400, 413]),
        )
        .post(
            "/set_bandwidth",
            set_bandwidth,
            does("Set the bandwidth of a slot, of the link, or of both; null takes a bound away.")
                .takes::<Bandwidths>()
                .gives::<SlotsState>("How they stand.")
                .problems(&[400, 413]),
        )
        .post(
            "/set_b",
            set_b,
            does("Set the B that activations go to.")
                .takes::<BWanted>()
                .gives::<SlotsState>("How they stand.")
                .problems(&[400, 413]),
        )
        .post("/clear_responses", clear_responses, does_so("Begin a new epoch of responses."))
        .get(
            "/responses",
            responses,
            does("List the responses since the last clearing, 10 000 at most.")
                .gives::<Vec<PipelineAnswer>>("The responses."),
        )
        .get("/response_count", response_count, counts("Count the responses since the last clearing."))
        .get("/request_count", request_count, counts("Count the activations that wait for a slot."))
        .post("/credits", credits, gives_credit())
        .post("/credits/release", release, takes_credit_back())
        .get(
            "/slots",
            slots,
            does("Tell the slots, the queue and the responses.").gives::<SlotsState>("How they stand."),
        )
        .get("/events", listen, listens)
        .add(socket_io::PATH, listen_by_socket_io(proxy), [("get", hears), ("post", says)])
        .knows::<Event>()
}

async fn complete(
    State(proxy): State<Proxy>,
    query: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let began = Instant::now();
    let bytes = expected(&headers, ACTIVATION_BYTES_MAX);
    // Before anything can be found wrong: a credit that was used up must not keep its place.
    let place = proxy.admit(began, credit(&headers), bytes);
    let mut place = match place {
        Ok(place) => place,
        Err(failure) => return Err(turned_away(failure, &headers, body, ACTIVATION_BYTES_MAX).await),
    };
    let mut arriving = Arriving(Some(&proxy));
    let envelope = Envelope::of(&headers, began);
    let deadline = envelope.as_ref().ok().and_then(|envelope| envelope.deadline);
    let body = proxy.0.bodies.collect(&headers, body, ACTIVATION_BYTES_MAX);
    // It is read whatever is wrong with its head: a sender whose connection is closed while it still sends may never
    // read the answer.
    let body = in_time(began, deadline, bytes, body).await?;
    let Wait { wait } = checked_query(query)?;
    if body.is_empty() {
        return Err(Failure::bad("an empty body; it takes an activation"));
    }
    let envelope = envelope?;
    if envelope.cut.is_none() {
        return Err(Failure::bad(format!("no header {CUT}; it names where the network is cut")));
    }
    let (sender, receiver) = oneshot::channel();
    {
        let now = Instant::now();
        place.came(now, body.len());
        arriving.0 = None;
        let mut inner = proxy.lock();
        let activation = Activation {
            envelope,
            epoch: inner.board.epoch(),
            slots: inner.slots.slots(),
            bandwidth_mbit_s: proxy.0.carrier.slot_mbit_s(),
            body,
            received: now,
            place: Some(place),
            waiting: wait.then_some(sender),
        };
        inner.slots.push(now, activation);
        proxy.dispatch(&mut inner);
    }
    if !wait {
        return Ok(message("data received and added to the transfer queue").into_response());
    }
    let (answer, failure) =
        receiver.await.map_err(|_| Failure::unavailable("the proxy ended before B answered"))?;
    Ok(match failure {
        None => Json(answer).into_response(),
        Some(failure) => failure.with_headers((failure.status, Json(answer)).into_response()),
    })
}

async fn credits(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Credit>, Problem> {
    let CreditWanted { bytes } = parse(body)?;
    let promised = proxy.0.gate.promise(Instant::now(), bytes.min(ACTIVATION_BYTES_MAX));
    let credit = promised.map_err(|why| Failure::full(why, Proxy::wait_s(&proxy.lock())))?;
    Ok(Json(Credit { credit }))
}

async fn release(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let Credit { credit } = parse(body)?;
    proxy.0.gate.release(credit);
    Ok(StatusCode::NO_CONTENT)
}

async fn set_threads(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Message>, Failure> {
    let ThreadCount { thread_count } = parse(body)?;
    let slots = check_count("thread_count", thread_count, proxy.0.options.slots_max)?;
    let mut inner = proxy.lock();
    inner.slots.resize(Instant::now(), slots);
    proxy.dispatch(&mut inner);
    Ok(message(&format!("transfer thread count set to {slots}")))
}

async fn set_bandwidth(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SlotsState>, Problem> {
    let wanted: Bandwidths = parse(body)?;
    wanted.check()?;
    proxy.0.carrier.set(wanted.slot_bandwidth_mbit_s, wanted.link_bandwidth_mbit_s);
    Ok(Json(proxy.state()))
}

async fn set_b(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SlotsState>, Problem> {
    let BWanted { b } = parse(body)?;
    proxy.0.upstream.set(&b).map_err(|e| Failure::bad(e.to_string()))?;
    Ok(Json(proxy.state()))
}

async fn set_queue_threshold(
    State(proxy): State<Proxy>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Message>, Failure> {
    let QueueThreshold { queue_threshold } = parse(body)?;
    if queue_threshold == 0 {
        return Err(Failure::bad("queue_threshold: zero; it takes at least 1"));
    }
    proxy.lock().board.set_threshold(queue_threshold);
    Ok(message(&format!("queue threshold set to {queue_threshold}")))
}

async fn clear_responses(State(proxy): State<Proxy>) -> Json<Message> {
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
        events::push(socket, proxy.listener(), proxy.0.silence.clone()).await;
    }))
}

/// The events for Socket.IO's clients.
fn listen_by_socket_io(proxy: &Proxy) -> MethodRouter<Proxy> {
    let ends = socket_io::Ends {
        closing: proxy.0.closing.clone(),
        silence: proxy.0.silence.clone(),
        listeners: proxy.0.listeners.clone(),
    };
    let proxy = proxy.clone();
    socket_io::route(move || proxy.listener(), ends)
}

/// An activation that has a place and is not queued yet; dropped, it has failed.
struct Arriving<'a>(Option<&'a Proxy>);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if let Some(proxy) = self.0 {
            proxy.lock().unread += 1;
        }
    }
}

impl Proxy {
    /// A place for so many bytes that will come, maybe on a credit.
    fn admit(&self, now: Instant, credit: Option<u64>, bytes: usize) -> Result<Admission, Failure> {
        let mut inner = self.lock();
        let place = if self.0.end.is_cancelled() {
            Err(Failure::unavailable("the proxy is shutting down"))
        } else {
            let place = self.0.gate.redeem(now, credit, bytes);
            place.map_err(|why| Failure::full(why, Proxy::wait_s(&inner)))
        };
        inner.requests += 1;
        place.inspect_err(|_| inner.refused += 1)
    }

    /// What a new listener hears.
    fn listener(&self) -> Listener {
        let inner = self.lock();
        inner.board.listen(inner.slots.queued() as u64)
    }
}

fn message(text: &str) -> Json<Message> {
    Json(Message { message: text.to_owned() })
}

impl Server for Proxy {
    fn ready(&self) -> Result<(), Failure> {
        if self.0.stopping.is_cancelled() {
            return Err(Failure::unavailable("it is shutting down"));
        }
        Ok(())
    }

    fn expose(&self, text: &mut Exposition) {
        expose(text, self, &self.lock());
    }
}

fn expose(text: &mut Exposition, proxy: &Proxy, inner: &Inner) {
    let now = Instant::now();
    let of_stage = [("stage", "proxy")];
    let of_queue = [("queue", "proxy")];
    text.metric("split_requests_total", "counter", "Activations that came to the proxy.")
        .sample(&of_stage, inner.requests as f64);
    text.metric(
        "split_answers_total",
        "counter",
        "Activations that left it: answered by B, failed, or refused.",
    );
    for (status, count) in
        [("answered", inner.answered), ("failed", inner.failed + inner.unread), ("refused", inner.refused)]
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
    for (name, help, mbit_s) in [
        ("split_slot_bandwidth_mbit_s", "Emulated bandwidth of one slot now.", proxy.0.carrier.slot_mbit_s()),
        (
            "split_link_bandwidth_mbit_s",
            "Emulated bandwidth of all slots now.",
            proxy.0.carrier.link_mbit_s(),
        ),
    ] {
        text.metric(name, "gauge", help);
        // Without a bound there is no sample: it is not zero.
        if let Some(mbit_s) = mbit_s {
            text.sample(&[], mbit_s);
        }
    }
    let (targets, waiting) = proxy.0.upstream.all();
    text.metric("split_b_waiting", "gauge", "Activations that hold a slot and wait for a B with room.")
        .sample(&[], waiting as f64);
    text.metric("split_b_outstanding", "gauge", "Activations sent to a B and not answered.");
    for target in &targets {
        text.sample(&[("b", &target.url)], f64::from(target.outstanding));
    }
    text.metric(
        "split_b_ejected",
        "gauge",
        "1 where a B was gone, going or hanging a moment ago and is passed over.",
    );
    for target in &targets {
        text.sample(&[("b", &target.url)], f64::from(u8::from(target.is_ejected(now))));
    }
    text.metric("split_retries_total", "counter", "Activations sent once more: a B was gone or going.")
        .sample(&[], proxy.0.retries.load(Ordering::Relaxed) as f64);
    text.metric(
        "split_transfer_seconds_total",
        "counter",
        "Time of answered transfers without B's residence, summed over slots, credited with their bytes.",
    )
    .sample(&[], inner.transfer_s);
    text.metric("split_transfer_bytes_total", "counter", "Bytes of answered transfers.");
    for (encoding, bytes) in inner.bytes {
        text.sample(&[("encoding", encoding_name(encoding))], bytes as f64);
    }
    text.metric(
        "split_pipeline_duration_seconds",
        "histogram",
        "Answered requests: arrival at A to B's answer at the proxy, the hop from A to the proxy left out.",
    )
    .histogram(&[], &inner.duration);
    text.metric("split_build_info", "gauge", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}
