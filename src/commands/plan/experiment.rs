//! The answer as an experiment that `simulate` runs: the same arrivals, the same demands, to the same events.

use std::path::absolute;

use anyhow::{Context, Result};
use splitscale_sim::{Arrivals, Bandwidth, Setup, StageSetup, Transfer};
use toml::{Table, Value};

use super::candidate::{Candidate, Trial};
use super::variant::Variant;

/// The document, with as many replications as the candidate was settled by. A recorded load is named by its absolute path.
///
/// # Errors
/// What `toml` says.
pub fn of(trial: &Trial<'_>, variant: &Variant, candidate: &Candidate) -> Result<String> {
    let pods = candidate.pods;
    let (arrivals, warm_up_s) = trial.traffic.times(1.0);
    let setup = Setup { warm_up_s, ..variant.setup(pods, arrivals) };
    let mut whole = table([
        ("schema", Value::Integer(1)),
        ("name", text("answer")),
        ("title", text(format!("{} pods of A and {} of B, {}", pods.a, pods.b, variant.words()))),
        ("seed", Value::Integer(i64::try_from(trial.seed).context("--seed: above 2^63 - 1")?)),
        ("replications", Value::Integer(candidate.seeds.into())),
        ("slo_s", Value::Float(trial.slo_s)),
    ]);
    let setup = table([
        ("warm_up_s", Value::Float(setup.warm_up_s)),
        ("arrivals", load(trial, &setup.arrivals)?),
        ("overhead", Value::try_from(&setup.overhead)?),
        ("a", stage(&setup.a)?),
        ("link", link(variant, &setup)?),
        ("b", stage(&setup.b)?),
    ]);
    whole.insert("setup".into(), Value::Table(setup));
    Ok(toml::to_string(&whole)?)
}

fn load(trial: &Trial<'_>, arrivals: &Arrivals) -> Result<Value> {
    let whole = |requests: &u32| Value::Integer((*requests).into());
    let recorded = || {
        let file = trial.traffic.file.as_ref().map(|(file, _)| file);
        let path = absolute(file.context("a recorded load has a file")?)?;
        let trace = table([("file", text(path.display().to_string()))]);
        anyhow::Ok(table([("trace", Value::Table(trace))]))
    };
    let (name, of) = match arrivals {
        Arrivals::Poisson { rate_per_s, requests } => {
            ("poisson", table([("rate_per_s", Value::Float(*rate_per_s)), ("requests", whole(requests))]))
        }
        Arrivals::Renewal { gap, requests } => {
            ("renewal", table([("gap", Value::try_from(gap)?), ("requests", whole(requests))]))
        }
        Arrivals::Windows { .. } => ("windows", recorded()?),
        Arrivals::Counts { .. } => ("counts", recorded()?),
        _ => ("stamps", recorded()?),
    };
    Ok(Value::Table(table([(name, Value::Table(of))])))
}

fn stage(of: &StageSetup) -> Result<Value> {
    let mut stage = table([
        ("pods", Value::Integer(of.pods.into())),
        ("service", Value::try_from(&of.service)?),
        ("start_up", Value::try_from(&of.start_up)?),
    ]);
    if let Some(cores) = of.cores {
        stage.insert("cores".into(), Value::Integer(cores.into()));
        stage.insert("cpu_share".into(), Value::Float(of.cpu_share));
    }
    Ok(Value::Table(stage))
}

fn link(variant: &Variant, setup: &Setup) -> Result<Value> {
    let transfer = match &setup.link.transfer {
        Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(mbit_s), rtt_s } => {
            let bandwidth = table([("whole_mbit_s", Value::Float(*mbit_s))]);
            (
                "bytes",
                Value::Table(table([
                    ("bandwidth", Value::Table(bandwidth)),
                    ("rtt_s", Value::Float(*rtt_s)),
                ])),
            )
        }
        Transfer::Bytes { .. } => unreachable!("a variant's slots draw from a law, or share a link"),
        Transfer::Law(law) => ("law", Value::try_from(law)?),
    };
    let payload = table([("bytes", Value::Integer(i64::try_from(variant.bytes)?))]);
    Ok(Value::Table(table([
        ("slots", Value::Integer(variant.slots.into())),
        ("transfer", Value::Table(table([transfer]))),
        ("payload", Value::Table(payload)),
        ("release_after_transfer", Value::Boolean(setup.link.release_after_transfer)),
    ])))
}

fn table<const N: usize>(fields: [(&str, Value); N]) -> Table {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(of: impl Into<String>) -> Value {
    Value::String(of.into())
}
