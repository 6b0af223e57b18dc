//! The SimPy peer of the simulator: a Python script, run where SimPy is, or in a virtual environment under
//! the target folder that is made for it.

use crate::bench::{CUSTOMERS, JOBS};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/peers/simpy_peer.py");
const REQUIREMENT: &str = "simpy==4.1.2";

/// What the script measured, as seconds an iteration of the benchmarks it stands beside.
pub(crate) struct Rates {
    mm1: f64,
    burst: f64,
}

/// Runs the script.
///
/// # Errors
/// Why there is no measurement.
pub(crate) fn measure(target: &Path) -> Result<Rates, String> {
    let python = python(&target.join("simpy"))?;
    eprintln!("SimPy: sim/peers/simpy_peer.py");
    Rates::parse(&output(Command::new(python).arg(SCRIPT))?)
}

impl Rates {
    fn parse(line: &str) -> Result<Rates, String> {
        let document: Value =
            serde_json::from_str(line).map_err(|error| format!("simpy_peer.py printed no JSON: {error}"))?;
        let seconds = |key: &str, work: f64| {
            let rate = document[key].as_f64().filter(|rate| *rate > 0.0);
            rate.map(|rate| work / rate).ok_or_else(|| format!("simpy_peer.py printed no rate {key}"))
        };
        Ok(Rates { mm1: seconds("customers_per_s", CUSTOMERS)?, burst: seconds("jobs_per_s", JOBS)? })
    }

    /// By the name of the model.
    pub(crate) fn seconds(&self, model: &str) -> Option<f64> {
        match model {
            "mm1" => Some(self.mm1),
            "burst" => Some(self.burst),
            _ => None,
        }
    }
}

/// A Python that has SimPy: that of the user, or one in `folder`.
fn python(folder: &Path) -> Result<PathBuf, String> {
    let own = folder.join("bin/python");
    for python in [PathBuf::from("python3"), own.clone()] {
        if output(Command::new(&python).args(["-c", "import simpy"])).is_ok() {
            return Ok(python);
        }
    }
    eprintln!("SimPy: installing {REQUIREMENT} into {}", folder.display());
    let remedy =
        |why| format!("SimPy is not there and could not be installed (python3 -m pip install simpy): {why}");
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder)).map_err(remedy)?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", REQUIREMENT];
    output(Command::new(&own).args(pip)).map_err(remedy)?;
    Ok(own)
}

/// What a command prints; if it fails, the last line of what it complains.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.map_or_else(|| format!("{program} failed ({})", output.status), |line| line.trim().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_seconds_an_iteration() {
        let rates = Rates::parse(r#"{"customers_per_s": 100000.0, "jobs_per_s": 50000.0}"#).unwrap();
        assert_eq!(
            ["mm1", "burst", "other"].map(|model| rates.seconds(model)),
            [Some(1.0), Some(0.002), None]
        );
        for wrong in ["", "{}", r#"{"customers_per_s": 0.0, "jobs_per_s": 50000.0}"#] {
            assert!(Rates::parse(wrong).is_err(), "{wrong}");
        }
    }
}
