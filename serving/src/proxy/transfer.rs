//! One activation through one slot: the emulated link, the post to B, and what came of it.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use splitscale_spec::Status;
use tokio::sync::oneshot;

use super::Shared;
use crate::admission::Admission;
use crate::pod::wait_until;
use crate::serve::explain;
use crate::wire::envelope::Envelope;
use crate::wire::{Failure, PipelineAnswer, TailAnswer};

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
    pub(super) waiting: Option<oneshot::Sender<PipelineAnswer>>,
}

// === impl Activation ===

impl Activation {
    /// Holds the slot for the emulated transfer, then until B has answered.
    pub(super) async fn transfer(&self, acquired: Instant, proxy: &Shared) -> Result<TailAnswer, String> {
        if self.envelope.deadline.is_some_and(|deadline| deadline <= acquired) {
            return Err(Failure::expired("a transfer slot").error);
        }
        let options = &proxy.options;
        pause_until(acquired + options.sleep + options.rtt).await;
        proxy.carrier.carry(self.body.len()).await;
        let sent = proxy
            .http
            .post(format!("{}/complete", options.b))
            .headers(Envelope { stage_a: None, credit: None, ..self.envelope.clone() }.headers())
            .timeout(options.b_timeout)
            .body(self.body.clone())
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

    /// The request as the pipeline leaves it. Of a slot's time, what B says it had is B's, and the rest is
    /// the transfer; B's answer on its way back is in it.
    pub(super) fn answer(
        &self,
        acquired: Instant,
        held_s: f64,
        outcome: Result<TailAnswer, String>,
    ) -> PipelineAnswer {
        let queue_proxy_s = (acquired - self.received).as_secs_f64();
        let (tail, error) = match outcome {
            Ok(tail) => (Some(tail), None),
            Err(error) => (None, Some(error)),
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
