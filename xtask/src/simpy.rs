//! The SimPy peer of the simulator: a Python script, run where SimPy is, or in a virtual environment under
//! the target folder that is made for it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bench::{CUSTOMERS, JOBS};
use crate::python;

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
    let python = python::with("import simpy", &[REQUIREMENT], &target.join("simpy"))?;
    eprintln!("SimPy: sim/peers/simpy_peer.py");
    Rates::parse(&python::output(Command::new(python).arg(SCRIPT))?)
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
