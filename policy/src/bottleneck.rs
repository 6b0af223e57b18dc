//! What holds the pipeline back, told from one observation by plain rules.

use splitscale_spec::{Bottleneck, Observation, QueueLevel, Signal};

use crate::freshness::Freshness;

/// Share of its time from which a stage counts as nearly always at work. A stage that is at work all the
/// time loses a few percent of a window to hand-overs and to the window's edges.
const BUSY: f64 = 0.9;

/// Mean number of waiting requests from which something queues. Small, because in a closed pipeline a full
/// stage may have a short queue: with one slot more than B pods at most one activation waits for B.
const QUEUES: f64 = 0.1;

/// Names the bottleneck.
///
/// A stage is full when it is nearly always at work (90 % of the window or more) and requests wait for it
/// (0.1 or more in the mean). The first full one is named, from the end of the pipeline to its start:
///
/// 1. [`Bottleneck::B`]: B's pods are full.
/// 2. [`Bottleneck::Network`]: the transfer slots are full. A slot is held until B has answered, so slots
///    are full behind a full B too; that is why B is asked first.
/// 3. [`Bottleneck::A`]: A's pods are full.
/// 4. [`Bottleneck::Load`]: none is full, so the load is below what the pipeline carries;
///    [`Bottleneck::None`] where nothing arrives and nothing waits.
///
/// [`Bottleneck::Unknown`] as soon as a question cannot be answered, because a signal it needs is missing,
/// older than `freshness` allows or not a number of zero or more.
pub fn bottleneck(observation: &Observation, now_s: f64, freshness: Freshness) -> Bottleneck {
    let stages = [
        (observation.busy_b, observation.queue_b, Bottleneck::B),
        (observation.busy_slots, observation.queue_proxy, Bottleneck::Network),
        (observation.busy_a, observation.queue_a, Bottleneck::A),
    ];
    for (busy, queue, name) in stages {
        let queue = queue.map(|q: Signal<QueueLevel>| Signal { value: q.value.mean, age_s: q.age_s });
        let read = |signal| {
            let (value, _) = freshness.check(now_s, observation, signal).ok()?;
            (f64::is_finite(value) && value >= 0.0).then_some(value)
        };
        match (read(busy), read(queue)) {
            (Some(busy), Some(queue)) if busy >= BUSY && queue >= QUEUES => return name,
            (Some(_), Some(_)) => {}
            _ => return Bottleneck::Unknown,
        }
    }
    let idle = |arrivals: f64| {
        arrivals == 0.0 && stages.iter().all(|(_, queue, _)| queue.is_some_and(|q| q.value.mean == 0.0))
    };
    match freshness.check(now_s, observation, observation.arrivals_per_s) {
        Ok((arrivals, _)) if idle(arrivals) => Bottleneck::None,
        _ => Bottleneck::Load,
    }
}
