//! What an episode costs at least, whoever decides.
//!
//! ```text
//! J >= miss_weight * (misses for sure) + max over l in [0, 1] of  V_A(l * miss_weight) + V_B((1 - l) * miss_weight)
//! ```
//!
//! V is the value of a stage by [dynamic programming](crate::referee::fluid) over its work as a fluid, with every arrival and
//! demand of this episode known.
//!
//! # Why it is a bound
//! On any path of the simulator, whatever is decided:
//! 1. **Costs part.** Pod-seconds and changes are sums over the stages. A request that is missed for A's sake or for B's is
//!    one miss, so misses >= l * (missed for A's sake) + (1 - l) * (missed for B's sake), for every l; those that are missed
//!    whatever is decided are counted apart and nowhere else.
//! 2. **Work.** Work comes to a station no earlier than if every station before were idle, and goes no faster than the ready
//!    pods (or the cores) can: a fluid that comes earlier and goes at that rate whenever there is any never has more left.
//!    A CPU limit only slows pods down: it is left out, so that the bound is far below what limited pods can do.
//!    A pod that is given up takes what is left of its request along, at most the longest demand, and is paid for as long.
//! 3. **Misses.** A request must begin at a station by sent + promise - (what it needs from there on). When it begins, with n
//!    others in service, the work of earlier requests that is left is at most what n of them may have left and what it may have
//!    [passed](crate::referee::order). After that it only falls. So if at the latest time to begin the fluid, less all that is
//!    behind the request, is more, then it has not begun in time and is missed. It is on the bill if its promise ends
//!    within the episode, in the first interval or after it.
//! 4. **Rounding.** Work left is rounded down to the grid, starts take the least that their law gives, pods may be ready
//!    with those that were asked for before them: each only adds ways to pay less, and the program takes the least of all.
//!
//! Point 3 needs one queue, in order, that nobody leaves. Where requests give up, are refused or fail with a pod, where a
//! balancer chooses, and where a service can outlast an interval, a stage is asked for its pods and changes alone.

use serde::{Deserialize, Serialize};
use splitscale_sim::{Demand, Kind, Model, Setup, SimTime, Simulation, StageSetup};
use splitscale_spec::{Balancer, Invalid};

use crate::referee::fluid::{Fluid, Terms, Values, least_s};
use crate::referee::order::{Order, Slack};
use crate::referee::station::{Station, Visit};
use crate::scaling::{RewardKind, Scaling};

/// A lower bound on J, and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// What no decisions can go below.
    pub cost: f64,
    /// Requests that are missed whatever is decided.
    pub hopeless: u64,
    /// Share of a miss that A's program was charged with, the l of the best bound.
    pub share_a: f64,
    /// Whether misses for A's sake, and for B's, can be told.
    pub told: [bool; 2],
}

/// How far from the best l so far others are tried, one after the other.
const STEPS: &[f64] = &[0.5, 0.25, 0.125, 0.0625];

impl Bound {
    /// Of the episode of a scenario under a seed.
    ///
    /// # Errors
    /// A reward that is not the cost, a closed loop.
    ///
    /// # Panics
    /// If there is no such scenario.
    pub fn of(scaling: &Scaling, scenario: usize, seed: u64) -> Result<Bound, Invalid> {
        let config = scaling.config();
        let (stations, hopeless) = stations(scaling, (scenario, seed), false)?;
        let [terms_a, terms_b] = terms(scaling, scenario);
        let told = [0, 1].map(|stage: usize| !stations[stage].tests.is_empty());
        let (a, b) = (Fluid::new(&stations[0], terms_a), Fluid::new(&stations[1], terms_b));
        let weight = config.cost.miss_weight;
        let tried = |share: f64| (share, a.solve(weight * share), b.solve(weight * (1.0 - share)));
        let total = |(_, a, b): &(f64, Values, Values)| a.total + b.total;
        // Where one stage tells of no miss the other is charged with all.
        let mut best = tried(match told {
            [true, true] => 0.5,
            [of_a, _] => f64::from(u8::from(of_a)),
        });
        // The sum is concave in l: of two neighbours one at most is better.
        for step in if told == [true, true] { STEPS } else { &[] } {
            for share in
                [best.0 - step, best.0 + step].into_iter().filter(|share| (0.0..=1.0).contains(share))
            {
                let next = tried(share);
                if total(&next) > total(&best) {
                    best = next;
                    break;
                }
            }
        }
        let cost = total(&best) + weight * hopeless as f64;
        Ok(Bound { cost: cost * (1.0 - 1e-9), hopeless, share_a: best.0, told })
    }
}

