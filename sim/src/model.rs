//! A setup that was checked and made ready to run.

use std::sync::Arc;

use splitscale_spec::{Balancer, Bottleneck, Invalid};

use crate::arrivals::Arrivals;
use crate::chain::ChainState;
use crate::chance::Samplers;
use crate::event::Kind;
use crate::law::Sampler;
use crate::link::Rates;
use crate::pods::Life;
use crate::setup::{Bandwidth, Setup, SlotsChange, StageSetup, Transfer};
use crate::source::Load;
use crate::time::{SimTime, nanos};

/// Ready to run, as often as one likes: a clone shares it.
#[derive(Debug, Clone)]
pub struct Model(Arc<Ready>);

/// All that does not change during a run.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) setup: Setup,
    pub(crate) laws: Samplers,
    pub(crate) load: Load,
    pub(crate) rules: Rules,
    /// Most requests of a run.
    pub(crate) requests: u32,
    /// Where the link is shared or changes.
    pub(crate) rates: Option<Rates>,
    /// Size of what a transfer carries \[bytes\].
    pub(crate) payload_bytes: Option<u64>,
    pub(crate) rtt_ns: u64,
    pub(crate) slots: Option<SlotsPlan>,
    pub(crate) life_a: Life,
    pub(crate) life_b: Life,
    /// Whether pods crash, so that events may have become void.
    pub(crate) crashes: bool,
    pub(crate) deadline_ns: Option<u64>,
    /// Zero where nothing is promised.
    pub(crate) slo_ns: u64,
    pub(crate) horizon: Option<SimTime>,
    pub(crate) warm_up: SimTime,
    /// Keep this share of the arrivals, where not all.
    pub(crate) thin: Option<f64>,
}

/// What the way of a request asks at every step, close at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The cores of A's pods are scarce, those of B's.
    pub(crate) node_a: bool,
    pub(crate) node_b: bool,
    /// A's pods may use up their quota, B's.
    pub(crate) limit_a: bool,
    pub(crate) limit_b: bool,
    /// Transfers go over a link that is shared or changes.
    pub(crate) link: bool,
    pub(crate) hold_a: bool,
    pub(crate) release_after_transfer: bool,
    pub(crate) deadline: bool,
    pub(crate) observed: bool,
    /// The load goes on only when something ended.
    pub(crate) closed: bool,
    pub(crate) records: bool,
    /// Not every arrival is kept.
    pub(crate) thin: bool,
    /// The kinds of event, one bit each, that may have become void.
    pub(crate) may_be_void: u16,
    /// None of these but observed, closed and records; one queue a station and room for all to wait: the way has code of
    /// its own for that.
    pub(crate) plain: bool,
}

impl Rules {
    pub(crate) const PLAIN: Rules = Rules {
        node_a: false,
        node_b: false,
        limit_a: false,
        limit_b: false,
        link: false,
        hold_a: false,
        release_after_transfer: false,
        deadline: false,
        observed: false,
        closed: false,
        records: false,
        thin: false,
        may_be_void: 1 << Kind::PodReady as u16,
        plain: true,
    };
}

/// How the number of slots changes by itself.
#[derive(Debug)]
pub(crate) enum SlotsPlan {
    /// At \[ns\], to; anew after the period.
    Steps {
        steps: Vec<(u64, u32)>,
        period_ns: Option<u64>,
    },
    Markov(Vec<ChainState>),
}

