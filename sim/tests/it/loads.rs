//! Loads: as many requests as they say, when they say.

use splitscale_sim::trace::{Counts, Stamps, Windows};
use splitscale_sim::{
    ArrivalTimes, Arrivals, Bandwidth, ChainState, Demand, MAX_REQUESTS, Model, Outcome, Payload, Recorded,
    Scale, Setup, SimTime, Simulation, Transfer,
};
use splitscale_spec::ServiceLaw;

use crate::{constant, setup};

fn run(arrivals: Arrivals, seed: u64) -> Outcome {
    let setup = Setup { records: true, ..setup(constant, [0.0; 3], (1, 1, 1), arrivals) };
    Simulation::new(&setup, seed, 0).unwrap().run_to_end().unwrap()
}

fn sent_s(outcome: &Outcome) -> Vec<f64> {
    outcome.trail.iter().map(|r| r.sent.as_secs_f64()).collect()
}

/// Mean and coefficient of variation of the gaps.
fn gaps(sent_s: &[f64]) -> (f64, f64) {
    let gaps: Vec<f64> = sent_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    (mean, variance.sqrt() / mean)
}

fn stamps(text: &str, scale: Scale) -> Arrivals {
    let trace = Recorded::of("stamps", Stamps::from_csv("stamps", text, None).unwrap());
    Arrivals::Stamps { trace, column: None, scale }
}

#[test]
fn stamps_are_replayed_to_the_nanosecond() {
    let text = "TIMESTAMP,tokens\r\n2023-11-16 18:17:03.9799600,1\r\n2023-11-16 18:17:04.0319600,2\r\n\
                2023-11-16 18:17:04.0319600,3\r\n2023-11-16 18:17:05.0000000,4";
    let sent =
        |scale| -> Vec<u64> { run(stamps(text, scale), 0).trail.iter().map(|r| r.sent.as_nanos()).collect() };
    assert_eq!(sent(Scale::default()), [0, 52_000_000, 52_000_000, 1_020_040_000]);
    assert_eq!(sent(Scale { compress: 2.0, thin: 1.0 }), [0, 26_000_000, 26_000_000, 510_020_000]);
    let notes = stamps(text, Scale { compress: 2.0, thin: 0.5 }).notes().unwrap();
    assert!(notes.contains("compressed 2 times and thinned to 50 %"), "{notes}");
}

#[test]
fn thinning_keeps_the_times_and_its_share() {
    let text: String = (0..20_000).map(|i| format!("{}\n", f64::from(i) * 0.5)).collect();
    let thin = |share| sent_s(&run(stamps(&text, Scale { compress: 1.0, thin: share }), 3));
    let kept = thin(0.3);
    // 5 standard deviations of a binomial.
    assert!((kept.len() as f64 - 6_000.0).abs() < 5.0 * (20_000.0f64 * 0.3 * 0.7).sqrt(), "{}", kept.len());
    assert!(kept.iter().all(|s| (s * 2.0 - (s * 2.0).round()).abs() < 1e-6));
    // What a smaller share keeps, a larger share keeps too.
    let more = thin(0.6);
    assert!(kept.iter().all(|s| more.binary_search_by(|m| m.total_cmp(s)).is_ok()));
}

#[test]
fn counts_are_kept_and_spread_over_their_bins() {
    let text = "timestamp,value\n0,3\n300,0\n600,2000\n900,1\n";
    let trace = Recorded::of("counts", Counts::from_csv("counts", text).unwrap());
    let sent = sent_s(&run(Arrivals::Counts { trace, scale: Scale::default() }, 1));
    let within = |from: f64, to: f64| sent.iter().filter(|&&s| s >= from && s < to).count();
    assert_eq!(
        [within(0.0, 300.0), within(300.0, 600.0), within(600.0, 900.0), within(900.0, 1200.0)],
        [3, 0, 2000, 1]
    );
    assert!(sent.is_sorted());
    // Uniform: a Kolmogorov-Smirnov distance of 2000 points exceeds 1.95 / sqrt(n) once in a thousand.
    let inside: Vec<f64> = sent.iter().filter(|&&s| (600.0..900.0).contains(&s)).copied().collect();
    let distance = (0..).zip(&inside).map(|(i, s)| ((s - 600.0) / 300.0 - f64::from(i) / 2000.0).abs());
    assert!(distance.fold(0.0, f64::max) < 1.95 / 2000f64.sqrt());
}

