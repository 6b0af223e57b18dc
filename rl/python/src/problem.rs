//! Environments out of documents.

use std::path::Path;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use splitscale_rl::{ExpCurve, FittedCurves, Noise, RewardConfig, Scaling, TimeTable};
use splitscale_spec::Invalid;

/// The original work's curves.
const PUBLISHED: &str = include_str!("../../tests/fixtures/published_curves.csv");

/// The problem on a calibration's curves, or on the published ones over 2 to 8 pods.
pub(crate) fn curves(
    calibration: Option<&str>,
    (alpha, k_time, k_pods): (f64, f64, f64),
    noise: Option<f64>,
) -> PyResult<FittedCurves> {
    let times = match calibration {
        Some(text) => {
            let document = serde_json::from_str(text)
                .map_err(|error| PyValueError::new_err(format!("calibration: {error}")))?;
            TimeTable::from_calibration(&document)
        }
        None => TimeTable::from_curves(&published(), 2..=8),
    };
    let noise = match noise {
        None => Noise::None,
        Some(cv) if cv < 0.0 => Noise::Measured,
        Some(cv) => Noise::Cv(cv),
    };
    let reward = RewardConfig { alpha, k_time, k_pods };
    times.and_then(|times| FittedCurves::new(times, reward, noise)).map_err(wrong)
}

fn published() -> Vec<ExpCurve> {
    let rows = PUBLISHED.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    let curve = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse::<f64>().unwrap_or(f64::NAN));
        let mut next = || fields.next().unwrap_or(f64::NAN);
        ExpCurve { slots: next() as u32, a: next(), b: next(), c: next() }
    };
    rows.map(curve).collect()
}

fn wrong(invalid: Invalid) -> PyErr {
    PyValueError::new_err(invalid.to_string())
}

pub(crate) fn scaling(problem: Option<&str>, folder: &Path) -> PyResult<Scaling> {
    use splitscale_sim::*;
    let both = |pods| splitscale_spec::Replicas { a: pods, b: pods };
    let stage = || StageSetup {
        start_up: splitscale_spec::ServiceLaw::Deterministic { value_s: 3.0 },
        ..StageSetup::new(4, splitscale_spec::ServiceLaw::Exponential { mean_s: 0.2 })
    };
    let setup = Setup {
        a: stage(),
        link: LinkSetup {
            slots: 8,
            slots_change: None,
            transfer: Transfer::Bytes { bandwidth: Bandwidth::PerSlotMbitS(100.0), rtt_s: 0.0 },
            payload: Some(Payload::Bytes(1_000_000)),
            queue_limit: None,
            release_after_transfer: false,
            hold_a: false,
        },
        b: stage(),
        overhead: Default::default(),
        arrivals: Arrivals::Poisson { rate_per_s: 10.0, requests: MAX_REQUESTS },
        deadline_s: None,
        slo_s: None,
        one_node: false,
        horizon_s: Some(1.0),
        warm_up_s: 0.0,
        scrape: None,
        records: false,
    };
    let config = splitscale_rl::ScalingConfig {
        pods_min: both(1),
        pods_max: both(8),
        decide_every_s: 5.0,
        decisions: 40,
        scrape_every_s: 1.0,
        window_s: 5.0,
        slo_s: 1.5,
        cost: splitscale_spec::CostConfig { miss_weight: 2.0, churn_weight: 1.0 },
        actions: if problem.is_some() { splitscale_rl::ActionKind::Step } else { Default::default() },
        reward: Default::default(),
    };
    let _ = folder;
    Ok(Scaling::new(config, vec![("s".into(), setup)]).unwrap())
}
