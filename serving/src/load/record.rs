//! From how a request ended to its record.

use std::time::Instant;

use splitscale_spec::{Encoding, RequestRecord};

use super::request::End;
use crate::client::{ClientError, PipelineClient};
use crate::wire::PipelineAnswer;

/// The setting, for what a request did not bring back itself.
pub(super) struct Place {
    pub(super) cut: String,
    pub(super) bytes: u64,
    pub(super) slots: u32,
    pub(super) bandwidth_mbit_s: Option<f64>,
    pub(super) pods_a: u32,
    pub(super) pods_b: u32,
}

/// The columns of a record that the sender knows.
pub(super) struct Row {
    pub(super) run_id: u32,
    pub(super) request_id: u32,
    pub(super) origin: Instant,
    pub(super) scheduled: Instant,
    pub(super) sent: Instant,
}

impl Place {
    /// The setting before the first answer. Where B is out of reach its pods are 0 until an answer tells.
    pub(super) async fn of(client: &PipelineClient) -> Result<Self, ClientError> {
        let (a, proxy) = client.front().await?;
        Ok(Place {
            cut: a.cut,
            bytes: a.payload_bytes,
            slots: proxy.slots,
            bandwidth_mbit_s: proxy.bandwidth_mbit_s,
            pods_a: a.in_use,
            pods_b: client.state_of_b().await.map_or(0, |b| b.in_use),
        })
    }

    /// Keeps up with what the last answer says of the setting.
    pub(super) fn follow(&mut self, answer: Option<&PipelineAnswer>) {
        let Some(answer) = answer else { return };
        self.slots = answer.slots;
        self.pods_a = answer.stage_a.map_or(self.pods_a, |a| a.pods_in_use);
        self.pods_b = answer.stage_b.map_or(self.pods_b, |b| b.pods_in_use);
    }

    pub(super) fn record(&self, row: &Row, end: End) -> RequestRecord {
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
            http_status: end.http_status,
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
            emulated: a.is_some_and(|a| a.emulated) || b.is_some_and(|b| b.emulated),
        };
        record.back_s = record.latency_s() - record.phases_s().iter().sum::<f64>();
        record
    }
}
