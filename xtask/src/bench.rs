//! `cargo xtask bench AREA`: runs an area's criterion benchmarks, and turns their estimates into rows.
//!
//! A row says how fast, in a unit that means something to a user, beside a peer, a limit and a target where
//! there are some. All of a row's numbers come from the same run.

use crate::{Failure, cargo, libtorch, peers};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

/// One figure of an area.
struct Row {
    area: &'static str,
    name: &'static str,
    unit: Unit,
    /// Criterion's `group/function`.
    id: &'static str,
    /// Units of work in one iteration.
    work: f64,
    /// What a user would take instead.
    peers: &'static [Peer],
    /// The criterion id of the same work with all but the unavoidable taken away.
    limit: Option<&'static str>,
    target: Option<Target>,
}

/// Another engine at the same work.
struct Peer {
    name: &'static str,
    /// Criterion's `group/function`, or what a Python script calls it.
    id: &'static str,
}

/// What an estimate of seconds an iteration, or of something else that should be small, becomes.
enum Unit {
    /// Units of work a second, called so.
    Rate(&'static str),
    /// Time a unit of work, called so, with so many in a second.
    Time(&'static str, f64),
}

/// What a row should reach.
enum Target {
    /// A value in the row's unit.
    Absolute(f64),
    /// So many times as fast as the fastest peer.
    OfPeer(f64),
}

/// Customers of a run of the M/M/1 benchmarks.
const CUSTOMERS: f64 = 100_000.0;
/// Steps of the cliff's benchmark, which says so.
const CLIFF_STEPS: f64 = 333_668.0;
/// Decisions of an episode of Scaling.
const DECISIONS: f64 = 1_000.0;
/// Steps of one DQN training.
const DQN_STEPS: f64 = 10_000.0;
/// Jobs of a burst.
const JOBS: f64 = 100.0;

const MILLISECONDS: Unit = Unit::Time("ms", 1e3);
const MICROSECONDS: Unit = Unit::Time("us", 1e6);
/// Of a share.
const PERCENT: Unit = Unit::Time("%", 100.0);

const fn row(area: &'static str, name: &'static str, unit: Unit, id: &'static str) -> Row {
    Row { area, name, unit, id, work: 1.0, peers: &[], limit: None, target: None }
}

/// PyTorch's own way: the module as it is, batch norm and all.
const EAGER: &[Peer] = &[Peer { name: "eager engine", id: "forward/reference_full" }];

const ROWS: [Row; 21] = [
    Row {
        work: CUSTOMERS,
        peers: &[
            Peer { name: "simcore", id: "mm1/simcore" },
            Peer { name: "nexosim", id: "mm1/nexosim" },
            Peer { name: "SimPy", id: "simpy/mm1" },
        ],
        limit: Some("mm1/bare_loop"),
        target: Some(Target::Absolute(15e6)),
        ..row("sim", "M/M/1 through the general engine", Unit::Rate("customers/s"), "mm1/splitscale")
    },
    Row {
        work: JOBS,
        peers: &[
            Peer { name: "simcore", id: "burst/simcore" },
            Peer { name: "nexosim", id: "burst/nexosim" },
            Peer { name: "SimPy", id: "simpy/burst" },
        ],
        limit: Some("burst/bare_loop"),
        target: Some(Target::Absolute(8e6)),
        ..row("sim", "split burst of 100 with records", Unit::Rate("jobs/s"), "burst/splitscale")
    },
    Row {
        target: Some(Target::Absolute(1.0)),
        ..row("sim", "clone of a running state", MICROSECONDS, "simulate/clone_100")
    },
    Row {
        target: Some(Target::Absolute(10.0)),
        ..row("sim", "peak memory, 10 M customers", Unit::Time("MB", 1.0), "memory/mm1_10m")
    },
    Row {
        work: CLIFF_STEPS,
        peers: &[Peer { name: "Gymnasium + NumPy", id: "gymnasium/cliff" }],
        limit: Some("cliff/bare_loop"),
        target: Some(Target::Absolute(100e6)),
        ..row("rl", "tabular Q-learning on Cliff", Unit::Rate("steps/s"), "cliff/q_learning")
    },
    Row {
        peers: &[Peer { name: "NumPy", id: "gymnasium/original" }],
        limit: Some("train/bare_loop"),
        target: Some(Target::Absolute(1.0)),
        ..row("rl", "the original's 30 000 episodes", MILLISECONDS, "train/original_30000")
    },
    // No peer: gym-hpa (Santos et al., NOMS 2023), the nearest, draws rows of a log by chance instead of simulating. It
    // publishes neither its log nor a speed; with a log made up to its columns its code made 650-740 steps/s.
    Row {
        work: DECISIONS,
        target: Some(Target::Absolute(100e3)),
        ..row("rl", "Scaling, 50 requests a decision", Unit::Rate("decisions/s"), "scaling/decisions")
    },
    Row {
        work: DQN_STEPS,
        target: Some(Target::Absolute(22e3)),
        ..row("rl", "DQN Cart Pole, 64x64, batch 32, 1 in 4", Unit::Rate("steps/s"), "dqn/cart_pole")
    },
    Row {
        peers: &[Peer { name: "SciPy curve_fit", id: "scipy/eight_levels" }],
        target: Some(Target::Absolute(10.0)),
        ..row("calibration", "fit of eight curves", MILLISECONDS, "fit/eight_levels")
    },
    row("calibration", "  curve_fit: raises", PERCENT, "scipy/raised"),
    row("calibration", "  curve_fit: not the optimum", PERCENT, "scipy/missed"),
    row("calibration", "  curve_fit: infinite covariance", PERCENT, "scipy/infinite"),
    row("calibration", "NIST's 27 problems from both starts", MILLISECONDS, "nist/all"),
    Row {
        peers: EAGER,
        target: Some(Target::OfPeer(1.5)),
        ..row("serving", "ResNet-50, f32", MILLISECONDS, "forward/f32_full")
    },
    Row {
        peers: EAGER,
        target: Some(Target::OfPeer(2.7)),
        ..row("serving", "ResNet-50, bf16", MILLISECONDS, "forward/bf16_full")
    },
    Row {
        target: Some(Target::Absolute(1.5)),
        ..row("serving", "JPEG of 500 x 375 to network input", MILLISECONDS, "image/decode_500x375")
    },
    Row {
        limit: Some("wire/copy_layer3"),
        target: Some(Target::Absolute(50.0)),
        ..row("serving", "layer3 to bytes and back, f32", MICROSECONDS, "wire/both_f32_layer3")
    },
    row("serving", "  the same between tensors", MICROSECONDS, "wire/tensors_f32_layer3"),
    Row {
        peers: &[Peer { name: "eager engine", id: "cpu/reference_layer2" }],
        target: Some(Target::Absolute(60.0)),
        ..row("serving", "CPU of a request, cut at layer2, f32", MILLISECONDS, "cpu/f32_layer2")
    },
    Row {
        target: Some(Target::Absolute(1.0)),
        ..row("serving", "CPU of a request beside compute", MILLISECONDS, "cpu/hop_layer2")
    },
    Row {
        limit: Some("proxy/direct_layer3"),
        target: Some(Target::Absolute(2000.0)),
        ..row("serving", "proxy, 0.8 MB, 8 slots", Unit::Rate("transfers/s"), "proxy/transfer_layer3")
    },
];

/// The areas that have rows.
pub(crate) fn areas() -> Vec<&'static str> {
    let mut areas: Vec<_> = ROWS.iter().map(|row| row.area).collect();
    areas.dedup();
    areas
}

/// Measures one area, prints its rows and writes them to `target/bench/AREA.json`.
pub(crate) fn run(area: &str) -> Result<(), Failure> {
    if !areas().contains(&area) {
        return Err(Failure::Usage(format!("no area {area}; there are {}", areas().join(", "))));
    }
    let target = cargo::target()?;
    let report = match (area, libtorch::present()?) {
        ("serving", None) => all_skipped(area, "libtorch is not set up: run cargo xtask setup"),
        (_, libtorch) => {
            let begin = SystemTime::now();
            let mut bench = cargo::cargo(libtorch.as_deref());
            bench.args(["bench", "--package", &format!("splitscale-{area}"), "--bench", area]);
            match area {
                "serving" => {
                    let features = ["--bench", "pipeline", "--bench", "proxy", "--features", "torch"];
                    bench.args(features);
                }
                "rl" if libtorch.is_some() => _ = bench.args(["--features", "torch"]),
                "sim" => _ = bench.args(["--package", "splitscale-sim-peers", "--bench", "peers"]),
                _ => {}
            }
            cargo::succeed(&mut bench, "the benchmark")?;
            let peers = peers::measure(area, &target);
            let estimate = |id: &str| match (id.split_once('/'), &peers) {
                (Some(("memory", _)), _) => peak_mb(),
                (Some(("simpy" | "scipy" | "gymnasium", _)), Err(why)) => Err(why.clone()),
                (Some(("simpy" | "scipy" | "gymnasium", _)), Ok(numbers)) => {
                    numbers.get(id).copied().ok_or(format!("{id} gave no estimate"))
                }
                _ => estimate(&target.join("criterion"), id, begin),
            };
            rows(area, &estimate)
        }
    };
    print(&report);
    let folder = target.join("bench");
    let path = folder.join(format!("{area}.json"));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, format!("{report:#}\n")))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// What a run of the simulator alone in its process takes at most \[MB\].
