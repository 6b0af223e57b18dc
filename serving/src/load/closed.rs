//! N clients, each sending its next request when the last was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use splitscale_spec::{RequestRecord, Status};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::record::{Place, Row};
use super::request::{Shot, new_prefix, shared, waited};
use super::{ClosedSpec, Image, LoadError};
use crate::client::PipelineClient;

/// Pause of a closed-loop client that got no class: it must not flood what is down.
const PAUSE: Duration = Duration::from_millis(100);

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
