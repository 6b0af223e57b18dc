//! One request and what became of it, in whole nanoseconds.

use splitscale_spec::{Bandwidth, Encoding, Pipeline, RequestRecord, Status};

use crate::chance::Demands;
use crate::time::SimTime;

/// Nobody: no pod, no slot, nobody behind.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Where a request is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Coming,
    QueueA,
    AtA,
    QueueProxy,
    Transfer,
    QueueB,
    AtB,
    Back,
    Done,
}

/// A request. The seven times add up to [`Request::latency_ns`] exactly; those of phases it did not reach are
/// zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number, from 0 in the order of creation.
    pub number: u32,
    /// How it ended: `refused` by a full queue, `failed` with its pod, or `lost` at the deadline.
    pub status: Status,
    /// A pods when it was sent.
    pub pods_a: u32,
    /// B pods when it was sent.
    pub pods_b: u32,
    /// Transfer slots when it was sent.
    pub slots: u32,
    pub(crate) pod_a: u32,
    pub(crate) slot: u32,
    pub(crate) pod_b: u32,
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
    /// Which pods it goes to.
    pub(crate) route: u64,
    /// When its last phase began.
    pub(crate) since: SimTime,
    /// When it got its slot.
    pub(crate) slot_since: SimTime,
    pub(crate) done: SimTime,
    /// Who stands behind it in a queue.
    pub(crate) next: u32,
    pub(crate) phase: Phase,
    /// The client knows how it ended; a pod may still be at work on it.
    pub(crate) gone: bool,
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
            status: Status::Answered,
            pods_a: 0,
            pods_b: 0,
            slots: 0,
            pod_a: NOBODY,
            slot: NOBODY,
            pod_b: NOBODY,
            sent,
            queue_a_ns: 0,
            service_a_ns: demands.service_a,
            queue_proxy_ns: 0,
            transfer_ns: demands.transfer,
            queue_b_ns: 0,
            service_b_ns: demands.service_b,
            back_ns: demands.overhead,
            route: demands.route,
            since: sent,
            slot_since: sent,
            done: sent,
            next: NOBODY,
            phase: Phase::Coming,
            gone: false,
        }
    }

    /// The A pod that served it.
    pub fn pod_a(&self) -> Option<u32> {
        served_by(self.pod_a)
    }

    /// The slot it held.
    pub fn slot(&self) -> Option<u32> {
        served_by(self.slot)
    }

    /// The B pod that served it.
    pub fn pod_b(&self) -> Option<u32> {
        served_by(self.pod_b)
    }

    /// When the answer was there, or the news that there is none.
    pub fn done(&self) -> SimTime {
        self.done
    }

    /// Sent to done \[ns\].
    pub fn latency_ns(&self) -> u64 {
        self.done.since(self.sent)
    }

    /// Ends it without an answer: the phase it is in ends now, and there are none after it.
    pub(crate) fn end(&mut self, status: Status, now: SimTime) {
        let times = [
            (Phase::QueueA, &mut self.queue_a_ns),
            (Phase::AtA, &mut self.service_a_ns),
            (Phase::QueueProxy, &mut self.queue_proxy_ns),
            (Phase::Transfer, &mut self.transfer_ns),
            (Phase::QueueB, &mut self.queue_b_ns),
            (Phase::AtB, &mut self.service_b_ns),
            (Phase::Back, &mut self.back_ns),
        ];
        for (phase, time_ns) in times {
            if phase as u8 == self.phase as u8 {
                *time_ns = now.since(self.since);
            } else if phase as u8 > self.phase as u8 {
                *time_ns = 0;
            }
        }
        if matches!(self.phase, Phase::Coming | Phase::QueueA) {
            self.pod_a = NOBODY;
        }
        if self.phase == Phase::QueueB {
            self.pod_b = NOBODY;
        }
        (self.status, self.done, self.gone) = (status, now, true);
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
            status: self.status,
            http_status: None,
            cut: labels.cut.clone(),
            encoding: labels.encoding,
            bytes: labels.bytes,
            slots: self.slots,
            bandwidth_mbit_s: labels.bandwidth_mbit_s,
            pods_a: self.pods_a,
            pods_b: self.pods_b,
            pod_a: self.pod_a(),
            pod_b: self.pod_b(),
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
            emulated: true,
        }
    }
}

fn served_by(server: u32) -> Option<u32> {
    (server != NOBODY).then_some(server)
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
