//! Experiments as they are typed: rows, traces, differences.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{interrupt, must, refused, splitscale};

pub(crate) const EXPERIMENT: &str = r#"schema = 1
name = "small"
title = "a small one"
seed = 5
replications = 6
slo_s = 0.5
[setup]
arrivals = { poisson = { rate_per_s = 20.0, requests = 60 } }
[setup.a]
pods = 2
service = { exponential = { mean_s = 0.05 } }
[setup.link]
slots = 2
transfer = { law = { exponential = { mean_s = 0.06 } } }
[setup.b]
pods = 3
service = { exponential = { mean_s = 0.03 } }
[[sweep]]
fields = ["link.slots"]
values = [2, 3]
[[sweep]]
name = "who, or what"
cases = [{ label = "a, few", set = { "a.pods" = 2 } }, { label = "many", set = { "a.pods" = 4 } }, { label = "all", set = { "a.pods" = 9 } }]
"#;

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("e.toml"), EXPERIMENT).unwrap();
    folder
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn committed() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/experiments");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[test]
fn the_same_file_gives_the_same_rows_on_any_number_of_threads() {
    let folder = folder();
    let said = must(folder.path(), "simulate e.toml --threads 1 --out one.csv");
    assert!(said.contains("small: a small one (6 points)") && said.contains("in SLO"), "{said}");
    must(folder.path(), "simulate e.toml --threads 3 --out three.csv");
    let (one, three) = (read(folder.path(), "one.csv"), read(folder.path(), "three.csv"));
    assert_eq!(one, three);
    assert!(!folder.path().join("one.csv.part").exists());
    let mut rows = csv::Reader::from_reader(one.as_bytes());
    let header = rows.headers().unwrap().clone();
    let column =
        |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("{name}: {header:?}"));
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!((&rows[3][column("link.slots")], &rows[3][column("who, or what")]), ("3", "a, few"));
    let number = |row: usize, name: &str| rows[row][column(name)].parse::<f64>().unwrap();
    for (row, cells) in rows.iter().enumerate() {
        assert_eq!((number(row, "sent"), number(row, "replications")), (60.0, 6.0));
        assert!((0.0..=1.0).contains(&number(row, "attainment")));
        assert!(number(row, "latency_p50_s") < number(row, "latency_p95_s"));
        assert!(number(row, "latency_mean_s_half_width") > 0.0);
        assert_eq!(cells[column("hash")].len(), 16);
    }
    assert!(number(0, "wait_a_s") > number(2, "wait_a_s"), "nine pods make nobody wait");
    must(folder.path(), "simulate e.toml --seed 6 --out other.csv");
    assert_ne!(one, read(folder.path(), "other.csv"));
    must(folder.path(), "simulate e.toml --set b.pods=4 --replications 2 --out few.csv");
    assert!(read(folder.path(), "few.csv").contains(",5,2,"), "seed 5, 2 replications");
}

#[test]
fn enough_replications_are_as_many_as_the_rule_asks_for() {
    let folder = folder();
    let stop = "stop = { relative_half_width = 0.1, maximum = 400 }";
    fs::write(folder.path().join("e.toml"), EXPERIMENT.replace("replications = 6", stop)).unwrap();
    for (threads, out) in [(1, "one.csv"), (2, "two.csv")] {
        must(folder.path(), &format!("simulate e.toml --threads {threads} --out {out}"));
    }
    let rows = read(folder.path(), "one.csv");
    assert_eq!(rows, read(folder.path(), "two.csv"));
    let mut reader = csv::Reader::from_reader(rows.as_bytes());
    let header = reader.headers().unwrap().clone();
    for row in reader.records().map(Result::unwrap) {
        let number = |name: &str| row[header.iter().position(|h| h == name).unwrap()].parse::<f64>().unwrap();
        assert!(number("replications") >= 10.0 && number("replications") < 400.0);
        assert!(number("latency_mean_s_half_width") <= 0.1 / 1.1 * number("latency_mean_s"));
    }
}