#[test]
fn windows_keep_rate_and_variation() {
    let text = "0,2,3.0,Gamma,0,0\n10000,0,0,,0,0\n20000,8,1.5,Weibull,0,0\n30000,8,1.5,Weibull,0,0\n";
    let trace = Recorded::of("windows", Windows::from_csv("windows", text).unwrap());
    let sent = sent_s(&run(Arrivals::Windows { trace, scale: Scale::default() }, 1));
    let part =
        |from: f64, to: f64| -> Vec<f64> { sent.iter().filter(|&&s| s >= from && s < to).copied().collect() };
    // The count of a renewal stream has variance cv^2 n.
    let first = part(0.0, 1e4);
    assert!((first.len() as f64 - 2e4).abs() < 5.0 * 3.0 * 2e4f64.sqrt(), "{}", first.len());
    assert!((gaps(&first).1 / 3.0 - 1.0).abs() < 0.1, "{:?}", gaps(&first));
    assert!(part(1e4, 2e4).is_empty());
    let last = part(2e4, 4e4);
    assert!((last.len() as f64 - 1.6e5).abs() < 5.0 * 1.5 * 1.6e5f64.sqrt(), "{}", last.len());
    assert!((gaps(&last).1 / 1.5 - 1.0).abs() < 0.05, "{:?}", gaps(&last));
}

#[test]
fn renewal_gaps_have_their_mean_and_variation() {
    let gap = ServiceLaw::Gamma { mean_s: 0.1, cv: 2.0 };
    let (mean, cv) = gaps(&sent_s(&run(Arrivals::Renewal { gap, requests: 100_000 }, 1)));
    assert!((mean / 0.1 - 1.0).abs() < 5.0 * 2.0 / 1e5f64.sqrt() && (cv / 2.0 - 1.0).abs() < 0.05);
}

#[test]
fn outside_a_simulation_requests_arrive_at_the_same_times() {
    let text: String = (0..400).map(|i| format!("{}\n", f64::from(i) * 0.5)).collect();
    let rates = Windows::from_text("rates.txt", "0 5\n20 0\n40 30\n").unwrap();
    let states = [40.0, 3.0].map(|value| ChainState { value, mean_dwell_s: 1.0, next: None });
    let scale = Scale::default();
    let loads = [
        Arrivals::Burst(7),
        Arrivals::Poisson { rate_per_s: 3.0, requests: 500 },
        Arrivals::Renewal { gap: ServiceLaw::Gamma { mean_s: 0.1, cv: 2.0 }, requests: 500 },
        Arrivals::Mmpp { states: states.into(), requests: 500 },
        Arrivals::Windows { trace: Recorded::of("rates.txt", rates), scale },
        stamps(&text, Scale { compress: 3.0, thin: 0.4 }),
    ];
    for load in loads {
        let simulated: Vec<SimTime> = run(load.clone(), 5).trail.iter().map(|r| r.sent).collect();
        let alone: Vec<SimTime> = ArrivalTimes::of(&load, 5).unwrap().collect();
        assert_eq!(alone, simulated, "{load:?}");
    }
    let endless = Arrivals::Poisson { rate_per_s: 3.0, requests: MAX_REQUESTS };
    assert_eq!(ArrivalTimes::of(&endless, 5).unwrap().take(1000).count(), 1000);
    let closed =
        Arrivals::ClosedLoop { clients: 1, requests: 1, think: ServiceLaw::Deterministic { value_s: 0.0 } };
    assert!(ArrivalTimes::of(&closed, 5).unwrap_err().to_string().contains("closed loop"));
    let still = Arrivals::Poisson { rate_per_s: 0.0, requests: 1 };
    assert!(ArrivalTimes::of(&still, 5).unwrap_err().to_string().contains("rate_per_s"));
}

#[test]
fn demands_known_in_advance_are_those_that_the_simulation_meets() {
    let exponential = |mean_s| ServiceLaw::Exponential { mean_s };
    let scale = Scale { compress: 2.0, thin: 0.5 };
    let text: String = (0..400).map(|i| format!("{}\n", f64::from(i) * 0.5)).collect();
    for load in [Arrivals::Poisson { rate_per_s: 3.0, requests: MAX_REQUESTS }, stamps(&text, scale)] {
        let mut setup = Setup { records: true, ..setup(exponential, [0.1, 0.02, 0.2], (2, 3, 2), load) };
        setup.horizon_s = Some(50.0);
        let model = Model::of(&setup).unwrap();
        let demands = model.demands(8).unwrap();
        let outcome = Simulation::of(&model, 8, 0).run_to_end().unwrap();
        assert!(
            outcome.trail.len() > 70 && outcome.trail.len() as u64 == outcome.requests - outcome.unfinished
        );
        assert_eq!(demands.len() as u64, outcome.requests);
        for request in &outcome.trail {
            let Demand { sent, service_a_ns, transfer_ns, service_b_ns, overhead_ns } =
                demands[request.number as usize];
            assert_eq!(sent, request.sent);
            assert_eq!(
                [service_a_ns, transfer_ns, service_b_ns, overhead_ns],
                [request.service_a_ns, request.transfer_ns, request.service_b_ns, request.back_ns]
            );
        }
        // Over a shared link nothing is faster than alone.
        setup.link.payload = Some(Payload::Bytes(1_000_000));
        setup.link.transfer = Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(80.0), rtt_s: 0.01 };
        let model = Model::of(&setup).unwrap();
        let least_ns = model.demands(8).unwrap()[0].transfer_ns;
        let outcome = Simulation::of(&model, 8, 0).run_to_end().unwrap();
        let fastest_ns = outcome.trail.iter().map(|request| request.transfer_ns).min().unwrap();
        assert!(least_ns <= fastest_ns && fastest_ns - least_ns < 10, "{least_ns} {fastest_ns}");
    }
    let closed = Arrivals::ClosedLoop { clients: 1, requests: 1, think: ServiceLaw::default() };
    let closed = Model::of(&setup(constant, [0.0; 3], (1, 1, 1), closed)).unwrap();
    assert!(closed.demands(1).unwrap_err().to_string().contains("arrivals: a closed loop"));
}

