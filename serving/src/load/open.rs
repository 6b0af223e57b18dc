//! Requests at times of their own, whatever becomes of those before.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use super::record::Place;
use super::request::shared;
use super::sender::{Sender, Sent, gather};
use super::{Ended, Halt, Image, LoadError, OpenSpec};
use crate::client::PipelineClient;

/// What sends each request at its time. It runs on a thread of its own: a thread is woken to a tenth of a
/// millisecond, the runtime's timers tick once in one, and nothing that the answers set off delays it.
struct Clock {
    origin: Instant,
    /// It ends when nobody is left to say anything to it.
    stopped: Receiver<()>,
    runtime: Handle,
    under_way: Arc<Semaphore>,
    sender: Arc<Sender>,
    ends: mpsc::UnboundedSender<Sent>,
}

/// Sends an image to `/predict-proxy?wait=true` at each of these times, counted from when the first can be sent,
/// and rising. `on_end` gets every request as it ends; returns how many there were, those dropped included.
///
/// # Guarantees
/// No request waits for another: what is sent late is sent late because this machine was, and says so. A
/// request that more than `under_way_max` others would be under way with is not sent but dropped, and recorded.
/// The records count from the time zero of `times`: the same times give the same `scheduled_ns`. Requests under
/// way when the load is stopped are finished and recorded; dropping the future abandons them.
///
/// # Errors
/// No image, none that may be under way, no thread, or a server that does not answer before the first request
/// is sent.
pub async fn open_loop(
    client: &PipelineClient,
    images: &[Image],
    (spec, times): (&OpenSpec, impl Iterator<Item = Duration> + Send + 'static),
    halt: Halt,
    on_end: impl FnMut(Ended),
) -> Result<u32, LoadError> {
    let images = shared(images)?;
    if spec.under_way_max == 0 {
        return Err(LoadError::Zero("requests that may be under way"));
    }
    let place = Place::of(client).await?;
    let abandon = halt.abandon.child_token();
    let _dropped = abandon.clone().drop_guard();
    let (ends, ended) = mpsc::unbounded_channel();
    let (stop_clock, stopped) = channel();
    let origin = Instant::now();
    let clock = Clock {
        origin,
        stopped,
        runtime: Handle::current(),
        under_way: Arc::new(Semaphore::new(spec.under_way_max.min(Semaphore::MAX_PERMITS))),
        sender: Arc::new(Sender::new(client, images, spec.patience, abandon)),
        ends,
    };
    let thread = thread::Builder::new().name("load".into());
    thread.spawn(move || clock.run(times)).map_err(|e| LoadError::Thread(e.to_string()))?;
    let mut gathering = std::pin::pin!(gather(place, (spec.run_id, origin), ended, on_end));
    tokio::select! {
        count = &mut gathering => return Ok(count),
        () = halt.stop.cancelled() => drop::<std::sync::mpsc::Sender<()>>(stop_clock),
    }
    Ok(gathering.await)
}

impl Clock {
    fn run(self, times: impl Iterator<Item = Duration>) {
        for (number, at) in (0..).zip(times) {
            let due = self.origin + at;
            let left = due.saturating_duration_since(Instant::now());
            if !matches!(self.stopped.recv_timeout(left), Err(RecvTimeoutError::Timeout)) {
                return;
            }
            match Arc::clone(&self.under_way).try_acquire_owned() {
                Ok(place) => {
                    let (sender, ends) = (Arc::clone(&self.sender), self.ends.clone());
                    self.runtime.spawn(async move {
                        let sent = sender.send(number, Some(due)).await;
                        drop(place);
                        // Nobody listens where the load was dropped.
                        let _ = ends.send(sent);
                    });
                }
                Err(_) => drop(self.ends.send(Sent::dropped(number, due))),
            }
        }
    }
}
