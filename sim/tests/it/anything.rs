//! Everything a setup can say, at random, all at once: the books must close whatever happens.

use proptest::prelude::*;
use splitscale_sim::trace::BandwidthTrace;
use splitscale_sim::{
    Arrivals, Bandwidth, ChainState, CpuLimit, Failure, Payload, Recorded, ScrapeSetup, Setup, SimError,
    SimTime, Simulation, SlotsChange, SlotsStep, StageSetup, Transfer,
};
use splitscale_spec::{Balancer, Replicas, ServiceLaw, Status};

use crate::properties::law;

fn maybe<T: std::fmt::Debug + Clone + 'static>(
    some: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    prop_oneof![Just(None), some.prop_map(Some)].boxed()
}

fn stage() -> impl Strategy<Value = StageSetup> {
    let balancer = prop_oneof![
        Just(Balancer::CentralQueue),
        Just(Balancer::Random),
        Just(Balancer::RoundRobin),
        Just(Balancer::ShortestQueue)
    ];
    let failure = (0.05..1.0, law())
        .prop_map(|(mean_s, restart)| Failure { after: ServiceLaw::Exponential { mean_s }, restart });
    let limit = (0.05..0.95, 0.01..0.2).prop_map(|(cores, period_s)| CpuLimit { cores, period_s });
    let slowed = (maybe(1u32..4), 0.3..=1.0, maybe(limit)).prop_map(|(cores, cpu_share, cpu_limit)| {
        if cpu_limit.is_some() { (None, 1.0, cpu_limit) } else { (cores, cpu_share, None) }
    });
    (1u32..6, law(), balancer, maybe(0u32..5), slowed, law(), maybe(failure)).prop_map(
        |(pods, service, balancer, queue_limit, (cores, cpu_share, cpu_limit), start_up, failure)| {
            StageSetup {
                balancer,
                queue_limit,
                cores,
                cpu_share,
                cpu_limit,
                start_up,
                failure,
                ..StageSetup::new(pods, service)
            }
        },
    )
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let trace = || {
        let text = "0 40\n0.1 0\n0.15 200\n0.4 3\n";
        Recorded::of("trace", BandwidthTrace::from_text("trace", text).unwrap())
    };
    let bandwidth = prop_oneof![
        (1.0..500.0).prop_map(Bandwidth::PerSlotMbitS),
        (1.0..500.0).prop_map(Bandwidth::WholeMbitS),
        Just(Bandwidth::PerSlotTrace(trace())),
        Just(Bandwidth::WholeTrace(trace())),
    ];
    prop_oneof![
        law().prop_map(Transfer::Law),
        (bandwidth, 0.0..0.02).prop_map(|(bandwidth, rtt_s)| Transfer::Bytes { bandwidth, rtt_s }),
    ]
}

fn slots_change() -> impl Strategy<Value = SlotsChange> {
    let state = |value: u32| ChainState { value: f64::from(value), mean_dwell_s: 0.1, next: None };
    prop_oneof![
        (1u32..6, 1u32..6, maybe(1.0..2.0)).prop_map(|(first, second, period_s)| SlotsChange::Schedule {
            steps: vec![SlotsStep { at_s: 0.1, slots: first }, SlotsStep { at_s: 0.5, slots: second }],
            period_s,
        }),
        (1u32..6, 1u32..6).prop_map(move |(x, y)| SlotsChange::Markov(vec![state(x), state(y)])),
    ]
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    let requests = 1u32..80;
    let state = |value, mean_dwell_s| ChainState { value, mean_dwell_s, next: None };
    prop_oneof![
        requests.clone().prop_map(Arrivals::Burst),
        (1u32..20, requests.clone(), law()).prop_map(|(clients, requests, think)| Arrivals::ClosedLoop {
            clients,
            requests,
            think
        }),
        (1.0..1e4, requests.clone())
            .prop_map(|(rate_per_s, requests)| Arrivals::Poisson { rate_per_s, requests }),
        requests.clone().prop_map(|requests| Arrivals::Renewal {
            gap: ServiceLaw::Weibull { mean_s: 0.01, cv: 3.0 },
            requests
        }),
        requests.clone().prop_map(move |requests| Arrivals::Mmpp {
            states: vec![state(100.0, 0.1), state(0.0, 0.3), state(5.0, 0.1)],
            requests
        }),
        requests.prop_map(|requests| Arrivals::Diurnal {
            mean_per_s: 50.0,
            amplitude: 1.0,
            period_s: 2.0,
            shift_s: 0.3,
            requests
        }),
    ]
}