impl Model {
    /// Checks every field of a setup and prepares what it says.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn of(setup: &Setup) -> Result<Model, Invalid> {
        setup.validate()?;
        let (load, gap) = Load::of(&setup.arrivals);
        let (transfer, rates, rtt_ns) = transfer(setup);
        let life = |stage: &StageSetup| Life {
            start_up: Sampler::of(&stage.start_up),
            failure: stage.failure.as_ref().map(|f| (Sampler::of(&f.after), Sampler::of(&f.restart))),
        };
        let thin = setup.arrivals.scale().thin;
        Ok(Model(Arc::new(Ready {
            laws: Samplers {
                service_a: Sampler::of(&setup.a.service),
                transfer,
                service_b: Sampler::of(&setup.b.service),
                overhead: Sampler::of(&setup.overhead),
                gap,
            },
            load,
            rules: rules(setup, rates.is_some()),
            requests: setup.arrivals.requests(),
            rates,
            payload_bytes: setup.link.payload.map(|payload| payload.bytes()),
            rtt_ns,
            slots: setup.link.slots_change.as_ref().map(slots_plan),
            life_a: life(&setup.a),
            life_b: life(&setup.b),
            crashes: setup.a.failure.is_some() || setup.b.failure.is_some(),
            deadline_ns: setup.deadline_s.map(nanos),
            slo_ns: setup.slo_s.map_or(0, nanos),
            horizon: setup.horizon_s.map(SimTime::from_secs_f64),
            warm_up: SimTime::from_secs_f64(setup.warm_up_s),
            thin: (thin < 1.0).then_some(thin),
            setup: setup.clone(),
        })))
    }

    /// Most transfer slots there are at any time, as far as nobody sets others.
    pub fn most_slots(&self) -> u32 {
        let changed = match &self.0.slots {
            None => None,
            Some(SlotsPlan::Steps { steps, .. }) => steps.iter().map(|step| step.1).max(),
            Some(SlotsPlan::Markov(states)) => states.iter().map(|state| state.value as u32).max(),
        };
        changed.unwrap_or(0).max(self.setup().link.slots)
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.0.setup
    }

    /// Where more comes than the pipeline carries and queues may grow for ever: what the load is bounded by,
    /// and the utilisation there, at least 1. Absent for closed loads, bursts and deadlines, and where slots
    /// change. A bounded queue lets through what its station carries.
    pub fn overload(&self) -> Option<(Bottleneck, f64)> {
        let setup = self.setup();
        let (a, b, link) = (&setup.a, &setup.b, &setup.link);
        let rate = setup.arrivals.rate_per_s()?;
        if setup.deadline_s.is_some() || link.slots_change.is_some() {
            return None;
        }
        let held_s = if link.release_after_transfer { 0.0 } else { b.service.mean_s() };
        let slots = self
            .transfer_s()
            .map_or(f64::INFINITY, |transfer_s| f64::from(link.slots) / (transfer_s + held_s));
        let network = slots.min(self.whole_link_per_s().unwrap_or(f64::INFINITY));
        let stations = [
            (Bottleneck::A, stage_per_s(a), a.queue_limit),
            (Bottleneck::Network, network, link.queue_limit),
            (Bottleneck::B, stage_per_s(b), b.queue_limit),
        ];
        let (mut flow, mut worst) = (rate, None::<(Bottleneck, f64)>);
        for (name, per_s, limit) in stations {
            let load = flow / per_s;
            if limit.is_none() && load >= 1.0 && worst.is_none_or(|(_, most)| load > most) {
                worst = Some((name, load));
            }
            // What a station without a bound cannot carry waits before it; the bounds further on are told of
            // the whole load, as pods added here would send it on.
            if limit.is_some() {
                flow = flow.min(per_s);
            }
        }
        if setup.one_node {
            let cores = a.cores.map_or(f64::INFINITY, f64::from);
            let work_s = a.cpu_share * a.service.mean_s() + b.cpu_share * b.service.mean_s();
            let load = rate * work_s / cores;
            if load >= 1.0 && worst.is_none_or(|(_, most)| load > most) && a.queue_limit.is_none() {
                worst = Some((Bottleneck::A, load));
            }
        }
        worst
    }

    /// What a link of all transfers together carries in the long run \[1/s\].
    fn whole_link_per_s(&self) -> Option<f64> {
        let Transfer::Bytes { bandwidth, .. } = &self.setup().link.transfer else { return None };
        let mbit_s = match bandwidth {
            Bandwidth::PerSlotMbitS(_) => return None,
            Bandwidth::WholeMbitS(mbit_s) => *mbit_s,
            Bandwidth::WholeTrace(recorded) => recorded.data.as_ref()?.mean_mbit_s(),
            Bandwidth::PerSlotTrace(recorded) => {
                recorded.data.as_ref()?.mean_mbit_s() * f64::from(self.setup().link.slots)
            }
        };
        Some(mbit_s / (self.0.payload_bytes? as f64 * 8e-6))
    }

    /// Mean time of a transfer that has the link to itself \[s\]; absent where the bandwidth changes.
    pub(crate) fn transfer_s(&self) -> Option<f64> {
        match &self.setup().link.transfer {
            Transfer::Law(law) => Some(law.mean_s()),
            Transfer::Bytes { bandwidth, rtt_s } => match bandwidth {
                Bandwidth::PerSlotMbitS(mbit_s) | Bandwidth::WholeMbitS(mbit_s) => {
                    Some(self.0.payload_bytes? as f64 * 8e-6 / mbit_s + rtt_s)
                }
                Bandwidth::PerSlotTrace(_) | Bandwidth::WholeTrace(_) => None,
            },
        }
    }

    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.0
    }
}

