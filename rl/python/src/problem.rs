//! Environments out of documents.

use std::error::Error;
use std::fs;
use std::path::Path;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Deserialize;
use splitscale_policy::document_hash;
use splitscale_rl::{ExpCurve, FittedCurves, Noise, RewardConfig, Scaling, ScalingProblem, TimeTable};
use toml::{Table, Value};

/// The original work's curves.
const PUBLISHED: &str = include_str!("../../tests/fixtures/published_curves.csv");

/// The problem that is compiled in, and its experiment.
const DEFAULT: &str = include_str!("default/problem.toml");
const EXPERIMENT: &str = include_str!("default/tide.toml");

/// What is wrong with a document.
type Wrong = Box<dyn Error>;

fn told(wrong: Wrong) -> PyErr {
    PyValueError::new_err(wrong.to_string())
}

/// The problem on a calibration's curves, or on the published ones over 2 to 8 pods, and a hash of it.
pub(crate) fn curves(
    calibration: Option<&str>,
    (alpha, k_time, k_pods): (f64, f64, f64),
    noise: Option<f64>,
) -> PyResult<(FittedCurves, String)> {
    curves_of(calibration, RewardConfig { alpha, k_time, k_pods }, noise).map_err(told)
}

fn curves_of(
    calibration: Option<&str>,
    reward: RewardConfig,
    noise: Option<f64>,
) -> Result<(FittedCurves, String), Wrong> {
    let times = match calibration {
        Some(text) => TimeTable::from_calibration(&serde_json::from_str(text)?)?,
        None => TimeTable::from_curves(&published(), 2..=8)?,
    };
    let noise = match noise {
        None => Noise::None,
        Some(cv) if cv < 0.0 => Noise::Measured,
        Some(cv) => Noise::Cv(cv),
    };
    let hash = document_hash(&(calibration, reward, noise));
    Ok((FittedCurves::new(times, reward, noise)?, hash))
}

/// A problem of scaling, or the one that is compiled in, and a hash of all that it was made of. `settings` (JSON) stand in place of what its table `problem` says.
/// Experiments lie in `folder`.
pub(crate) fn scaling(problem: Option<&str>, settings: &str, folder: &Path) -> PyResult<(Scaling, String)> {
    scaling_of(problem, settings, folder).map_err(told)
}

fn scaling_of(problem: Option<&str>, settings: &str, folder: &Path) -> Result<(Scaling, String), Wrong> {
    let text = problem.unwrap_or(DEFAULT);
    // A dict comes as JSON; no TOML begins so.
    let mut document: Table = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text)?,
        false => text.parse()?,
    };
    let settings: Table = serde_json::from_str(settings)?;
    if let Some(Value::Table(asked)) = document.get_mut("problem") {
        asked.extend(settings);
    }
    let mut text_of = |name: &str| -> Result<String, Wrong> {
        let path = folder.join(name);
        match problem {
            None => Ok(EXPERIMENT.to_owned()),
            Some(_) => {
                fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
            }
        }
    };
    ScalingProblem::deserialize(document)?.build(&mut text_of)
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
