//! Bad input is named by its field.

use splitscale_sim::{
    Arrivals, Bandwidth, ChainState, CpuLimit, MAX_REQUESTS, Payload, Recorded, Scale, ScrapeSetup, Setup,
    SimError, Simulation, SlotsChange, Transfer, replicate,
};
use splitscale_spec::{Replicas, ServiceLaw};

use crate::{PAPER, constant, setup};

fn good() -> Setup {
    setup(constant, PAPER, (1, 1, 1), Arrivals::Burst(1))
}

#[track_caller]
fn refused(setup: &Setup, field: &str) {
    for error in [Simulation::new(setup, 0, 0).unwrap_err(), replicate(setup, 0, 0, 1).unwrap_err()] {
        let SimError::Invalid(invalid) = &error else { panic!("{error:?}") };
        assert_eq!(invalid.field, field, "{error}");
    }
}

#[track_caller]
fn refused_with(field: &str, spoil: impl FnOnce(&mut Setup)) {
    let mut setup = good();
    spoil(&mut setup);
    refused(&setup, field);
}

#[test]
fn each_bad_field_is_named() {
    refused_with("a.pods", |s| s.a.pods = 0);
    refused_with("b.pods", |s| s.b.pods = 0);
    refused_with("b.cpu_share", |s| s.b.cpu_share = 1.5);
    refused_with("a.cores", |s| s.a.cores = Some(0));
    let limit = |cores, period_s| Some(CpuLimit { cores, period_s });
    refused_with("a.cpu_limit.cores", |s| s.a.cpu_limit = limit(1.0, 0.1));
    refused_with("b.cpu_limit.period_s", |s| s.b.cpu_limit = limit(0.5, 0.0));
    refused_with("a.cpu_limit", |s| s.a.cpu_limit = limit(1e-9, 0.1));
    refused_with("a.cpu_limit", |s| (s.a.cpu_limit, s.a.cores) = (limit(0.5, 0.1), Some(1)));
    refused_with("b.cpu_limit", |s| (s.b.cpu_limit, s.b.cpu_share) = (limit(0.5, 0.1), 0.5));
    refused_with("b.cpu_limit", |s| {
        (s.b.cpu_limit, s.one_node, s.a.cores) = (limit(0.5, 0.1), true, Some(4))
    });
    refused_with("b.cores", |s| (s.one_node, s.a.cores, s.b.cores) = (true, Some(1), Some(1)));
    refused_with("a.cores", |s| s.one_node = true);
    refused_with("a.pods", |s| s.a.pods = 1 << 20);
    refused_with("slo_s", |s| s.slo_s = Some(0.0));
    refused_with("link.slots", |s| s.link.slots = 0);
    refused_with("deadline_s", |s| s.deadline_s = Some(0.0));
    refused_with("horizon_s", |s| (s.horizon_s, s.warm_up_s) = (Some(1.0), 2.0));
    refused_with("warm_up_s", |s| s.warm_up_s = -1.0);
    refused_with("scrape.every_s", |s| s.scrape = Some(ScrapeSetup { every_s: f64::NAN, window_s: 1.0 }));
    refused_with("link.transfer.law.value_s", |s| s.link.transfer = Transfer::Law(constant(f64::NAN)));
    refused_with("link.transfer.law.quantiles_s", |s| {
        s.link.transfer = Transfer::Law(ServiceLaw::Empirical { quantiles_s: vec![0.2, 0.1] });
    });
    let over = |mbit_s| Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(mbit_s), rtt_s: 0.0 };
    refused_with("link.payload", |s| s.link.transfer = over(50.0));
    refused_with("link.transfer.bytes.bandwidth.whole_mbit_s", |s| {
        (s.link.transfer, s.link.payload) = (over(0.0), Some(Payload::Bytes(1)));
    });
    refused_with("link.slots_change.schedule", |s| {
        s.link.slots_change = Some(SlotsChange::Schedule { steps: Vec::new(), period_s: None });
    });
    let state = |value| ChainState { value, mean_dwell_s: 1.0, next: None };
    refused_with("link.slots_change.markov.value", |s| {
        s.link.slots_change = Some(SlotsChange::Markov(vec![state(1.0), state(0.5)]));
    });
    refused_with("link.slots_change.markov", |s| {
        s.link.slots_change = Some(SlotsChange::Markov(vec![state(1.0)]));
    });
    for law in [
        ServiceLaw::Gamma { mean_s: 1.0, cv: 0.0 },
        ServiceLaw::Lognormal { mean_s: 1.0, cv: f64::NAN },
        ServiceLaw::Weibull { mean_s: 1.0, cv: 1e9 },
    ] {
        refused_with("a.service.cv", |s| s.a.service = law);
    }
    refused_with("a.service.stages", |s| s.a.service = ServiceLaw::Erlang { stages: 0, mean_s: 1.0 });
}

#[test]
fn each_bad_load_is_named() {
    let arrivals = |field, arrivals| refused_with(field, |s| s.arrivals = arrivals);
    arrivals("arrivals.requests", Arrivals::Burst(0));
    arrivals("arrivals.requests", Arrivals::Burst(u32::MAX));
    let clients = |clients, requests| Arrivals::ClosedLoop { clients, requests, think: constant(0.0) };
    arrivals("arrivals.requests", clients(1, 0));
    arrivals("arrivals.closed_loop.clients", clients(0, 1));
    let poisson = |rate_per_s, requests| Arrivals::Poisson { rate_per_s, requests };
    arrivals("arrivals.requests", poisson(1.0, 0));
    // Endless, and no horizon.
    arrivals("arrivals.requests", poisson(1.0, MAX_REQUESTS));
    for rate_per_s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        arrivals("arrivals.poisson.rate_per_s", poisson(rate_per_s, 1));
    }
    arrivals("arrivals.renewal.gap", Arrivals::Renewal { gap: constant(0.0), requests: 1 });
    let idle = ChainState { value: 0.0, mean_dwell_s: 1.0, next: None };
    arrivals("arrivals.mmpp.states.value", Arrivals::Mmpp { states: vec![idle.clone(), idle], requests: 1 });
    let day = |amplitude| Arrivals::Diurnal {
        mean_per_s: 1.0,
        amplitude,
        period_s: 1.0,
        shift_s: 0.0,
        requests: 1,
    };
    arrivals("arrivals.diurnal.amplitude", day(1.5));
    let unread = Recorded { file: "a.csv".into(), from_s: 0.0, data: None };
    arrivals(
        "arrivals.stamps.trace",
        Arrivals::Stamps { trace: unread, column: None, scale: Scale::default() },
    );
}

#[test]
fn no_slots_or_no_pods_later_are_refused_too() {
    let mut simulation = Simulation::new(&good(), 0, 0).unwrap();
    assert!(matches!(simulation.set_slots(0), Err(SimError::Invalid(i)) if i.field == "slots"));
    let pods = Replicas { a: 1, b: 0 };
    assert!(matches!(simulation.apply(pods), Err(SimError::Invalid(i)) if i.field == "pods.b"));
}

#[test]
fn a_clock_that_runs_over_is_an_error() {
    let mut setup = good();
    for law in [&mut setup.a.service, &mut setup.overhead, &mut setup.b.service] {
        *law = constant(1e12);
    }
    assert_eq!(Simulation::new(&setup, 0, 0).unwrap().run_to_end(), Err(SimError::EndOfTime));
}