/// What the pods of a stage carry in the long run, as often as they are there \[1/s\].
fn stage_per_s(stage: &StageSetup) -> f64 {
    let there = stage
        .failure
        .as_ref()
        .map_or(1.0, |failure| failure.after.mean_s() / (failure.after.mean_s() + failure.restart.mean_s()));
    let cores = stage.cores.map_or(f64::INFINITY, |cores| f64::from(cores) / stage.cpu_share);
    (f64::from(stage.pods) * there).min(cores) / stage.held_s()
}

fn rules(setup: &Setup, link: bool) -> Rules {
    let crashes = setup.a.failure.is_some() || setup.b.failure.is_some();
    let always = [Kind::Cores, Kind::Link, Kind::PodReady, Kind::Crash, Kind::Deadline];
    let after_a_crash = [Kind::ServedA, Kind::ServedB].into_iter().filter(|_| crashes);
    let shared_b = if setup.one_node { setup.a.cores } else { setup.b.cores };
    let stages = [&setup.a, &setup.b];
    let plain = stages.iter().all(|stage| {
        stage.cores.is_none()
            && stage.cpu_limit.is_none()
            && stage.queue_limit.is_none()
            && stage.balancer == Balancer::CentralQueue
    }) && setup.link.queue_limit.is_none()
        && !(crashes || link || setup.link.hold_a || setup.link.release_after_transfer)
        && setup.deadline_s.is_none();
    Rules {
        plain,
        node_a: setup.a.cores.is_some(),
        node_b: shared_b.is_some(),
        limit_a: setup.a.cpu_limit.is_some(),
        limit_b: setup.b.cpu_limit.is_some(),
        link,
        hold_a: setup.link.hold_a,
        release_after_transfer: setup.link.release_after_transfer,
        deadline: setup.deadline_s.is_some(),
        observed: setup.scrape.is_some(),
        closed: matches!(setup.arrivals, Arrivals::ClosedLoop { .. }),
        records: setup.records,
        thin: setup.arrivals.scale().thin < 1.0,
        may_be_void: always.into_iter().chain(after_a_crash).fold(0, |kinds, kind| kinds | 1 << kind as u16),
    }
}

/// The law of the transfer time where it needs no link; otherwise the link, and its round trip \[ns\].
fn transfer(setup: &Setup) -> (Sampler, Option<Rates>, u64) {
    let (bandwidth, rtt_s) = match &setup.link.transfer {
        Transfer::Law(law) => return (Sampler::of(law), None, 0),
        Transfer::Bytes { bandwidth, rtt_s } => (bandwidth, *rtt_s),
    };
    let bytes = setup.link.payload.map_or(0, |payload| payload.bytes());
    let (mut steps, mut period_ns) = (Vec::new(), u64::MAX);
    let whole = matches!(bandwidth, Bandwidth::WholeMbitS(_) | Bandwidth::WholeTrace(_));
    match bandwidth {
        Bandwidth::PerSlotMbitS(mbit_s) => {
            return (Sampler::Constant(nanos(bytes as f64 * 8e-6 / mbit_s + rtt_s)), None, 0);
        }
        Bandwidth::WholeMbitS(mbit_s) => steps.push((0, *mbit_s)),
        Bandwidth::PerSlotTrace(recorded) | Bandwidth::WholeTrace(recorded) => {
            if let Some(trace) = &recorded.data {
                steps.clone_from(&trace.steps);
                period_ns = if trace.steps.len() > 1 { trace.period_ns } else { u64::MAX };
            }
        }
    }
    (Sampler::Constant(0), Some(Rates::new(steps, period_ns, whole)), nanos(rtt_s))
}

fn slots_plan(change: &SlotsChange) -> SlotsPlan {
    match change {
        SlotsChange::Schedule { steps, period_s } => SlotsPlan::Steps {
            steps: steps.iter().map(|step| (nanos(step.at_s), step.slots)).collect(),
            period_ns: period_s.map(nanos),
        },
        SlotsChange::Trace(recorded) => {
            let trace = recorded.data.as_ref();
            SlotsPlan::Steps {
                steps: trace.map_or(Vec::new(), |t| {
                    t.steps.iter().map(|&(at_ns, slots)| (at_ns, slots as u32)).collect()
                }),
                period_ns: trace.filter(|t| t.steps.len() > 1).map(|t| t.period_ns),
            }
        }
        SlotsChange::Markov(states) => SlotsPlan::Markov(states.clone()),
    }
}