#[test]
fn a_trace_has_a_row_for_each_server_that_worked_and_a_counter_for_each_queue() {
    let folder = folder();
    let words = "simulate e.toml --point 4 --replication 2 --trace t.json --records r.csv";
    let said = must(folder.path(), words);
    assert!(said.contains("link.slots = 3, who, or what = many, replication 2: 60 requests"), "{said}");
    let trace: Value = serde_json::from_str(&read(folder.path(), "t.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &str| events.iter().filter(|event| event["ph"] == kind).collect::<Vec<_>>();
    let names: Vec<&str> = of("M").iter().map(|e| e["args"]["name"].as_str().unwrap()).collect();
    let servers = ["A pod 0", "A pod 3", "slot 2", "B pod 0"];
    for name in ["A", "proxy", "B"].iter().chain(&servers) {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    assert!(!names.contains(&"A pod 4") && !names.contains(&"slot 3") && !names.contains(&"B pod 3"));
    let slices = of("X");
    let whole = |e: &Value| e["name"].as_str().is_some_and(|name| name.starts_with("request "));
    let held: Vec<_> = slices.iter().filter(|e| e["pid"] == 2 && e["cat"] == "held").collect();
    assert_eq!(held.len(), 60, "each request held a slot once");
    for pid in 1..=3 {
        for tid in 1..=4 {
            let row = slices.iter().filter(|e| e["pid"] == pid && e["tid"] == tid && whole(e));
            let mut free_at = 0.0;
            for slice in row {
                let (start, took) = (slice["ts"].as_f64().unwrap(), slice["dur"].as_f64().unwrap());
                assert!(start >= free_at - 2e-3, "server {tid} of {pid} holds two requests at {start}");
                free_at = start + took;
            }
        }
    }
    for queue in ["queue A", "queue proxy", "queue B"] {
        let levels: Vec<i64> = of("C")
            .iter()
            .filter(|e| e["name"] == queue)
            .map(|e| e["args"]["waiting"].as_i64().unwrap())
            .collect();
        assert!(
            levels.iter().all(|&waiting| waiting >= 0) && levels.last() == Some(&0),
            "{queue}: {levels:?}"
        );
    }
    let records = read(folder.path(), "r.csv");
    assert_eq!(records.lines().count(), 61);
    assert!(records.starts_with("run_id,request_id,scheduled_ns,sent_ns,done_ns,status,"), "{records}");
    let fingerprint = trace["otherData"]["fingerprint"].as_str().unwrap();
    assert!(said.contains(fingerprint), "{said}");
}

#[test]
fn a_difference_is_named_by_its_first_event() {
    let folder = folder();
    let said = must(folder.path(), "simulate e.toml --diff e.toml");
    assert!(said.starts_with("identical: 240 events, fingerprint "), "{said}");
    let later = EXPERIMENT.replace("[setup]", "[setup]\npods_change = [{ at_s = 1.0, a = 2, b = 1 }]");
    fs::write(folder.path().join("later.toml"), later).unwrap();
    fs::write(folder.path().join("slow.toml"), EXPERIMENT.replace("0.06", "0.07")).unwrap();
    let output = splitscale(folder.path(), "simulate e.toml --diff slow.toml");
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(why.contains("the runs differ from event "), "{why}");
    assert!(said.contains("e.toml: ") && said.contains("slow.toml: ") && said.contains("request "), "{said}");
    let fingerprints: Vec<&str> = said.split("fingerprint before ").skip(1).map(|rest| &rest[..16]).collect();
    assert_eq!(fingerprints.len(), 2);
    assert_eq!(fingerprints[0], fingerprints[1], "up to there they are the same");
    let why = refused(folder.path(), "simulate e.toml --diff later.toml", 1);
    assert!(why.contains("differ"), "{why}");
}

#[test]
fn bad_use_of_experiments_is_told() {
    let folder = folder();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    let open = "poisson = { rate_per_s = 90.0 } }\nhorizon_s = 9.0";
    let overload = EXPERIMENT.replace("poisson = { rate_per_s = 20.0, requests = 60 } }", open);
    write("warm.toml", overload.replace("[setup]", "[setup]\nwarm_up_s = 1.0"));
    write(
        "stop.toml",
        overload.replace("replications = 6", "stop = { relative_half_width = 0.1, maximum = 20 }"),
    );
    write("slotz.toml", EXPERIMENT.replace("[\"link.slots\"]", "[\"link.slotz\"]"));
    let replay = EXPERIMENT.replace(
        "poisson = { rate_per_s = 20.0, requests = 60 }",
        "stamps = { trace = { file = \"t.csv\" } }",
    );
    write("gone.toml", replay.clone());
    fs::create_dir(folder.path().join("sub")).unwrap();
    write("sub/replay.toml", replay);
    write("sub/t.csv", "0\n1\nx\n".into());
    for (words, parts) in [
        ("simulate warm.toml", &["overload", "link.slots = 2", "Network", "lower the rate"][..]),
        ("simulate stop.toml", &["overload", "cannot settle", "leave warm_up_s and stop away"]),
        ("simulate slotz.toml", &["slotz.toml", "unknown field `slotz`"]),
        ("simulate gone.toml", &["could not read t.csv"]),
        ("simulate sub/replay.toml", &["t.csv:3", "x"]),
        ("simulate nowhere.toml", &["nowhere.toml"]),
        ("simulate e.toml --slots 3", &["e.toml", "--set"]),
        ("simulate e.toml --point 1", &["--trace"]),
        ("simulate e.toml --point 6 --trace t.json", &["--point 6", "0 to 5"]),
        ("simulate e.toml --set link.slots=3", &["link.slots", "swept"]),
        ("simulate e.toml --set b.pods=0", &["b.pods", "zero"]),
        ("simulate c.json --set b.pods=0", &["c.json", "not an experiment"]),
    ] {
        let said = refused(folder.path(), words, 1);
        for part in parts {
            assert!(said.contains(part), "{words}: {said:?} does not say {part:?}");
        }
    }
    for words in [
        "simulate e.toml --shard 0/2",
        "simulate e.toml --shard 3/2",
        "simulate e.toml --set x",
        "merge m.csv",
    ] {
        refused(folder.path(), words, 2);
    }
    write("over.toml", overload);
    let said = must(folder.path(), "simulate over.toml --replications 2 --out over.csv");
    assert!(
        said.contains("link.slots = 2, who, or what = many: overload, Network")
            && said.contains("not finished"),
        "{said}"
    );
}

#[test]
fn rows_stay_when_a_later_point_fails() {
    let folder = folder();
    let late =
        EXPERIMENT.replace("[\"link.slots\"]\nvalues = [2, 3]", "[\"warm_up_s\"]\nvalues = [0.0, 1e6]");
    fs::write(folder.path().join("late.toml"), late).unwrap();
    let said = refused(folder.path(), "simulate late.toml --out late.csv", 1);
    assert!(
        said.contains("warm_up_s = 1000000.0, who, or what = a, few") && said.contains("3 of 6 points"),
        "{said}"
    );
    assert_eq!(read(folder.path(), "late.csv.part").lines().count(), 4);
    assert!(!folder.path().join("late.csv").exists());
}

#[test]
fn an_interrupted_experiment_keeps_its_rows() {
    let folder = folder();
    let seeds: Vec<String> = (0..500).map(|seed| seed.to_string()).collect();
    let long = EXPERIMENT
        .replace("[\"link.slots\"]\nvalues = [2, 3]", &format!("[\"seed\"]\nvalues = [{}]", seeds.join(", ")))
        .replace("requests = 60", "requests = 30000");
    fs::write(folder.path().join("long.toml"), long).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(["simulate", "long.toml", "--out", "long.csv"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = folder.path().join("long.csv.part");
    while fs::read_to_string(&part).unwrap_or_default().lines().count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let rows = read(folder.path(), "long.csv.part");
    assert!(rows.ends_with('\n') && (3..1501).contains(&rows.lines().count()), "{}", rows.lines().count());
    assert!(!folder.path().join("long.csv").exists());
}

#[test]
fn every_committed_experiment_runs() {
    let folder = TempDir::new().unwrap();
    let files = committed();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let said = must(folder.path(), &format!("simulate {} --records r.csv", file.display()));
        assert!(said.contains("replication 0"), "{said}");
        assert!(read(folder.path(), "r.csv").lines().count() > 20, "{}", file.display());
    }
}
