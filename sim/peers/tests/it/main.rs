//! Every engine runs the same two models: their means are the exact ones.

use splitscale_sim_peers::{ENGINES, MEAN_MAKESPAN_S, MEAN_WAIT_S};

#[test]
fn mean_waits_are_those_of_mm1() {
    // From an empty start the mean falls short by some 0.005, a fraction of the standard error.
    for engine in &ENGINES {
        let waits_s: Vec<f64> = (0..20).map(engine.mm1).collect();
        assert_mean(&waits_s, MEAN_WAIT_S, engine.name);
    }
}

#[test]
fn mean_makespans_are_those_of_the_markov_chain() {
    for engine in &ENGINES {
        let makespans_s: Vec<f64> = (0..2_000).map(engine.burst).collect();
        assert_mean(&makespans_s, MEAN_MAKESPAN_S, engine.name);
    }
}

/// Within 4 standard errors, and those small.
fn assert_mean(values: &[f64], exact: f64, engine: &str) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = (variance / count).sqrt();
    assert!(error < 0.02 * exact, "{engine}: mean {mean} with a standard error of {error}");
    assert!((mean - exact).abs() < 4.0 * error, "{engine}: mean {mean} +- {error}, exact {exact}");
}