fn peak_mb() -> Result<f64, String> {
    let mut run = cargo::cargo(None);
    run.args(["run", "--quiet", "--release", "--package", "splitscale-sim-peers", "--bin", "memory"]);
    let output =
        run.stderr(Stdio::inherit()).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| "the run that measures its memory told nothing".to_string())
}

fn all_skipped(area: &str, why: &str) -> Value {
    rows(area, &|_| Err(why.to_string()))
}

/// The rows of an area, and those without an estimate, from seconds an iteration by criterion id.
fn rows(area: &str, estimate: &dyn Fn(&str) -> Result<f64, String>) -> Value {
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for row in ROWS.iter().filter(|row| row.area == area) {
        match row.measured(estimate) {
            Ok(measured) => rows.push(measured),
            Err(why) => skipped.push(json!({ "name": row.name, "why": why })),
        }
    }
    json!({ "rows": rows, "skipped": skipped })
}

impl Row {
    fn measured(&self, estimate: &dyn Fn(&str) -> Result<f64, String>) -> Result<Value, String> {
        let value = self.in_unit(estimate(self.id)?);
        let of = |id: &str| estimate(id).map(|seconds| self.in_unit(seconds));
        let limit_value = self.limit.map(of).transpose()?;
        let faster_is_more = matches!(self.unit, Unit::Rate(_));
        let ratio = |peer: f64| if faster_is_more { value / peer } else { peer / value };
        let mut measured: Vec<(&str, f64)> = Vec::new();
        let mut peers = Vec::new();
        for Peer { name, id } in self.peers {
            peers.push(match of(id) {
                Ok(peer) => {
                    measured.push((name, peer));
                    json!({ "name": name, "value": peer, "ratio": ratio(peer) })
                }
                Err(why) => json!({ "name": name, "why": why }),
            });
        }
        // The fastest is the one we are least ahead of.
        let best = measured.iter().min_by(|a, b| ratio(a.1).total_cmp(&ratio(b.1)));
        let target = match (&self.target, best) {
            (Some(Target::Absolute(value)), _) => Some(*value),
            (Some(Target::OfPeer(times)), Some((_, peer))) if faster_is_more => Some(peer * times),
            (Some(Target::OfPeer(times)), Some((_, peer))) => Some(peer / times),
            _ => None,
        };
        let met = target.map(|target| if faster_is_more { value >= target } else { value <= target });
        Ok(json!({
            "name": self.name,
            "unit": self.unit.name(),
            "value": value,
            "peer": best.map(|(name, _)| name),
            "peer_value": best.map(|(_, value)| value),
            "peers": peers,
            "limit_value": limit_value,
            "target": target,
            "met": met,
        }))
    }

