//! N requests at once, and what becomes of each.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use splitscale_spec::RequestRecord;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep_until, timeout};

use super::record::{Place, Row};
use super::request::{End, Posted, Shot, new_prefix, shared};
use super::{BurstSpec, Image, LoadError, Miss, Reason};
use crate::client::{ClientError, Events, PipelineClient};
use crate::wire::{Event, PipelineAnswer};

/// How often a burst that hears nothing asks the servers themselves.
const POLL: Duration = Duration::from_secs(1);
/// How long the servers may take to tell.
const TELL: Duration = Duration::from_secs(2);
/// Questions in a row without an answer after which one of them counts as gone.
const UNTOLD_MAX: u32 = 3;

/// What is known of the requests of a burst.
struct Burst {
    prefix: String,
    sent: Arc<[OnceLock<Instant>]>,
    ends: Vec<Option<End>>,
}

/// Sends `spec.size` requests at once to `/predict-proxy`, the images in turn, and waits until the proxy
/// has pushed what became of each. The records come in the order of their numbers, all of them.
///
/// # Guarantees
/// It ends, at the latest after the timeout: with the last response, or the last post that fails; or, where
/// events stop, as soon as the proxy has nothing left to do or a server is gone. Responses to other requests, late
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
    let place = Place::of(client).await?;

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
                burst.posted(index, posted, Instant::now());
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

// === impl Burst ===

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
    ) -> JoinSet<(usize, Posted)> {
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
            let http_status = None;
            *end = Some(End { done, status: answer.status, http_status, answer: Some(answer), miss: None });
        }
    }

    /// A post ended: with nothing more than that the proxy has it, or amiss.
    fn posted(&mut self, index: usize, posted: Posted, done: Instant) {
        let miss = match posted {
            Ok(answer) if answer.status.is_success() => return,
            Ok(answer) => answer.miss(),
            Err(miss) => miss,
        };
        tracing::warn!(index, reason = %miss.reason, "a request of the burst was not taken: {}", miss.said);
        self.ends[index].get_or_insert(End::missed(miss, done));
    }

    /// Asks the proxy, where its events do not tell. Once all posts have ended and the proxy has nothing
    /// left to do, what it does not know of is lost.
    async fn ask(
        &mut self,
        client: &PipelineClient,
        deaf: bool,
        posts_ended: bool,
    ) -> Result<(), ClientError> {
        let (_, proxy) = client.front().await?;
        let over = posts_ended && proxy.queued == 0 && proxy.held == 0;
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
            let miss = Miss { reason: Reason::TimedOut, said: String::new() };
            end.get_or_insert(End::missed(miss, now));
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