/// What the programs of A and B are about.
pub(super) fn terms(scaling: &Scaling, scenario: usize) -> [Terms; 2] {
    let (config, setup) = (scaling.config(), scaling.scenarios()[scenario].setup());
    let terms = |stage: &StageSetup, min: u32, max: u32| Terms {
        pods_min: min as usize,
        pods_max: max as usize,
        pods: stage.pods as usize,
        interval_ns: scaling.interval_ns() as f64,
        decisions: config.decisions as usize,
        // Half a nanosecond may have been rounded away.
        start_up_ns: (least_s(&stage.start_up) * 1e9 - 1.0).max(0.0),
        cores: cores(stage),
        efficiency: 1.0,
        cost: config.cost.clone(),
    };
    [
        terms(&setup.a, config.pods_min.a, config.pods_max.a),
        terms(&setup.b, config.pods_min.b, config.pods_max.b),
    ]
}

/// A and B as the bound sees them, and how many requests are missed whatever is decided. Those who `guess` take it that nothing
/// of earlier requests is left when one begins.
///
/// # Errors
/// A reward that is not the cost, a closed loop.
pub(super) fn stations(
    scaling: &Scaling,
    (scenario, seed): (usize, u64),
    guess: bool,
) -> Result<([Station; 2], u64), Invalid> {
    let (config, model) = (scaling.config(), &scaling.scenarios()[scenario].model);
    if config.reward != RewardKind::Cost {
        return Err(Invalid::new("reward", "not the cost; a referee counts what cost says, take cost"));
    }
    let (demands, setup) = (model.demands(seed)?, model.setup());
    let interval_ns = scaling.interval_ns() as f64;
    let end_ns = interval_ns * f64::from(config.decisions + 1);
    let slo_ns = SimTime::from_secs_f64(config.slo_s).as_nanos() as f64;
    let of = |ns: fn(&Demand) -> u64| -> Vec<f64> { demands.iter().map(|d| ns(d) as f64).collect() };
    let (a, transfer, b) = (of(|d| d.service_a_ns), of(|d| d.transfer_ns), of(|d| d.service_b_ns));
    let held = !setup.link.release_after_transfer;
    let in_slot: Vec<f64> = transfer.iter().zip(&b).map(|(t, b)| t + if held { *b } else { 0.0 }).collect();
    let of_bill = from_ns(scaling, setup);
    let visits = |station: usize| -> Vec<Visit> {
        let visit = |i: usize| {
            let sent = demands[i].sent.as_nanos() as f64;
            let due = sent + slo_ns;
            let before = [0.0, a[i], a[i] + transfer[i]][station];
            let after = a[i] + transfer[i] + b[i] + demands[i].overhead_ns as f64 - before;
            // A promise that ended before may have been broken before the bill begins.
            let counts = sent > of_bill && due >= interval_ns && due < end_ns;
            let demand_ns = [a[i], in_slot[i], b[i]][station];
            Visit { from_ns: sent + before, demand_ns, begin_ns: due - after, counts }
        };
        (0..demands.len()).map(visit).collect()
    };
    let (most_a, most_b) = (config.pods_max.a as usize, config.pods_max.b as usize);
    let slots = slots(model, seed);
    // The simulation that tells them ends with the load: a slower one may meet more.
    let most_slots = model.most_slots() as usize;
    let [orderly_a, orderly_b] = orderly(scaling, model, [&a, &b]);
    let mut order = Order::new(demands.len());
    let nothing = || guess.then(|| Slack::nothing(demands.len()));
    let slack_a = nothing().or_else(|| orderly_a.then(|| order.through(&a, most_a)));
    let slack_link = (orderly_b && !guess).then(|| {
        // Who passes whom, the transfer alone decides; how long a slot is held, B's service too.
        let slack = order.clone().through(&in_slot, most_slots);
        order.through(&transfer, most_slots);
        slack
    });
    let slack_b = nothing().or_else(|| orderly_b.then(|| order.through(&b, most_b)));
    // Who is too late even alone is missed, and so is whom the slots make wait too long.
    let mut missed: Vec<bool> =
        visits(0).iter().map(|visit| visit.counts && visit.begin_ns < visit.from_ns).collect();
    let left = |station: usize, missed: &[bool]| -> Vec<Visit> {
        let visits = visits(station).into_iter().zip(missed);
        visits.map(|(visit, missed)| Visit { counts: visit.counts && !missed, ..visit }).collect()
    };
    let link = Station::new(&left(1, &missed), slack_link.as_ref(), most_slots);
    link.missed(&slots).into_iter().for_each(|request| missed[request] = true);
    let station_a = Station::new(&left(0, &missed), slack_a.as_ref(), most_a);
    let station_b = Station::new(&left(2, &missed), slack_b.as_ref(), most_b);
    Ok(([station_a, station_b], missed.iter().filter(|&&missed| missed).count() as u64))
}

