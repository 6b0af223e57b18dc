//! The useful-replica cap: the pods beyond which one more hardly adds throughput, in closed form.
//!
//! ```text
//! B    R_B = slots                         m = R_B s_B      k_B = cap(m)
//! A    R_A = min(slots, k_B / s_B)         m = R_A s_A      k_A = cap(m)      slots = Capacity::slots_per_s(n)
//!
//! cap(m) = min( floor(m / (1 + gain)),  floor(1 / gain) ) + 1
//! ```
//!
//! By the [`throughput`](crate::throughput) law k pods of a stage carry min(k / s, R), R what the rest does. m = R s is
//! the number of pods that are at work when the rest is full. One pod more gives min(k + 1, m) / k of before: below
//! 1 + gain as soon as k > m / (1 + gain), or k > 1 / gain. B is asked first, as it holds the slots; A against B's cap.
//!
//! # What random times change
//! The law knows means alone. With constant services and a link a slot the cap is the simulator's own knee
//! (`splitscale knee`: 8 slots x 3 cuts x 5 bandwidths); with lognormal ones of a CV up to 0.3 it is within 1 of it.
//! Exponential ones make B queue where its pods are about as many as the slots keep at work, 1 < m < n: the last pods in
//! reserve for that still add more than 2 %, and B's knee is up to 2 above the cap. There the closed form is the
//! machine-repair model of n slots and k_B pods, which takes the law of service (`exact::Pipeline` of
//! splitscale-sim, `slots_throughput_per_s`). A has a queue without end before it and needs only the mean.

use crate::law::Capacity;
use crate::pipeline::Replicas;

/// The pods of each stage beyond which one more adds less than `gain` of the saturated throughput, such as 0.02.
///
/// Never below 1: no slots, or times of zero, leave nothing for a second pod. Slots without end, or times near zero, end
/// at 1 / gain, where one pod more adds less than gain of itself. At a gain of zero (or less, or none) it is the fewest
/// pods that carry all that can be. What is no number counts as nothing, and what is more than `u32` holds as its most.
pub fn useful(capacity: &Capacity, slots: u32, gain: f64) -> Replicas {
    let b = cap(capacity.slots_per_s(slots) * capacity.service_b_s, gain);
    Replicas { a: useful_a(capacity, slots, gain, b), b }
}

/// The same of A alone, where there are so many pods of B.
pub fn useful_a(capacity: &Capacity, slots: u32, gain: f64, b: u32) -> u32 {
    let rest_per_s = capacity.slots_per_s(slots).min(f64::from(b) / capacity.service_b_s);
    cap(rest_per_s * capacity.service_a_s, gain)
}

/// Of a stage of which the rest keeps `busy` pods at work.
fn cap(busy: f64, gain: f64) -> u32 {
    let pods =
        if gain > 0.0 { (busy / (1.0 + gain)).floor().min((1.0 / gain).floor()) + 1.0 } else { busy.ceil() };
    // From float to integer by saturation, NaN to zero.
    (if busy.is_nan() { 0.0 } else { pods } as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::throughput;

    /// ResNet-50 after layer3: A takes 0.71 s, B 0.17 s, 802816 bytes.
    fn layer3(mbit_s: f64) -> Capacity {
        Capacity {
            service_a_s: 0.71,
            service_b_s: 0.17,
            payload_bytes: 802_816,
            mbit_s,
            rtt_s: 0.005,
            shared: false,
            held_until_answer: true,
        }
    }

    /// Its definition, pod by pod: b with A plentiful, then a.
    fn counted(capacity: &Capacity, slots: u32, gain: f64) -> Replicas {
        let x = |a, b| throughput(capacity, Replicas { a, b }, slots).0;
        let knee = |x: &dyn Fn(u32) -> f64| (1..).find(|&k| x(k + 1) < (1.0 + gain) * x(k)).unwrap();
        let b = knee(&|b| x(1_000_000, b));
        Replicas { a: knee(&|a| x(a, b)), b }
    }

    #[test]
    fn it_is_where_the_law_stops_rising() {
        for slots in 1..=40 {
            for mbit_s in [0.5, 5.0, 20.0, 50.0, 100.0, 500.0, 1e9] {
                for shared in [false, true] {
                    for held_until_answer in [false, true] {
                        let capacity = Capacity { shared, held_until_answer, ..layer3(mbit_s) };
                        // None of which has a whole inverse: there the gain of a step is exactly 1 / k, and rounding decides.
                        for gain in [0.0051, 0.021, 0.11] {
                            let (closed, counted) =
                                (useful(&capacity, slots, gain), counted(&capacity, slots, gain));
                            assert_eq!(closed, counted, "{slots} slots, {gain}, {capacity:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn one_slot_needs_few_pods_and_the_edges_have_none_but_one() {
        // 1 / (0.1285 + 0.005 + 0.17) = 3.295 a second keep 2.34 pods of A at work and 0.56 of B.
        assert_eq!(useful(&layer3(50.0), 1, 0.02), Replicas { a: 3, b: 1 });
        let one = Replicas { a: 1, b: 1 };
        assert_eq!(useful(&layer3(50.0), 0, 0.02), one);
        let nothing =
            Capacity { service_a_s: 0.0, service_b_s: 0.0, payload_bytes: 0, rtt_s: 0.0, ..layer3(1.0) };
        assert_eq!(useful(&nothing, 8, 0.02), one);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
            for shared in [false, true] {
                let link = Capacity { shared, ..layer3(bad) };
                let services = Capacity { service_a_s: bad, service_b_s: bad, shared, ..layer3(50.0) };
                for capacity in [link, services] {
                    for gain in [0.02, 0.0, bad] {
                        let pods = useful(&capacity, 8, gain);
                        assert!(pods.a >= 1 && pods.b >= 1, "{capacity:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn slots_without_end_stop_where_a_pod_adds_less_than_the_gain_of_itself() {
        assert_eq!(useful(&layer3(50.0), u32::MAX, 0.02), Replicas { a: 51, b: 51 });
        // Without a gain the fewest that carry all: 8 slots held 0.25 s are 32 a second, 16 pods of A and 8 of B at work.
        let even =
            Capacity { payload_bytes: 0, service_a_s: 0.5, service_b_s: 0.25, rtt_s: 0.0, ..layer3(1.0) };
        assert_eq!(useful(&even, 8, 0.0), Replicas { a: 16, b: 8 });
        assert_eq!(useful(&even, u32::MAX, 0.0).b, u32::MAX);
    }
}
