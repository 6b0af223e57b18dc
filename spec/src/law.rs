//! The throughput law: what the pipeline can carry, in closed form.
//!
//! ```text
//! X(k_A, k_B, n) = min( k_A / s_A,  k_B / s_B,  n / (t + s_B) )      [requests/s]
//! t = bytes * 8 / bandwidth + rtt                                    [s]
//! ```
//!
//! `s_A`, `s_B` mean service times \[s\], `n` transfer slots, `t` the transfer time. A slot is held over the
//! transfer and until B has answered, hence `t + s_B`; where it is free after the transfer, `t` alone. This is the
//! asymptotic bound of a closed network (Denning and Buzen, *The Operational Analysis of Queueing Network Models*,
//! ACM Computing Surveys 10(3), 1978, section 5): never below what the pipeline really carries, attained by constant
//! times, and by any law of service where B never queues (n <= k_B).
//!
//! Where all slots share one link, a transfer takes the longer the more are under way, and n / (t + s_B) becomes
//! [`Capacity::slots_per_s`].

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
    /// The load: it is below what the pipeline carries.
    Load,
    /// Nothing: nothing arrives and nothing waits.
    None,
    /// What is needed to tell was not observed.
    Unknown,
}

impl Bottleneck {
    /// All of them.
    pub const ALL: [Bottleneck; 6] = [
        Bottleneck::Network,
        Bottleneck::A,
        Bottleneck::B,
        Bottleneck::Load,
        Bottleneck::None,
        Bottleneck::Unknown,
    ];

    /// Its name, as in documents and labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Bottleneck::Network => "network",
            Bottleneck::A => "a",
            Bottleneck::B => "b",
            Bottleneck::Load => "load",
            Bottleneck::None => "none",
            Bottleneck::Unknown => "unknown",
        }
    }
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
    /// Bandwidth of one slot, or of the whole link where the slots share it \[Mbit/s\].
    pub mbit_s: f64,
    /// Fixed time of a transfer \[s\].
    pub rtt_s: f64,
    /// All slots share one link, in equal parts, in place of a link each.
    pub shared: bool,
    /// A slot is held until B has answered, in place of over the transfer alone.
    pub held_until_answer: bool,
}

impl Capacity {
    /// Slots beyond so many change nothing on a shared link: the sum of [`Capacity::slots_per_s`] ends here.
    const SLOTS_MAX: u32 = 1 << 16;

    /// What the slots carry, pods never lacking \[1/s\].
    ///
    /// A link each: n / (t + s_B). One link: with d = bytes * 8 / bandwidth, what a transfer takes alone, and z what a
    /// slot is held besides, (1 - E(n, z / d)) / d. E is Erlang's loss formula: the share of the time in which none of n
    /// slots is sending is that in which the repairman of the machine-repair model is idle. Processor sharing and plain
    /// delays make that exact, where B never queues, for any law of service that is no constant (Baskett, Chandy, Muntz
    /// and Palacios, *Open, Closed, and Mixed Networks of Queues with Different Classes of Customers*, J. ACM 22(2), 1975).
    /// Behind a B that queues regular services space the transfers out, and the slots carry up to some 15 % more; where
    /// all is constant they may send in step for ever, and carry more or less.
    pub fn slots_per_s(&self, slots: u32) -> f64 {
        let wire_s = self.payload_bytes as f64 * 8e-6 / self.mbit_s;
        let besides_s = self.rtt_s + if self.held_until_answer { self.service_b_s } else { 0.0 };
        if !self.shared || wire_s <= 0.0 {
            return f64::from(slots) / (wire_s + besides_s);
        }
        // Erlang's recursion: E(0) = 1, E(n) = a E(n - 1) / (n + a E(n - 1)).
        let offered = besides_s / wire_s;
        let idle = (1..=slots.min(Self::SLOTS_MAX)).fold(1.0, |idle, n| {
            let lost = offered * idle;
            lost / (f64::from(n) + lost)
        });
        (1.0 - idle) / wire_s
    }
}

/// The most requests per second that `pods` and `slots` carry, and what stops there.
///
/// Ties go to the stage further down the pipeline: relieving A would not help.
pub fn throughput(capacity: &Capacity, pods: Replicas, slots: u32) -> (f64, Bottleneck) {
    let bounds = [
        (f64::from(pods.b) / capacity.service_b_s, Bottleneck::B),
        (capacity.slots_per_s(slots), Bottleneck::Network),
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

    const DEMO: Capacity = Capacity {
        service_a_s: 0.66,
        service_b_s: 0.23,
        payload_bytes: 802_816,
        mbit_s: 50.0,
        rtt_s: 0.0,
        shared: false,
        held_until_answer: true,
    };

    #[test]
    fn one_slot_makes_pods_useless_and_eight_make_them_useful() {
        let x = |pods, slots| throughput(&DEMO, Replicas { a: pods, b: pods }, slots);
        assert_eq!(x(2, 1).1, Bottleneck::Network);
        assert_eq!(x(2, 1).0, x(8, 1).0);
        assert_eq!(x(2, 8).1, Bottleneck::A);
        assert!((x(8, 8).0 / x(2, 8).0 - 4.0).abs() < 1e-12);
    }
    #[test]
    fn slots_that_share_a_link_carry_what_the_machine_repair_model_says() {
        // d = 1 s, z = 2 s: the repairman works 1 - p0, p0 = 1 / sum n! / (n - i)! (d / z)^i.
        let shared = Capacity { service_b_s: 2.0, payload_bytes: 125_000, mbit_s: 1.0, shared: true, ..DEMO };
        let exact = [1.0 / 3.0, 1.0 - 1.0 / 2.5, 1.0 - 1.0 / (1.0 + 1.5 + 1.5 + 0.75)];
        for (slots, exact) in (1..).zip(exact) {
            assert!((shared.slots_per_s(slots) - exact).abs() < 1e-12, "{slots}");
        }
        // Held over the transfer alone, one slot fills the link already.
        let freed = Capacity { held_until_answer: false, ..shared };
        assert_eq!([1, 8, u32::MAX].map(|slots| freed.slots_per_s(slots)), [1.0; 3]);
        let own = Capacity { shared: false, ..freed };
        assert_eq!(own.slots_per_s(8), 8.0);
    }
}