/// After when a request must be sent for its miss to be on the bill: where it may end before its promise does, after the first
/// interval \[ns\].
fn from_ns(scaling: &Scaling, setup: &Setup) -> f64 {
    let lost = setup.deadline_s.is_some_and(|deadline_s| deadline_s <= scaling.config().slo_s);
    let refused =
        [setup.a.queue_limit, setup.link.queue_limit, setup.b.queue_limit].iter().any(Option::is_some);
    let failed = setup.a.failure.is_some() || setup.b.failure.is_some();
    if lost || refused || failed { scaling.interval_ns() as f64 } else { -1.0 }
}

/// Whether the requests come through A, and through all to B's end, each in its turn.
fn orderly(scaling: &Scaling, model: &Model, [a, b]: [&[f64]; 2]) -> [bool; 2] {
    let (config, setup) = (scaling.config(), model.setup());
    let plain = |stage: &StageSetup| {
        stage.balancer == Balancer::CentralQueue
            && stage.queue_limit.is_none()
            && stage.failure.is_none()
            // When a limited pod stands still is not in its demand.
            && stage.cpu_limit.is_none()
    };
    // Within an interval all that pods given up had is done, so that never more pods are busy than may be asked for.
    let wanted =
        [f64::from(config.pods_max.a) * setup.a.cpu_share, f64::from(config.pods_max.b) * setup.b.cpu_share];
    let slowed = |stage: &StageSetup, wanted: f64| {
        stage.cores.map_or(1.0, |cores| (wanted / f64::from(cores)).max(1.0) * (1.0 + 1e-9))
    };
    let (slow_a, slow_b) = match setup.one_node {
        true => (slowed(&setup.a, wanted[0] + wanted[1]), slowed(&setup.a, wanted[0] + wanted[1])),
        false => (slowed(&setup.a, wanted[0]), slowed(&setup.b, wanted[1])),
    };
    let longest = |demands: &[f64]| demands.iter().copied().fold(0.0, f64::max);
    let interval_ns = scaling.interval_ns() as f64;
    let short = [longest(a) * slow_a < interval_ns, longest(b) * slow_b < interval_ns];
    let in_turn_a =
        plain(&setup.a) && setup.deadline_s.is_none() && short[0] && (!setup.one_node || short[1]);
    [in_turn_a, in_turn_a && plain(&setup.b) && setup.link.queue_limit.is_none() && short[1]]
}

/// Most pods' worth of work that the cores of a stage do at once.
fn cores(stage: &StageSetup) -> f64 {
    stage.cores.map_or(f64::INFINITY, |cores| f64::from(cores) / stage.cpu_share * (1.0 + 1e-9))
}

/// Slots over time, which no decision moves: from when, and how many.
fn slots(model: &Model, seed: u64) -> Vec<(f64, usize)> {
    let mut simulation = Simulation::of(model, seed, 0);
    let mut steps = vec![(0.0, simulation.slots() as usize)];
    if model.setup().link.slots_change.is_some() {
        while let Some(event) = simulation.step() {
            if event.kind == Kind::Slots {
                steps.push((event.time.as_nanos() as f64, simulation.slots() as usize));
            }
        }
    }
    steps
}