    fn in_unit(&self, seconds: f64) -> f64 {
        match self.unit {
            Unit::Rate(_) => self.work / seconds,
            Unit::Time(_, per_second) => seconds * per_second / self.work,
        }
    }
}

impl Unit {
    fn name(&self) -> &'static str {
        match self {
            Unit::Rate(name) | Unit::Time(name, _) => name,
        }
    }
}

/// Criterion's median of one benchmark \[s an iteration\]; the median, as the machine may be busy.
fn estimate(criterion: &Path, id: &str, begin: SystemTime) -> Result<f64, String> {
    // A benchmark outside a group lies in one folder, its slash replaced.
    let folder = [criterion.join(id), criterion.join(id.replace('/', "_"))].into_iter().find(|f| f.is_dir());
    let path = folder.ok_or_else(|| format!("{id} gave no estimate"))?.join("new/estimates.json");
    let absent = |error: std::io::Error| format!("{id} gave no estimate ({error})");
    if fs::metadata(&path).and_then(|file| file.modified()).map_err(absent)? < begin {
        return Err(format!("{id} was not measured in this run"));
    }
    let document: Value = serde_json::from_slice(&fs::read(&path).map_err(absent)?)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let nanoseconds = document["median"]["point_estimate"].as_f64();
    nanoseconds.map(|ns| ns * 1e-9).ok_or_else(|| format!("{} has no median", path.display()))
}

