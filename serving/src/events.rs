//! The proxy's responses, and the push of them.
//!
//! A listener's first message says how things stand, taken under the same lock that every response is
//! entered under: between the two nothing can fall through, so nobody who comes late waits for an event
//! that has been. Clearing begins a new epoch; what belongs to an earlier one is pushed with its epoch,
//! but neither kept nor counted.

pub(crate) mod socket_io;

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::wire::{BoardState, Event, PipelineAnswer};

/// Most responses kept since the last clearing; the count goes on.
const KEPT: usize = 10_000;
/// Messages that a slow listener may be behind before it misses some.
const BACKLOG: usize = 16_384;

/// A listener's first message, and all later ones.
pub(crate) type Listener = (Utf8Bytes, broadcast::Receiver<Utf8Bytes>);

/// The responses since the last clearing.
#[derive(Debug)]
pub(crate) struct Board {
    epoch: u64,
    kept: VecDeque<PipelineAnswer>,
    count: u64,
    threshold: Option<u64>,
    reached: bool,
    listeners: broadcast::Sender<Utf8Bytes>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let listeners = broadcast::Sender::new(BACKLOG);
        Board { epoch: 0, kept: VecDeque::new(), count: 0, threshold: None, reached: false, listeners }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn clear(&mut self) {
        self.epoch += 1;
        self.kept.clear();
        self.count = 0;
        self.reached = false;
    }

    /// Sets the threshold; where the responses have reached it already, that is pushed now.
    pub(crate) fn set_threshold(&mut self, threshold: u64) {
        self.threshold = Some(threshold);
        self.reached = false;
        self.cross();
    }

    pub(crate) fn enter(&mut self, answer: PipelineAnswer) {
        let current = answer.epoch == self.epoch;
        self.push(&Event::Response(Box::new(answer.clone())));
        if !current {
            return;
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(answer);
        self.count += 1;
        self.cross();
    }

    pub(crate) fn responses(&self) -> Vec<PipelineAnswer> {
        self.kept.iter().cloned().collect()
    }

    pub(crate) fn state(&self, request_count: u64) -> BoardState {
        BoardState {
            epoch: self.epoch,
            request_count,
            response_count: self.count,
            threshold: self.threshold,
            threshold_reached: self.reached,
        }
    }

    /// A new listener: its first message and all later ones.
    pub(crate) fn listen(&self, request_count: u64) -> Listener {
        (text(&Event::Hello(self.state(request_count))), self.listeners.subscribe())
    }

    fn cross(&mut self) {
        if !self.reached && self.threshold.is_some_and(|threshold| self.count >= threshold) {
            self.reached = true;
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            self.push(&Event::QueueThresholdReached { time });
        }
    }

    fn push(&self, event: &Event) {
        if self.listeners.receiver_count() > 0 {
            // It fails only where the last listener has just left.
            let _ = self.listeners.send(text(event));
        }
    }
}

/// Pushes messages down one connection until it, or the server, ends.
pub(crate) async fn push(mut socket: WebSocket, (hello, mut messages): Listener, end: CancellationToken) {
    let mut next = Some(hello);
    loop {
        if let Some(message) = next.take()
            && socket.send(Message::Text(message)).await.is_err()
        {
            return;
        }
        // In this order: what has been pushed before the end is sent before it.
        tokio::select! {
            biased;
            message = messages.recv() => next = match message {
                Ok(message) => Some(message),
                Err(RecvError::Lagged(missed)) => Some(text(&Event::Lagged { missed })),
                Err(RecvError::Closed) => return,
            },
            heard = socket.recv() => if !matches!(heard, Some(Ok(_))) { return },
            () = end.cancelled() => {
                let _ = socket.send(Message::Close(None)).await;
                return;
            }
        }
    }
}

fn text(event: &Event) -> Utf8Bytes {
    serde_json::to_string(event).expect("events are plain data").into()
}
