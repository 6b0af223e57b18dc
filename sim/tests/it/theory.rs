//! Against exact values: by hand, from an absorbing Markov chain, from Erlang C, from a quasi-birth-death
//! process. A mean passes if it lies within 4 standard errors, and the 95 % interval is within 1 %.

use splitscale_sim::{Arrivals, Outcome, Setup, Simulation, replicate};

use crate::{Means, PAPER, Width, constant, exponential, setup};

fn run(setup: &Setup) -> Outcome {
    Simulation::new(setup, 1, 0).unwrap().run_to_end().unwrap()
}

fn burst(means: Means, width: Width, requests: u32) -> Setup {
    setup(exponential, means, width, Arrivals::Burst(requests))
}

/// Means over replications of the seed.
#[track_caller]
fn agree(name: &str, values: impl IntoIterator<Item = f64>, exact: f64) {
    let values: Vec<f64> = values.into_iter().collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    let z = (mean - exact) / error;
    let half_width = 1.96 * error / exact;
    println!("{name}: exact {exact}, simulated {mean:.6}, half-width {:.2} %, z {z:.2}", half_width * 100.0);
    assert!(half_width <= 0.01, "{name}: half-width {half_width} is above 1 %: take more replications");
    assert!(z.abs() < 4.0, "{name}: {mean} against {exact}, z = {z}");
}

fn latencies(outcomes: &[Outcome]) -> impl Iterator<Item = f64> {
    outcomes.iter().map(|o| o.latency.mean_s)
}

fn makespans(outcomes: &[Outcome]) -> impl Iterator<Item = f64> {
    outcomes.iter().map(|o| o.makespan_s)
}

#[test]
fn constant_times_come_out_to_the_nanosecond() {
    let cases = [
        ((4, 4, 3), PAPER, 100, 2_330_000_000, 1_227_500_000),
        ((4, 1, 3), PAPER, 100, 9_050_000_000, 4_595_000_000),
        ((4, 8, 3), PAPER, 100, 1_370_000_000, 749_900_000),
        ((2, 3, 2), PAPER, 10, 410_000_000, 265_000_000),
        ((2, 3, 2), [0.1, 0.1, 0.1], 100, 6_900_000_000, 3_567_000_000_u64),
    ];
    for (width, means, requests, makespan_ns, mean_ns) in cases {
        let setup = Setup { records: true, ..setup(constant, means, width, Arrivals::Burst(requests)) };
        let trail = run(&setup).trail;
        assert_eq!(trail.iter().map(|r| r.done().as_nanos()).max(), Some(makespan_ns), "{width:?}");
        let total_ns: u64 = trail.iter().map(|r| r.latency_ns()).sum();
        assert_eq!(total_ns, mean_ns * u64::from(requests), "{width:?}");
    }
}

#[test]
fn bursts_of_exponential_times_agree_with_the_absorbing_chain() {
    let outcomes = replicate(&burst(PAPER, (4, 4, 3), 100), 1, 10_000, 2).unwrap();
    agree("100 on 4/4/3, makespan", makespans(&outcomes), 2.371167);
    agree("100 on 4/4/3, completion", latencies(&outcomes), 1.196786);
    let outcomes = replicate(&burst(PAPER, (4, 8, 3), 100), 1, 10_000, 2).unwrap();
    agree("100 on 4/8/3, makespan", makespans(&outcomes), 1.520875);
    agree("100 on 4/8/3, completion", latencies(&outcomes), 0.773398);
}

#[test]
fn small_bursts_agree_with_the_values_by_hand() {
    for (requests, makespan) in [(1, 3.0), (2, 5.25), (3, 7.375)] {
        let outcomes = replicate(&burst([1.0; 3], (1, 1, 1), requests), 2, 40_000, 2).unwrap();
        agree(&format!("{requests} on 1/1/1, makespan"), makespans(&outcomes), makespan);
    }
    let outcomes = replicate(&burst([1.0; 3], (2, 3, 2), 10), 2, 40_000, 2).unwrap();
    agree("10 on 2/3/2, makespan", makespans(&outcomes), 9.803158);
    agree("10 on 2/3/2, completion", latencies(&outcomes), 5.619972);
}

/// The other stations take no time and never queue.
fn single(law_a: f64, pods: u32, rate_per_s: f64, requests: u32) -> Setup {
    let mut setup = setup(constant, [0.0; 3], (pods, 1, 1), Arrivals::Poisson { rate_per_s, requests });
    setup.a.service = exponential(law_a);
    setup
}

#[test]
fn a_single_station_agrees_with_erlang_c() {
    // Erlang C: M/M/c at 80 %, mean service 1; the start from empty biases by less than 0.01 % here.
    for (pods, wait) in [(1, 4.0), (4, 0.745541)] {
        let setup = single(1.0, pods, 0.8 * f64::from(pods), 400_000);
        let outcomes = replicate(&setup, 3, 60, 2).unwrap();
        agree(&format!("M/M/{pods}, W"), latencies(&outcomes), wait + 1.0);
        agree(&format!("M/M/{pods}, wait"), outcomes.iter().map(|o| o.a.mean_wait_s), wait);
    }
}

#[test]
fn an_open_pipeline_agrees_with_its_chain() {
    let arrivals = Arrivals::Poisson { rate_per_s: 1.0, requests: 200_000 };
    let outcomes = replicate(&setup(exponential, [1.0; 3], (2, 3, 2), arrivals), 4, 60, 2).unwrap();
    agree("open 2/3/2, W", latencies(&outcomes), 4.352513);
    agree("open 2/3/2, wait for a slot", outcomes.iter().map(|o| o.proxy.mean_wait_s), 0.931117);
    agree("open 2/3/2, wait for B", outcomes.iter().map(|o| o.b.mean_wait_s), 0.088063);
}

#[test]
fn a_closed_loop_over_one_slot_agrees_with_its_chain() {
    // One slot, B free when it comes: the slot serves for 2 s on average, A never waits for it with one
    // client: X = 1 / (1 + 1 + 1), and each answer takes 3 s.
    let arrivals = Arrivals::ClosedLoop { clients: 1, requests: 100_000, think: constant(0.0) };
    let outcomes = replicate(&setup(exponential, [1.0; 3], (1, 1, 1), arrivals), 5, 20, 2).unwrap();
    agree("one client, W", latencies(&outcomes), 3.0);
    // Slots the bottleneck at constant times: 4 slots of 0.09 s carry 4 / 0.09 requests a second.
    let arrivals = Arrivals::ClosedLoop { clients: 40, requests: 10_000, think: constant(0.0) };
    let outcome = run(&setup(constant, PAPER, (8, 4, 4), arrivals));
    let rate = outcome.requests as f64 / outcome.makespan_s;
    assert!((rate / (4.0 / 0.09) - 1.0).abs() < 1e-3, "{rate}");
}
