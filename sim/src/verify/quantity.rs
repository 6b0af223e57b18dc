//! What is compared, and how it is read off a run.

use std::fmt;

use splitscale_spec::Status;

use crate::outcome::{Outcome, StationSummary};
use crate::request::Request;
use crate::setup::Setup;

/// A station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Stage A.
    A,
    /// The slots.
    Slots,
    /// Stage B.
    B,
}

/// What theory has a value of. Its text form has the field's letter and the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    /// From sent to answered \[s\]: W.
    Sojourn,
    /// The sojourn that a share does not exceed \[s\].
    SojournQuantile(f64),
    /// Requests on their way: L.
    Number,
    /// Answers \[1/s\]: X.
    Throughput,
    /// Share of the requests sent that a full queue turned away.
    RefusedShare,
    /// Share of the requests sent that were not answered by the deadline.
    LostShare,
    /// Time before service \[s\]: Wq.
    Wait(Place),
    /// Requests that wait: Lq.
    Waiting(Place),
    /// Share of the requests that wait; takes records.
    WaitShare(Place),
    /// The wait that a share does not exceed \[s\]; takes records.
    WaitQuantile(Place, f64),
    /// From the first request sent to the last answer \[s\].
    Makespan,
    /// Standard deviation of the makespan between runs \[s\]. Of one run, its makespan.
    MakespanSd,
}

impl Quantity {
    /// The value in a run of the setup.
    pub(super) fn of(self, outcome: &Outcome, setup: &Setup) -> f64 {
        let share = |count: u64| count as f64 / outcome.requests as f64;
        match self {
            Quantity::Sojourn => outcome.latency.mean_s,
            Quantity::SojournQuantile(p) => outcome.latency.histogram.quantile_s(p).unwrap_or(f64::NAN),
            Quantity::Number => number(outcome, setup),
            Quantity::Throughput => outcome.latency.answered as f64 / outcome.span_s,
            Quantity::RefusedShare => share(outcome.refused),
            Quantity::LostShare => share(outcome.lost),
            Quantity::Wait(place) => place.of(outcome).mean_wait_s,
            Quantity::Waiting(place) => place.of(outcome).mean_waiting,
            Quantity::WaitShare(place) => {
                let waits = place.waits_ns(outcome, setup);
                waits.iter().filter(|&&wait_ns| wait_ns > 0).count() as f64 / waits.len() as f64
            }
            Quantity::WaitQuantile(place, p) => {
                let mut waits = place.waits_ns(outcome, setup);
                let rank = ((p * waits.len() as f64).ceil() as usize).max(1) - 1;
                if rank >= waits.len() {
                    return f64::NAN;
                }
                *waits.select_nth_unstable(rank).1 as f64 * 1e-9
            }
            Quantity::Makespan | Quantity::MakespanSd => outcome.makespan_s,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Sojourn => write!(f, "W [s]"),
            Quantity::SojournQuantile(p) => write!(f, "p{:.0} of the sojourn [s]", p * 100.0),
            Quantity::Number => write!(f, "L"),
            Quantity::Throughput => write!(f, "X [1/s]"),
            Quantity::RefusedShare => write!(f, "share refused"),
            Quantity::LostShare => write!(f, "share lost"),
            Quantity::Wait(place) => write!(f, "Wq at {place} [s]"),
            Quantity::Waiting(place) => write!(f, "Lq at {place}"),
            Quantity::WaitShare(place) => write!(f, "share that waits at {place}"),
            Quantity::WaitQuantile(place, p) => write!(f, "p{:.0} of the wait at {place} [s]", p * 100.0),
            Quantity::Makespan => write!(f, "makespan [s]"),
            Quantity::MakespanSd => write!(f, "sd of the makespan [s]"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::A => "A",
            Place::Slots => "the slots",
            Place::B => "B",
        })
    }
}

impl Place {
    fn of(self, outcome: &Outcome) -> &StationSummary {
        match self {
            Place::A => &outcome.a,
            Place::Slots => &outcome.proxy,
            Place::B => &outcome.b,
        }
    }

    /// Of the requests that were sent after the warm-up and answered.
    fn waits_ns(self, outcome: &Outcome, setup: &Setup) -> Vec<u64> {
        let wait_ns = |request: &Request| match self {
            Place::A => request.queue_a_ns,
            Place::Slots => request.queue_proxy_ns,
            Place::B => request.queue_b_ns,
        };
        let counts = |request: &&Request| {
            request.status == Status::Answered && request.sent.as_secs_f64() >= setup.warm_up_s
        };
        outcome.trail.iter().filter(counts).map(wait_ns).collect()
    }
}

/// Each request once: a held slot is still in service while its request is at B, and a held A while its
/// request waits for a slot.
fn number(outcome: &Outcome, setup: &Setup) -> f64 {
    let (a, proxy, b) = (&outcome.a, &outcome.proxy, &outcome.b);
    let waits_for_slot = if setup.link.hold_a { 0.0 } else { proxy.mean_waiting };
    let at_b = if setup.link.release_after_transfer { b.mean_waiting + b.mean_busy } else { 0.0 };
    a.mean_waiting + a.mean_busy + waits_for_slot + proxy.mean_busy + at_b
}
