//! What holds for every configuration.

use proptest::prelude::*;
use splitscale_sim::{Arrivals, Setup, SimTime, Simulation};
use splitscale_spec::{Laws, Replicas, ServiceLaw};

pub(crate) fn law() -> impl Strategy<Value = ServiceLaw> {
    let parts = (plain(), plain(), 0.01..0.99, 0.0..0.1);
    prop_oneof![
        3 => plain(),
        1 => parts.prop_map(|(first, second, share, shift_s)| match share < 0.5 {
            true => ServiceLaw::Mixture { share, first: Box::new(first), second: Box::new(second) },
            false => ServiceLaw::Shifted { shift_s, law: Box::new(first) },
        }),
    ]
}

fn plain() -> impl Strategy<Value = ServiceLaw> {
    prop_oneof![
        (0u32..4).prop_map(|ms| ServiceLaw::Deterministic { value_s: f64::from(ms) * 1e-3 }),
        (1e-6..1.0).prop_map(|mean_s| ServiceLaw::Exponential { mean_s }),
        prop::collection::vec(0.0..0.1, 1..6).prop_map(|mut quantiles_s| {
            quantiles_s.sort_by(f64::total_cmp);
            ServiceLaw::Empirical { quantiles_s }
        }),
    ]
}

fn laws() -> impl Strategy<Value = Laws> {
    (law(), law(), law(), law()).prop_map(|(service_a, transfer, service_b, overhead)| Laws {
        service_a,
        transfer,
        service_b,
        overhead,
        ..Laws::default()
    })
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    prop_oneof![
        (1u32..80).prop_map(Arrivals::Burst),
        (1u32..20, 1u32..80).prop_map(|(clients, requests)| Arrivals::ClosedLoop {
            clients,
            requests,
            think: ServiceLaw::Deterministic { value_s: 0.0 }
        }),
        (1.0..1e4, 1u32..80).prop_map(|(rate_per_s, requests)| Arrivals::Poisson { rate_per_s, requests }),
    ]
}

fn setups() -> impl Strategy<Value = Setup> {
    (laws(), arrivals(), 1u32..6, 1u32..6, 1u32..6).prop_map(|(laws, arrivals, a, slots, b)| Setup {
        records: true,
        ..Setup::new(Replicas { a, b }, slots, &laws, arrivals)
    })
}

proptest! {
    /// The end of a run audits conservation and Little's law itself; changes under way must not upset them.
    #[test]
    fn every_request_is_answered_whatever_is_changed(
        setup in setups(),
        seed: u64,
        changes in prop::collection::vec((0.0..2.0, 1u32..6, 1u32..6, 1u32..6), 0..6),
    ) {
        let mut simulation = Simulation::new(&setup, seed, 0).unwrap();
        for (time_s, a, slots, b) in changes {
            simulation.advance(SimTime::from_secs_f64(time_s));
            simulation.set_slots(slots).unwrap();
            simulation.apply(Replicas { a, b }).unwrap();
        }
        let outcome = simulation.run_to_end();
        prop_assert!(outcome.is_ok(), "{:?}", outcome);
        prop_assert_eq!(outcome.unwrap().trail.len() as u32, setup.arrivals.requests());
    }

    /// The plain pipeline has code of its own; single steps go through the general one.
    #[test]
    fn step_by_step_is_the_same_run(setup in setups(), seed: u64) {
        let whole = Simulation::new(&setup, seed, 0).unwrap().run_to_end().unwrap();
        let mut simulation = Simulation::new(&setup, seed, 0).unwrap();
        let events = std::iter::from_fn(|| simulation.step()).count() as u64;
        prop_assert_eq!(events, whole.events);
        prop_assert_eq!(simulation.run_to_end().unwrap(), whole);
    }

    /// No makespan beats the work of a station divided among its servers, nor the longest single way.
    #[test]
    fn no_run_is_faster_than_its_work(setup in setups(), seed: u64) {
        let outcome = Simulation::new(&setup, seed, 0).unwrap().run_to_end().unwrap();
        let trail = &outcome.trail;
        let last = trail.iter().map(|r| r.done()).max().unwrap();
        let span = last.since(trail.iter().map(|r| r.sent).min().unwrap());
        let work = |of: fn(&splitscale_sim::Request) -> u64| trail.iter().map(of).sum::<u64>();
        prop_assert!(span * u64::from(setup.a.pods) >= work(|r| r.service_a_ns));
        prop_assert!(span * u64::from(setup.b.pods) >= work(|r| r.service_b_ns));
        prop_assert!(
            span * u64::from(setup.link.slots) >= work(|r| r.transfer_ns + r.queue_b_ns + r.service_b_ns)
        );
        for r in trail {
            prop_assert!(r.latency_ns() >= r.service_a_ns + r.transfer_ns + r.service_b_ns + r.back_ns);
            prop_assert!(r.latency_ns() <= span);
        }
    }

    /// At no instant does a server serve two requests, and each queue is first come first served.
    #[test]
    fn a_server_serves_one_at_a_time(setup in setups(), seed: u64) {
        let outcome = Simulation::new(&setup, seed, 0).unwrap().run_to_end().unwrap();
        let mut stays = [Vec::new(), Vec::new(), Vec::new()];
        for r in &outcome.trail {
            let at_a = r.sent.after(r.queue_a_ns);
            let at_proxy = at_a.after(r.service_a_ns);
            let at_slot = at_proxy.after(r.queue_proxy_ns);
            let at_b = at_slot.after(r.transfer_ns);
            let in_b = at_b.after(r.queue_b_ns);
            let out = in_b.after(r.service_b_ns);
            // (server, service began, service ended, joined the queue)
            stays[0].push((r.pod_a(), at_a, at_proxy, r.sent));
            stays[1].push((r.slot(), at_slot, out, at_proxy));
            stays[2].push((r.pod_b(), in_b, out, at_b));
        }
        for mut stay in stays {
            for x in &stay {
                for y in &stay {
                    prop_assert!(x.3 >= y.3 || x.1 <= y.1, "overtaken in the queue");
                }
            }
            stay.sort_unstable();
            for pair in stay.windows(2) {
                prop_assert!(pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1, "two at one server");
            }
        }
    }
}
