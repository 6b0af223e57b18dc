//! One request and what became of it, in whole nanoseconds.

use splitscale_spec::{Bandwidth, Encoding, Pipeline, RequestRecord, Status};

use crate::chance::Demands;
use crate::station::NOBODY;
use crate::time::SimTime;

/// A request. The seven times add up to [`Request::latency_ns`] exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number, from 0 in the order of creation.
    pub number: u32,
    /// A pods when it was sent.
    pub pods_a: u32,
    /// B pods when it was sent.
    pub pods_b: u32,
    /// Transfer slots when it was sent.
    pub slots: u32,
    /// The A pod that served it.
    pub pod_a: u32,
    /// The slot it held.
    pub slot: u32,
    /// The B pod that served it.
    pub pod_b: u32,
    /// When it was sent.
    pub sent: SimTime,
    /// Wait for an A pod \[ns\].
    pub queue_a_ns: u64,
    /// With an A pod \[ns\].
    pub service_a_ns: u64,
    /// Wait for a transfer slot \[ns\].
    pub queue_proxy_ns: u64,
    /// Transfer \[ns\].
    pub transfer_ns: u64,
    /// Wait for a B pod, the slot held \[ns\].
    pub queue_b_ns: u64,
    /// With a B pod, the slot held \[ns\].
    pub service_b_ns: u64,
    /// The overhead: everything outside the stations \[ns\].
    pub back_ns: u64,
    /// When its last phase began; after the answer, when that was there.
    pub(crate) since: SimTime,
    /// Who stands behind it in a queue.
    pub(crate) next: u32,
}

/// What a record says of the pipeline and the simulation does not need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// Groups the requests of one run.
    pub run_id: u32,
    /// Where the network is cut.
    pub cut: String,
    /// Encoding of the activation.
    pub encoding: Encoding,
    /// Size of the activation \[bytes\].
    pub bytes: u64,
    /// Bandwidth of a slot \[Mbit/s\].
    pub bandwidth_mbit_s: Option<f64>,
}

// === impl Request ===

impl Request {
    /// A request that is to be sent at `sent`.
    pub(crate) fn new(number: u32, sent: SimTime, demands: &Demands) -> Self {
        Request {
            number,
            pods_a: 0,
            pods_b: 0,
            slots: 0,
            pod_a: 0,
            slot: 0,
            pod_b: 0,
            sent,
            queue_a_ns: 0,
            service_a_ns: demands.service_a,
            queue_proxy_ns: 0,
            transfer_ns: demands.transfer,
            queue_b_ns: 0,
            service_b_ns: demands.service_b,
            back_ns: demands.overhead,
            since: sent,
            next: NOBODY,
        }
    }

    /// When the answer was there.
    pub fn done(&self) -> SimTime {
        self.since
    }

    /// Sent to answered \[ns\].
    pub fn latency_ns(&self) -> u64 {
        self.since.since(self.sent)
    }

    /// In the columns of a measured request. The laws know a pod's time as a whole: it stands in `forward_a`
    /// and `forward_b`; `decode`, `encode` and `rest` are zero.
    pub fn record(&self, labels: &Labels) -> RequestRecord {
        let seconds = |nanos: u64| SimTime::from_nanos(nanos).as_secs_f64();
        RequestRecord {
            run_id: labels.run_id,
            request_id: self.number,
            scheduled_ns: self.sent.as_nanos(),
            sent_ns: self.sent.as_nanos(),
            done_ns: self.done().as_nanos(),
            status: Status::Answered,
            cut: labels.cut.clone(),
            encoding: labels.encoding,
            bytes: labels.bytes,
            slots: self.slots,
            bandwidth_mbit_s: labels.bandwidth_mbit_s,
            pods_a: self.pods_a,
            pods_b: self.pods_b,
            pod_a: Some(self.pod_a),
            pod_b: Some(self.pod_b),
            queue_a_s: seconds(self.queue_a_ns),
            decode_s: 0.0,
            forward_a_s: seconds(self.service_a_ns),
            encode_s: 0.0,
            rest_a_s: 0.0,
            queue_proxy_s: seconds(self.queue_proxy_ns),
            transfer_s: seconds(self.transfer_ns),
            queue_b_s: seconds(self.queue_b_ns),
            decode_b_s: 0.0,
            forward_b_s: seconds(self.service_b_ns),
            rest_b_s: 0.0,
            back_s: seconds(self.back_ns),
        }
    }
}

// === impl Labels ===

impl Labels {
    /// Those of a pipeline.
    pub fn of(pipeline: &Pipeline, run_id: u32) -> Self {
        let Bandwidth::PerSlot(mbit_s) = pipeline.link.bandwidth;
        Labels {
            run_id,
            cut: pipeline.cut.name.clone(),
            encoding: Encoding::default(),
            bytes: pipeline.cut.payload_bytes,
            bandwidth_mbit_s: Some(mbit_s),
        }
    }
}