#[test]
fn arrival_times_have_the_mean_and_the_variation_of_their_stream() {
    const N: u32 = 50_000;
    for cv in [0.25, 1.0, 2.0, 4.0] {
        let load = Arrivals::Renewal { gap: ServiceLaw::Gamma { mean_s: 0.05, cv }, requests: N };
        let times = ArrivalTimes::of(&load, 17).unwrap();
        let times: Vec<f64> = times.map(SimTime::as_secs_f64).collect();
        let (mean, found) = gaps(&times);
        // The standard errors of n gaps: cv / sqrt(n) of the mean, and, by the delta method with the third and
        // the fourth moment of a gamma law, cv sqrt((1 + cv^2) / (2 n)) of the sample's CV. Four of them.
        let n = f64::from(N);
        assert!((mean / 0.05 - 1.0).abs() < 4.0 * cv / n.sqrt(), "cv {cv}: mean {mean}");
        let error = cv * ((1.0 + cv * cv) / (2.0 * n)).sqrt();
        assert!((found - cv).abs() < 4.0 * error, "cv {cv}: {found}, standard error {error}");
    }
}

#[test]
fn a_modulated_stream_has_the_mean_of_its_chain() {
    let state =
        |value, mean_dwell_s, next: [f64; 3]| ChainState { value, mean_dwell_s, next: Some(next.into()) };
    // 0 -> 1 -> 2 -> 0, 1 s, 2 s, 1 s: (40 + 2 * 0 + 20) / 4 = 15 a second.
    let states = vec![
        state(40.0, 1.0, [0.0, 1.0, 0.0]),
        state(0.0, 2.0, [0.0, 0.0, 1.0]),
        state(20.0, 1.0, [1.0, 0.0, 0.0]),
    ];
    let arrivals = Arrivals::Mmpp { states, requests: 300_000 };
    assert!((arrivals.rate_per_s().unwrap() - 15.0).abs() < 1e-9);
    let (mean, cv) = gaps(&sent_s(&run(arrivals, 1)));
    // 5 000 rounds, each with a standard deviation of some 50 of its 60 requests.
    assert!((mean * 15.0 - 1.0).abs() < 0.06 && cv > 2.0, "{mean} {cv}");
}

#[test]
fn a_day_has_its_peak_and_its_trough() {
    let day = Arrivals::Diurnal {
        mean_per_s: 2.0,
        amplitude: 0.8,
        period_s: 3600.0,
        shift_s: 0.0,
        requests: 72_000,
    };
    let sent = sent_s(&run(day, 1));
    // Ten days. Over a quarter around the peak the mean of 1 + 0.8 sin is 1 + 0.8 * 2 sqrt(2) / pi.
    let quarter = |from: f64| {
        sent.iter().filter(|s| (*s % 3600.0) / 3600.0 >= from && (*s % 3600.0) / 3600.0 < from + 0.25).count()
    };
    let expected = |sign: f64| 18_000.0 * (1.0 + sign * 0.8 * 2.0 * 2f64.sqrt() / std::f64::consts::PI);
    let (peak, trough) = (quarter(0.125) as f64, quarter(0.625) as f64);
    assert!((peak - expected(1.0)).abs() < 5.0 * expected(1.0).sqrt(), "{peak}");
    assert!((trough - expected(-1.0)).abs() < 5.0 * expected(-1.0).sqrt(), "{trough}");
}

#[test]
fn an_endless_load_ends_at_the_horizon() {
    let mut setup = setup(constant, [0.0; 3], (1, 1, 1), Arrivals::Burst(1));
    setup.arrivals = serde_json::from_str(r#"{"poisson": {"rate_per_s": 100.0}}"#).unwrap();
    setup.horizon_s = Some(50.0);
    let outcome = Simulation::new(&setup, 1, 0).unwrap().run_to_end().unwrap();
    assert!((outcome.requests as f64 - 5000.0).abs() < 5.0 * 5000f64.sqrt());
    assert_eq!(outcome.unfinished, 0);
    assert!(SimTime::from_secs_f64(outcome.makespan_s) <= SimTime::from_secs_f64(50.0));
}
