//! The original's table: one burst, one row.

use serde::{Deserialize, Serialize};
use splitscale_spec::{RequestRecord, Status};

/// One burst, in the columns of the original's table. Times are means over the burst's requests \[s\], but
/// `end_time`, which is the makespan on the collector's monotonic clock \[s\].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstRow {
    /// Mean time in an A pod: decode, forward pass, encoding and pacing \[s\].
    pub inference_time_a: f64,
    /// Mean time in a B pod: decode, forward pass and pacing \[s\].
    pub inference_time_b: f64,
    /// Mean time from sending to answer \[s\].
    pub total_time: f64,
    /// Makespan: first request sent to last answer \[s\].
    pub end_time: f64,
    /// A pods.
    #[serde(rename = "NUM_POD_A")]
    pub num_pod_a: u32,
    /// B pods.
    #[serde(rename = "NUM_POD_B")]
    pub num_pod_b: u32,
    /// Transfer slots.
    #[serde(rename = "BANDWIDTH")]
    pub bandwidth: u32,
}

impl BurstRow {
    /// The row of a burst whose requests are `records`; absent where none was answered.
    pub fn of(records: &[RequestRecord]) -> Option<BurstRow> {
        let answered: Vec<&RequestRecord> = records.iter().filter(|r| r.status == Status::Answered).collect();
        let first = records.first()?;
        let sent_ns = records.iter().map(|r| r.sent_ns).min()?;
        let done_ns = answered.iter().map(|r| r.done_ns).max()?;
        let mean = |of: fn(&RequestRecord) -> f64| {
            answered.iter().map(|r| of(r)).sum::<f64>() / answered.len() as f64
        };
        Some(BurstRow {
            inference_time_a: mean(RequestRecord::service_a_s),
            inference_time_b: mean(RequestRecord::service_b_s),
            total_time: mean(RequestRecord::latency_s),
            end_time: (done_ns - sent_ns) as f64 * 1e-9,
            num_pod_a: first.pods_a,
            num_pod_b: first.pods_b,
            bandwidth: first.slots,
        })
    }
}
