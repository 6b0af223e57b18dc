//! The throughput law: what the pipeline can carry, in closed form.
//!
//! ```text
//! X(k_A, k_B, n) = min( k_A / s_A,  k_B / s_B,  n / (t + s_B) )      [requests/s]
//! t = bytes * 8 / bandwidth + rtt                                    [s]
//! ```
//!
//! `s_A`, `s_B` mean service times \[s\], `n` transfer slots, `t` the transfer time. A slot is held over the
//! transfer and until B has answered, hence `t + s_B`. This is the asymptotic bound of a closed network
//! (Denning and Buzen, *The Operational Analysis of Queueing Network Models*, ACM Computing Surveys 10(3),
//! 1978, section 5): never below what the pipeline really carries, attained by constant times, and by any
//! law of service where B never queues (n <= k_B).

use serde::{Deserialize, Serialize};

use crate::pipeline::Replicas;

/// What holds the pipeline back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bottleneck {
    /// The link and its slots: more pods are useless.
    Network,
    /// Stage A.
    A,
    /// Stage B.
    B,
    /// Nothing: the load is below what the pipeline carries.
    Load,
    /// What is needed to tell was not observed.
    Unknown,
}

/// What the law needs to know of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Mean service time of an A pod \[s\].
    pub service_a_s: f64,
    /// Mean service time of a B pod \[s\].
    pub service_b_s: f64,
    /// Payload of one transfer \[bytes\].
    pub payload_bytes: u64,
    /// Bandwidth of one slot \[Mbit/s\].
    pub mbit_s: f64,
    /// Fixed time of a transfer \[s\].
    pub rtt_s: f64,
}

/// The most requests per second that `pods` and `slots` carry, and what stops there.
///
/// Ties go to the stage further down the pipeline: relieving A would not help.
pub fn throughput(capacity: &Capacity, pods: Replicas, slots: u32) -> (f64, Bottleneck) {
    let transfer_s = capacity.payload_bytes as f64 * 8e-6 / capacity.mbit_s + capacity.rtt_s;
    let bounds = [
        (f64::from(pods.b) / capacity.service_b_s, Bottleneck::B),
        (f64::from(slots) / (transfer_s + capacity.service_b_s), Bottleneck::Network),
        (f64::from(pods.a) / capacity.service_a_s, Bottleneck::A),
    ];
    bounds
        .into_iter()
        .reduce(|least, bound| if bound.0 < least.0 { bound } else { least })
        .expect("three bounds")
}

/// How long a burst takes, in named seconds.
///
/// ```text
/// y(slots, pods) = fixed + max( transfer / slots, compute / pods )    [s]
/// ```
///
/// The [`throughput`] law of N requests at once where pods of A and B are as many: transfer = N (t + s_B), compute = N
/// max(s_A, s_B), and what shrinks with neither (first image in, last answer out) is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Makespan {
    /// What neither slots nor pods shorten \[s\].
    pub fixed_s: f64,
    /// What slots share \[s\].
    pub transfer_s: f64,
    /// What pods share \[s\].
    pub compute_s: f64,
}

impl Makespan {
    /// How long it takes with so many slots, and so many pods in each stage \[s\].
    pub fn at(&self, slots: u32, pods: u32) -> f64 {
        self.fixed_s + (self.transfer_s / f64::from(slots)).max(self.compute_s / f64::from(pods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: Capacity =
        Capacity { service_a_s: 0.66, service_b_s: 0.23, payload_bytes: 802_816, mbit_s: 50.0, rtt_s: 0.0 };

    #[test]
    fn one_slot_makes_pods_useless_and_eight_make_them_useful() {
        let x = |pods, slots| throughput(&DEMO, Replicas { a: pods, b: pods }, slots);
        assert_eq!(x(2, 1).1, Bottleneck::Network);
        assert_eq!(x(2, 1).0, x(8, 1).0);
        assert_eq!(x(2, 8).1, Bottleneck::A);
        assert!((x(8, 8).0 / x(2, 8).0 - 4.0).abs() < 1e-12);
    }
}
