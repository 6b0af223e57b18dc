//! What is named as the bottleneck.

use splitscale_policy::{Freshness, bottleneck};
use splitscale_spec::{Bottleneck, Observation, QueueLevel, Signal};

use crate::{one_slot, signal};

/// Busy shares and mean queues of A, slots and B.
fn observation(busy: [f64; 3], queue: [f64; 3]) -> Observation {
    let level = |mean| signal(QueueLevel { mean, last: mean });
    Observation {
        busy_a: signal(busy[0]),
        busy_slots: signal(busy[1]),
        busy_b: signal(busy[2]),
        queue_a: level(queue[0]),
        queue_proxy: level(queue[1]),
        queue_b: level(queue[2]),
        ..one_slot()
    }
}

fn named(observation: &Observation) -> Bottleneck {
    bottleneck(observation, observation.time_s, Freshness::default())
}

#[test]
fn each_stage_is_named_when_it_is_full() {
    for (busy, queue, name) in [
        ([0.3, 1.0, 0.1], [0.0, 9.0, 0.0], Bottleneck::Network),
        ([1.0, 0.4, 0.3], [5.0, 0.0, 0.0], Bottleneck::A),
        ([0.5, 0.2, 0.97], [0.0, 0.0, 0.5], Bottleneck::B),
        // A full B holds the slots, full slots never hold B.
        ([0.5, 1.0, 0.97], [0.0, 4.0, 3.0], Bottleneck::B),
        // Both upstream stages full: relieving A would only lengthen the proxy's queue.
        ([1.0, 1.0, 0.2], [3.0, 4.0, 0.0], Bottleneck::Network),
        ([0.1, 0.1, 0.1], [0.0, 0.0, 0.0], Bottleneck::Load),
        // Busy without a queue is a stage that just keeps up; a queue without busy is a passing burst.
        ([0.95, 0.5, 0.5], [0.0, 0.0, 0.0], Bottleneck::Load),
        ([0.6, 0.5, 0.5], [2.0, 0.0, 0.0], Bottleneck::Load),
    ] {
        assert_eq!(named(&observation(busy, queue)), name, "busy {busy:?} queue {queue:?}");
    }
}

#[test]
fn what_was_not_seen_is_unknown_unless_it_does_not_matter() {
    let full_b = observation([0.5, 1.0, 1.0], [0.0, 4.0, 3.0]);
    assert_eq!(named(&Observation { busy_a: None, queue_proxy: None, ..full_b.clone() }), Bottleneck::B);
    assert_eq!(named(&Observation { queue_b: None, ..full_b.clone() }), Bottleneck::Unknown);

    let full_slots = observation([0.5, 1.0, 0.2], [0.0, 4.0, 0.0]);
    assert_eq!(named(&full_slots), Bottleneck::Network);
    let stale = Some(Signal { value: 0.2, age_s: 11.0 });
    assert_eq!(named(&Observation { busy_b: stale, ..full_slots.clone() }), Bottleneck::Unknown);
    assert_eq!(named(&Observation { busy_b: signal(f64::NAN), ..full_slots.clone() }), Bottleneck::Unknown);
    assert_eq!(named(&Observation { busy_b: signal(-0.1), ..full_slots }), Bottleneck::Unknown);
    assert_eq!(named(&Observation::empty(0.0, 1.0)), Bottleneck::Unknown);
}
