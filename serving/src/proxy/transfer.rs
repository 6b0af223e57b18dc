//! One activation through one slot: the emulated link, the post to B, and what came of it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use splitscale_spec::Status;
use tokio::sync::oneshot;

use super::Shared;
use crate::admission::Admission;
use crate::pod::wait_until;
use crate::serve::explain;
use crate::wire::envelope::Envelope;
use crate::wire::{Failure, PipelineAnswer, Said, TailAnswer};

/// An activation on its way to B.
pub(super) struct Activation {
    pub(super) envelope: Envelope,
    pub(super) epoch: u64,
    /// Slots when it came.
    pub(super) slots: u32,
    /// Emulated bandwidth of a slot when it came \[Mbit/s\].
    pub(super) bandwidth_mbit_s: Option<f64>,
    pub(super) body: Bytes,
    pub(super) received: Instant,
    /// Its place in the queue, given up when a slot takes it.
    pub(super) place: Option<Admission>,
    pub(super) waiting: Option<oneshot::Sender<(PipelineAnswer, Option<Failure>)>>,
}

/// Why one attempt at a B came to nothing.
enum Miss {
    /// It was answered, or nobody waits any more: that stands.
    Final(Failure),
    /// That B has no room; it waits until one has.
    Full(Failure),
    /// That B is gone or going; it may be tried elsewhere, for what it was asked for changes nothing.
    Gone(Failure),
    /// It did not answer in its time. It may have done the work, so that it is not asked for once more.
    Hung(Failure),
}

// === impl Activation ===

impl Activation {
    /// Holds the slot for the emulated transfer, then until B has answered or nobody waits any more. What a B
    /// took with it as it went is sent once more, to another if there is one; what none has room for waits.
    pub(super) async fn transfer(&self, acquired: Instant, proxy: &Shared) -> Result<TailAnswer, Failure> {
        self.in_time(acquired, "a transfer slot")?;
        let options = &proxy.options;
        let carrying = async {
            pause_until(acquired + options.sleep + options.rtt).await;
            proxy.carrier.carry(self.body.len()).await;
        };
        let carried = tokio::time::timeout(self.at_most(Duration::MAX, acquired), carrying).await;
        carried.map_err(|_| Failure::expired("stage B"))?;
        let (mut waited, mut gone, mut full) = (Duration::ZERO, None, None);
        loop {
            let asked = Instant::now();
            let patience = self.at_most(options.b_timeout.saturating_sub(waited), asked);
            let leasing = proxy.upstream.lease(gone.clone(), full.is_some());
            let leased = tokio::time::timeout(patience, leasing).await.ok().flatten();
            waited += asked.elapsed();
            let Some(lease) = leased.filter(|_| self.in_time(Instant::now(), "stage B").is_ok()) else {
                return Err(self.no_room(full));
            };
            let posted = Instant::now();
            match self.post(lease.url(), proxy).await {
                Ok(mut answer) => {
                    lease.answered(answer.stage_b.pods_in_use);
                    // The one queue before several B is B's queue, wherever it stands.
                    answer.stage_b.queue_s += waited.as_secs_f64();
                    return Ok(answer);
                }
                Err(Miss::Final(failure)) => return Err(failure),
                Err(Miss::Full(failure)) => {
                    lease.refused();
                    waited += posted.elapsed();
                    full = Some(failure);
                }
                Err(Miss::Hung(failure)) => {
                    lease.eject();
                    return Err(failure);
                }
                Err(Miss::Gone(failure)) => {
                    lease.eject();
                    if gone.is_some() {
                        return Err(failure);
                    }
                    tracing::warn!("{}: {}; it is sent once more", lease.url(), failure.error);
                    proxy.retries.fetch_add(1, Ordering::Relaxed);
                    gone = Some(lease.url().clone());
                }
            }
        }
    }

