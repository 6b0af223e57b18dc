//! Load on the pipeline: a burst, or a closed loop. Every request becomes a record, whatever becomes of it.
//!
//! | status | when |
//! |---|---|
//! | answered | a class came back |
//! | refused | A could not be connected to, or said 429 or 503 |
//! | failed | an error came back, from whichever server |
//! | lost | nothing came back: the connection broke, the time was up, or the pipeline no longer knows it |
//!
//! All times are the client's monotonic clock; `back` is what the servers' phases leave of done - sent.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use reqwest::multipart::{Form, Part};
use splitscale_spec::{Encoding, RequestRecord, Status};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{ClientError, Events, PipelineClient, PipelineState};
use crate::serve::explain;
use crate::wire::{Event, PipelineAnswer, REQUEST_ID};

/// An image: its name and its file's bytes.
pub type Image = (String, Vec<u8>);

/// N requests at once.
#[derive(Debug, Clone, Copy)]
pub struct BurstSpec {
    /// Goes into every record.
    pub run_id: u32,
    /// Requests.
    pub size: u32,
    /// What has not come back by then is lost.
    pub timeout: Duration,
    /// Instant from which the records count.
    pub origin: Instant,
}

/// N clients, each sending its next request when the last was answered.
#[derive(Debug, Clone, Copy)]
pub struct ClosedSpec {
    /// Goes into every record.
    pub run_id: u32,
    /// Clients.
    pub clients: u32,
    /// How long each request may take; then it is lost.
    pub timeout: Duration,
    /// Instant from which the records count.
    pub origin: Instant,
}

