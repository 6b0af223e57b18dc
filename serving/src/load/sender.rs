//! Sends the requests of a load, each to its end, and makes records of them.

use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::record::{Place, Row};
use super::request::{End, Shot, new_prefix};
use super::{Ended, Miss, Patience, Reason};
use crate::client::PipelineClient;

/// What all requests of a load share.
pub(super) struct Sender {
    client: PipelineClient,
    images: Vec<(String, Bytes)>,
    prefix: String,
    patience: Patience,
    abandon: CancellationToken,
}

/// A request of it at its end.
pub(super) struct Sent {
    number: u32,
    due: Instant,
    first: Instant,
    last: Instant,
    retries: u32,
    pub(super) end: End,
}

impl Sender {
    pub(super) fn new(
        client: &PipelineClient,
        images: Vec<(String, Bytes)>,
        patience: Patience,
        abandon: CancellationToken,
    ) -> Self {
        Sender { client: client.clone(), images, prefix: new_prefix(), patience, abandon }
    }

    /// Sends a request, and again where it is turned away and that is allowed. It is due now, if nothing else
    /// is said.
    pub(super) async fn send(&self, number: u32, due: Option<Instant>) -> Sent {
        let first = Instant::now();
        let due = due.unwrap_or(first);
        let give_up = due + self.patience.timeout;
        let (mut last, mut retries) = (first, 0);
        let end = loop {
            let shot = Shot {
                image: self.images[number as usize % self.images.len()].clone(),
                id: format!("{}{number}", self.prefix),
                wait: true,
                limit: give_up.saturating_duration_since(last),
            };
            let posted = tokio::select! {
                posted = shot.post(&self.client) => posted,
                () = self.abandon.cancelled() => Err(Miss { reason: Reason::Abandoned, said: String::new() }),
            };
            let pause = posted.as_ref().ok().and_then(|answer| answer.retry_after);
            let end = End::waited(posted, Instant::now());
            // One that would come too late is not sent again.
            let left = give_up.saturating_duration_since(end.done);
            let pause = pause.filter(|pause| retries < self.patience.retries && *pause < left);
            let Some(pause) = pause else { break end };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.abandon.cancelled() => break end,
            }
            retries += 1;
            last = Instant::now();
        };
        Sent { number, due, first, last, retries, end }
    }
}

impl Sent {
    /// A request that was not sent, because too many were under way.
    pub(super) fn dropped(number: u32, due: Instant) -> Self {
        let miss = Miss { reason: Reason::Dropped, said: String::new() };
        Sent { number, due, first: due, last: due, retries: 0, end: End::missed(miss, due) }
    }
}

/// Hands out every request as it ends, until no more can come; how many there were.
pub(super) async fn gather(
    mut place: Place,
    (run_id, origin): (u32, Instant),
    mut ended: UnboundedReceiver<Sent>,
    mut on_end: impl FnMut(Ended),
) -> u32 {
    let mut count = 0;
    while let Some(Sent { number, due, first, last, retries, mut end }) = ended.recv().await {
        place.follow(end.answer.as_deref());
        let late = first.saturating_duration_since(due);
        let miss = end.miss.take();
        let row = Row { run_id, request_id: number, origin, scheduled: due, sent: last };
        on_end(Ended { record: place.record(&row, end), late, retries, miss });
        count += 1;
    }
    count
}