fn print(report: &Value) {
    let number = |value: &Value| value.as_f64().map_or("-".to_string(), significant);
    println!("{:<36} {:>9} {:<11} {:>9} {:>9} {:>9}  met", "", "value", "unit", "peer", "limit", "target");
    for row in report["rows"].as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_string();
        let met = row["met"].as_bool().map_or("-", |met| if met { "yes" } else { "no" });
        println!(
            "{:<36} {:>9} {:<11} {:>9} {:>9} {:>9}  {met}",
            text("name"),
            number(&row["value"]),
            text("unit"),
            number(&row["peer_value"]),
            number(&row["limit_value"]),
            number(&row["target"]),
        );
        for peer in row["peers"].as_array().into_iter().flatten() {
            let name = format!("  beside {}", peer["name"].as_str().unwrap_or("-"));
            match peer["why"].as_str() {
                Some(why) => println!("{name:<36} skipped: {why}"),
                None => println!(
                    "{name:<36} {:>9} {:<11} {:>8}x",
                    number(&peer["value"]),
                    text("unit"),
                    number(&peer["ratio"])
                ),
            }
        }
    }
    for row in report["skipped"].as_array().into_iter().flatten() {
        println!("{:<36} skipped: {}", row["name"].as_str().unwrap_or(""), row["why"].as_str().unwrap_or(""));
    }
}

/// Four significant digits.
fn significant(value: f64) -> String {
    let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
    format!("{value:.*}", digits.max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: Unit = Unit::Time("s", 1.0);

    #[test]
    fn rows_carry_units_limits_and_targets() {
        // 2 s for the work, 1 s for its limit.
        let estimate = |id: &str| Ok(if id == "group/bare" { 1.0 } else { 2.0 });
        let plain = row("sim", "plain", SECONDS, "group/work").measured(&estimate).unwrap();
        assert_eq!(plain["value"], 2.0);
        for absent in ["peer", "peer_value", "limit_value", "target", "met"] {
            assert!(plain[absent].is_null(), "{absent}");
        }
        assert_eq!(plain["peers"], json!([]));

        const BARE: &[Peer] = &[Peer { name: "bare", id: "group/bare" }];
        let limited = |unit, target| {
            let limit = Some("group/bare");
            let sets = row("sim", "limited", unit, "group/work");
            let row = Row { work: 100.0, peers: BARE, limit, target: Some(target), ..sets };
            let row = row.measured(&estimate).unwrap();
            (["value", "limit_value", "target"].map(|key| row[key].as_f64().unwrap()), row["met"].as_bool())
        };
        // A rate may be above its target, a time below it.
        let jobs = || Unit::Rate("jobs/s");
        assert_eq!(limited(jobs(), Target::OfPeer(0.5)), ([50.0, 100.0, 50.0], Some(true)));
        assert_eq!(limited(jobs(), Target::Absolute(51.0)), ([50.0, 100.0, 51.0], Some(false)));
        assert_eq!(limited(MILLISECONDS, Target::OfPeer(0.8)), ([20.0, 10.0, 12.5], Some(false)));
        assert_eq!(limited(MILLISECONDS, Target::Absolute(20.0)), ([20.0, 10.0, 20.0], Some(true)));
    }

    #[test]
    fn every_peer_has_its_ratio_and_the_fastest_stands_for_all() {
        const PEERS: &[Peer] = &[
            Peer { name: "slow", id: "group/slow" },
            Peer { name: "fast", id: "group/fast" },
            Peer { name: "absent", id: "simpy/absent" },
        ];
        let estimate = |id: &str| match id {
            "group/work" => Ok(2.0),
            "group/slow" => Ok(20.0),
            "group/fast" => Ok(4.0),
            _ => Err("not installed".to_string()),
        };
        let beside = |unit| {
            let row = Row { work: 100.0, peers: PEERS, ..row("sim", "beside", unit, "group/work") };
            row.measured(&estimate).unwrap()
        };
        let rate = beside(Unit::Rate("jobs/s"));
        assert_eq!((&rate["peer"], &rate["peer_value"]), (&json!("fast"), &json!(25.0)));
        let slow = json!({ "name": "slow", "value": 5.0, "ratio": 10.0 });
        let fast = json!({ "name": "fast", "value": 25.0, "ratio": 2.0 });
        let absent = json!({ "name": "absent", "why": "not installed" });
        assert_eq!(rate["peers"], json!([slow, fast, absent]));
        // A ratio above 1 is ours being faster, in either unit.
        let time = beside(SECONDS);
        assert_eq!((&time["peer"], &time["peers"][0]["ratio"]), (&json!("fast"), &json!(10.0)));
    }

    #[test]
    fn what_was_not_measured_is_skipped_with_why() {
        let report = all_skipped("serving", "no libtorch");
        assert_eq!(report["rows"], json!([]));
        assert!(!report["skipped"].as_array().unwrap().is_empty());
        assert_eq!(report["skipped"][0]["why"], "no libtorch");
    }
}