/// Why there is no load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Nothing to send, or nobody to send it.
    #[error("{0}: zero; it takes at least 1")]
    Zero(&'static str),
    /// A server that does not answer what must be known before.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// How often a burst that hears nothing asks the proxy itself.
const POLL: Duration = Duration::from_secs(1);
/// How long the proxy may take to tell.
const TELL: Duration = Duration::from_secs(5);
/// Questions in a row without an answer after which the proxy counts as gone.
const UNTOLD_MAX: u32 = 3;
/// Pause of a closed-loop client that got no class: it must not flood what is down.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends `spec.size` requests at once to `/predict-proxy`, the images in turn, and waits until the proxy
/// has pushed what became of each. The records come in the order of their numbers, all of them.
///
/// # Guarantees
/// It ends, at the latest after the timeout: with the last response, or the last post that fails; or, where
/// events stop, as soon as the proxy has nothing left to do or is gone. Responses to other requests, late
/// ones of an earlier burst for instance, are told apart by their ids.
///
/// # Errors
/// No image, no request, or a server that does not answer before the first request is sent.
pub async fn burst(
    client: &PipelineClient,
    images: &[Image],
    spec: &BurstSpec,
) -> Result<Vec<RequestRecord>, LoadError> {
    let images = shared(images)?;
    if spec.size == 0 {
        return Err(LoadError::Zero("requests of a burst"));
    }
    // Listening begins before anything that could be heard.
    let mut events = Some(client.events().await?);
    client.clear_responses().await?;
    client.set_queue_threshold(u64::from(spec.size)).await?;
    let place = Place::of(&client.state().await?);

    let mut burst = Burst::new(spec.size);
    let scheduled = Instant::now();
    let mut posts = burst.post_all(client, &images, spec.timeout);
    let mut poll = interval(POLL);
    poll.reset();
    let mut untold = 0;
    while !burst.complete() && untold < UNTOLD_MAX {
        tokio::select! {
            event = next(&mut events), if events.is_some() => match event {
                Some(Event::Response(answer)) => {
                    burst.answered(answer, Instant::now());
                    poll.reset();
                }
                Some(Event::Hello(_)) => {}
                // All responses are there, or some were missed, or there is nobody to hear: ask.
                Some(Event::QueueThresholdReached { .. } | Event::Lagged { .. }) => poll.reset_immediately(),
                None => {
                    events = None;
                    poll.reset_immediately();
                }
            },
            Some(posted) = posts.join_next() => {
                let (index, posted) = posted.expect("a post does not panic, and is not aborted before the end");
                burst.posted(index, posted.err(), Instant::now());
            }
            _ = poll.tick() => match timeout(TELL, burst.ask(client, events.is_none(), posts.is_empty())).await {
                Ok(Ok(())) => untold = 0,
                Ok(Err(_)) | Err(_) => untold += 1,
            },
            () = sleep_until((scheduled + spec.timeout).into()) => break,
        }
    }
    Ok(burst.records(spec, &place, scheduled))
}

/// Runs `spec.clients` clients until `stop`: each sends an image to `/predict-proxy?wait=true`, and the
/// next one when it has the answer. `on_record` gets every request as it ends; returns how many were sent.
///
/// # Guarantees
/// Requests under way when `stop` comes are finished and recorded. Dropping the future abandons them.
///
/// # Errors
/// No image, no client, or a server that does not answer before the first request is sent.
pub async fn closed_loop(
    client: &PipelineClient,
    images: &[Image],
    spec: &ClosedSpec,
    stop: CancellationToken,
    mut on_record: impl FnMut(RequestRecord),
) -> Result<u32, LoadError> {
    let images = shared(images)?;
    if spec.clients == 0 {
        return Err(LoadError::Zero("clients of a closed loop"));
    }
    let mut place = Place::of(&client.state().await?);
    let (prefix, numbers) = (new_prefix(), Arc::new(AtomicU32::new(0)));
    let (ends, mut ended) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for _ in 0..spec.clients {
        let (client, images, stop) = (client.clone(), images.clone(), stop.clone());
        let (prefix, numbers, ends) = (prefix.clone(), Arc::clone(&numbers), ends.clone());
        let limit = spec.timeout;
        clients.spawn(async move {
            while !stop.is_cancelled() {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let image = images[number as usize % images.len()].clone();
                let sent = Instant::now();
                let shot = Shot { image, id: format!("{prefix}{number}"), wait: true, limit };
                let end = waited(shot.post(&client).await, Instant::now());
                let answered = end.status == Status::Answered;
                if ends.send((number, sent, end)).is_err() {
                    return;
                }
                if !answered {
                    let _ = timeout(PAUSE, stop.cancelled()).await;
                }
            }
        });
    }
    drop(ends);
    let mut count = 0;
    while let Some((request_id, sent, end)) = ended.recv().await {
        place.follow(end.answer.as_deref());
        on_record(place.record(
            &Row { run_id: spec.run_id, request_id, origin: spec.origin, scheduled: sent, sent },
            end,
        ));
        count += 1;
    }
    Ok(count)
}

// === burst ===

/// What is known of the requests of a burst.
struct Burst {
    prefix: String,
    sent: Arc<[OnceLock<Instant>]>,
    ends: Vec<Option<End>>,
}

/// How a request ended.
struct End {
    done: Instant,
    status: Status,
    answer: Option<Box<PipelineAnswer>>,
}

impl Burst {
    fn new(size: u32) -> Self {
        Burst {
            prefix: new_prefix(),
            sent: (0..size).map(|_| OnceLock::new()).collect(),
            ends: (0..size).map(|_| None).collect(),
        }
    }

    fn post_all(
        &self,
        client: &PipelineClient,
        images: &[(String, Bytes)],
        limit: Duration,
    ) -> JoinSet<(usize, Result<Bytes, Miss>)> {
        let mut posts = JoinSet::new();
        for index in 0..self.ends.len() {
            let (client, sent) = (client.clone(), Arc::clone(&self.sent));
            let image = images[index % images.len()].clone();
            let shot = Shot { image, id: format!("{}{index}", self.prefix), wait: false, limit };
            posts.spawn(async move {
                sent[index].get_or_init(Instant::now);
                (index, shot.post(&client).await)
            });
        }
        posts
    }

    fn complete(&self) -> bool {
        self.ends.iter().all(Option::is_some)
    }

    /// Takes in a response, if it is to one of ours. It is the last word: an answer may yet come to a
    /// request whose post broke off.
    fn answered(&mut self, answer: Box<PipelineAnswer>, done: Instant) {
        let index = answer.request_id.strip_prefix(&self.prefix).and_then(|n| n.parse::<usize>().ok());
        if let Some(end) = index.and_then(|index| self.ends.get_mut(index))
            && end.as_ref().is_none_or(|end| end.answer.is_none())
        {
            *end = Some(End { done, status: answer.status, answer: Some(answer) });
        }
    }

    /// A post ended: with nothing more than that the proxy has it, or amiss.
    fn posted(&mut self, index: usize, miss: Option<Miss>, done: Instant) {
        let Some(miss) = miss else { return };
        tracing::warn!(index, status = ?miss.status, "a request of the burst was not taken: {}", miss.why);
        self.ends[index].get_or_insert(End { done, status: miss.status, answer: None });
    }

    /// Asks the proxy, where its events do not tell. Once all posts have ended and the proxy has nothing
    /// left to do, what it does not know of is lost.
    async fn ask(
        &mut self,
        client: &PipelineClient,
        deaf: bool,
        posts_ended: bool,
    ) -> Result<(), ClientError> {
        let state = client.proxy_state().await?;
        let over = posts_ended && state.queued == 0 && state.held == 0;
        if !over && !deaf {
            return Ok(());
        }
        let responses = client.responses().await?;
        let now = Instant::now();
        responses.into_iter().for_each(|answer| self.answered(Box::new(answer), now));
        if over {
            self.give_up(now);
        }
        Ok(())
    }

    fn give_up(&mut self, now: Instant) {
        for end in &mut self.ends {
            end.get_or_insert(End { done: now, status: Status::Lost, answer: None });
        }
    }

    fn records(mut self, spec: &BurstSpec, place: &Place, scheduled: Instant) -> Vec<RequestRecord> {
        self.give_up(Instant::now());
        let ends = self.ends.into_iter().flatten();
        ends.zip(self.sent.iter())
            .zip(0..)
            .map(|((end, sent), request_id)| {
                let sent = sent.get().copied().unwrap_or(scheduled);
                let row = Row { run_id: spec.run_id, request_id, origin: spec.origin, scheduled, sent };
                place.record(&row, end)
            })
            .collect()
    }
}

async fn next(events: &mut Option<Events>) -> Option<Event> {
    events.as_mut()?.next().await
}

// === one request ===

/// A request to `/predict-proxy`.
struct Shot {
    image: (String, Bytes),
    id: String,
    wait: bool,
    limit: Duration,
}

/// A request without a good answer.
struct Miss {
    status: Status,
    why: String,
    body: Bytes,
}

impl Shot {
    async fn post(self, client: &PipelineClient) -> Result<Bytes, Miss> {
        let url = format!("{}/predict-proxy?wait={}", client.endpoints.a, self.wait);
        let (name, bytes) = self.image;
        let form = Form::new().part("file", Part::stream(bytes).file_name(name));
        let request = client.http.post(url).header(REQUEST_ID, self.id).timeout(self.limit).multipart(form);
        let exchange = async {
            let answer = request.send().await?;
            Ok((answer.status(), answer.bytes().await?))
        };
        match exchange.await {
            Ok((status, body)) if status.is_success() => Ok(body),
            Ok((status, body)) => {
                let turned_away = matches!(status.as_u16(), 429 | 503);
                let why = format!("{status}: {}", String::from_utf8_lossy(&body));
                Err(Miss { status: if turned_away { Status::Refused } else { Status::Failed }, why, body })
            }
            Err(error) => {
                let error: reqwest::Error = error;
                let status = if error.is_connect() { Status::Refused } else { Status::Lost };
                Err(Miss { status, why: explain(&error), body: Bytes::new() })
            }
        }
    }
}

/// What a request that waited for its answer came to. One that failed may bring its phases too.
fn waited(posted: Result<Bytes, Miss>, done: Instant) -> End {
    let (status, body) = match posted {
        Ok(body) => (Status::Failed, body),
        Err(miss) => (miss.status, miss.body),
    };
    let answer: Option<Box<PipelineAnswer>> = serde_json::from_slice(&body).ok();
    End { done, status: answer.as_ref().map_or(status, |answer| answer.status), answer }
}

fn shared(images: &[Image]) -> Result<Vec<(String, Bytes)>, LoadError> {
    if images.is_empty() {
        return Err(LoadError::Zero("images to send"));
    }
    Ok(images.iter().map(|(name, bytes)| (name.clone(), Bytes::copy_from_slice(bytes))).collect())
}

/// What the ids of one load begin with: unlike those of any other load, of other processes too.
fn new_prefix() -> String {
    static LOADS: AtomicU64 = AtomicU64::new(0);
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{:x}.{now_ns:x}.{}-", std::process::id(), LOADS.fetch_add(1, Ordering::Relaxed))
}

// === records ===

/// The setting, for what a request did not bring back itself.
struct Place {
    cut: String,
    bytes: u64,
    slots: u32,
    bandwidth_mbit_s: Option<f64>,
    pods_a: u32,
    pods_b: u32,
}

/// The columns of a record that the sender knows.
struct Row {
    run_id: u32,
    request_id: u32,
    origin: Instant,
    scheduled: Instant,
    sent: Instant,
}

impl Place {
    fn of(state: &PipelineState) -> Self {
        Place {
            cut: state.a.cut.clone(),
            bytes: state.a.payload_bytes,
            slots: state.proxy.slots,
            bandwidth_mbit_s: state.proxy.bandwidth_mbit_s,
            pods_a: state.a.in_use,
            pods_b: state.b.in_use,
        }
    }

    /// Keeps up with what the last answer says of the setting.
    fn follow(&mut self, answer: Option<&PipelineAnswer>) {
        let Some(answer) = answer else { return };
        self.slots = answer.slots;
        self.pods_a = answer.stage_a.map_or(self.pods_a, |a| a.pods_in_use);
        self.pods_b = answer.stage_b.map_or(self.pods_b, |b| b.pods_in_use);
    }

    fn record(&self, row: &Row, end: End) -> RequestRecord {
        let ns = |at: Instant| at.saturating_duration_since(row.origin).as_nanos() as u64;
        let answer = end.answer.as_deref();
        let (a, b) = (answer.and_then(|r| r.stage_a), answer.and_then(|r| r.stage_b));
        let mut record = RequestRecord {
            run_id: row.run_id,
            request_id: row.request_id,
            scheduled_ns: ns(row.scheduled),
            sent_ns: ns(row.sent),
            done_ns: ns(end.done),
            status: end.status,
            cut: answer.map_or_else(|| self.cut.clone(), |r| r.cut.clone()),
            encoding: answer.map_or(Encoding::F32, |r| r.encoding),
            bytes: answer.map_or(self.bytes, |r| r.bytes),
            slots: answer.map_or(self.slots, |r| r.slots),
            bandwidth_mbit_s: answer.map_or(self.bandwidth_mbit_s, |r| r.bandwidth_mbit_s),
            pods_a: a.map_or(self.pods_a, |a| a.pods_in_use),
            pods_b: b.map_or(self.pods_b, |b| b.pods_in_use),
            pod_a: a.map(|a| a.pod),
            pod_b: b.map(|b| b.pod),
            queue_a_s: a.map_or(0.0, |a| a.queue_s),
            decode_s: a.map_or(0.0, |a| a.decode_s),
            forward_a_s: a.map_or(0.0, |a| a.forward_s),
            encode_s: a.map_or(0.0, |a| a.encode_s),
            rest_a_s: a.map_or(0.0, |a| a.rest_s),
            queue_proxy_s: answer.map_or(0.0, |r| r.queue_proxy_s),
            transfer_s: answer.map_or(0.0, |r| r.transfer_s),
            queue_b_s: b.map_or(0.0, |b| b.queue_s),
            decode_b_s: b.map_or(0.0, |b| b.decode_s),
            forward_b_s: b.map_or(0.0, |b| b.forward_s),
            rest_b_s: b.map_or(0.0, |b| b.rest_s),
            back_s: 0.0,
        };
        record.back_s = record.latency_s() - record.phases_s().iter().sum::<f64>();
        record
    }
}