fn setups() -> impl Strategy<Value = Setup> {
    let link = (1u32..6, maybe(slots_change()), transfer(), maybe(0u32..5), any::<bool>(), any::<bool>());
    let run = (maybe(0.001..0.5), maybe(0.05..3.0), any::<bool>(), any::<bool>());
    (stage(), stage(), link, law(), arrivals(), run).prop_map(|(a, b, link, overhead, arrivals, run)| {
        let (slots, slots_change, transfer, queue_limit, release_after_transfer, hold_a) = link;
        let (deadline_s, horizon_s, one_node, scrape) = run;
        let one_node = one_node && a.cores.is_some() && b.cpu_limit.is_none();
        let b = StageSetup { cores: if one_node { None } else { b.cores }, ..b };
        let link = splitscale_sim::LinkSetup {
            slots,
            slots_change,
            transfer,
            payload: Some(Payload::Bytes(100_000)),
            queue_limit,
            release_after_transfer,
            hold_a,
        };
        Setup {
            a,
            link,
            b,
            overhead,
            arrivals,
            deadline_s,
            slo_s: Some(0.2),
            one_node,
            // A load that starts over for ever must end somewhere.
            horizon_s: Some(horizon_s.unwrap_or(30.0)),
            warm_up_s: 0.0,
            scrape: scrape.then_some(ScrapeSetup { every_s: 0.1, window_s: 0.5 }),
            records: true,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// The end of a run audits conservation and Little's law itself, with what is unfinished.
    #[test]
    fn the_books_close(
        setup in setups(),
        seed: u64,
        changes in prop::collection::vec((0.0..2.0, 1u32..6, 1u32..6, 1u32..6), 0..6),
    ) {
        let run = |setup: &Setup| {
            let mut simulation = Simulation::new(setup, seed, 0).unwrap();
            for &(time_s, a, slots, b) in &changes {
                simulation.advance(SimTime::from_secs_f64(time_s));
                simulation.set_slots(slots).unwrap();
                simulation.apply(Replicas { a, b }).unwrap();
                simulation = simulation.clone();
            }
            simulation.run_to_end()
        };
        let outcome = run(&setup);
        if outcome == Err(SimError::Nothing) {
            return Ok(());
        }
        prop_assert!(outcome.is_ok(), "{:?}", outcome);
        let outcome = outcome.unwrap();
        let ended = outcome.latency.answered + outcome.refused + outcome.failed + outcome.lost;
        prop_assert_eq!(outcome.requests, ended + outcome.unfinished);
        prop_assert_eq!(outcome.trail.len() as u64, ended);
        for (status, count) in [
            (Status::Answered, outcome.latency.answered),
            (Status::Refused, outcome.refused),
            (Status::Failed, outcome.failed),
            (Status::Lost, outcome.lost),
        ] {
            prop_assert_eq!(outcome.trail.iter().filter(|r| r.status == status).count() as u64, count);
        }
        let within = outcome.trail.iter().filter(|r| r.status == Status::Answered && r.latency_ns() <= 200_000_000);
        prop_assert_eq!(outcome.within_slo, Some(within.count() as u64));
        for r in &outcome.trail {
            let phases = [
                r.queue_a_ns, r.service_a_ns, r.queue_proxy_ns, r.transfer_ns, r.queue_b_ns, r.service_b_ns, r.back_ns,
            ];
            prop_assert_eq!(phases.iter().sum::<u64>(), r.latency_ns(), "{:?}", r);
            let deadline_ns = setup.deadline_s.map_or(u64::MAX, |s| SimTime::from_secs_f64(s).as_nanos());
            prop_assert!(r.latency_ns() <= deadline_ns);
        }
        // Keeping records changes nothing that happens.
        let without = run(&Setup { records: false, ..setup.clone() }).unwrap();
        prop_assert_eq!(without.fingerprint, outcome.fingerprint);
        // Nor do scrapes.
        let unseen = run(&Setup { scrape: None, ..setup.clone() }).unwrap();
        prop_assert_eq!(unseen.fingerprint, outcome.fingerprint);
    }
}