    /// One attempt at the B at `url`.
    async fn post(&self, url: &str, proxy: &Shared) -> Result<TailAnswer, Miss> {
        let lost = |what: &str, error: reqwest::Error| {
            if let Err(late) = self.in_time(Instant::now(), "stage B") {
                return Miss::Final(late);
            }
            let failure = Failure::bad_gateway(format!("{what}: {}", explain(&error)));
            if error.is_timeout() && !error.is_connect() { Miss::Hung(failure) } else { Miss::Gone(failure) }
        };
        let sent = proxy
            .http
            .post(format!("{url}/complete"))
            .headers(Envelope { stage_a: None, credit: None, ..self.envelope.clone() }.headers())
            .timeout(self.at_most(proxy.options.b_timeout, Instant::now()))
            .body(self.body.clone())
            .send()
            .await;
        let answer = sent.map_err(|error| lost("stage B did not answer", error))?;
        let said = Said::read(answer).await.map_err(|error| lost("stage B's answer broke off", error))?;
        if !said.status.is_success() {
            let failure = Failure::relayed("stage B", &said);
            return Err(match said.status {
                StatusCode::TOO_MANY_REQUESTS => Miss::Full(failure),
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Miss::Gone(failure),
                _ => Miss::Final(failure),
            });
        }
        serde_json::from_slice(&said.body)
            .map_err(|e| Miss::Final(Failure::bad_gateway(format!("stage B's answer is none: {e}"))))
    }

    /// Refuses what nobody waits for any more.
    fn in_time(&self, now: Instant, place: &str) -> Result<(), Failure> {
        match self.envelope.deadline {
            Some(deadline) if deadline <= now => Err(Failure::expired(place)),
            _ => Ok(()),
        }
    }

    /// Why no B took it: what the last one said that was full, or that its time is up.
    fn no_room(&self, full: Option<Failure>) -> Failure {
        let late = self.in_time(Instant::now(), "stage B").err();
        full.or(late).unwrap_or_else(|| Failure::bad_gateway("no stage B had room in time, or none is known"))
    }

    /// So long, but no longer than somebody waits for it.
    fn at_most(&self, limit: Duration, now: Instant) -> Duration {
        let left = self.envelope.deadline.map(|deadline| deadline.saturating_duration_since(now));
        left.map_or(limit, |left| left.min(limit))
    }

    /// The request as the pipeline leaves it. Of a slot's time, what B says it had is B's, and the rest is
    /// the transfer; B's answer on its way back is in it.
    pub(super) fn answer(
        &self,
        acquired: Instant,
        held_s: f64,
        outcome: Result<TailAnswer, Failure>,
    ) -> PipelineAnswer {
        let queue_proxy_s = (acquired - self.received).as_secs_f64();
        let (tail, error) = match outcome {
            Ok(tail) => (Some(tail), None),
            Err(failure) => (None, Some(failure.error)),
        };
        let stage_b = tail.as_ref().map(|tail| tail.stage_b);
        let envelope = &self.envelope;
        let residence_a_s = envelope.stage_a.map_or(0.0, |a| a.residence_s());
        PipelineAnswer {
            request_id: envelope.id.clone(),
            epoch: self.epoch,
            status: if error.is_none() { Status::Answered } else { Status::Failed },
            error,
            class_id: tail.as_ref().map(|tail| tail.class_id),
            inference_time_a: envelope.stage_a.map(|a| a.service_s()),
            inference_time_b: stage_b.map(|b| b.service_s()),
            total_time: stage_b.map(|_| residence_a_s + queue_proxy_s + held_s),
            class_name: tail.map(|tail| tail.class_name),
            cut: envelope.cut.clone().unwrap_or_default(),
            encoding: envelope.format.encoding,
            bytes: self.body.len() as u64,
            slots: self.slots,
            bandwidth_mbit_s: self.bandwidth_mbit_s,
            queue_proxy_s,
            transfer_s: held_s - stage_b.map_or(0.0, |b| b.residence_s()),
            stage_a: envelope.stage_a,
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
