//! Bound, search, and the discretised problem.

use splitscale_rl::referee::{Bound, Found, SearchConfig};
use splitscale_rl::scaling::{ActionKind, Bill, Scaling, ScalingConfig};
use splitscale_sim::{
    Arrivals, Bandwidth, ChainState, MAX_REQUESTS, Setup, SlotsChange, SlotsStep, StageSetup, Transfer,
};
use splitscale_spec::{Balancer, CostConfig, Replicas, ServiceLaw};

use crate::scaling::{BOTH, config, setup};

fn played(scaling: &Scaling, (scenario, seed): (usize, u64), pods: &[Replicas]) -> Bill {
    let mut world = scaling.clone();
    world.begin_in(scenario, seed);
    let mut next = pods.iter();
    world.episode(|_| *next.next().unwrap())
}

fn law(mean_s: f64, cv: f64) -> ServiceLaw {
    ServiceLaw::Gamma { mean_s, cv }
}

/// Pipelines of many kinds.
fn world(actions: ActionKind, decisions: u32) -> Scaling {
    let steps = |slots: [u32; 3]| SlotsChange::Schedule {
        steps: (0u32..).zip(slots).map(|(i, slots)| SlotsStep { at_s: 40.0 * f64::from(i), slots }).collect(),
        period_s: Some(120.0),
    };
    let base = || setup(4, 8);
    let with = |change: &dyn Fn(&mut Setup)| {
        let mut setup = base();
        change(&mut setup);
        setup
    };
    let steady = with(&|s| s.a.service = law(0.2, 0.2));
    let moving = with(&|s| {
        s.link.slots_change = Some(steps([8, 2, 4]));
        (s.a.service, s.b.service) = (law(0.2, 0.3), law(0.15, 0.3));
    });
    let bursty = with(&|s| {
        let state = |value, mean_dwell_s| ChainState { value, mean_dwell_s, next: None };
        s.arrivals =
            Arrivals::Mmpp { states: vec![state(5.0, 30.0), state(28.0, 15.0)], requests: MAX_REQUESTS };
        (s.a.service, s.b.service) = (law(0.2, 0.1), law(0.2, 0.1));
    });
    let slow = with(&|s| {
        s.arrivals = bursty.arrivals.clone();
        s.a.start_up = ServiceLaw::Deterministic { value_s: 12.0 };
        s.b.start_up =
            ServiceLaw::Shifted { shift_s: 7.0, law: Box::new(ServiceLaw::Exponential { mean_s: 4.0 }) };
        s.link.transfer = Transfer::Law(law(0.08, 0.5));
    });
    let shared = with(&|s| {
        s.link.transfer = Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(150.0), rtt_s: 0.01 };
        s.link.release_after_transfer = true;
        (s.a.cores, s.b.cores) = (Some(3), Some(2));
        s.arrivals = Arrivals::Diurnal {
            mean_per_s: 10.0,
            amplitude: 0.8,
            period_s: 100.0,
            shift_s: 0.0,
            requests: MAX_REQUESTS,
        };
    });
    let impatient = with(&|s| {
        s.deadline_s = Some(3.0);
        s.b.balancer = Balancer::ShortestQueue;
        s.link.hold_a = true;
    });
    let setups = [
        ("exponential", base()),
        ("steady", steady),
        ("moving", moving),
        ("bursty", bursty.clone()),
        ("slow", slow),
        ("shared", shared),
        ("impatient", impatient),
    ];
    let config = ScalingConfig { actions, decisions, ..config() };
    Scaling::new(config, setups.map(|(name, setup)| (name.into(), setup)).into()).unwrap()
}

#[test]
fn bound_below_search_below_every_static_allocation() {
    for actions in [ActionKind::Absolute, ActionKind::Step] {
        let world = world(actions, 30);
        for scenario in 0..world.scenarios().len() {
            for seed in 0..2 {
                let search = SearchConfig { beam: 4, steps: 6_000 };
                let found = Found::search(&world, (scenario, seed), search, &[]).unwrap();
                println!(
                    "{} {seed}: bound {:.0} found {:.0} static {:?} {:.0} misses {} hopeless {} told {:?}",
                    world.scenarios()[scenario].name,
                    found.bound.cost,
                    found.bill.cost,
                    found.best_static,
                    found.static_bill.cost,
                    found.bill.misses,
                    found.bound.hopeless,
                    found.bound.told
                );
                assert!(found.bound.cost <= found.bill.cost);
                assert!(found.bill.cost <= found.static_bill.cost);
                assert_eq!(played(&world, (scenario, seed), &found.pods), found.bill);
            }
        }
    }
}
