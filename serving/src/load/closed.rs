//! N clients, each sending its next request when the last was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use splitscale_spec::Status;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::record::Place;
use super::request::shared;
use super::sender::{Sender, gather};
use super::{ClosedSpec, Ended, Halt, Image, LoadError};
use crate::client::PipelineClient;

/// Pause of a closed-loop client that got no class: it must not flood what is down.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs `spec.clients` clients until they are stopped: each sends an image to `/predict-proxy?wait=true`, and the
/// next one when it has the answer. `on_end` gets every request as it ends; returns how many were sent.
///
/// # Guarantees
/// Requests under way when they are stopped are finished and recorded. Dropping the future abandons them.
///
/// # Errors
/// No image, no client, or a server that does not answer before the first request is sent.
pub async fn closed_loop(
    client: &PipelineClient,
    images: &[Image],
    spec: &ClosedSpec,
    halt: Halt,
    on_end: impl FnMut(Ended),
) -> Result<u32, LoadError> {
    let images = shared(images)?;
    if spec.clients == 0 {
        return Err(LoadError::Zero("clients of a closed loop"));
    }
    let place = Place::of(client).await?;
    let sender = Arc::new(Sender::new(client, images, spec.patience, halt.abandon));
    let numbers = Arc::new(AtomicU32::new(0));
    let (ends, ended) = mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for _ in 0..spec.clients {
        let (sender, numbers) = (Arc::clone(&sender), Arc::clone(&numbers));
        let (stop, ends, requests) = (halt.stop.clone(), ends.clone(), spec.requests);
        clients.spawn(async move {
            while !stop.is_cancelled() {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if requests.is_some_and(|most| number >= most) {
                    return;
                }
                let sent = sender.send(number, None).await;
                let answered = sent.end.status == Status::Answered;
                if ends.send(sent).is_err() {
                    return;
                }
                if !answered {
                    let _ = timeout(PAUSE, stop.cancelled()).await;
                }
            }
        });
    }
    drop(ends);
    Ok(gather(place, (spec.run_id, spec.origin), ended, on_end).await)
}
