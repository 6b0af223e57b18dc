//! Peers written in Python: scripts of ours around packages of others, run where those are, or in a virtual environment
//! under the target folder that is made for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::python;

/// A script that measures, and what it needs.
struct Peer {
    /// The area whose benchmarks it stands beside.
    area: &'static str,
    script: &'static str,
    import: &'static str,
    requirements: &'static [&'static str],
}

const PEERS: [Peer; 3] = [
    Peer {
        area: "sim",
        script: "sim/peers/simpy_peer.py",
        import: "import simpy",
        requirements: &["simpy==4.1.2"],
    },
    Peer {
        area: "rl",
        script: "rl/benches/gymnasium_peer.py",
        import: "import gymnasium, numpy",
        requirements: &["gymnasium==1.4.0", "numpy==2.4.6"],
    },
    Peer {
        area: "calibration",
        script: "calibration/benches/scipy_peer.py",
        import: "import scipy",
        requirements: &["scipy==1.17.1", "numpy==2.4.6"],
    },
];

/// What an area's script measured: seconds an iteration, or another number that should be small, by id.
pub(crate) type Measured = Result<BTreeMap<String, f64>, String>;

/// Runs the area's script; an area without one has measured nothing.
pub(crate) fn measure(area: &str, target: &Path) -> Measured {
    let Some(peer) = PEERS.iter().find(|peer| peer.area == area) else { return Ok(BTreeMap::new()) };
    let python = python::with(peer.import, peer.requirements, &target.join(format!("python-{area}")))?;
    eprintln!("{}", peer.script);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(peer.script);
    parse(peer.script, &python::output(Command::new(python).arg(script))?)
}

fn parse(script: &str, line: &str) -> Measured {
    serde_json::from_str(line).map_err(|error| format!("{script} printed no table of numbers: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_prints_numbers_by_id() {
        let measured = parse("x.py", r#"{"simpy/mm1": 1.0, "simpy/burst": 0.002}"#).unwrap();
        assert_eq!((measured["simpy/mm1"], measured["simpy/burst"]), (1.0, 0.002));
        for wrong in ["", "{\"a\": \"b\"}", "[1]"] {
            assert!(parse("x.py", wrong).unwrap_err().starts_with("x.py printed"), "{wrong}");
        }
        assert!(measure("serving", Path::new("nowhere")).unwrap().is_empty());
    }
}
