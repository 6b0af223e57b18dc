//! Policies side by side on real servers of emulated engines: what is written, what is refused, how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use splitscale_spec::{RequestRecord, Status};
use tempfile::TempDir;

use crate::cli::{interrupt, must, refused};

/// Two phases: four slots carry 16 a second, one carries 4.
const PLAN: &str = r#"
schema = 1
seed = 3
phases = [{ slots = 4, seconds = 2.0 }, { slots = 1, seconds = 3.0 }]
arrivals = { poisson = { rate_per_s = 12.0 } }
pods = { a = 2, b = 1 }
timeout_s = 1.5
interval_s = 0.25
window_s = 1.0
together = true
[servers]
a = "--engine emulated --service-time 0.02 --model-version 1"
proxy = "--slot-bandwidth 50 --rtt 0.1"
b = "--engine emulated --service-time 0.02 --model-version 1"
[pipeline]
schema = 1
a = { pods_min = 1, pods_max = 6, cpu_share = 1.0, cores = 2 }
b = { pods_min = 1, pods_max = 6, cpu_share = 1.0, cores = 2 }
cut = { name = "layer3", payload_bytes = 802816 }
link = { slots = 4, bandwidth = { per_slot_mbit_s = 50.0 } }
slo = { latency_s = 1.0, target = 0.95 }
cost = { miss_weight = 10.0, churn_weight = 1.0 }
[shells.by-hand]
settle_s = 0.0
down_window_s = 0.0
"#;

/// Writes the plan, and two policies: one that moves with the slots, one that stays.
fn prepare(folder: &Path) {
    let policy = |name: &str, kind: &str| {
        let text = format!(
            "{{\"schema\": 2, \"name\": \"{name}\", \"kind\": {kind}, \"region\": null, \"training\": null}}"
        );
        fs::write(folder.join(format!("{name}.json")), text).unwrap();
    };
    let bin = |name: &str, slots: u32, to: u32, a: u32| {
        format!(
            "{{\"name\": \"{name}\", \"slots_min\": {slots}, \"slots_max\": {to}, \"pods\": {{\"a\": {a}, \"b\": 1}}}}"
        )
    };
    policy(
        "by-hand",
        &format!("{{\"slots_table\": [{}, {}]}}", bin("heavy", 1, 1, 1), bin("light", 2, 8, 3)),
    );
    policy("stays", "{\"static\": {\"a\": 2, \"b\": 1}}");
    fs::write(folder.join("plan.toml"), PLAN).unwrap();
}

fn records(file: &Path) -> Vec<RequestRecord> {
    let mut records: Vec<RequestRecord> =
        csv::Reader::from_path(file).unwrap().deserialize().map(Result::unwrap).collect();
    records.sort_by_key(|record| record.request_id);
    records
}

/// The rows of a table, by column.
fn rows(file: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(file).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn both_meet_the_same_requests_and_everything_is_counted() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    prepare(folder);
    let said = must(folder, "contest plan.toml by-hand.json stays.json --out run");
    let of = |policy: &str, file: &str| folder.join("run").join(policy).join(file);
    let due = |policy: &str| -> Vec<u64> {
        records(&of(policy, "records.csv")).iter().map(|record| record.scheduled_ns).collect()
    };
    assert_eq!(due("by-hand"), due("stays"));
    assert!(due("stays").len() > 30 && due("stays").iter().all(|&ns| ns < 5_000_000_000), "{said}");

    let scores = rows(&folder.join("run/contest.csv"));
    assert_eq!(scores.len(), 2 * 3, "the whole and two phases of each");
    let number = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<f64>().unwrap();
    for policy in ["by-hand", "stays"] {
        let own: Vec<_> = scores.iter().filter(|row| row["policy"] == policy).collect();
        let records = records(&of(policy, "records.csv"));
        for row in &own {
            let ends = ["answered", "refused", "failed", "lost"].map(|column| number(row, column));
            assert_eq!(ends.iter().sum::<f64>(), number(row, "sent"), "{row:?}");
            let misses = number(row, "due") - number(row, "in_time");
            let pods_s = number(row, "pod_seconds_a") + number(row, "pod_seconds_b");
            let cost = pods_s + 10.0 * misses + number(row, "changes");
            assert!((number(row, "cost") - cost).abs() < 1e-9, "{row:?}");
        }
        assert_eq!(number(own[0], "due") as usize, records.len());
        let answered = records.iter().filter(|record| record.status == Status::Answered).count();
        assert_eq!(number(own[0], "answered") as usize, answered);
        for column in ["due", "in_time", "changes", "pod_seconds_a", "cost"] {
            let parts = number(own[1], column) + number(own[2], column);
            assert!((parts - number(own[0], column)).abs() < 1e-9, "{column} of {policy}: {own:?}");
        }
        // One slot carries a third of what is sent: most have no answer in time, and none of them is forgotten.
        assert!(number(own[2], "attainment") < 0.5, "{own:?}");
        must(folder, &format!("replay run/{policy}/decisions.jsonl"));
        assert!(fs::read_to_string(of(policy, "timeline.csv")).unwrap().lines().count() > 5);
        for log in ["a.log", "proxy.log", "b.log"] {
            assert!(of(policy, "logs").join(log).exists(), "{log}");
        }
    }
    let whole = |policy: &str, column: &str| {
        let row = scores.iter().find(|row| row["policy"] == policy && row["phase"].is_empty());
        number(row.unwrap(), column)
    };
    // Up to 3 pods of A at eight slots, down to 1 at one; the other one stays where it began.
    assert_eq!((whole("by-hand", "changes"), whole("stays", "changes")), (3.0, 0.0), "{said}");
    assert!((whole("stays", "pod_seconds_a") - 10.0).abs() < 1e-9, "two pods for five seconds");
    let looks = rows(&folder.join("run/contest-timeline.csv"));
    let slots: Vec<&str> = looks.iter().map(|row| row["slots"].as_str()).collect();
    assert!(slots.contains(&"4") && slots.contains(&"1"), "{slots:?}");
    for words in ["by-hand", "stays", "1: 4 slots", "2: 1 slot", "J = pod-seconds + 10 * misses"] {
        assert!(said.contains(words), "`{words}` is missing: {said}");
    }

    assert!(folder.join("run/figures/contest.png").exists(), "{said}");
    let drawn = must(folder, "figures run --out again");
    assert!(drawn.contains("again/contest.svg"), "{drawn}");
    let said = refused(folder, "figures run --out run", 1);
    assert!(said.contains("contest.csv") && said.contains("another folder"), "{said}");
    let said = refused(folder, "contest plan.toml stays.json --out run", 1);
    assert!(said.contains("run is not empty"), "{said}");
}

#[test]
fn one_after_the_other_meets_the_same_requests_too() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    prepare(folder);
    let short = PLAN.replace("together = true", "together = false").replace("seconds = 3.0", "seconds = 1.0");
    fs::write(folder.join("plan.toml"), short.replace("seconds = 2.0", "seconds = 1.0")).unwrap();
    let said = must(folder, "contest plan.toml stays.json by-hand.json --out run");
    assert!(said.contains("one after the other"), "{said}");
    let [one, other] =
        ["stays", "by-hand"].map(|name| records(&folder.join("run").join(name).join("records.csv")));
    let due = |records: &[RequestRecord]| records.iter().map(|r| r.scheduled_ns).collect::<Vec<_>>();
    assert_eq!(due(&one), due(&other));
    let order: Vec<String> =
        rows(&folder.join("run/contest.csv")).iter().map(|row| row["policy"].clone()).collect();
    assert_eq!(order[0], "stays", "in the order in which they were named");
}

#[test]
fn what_cannot_be_played_is_told_by_its_field_before_anything_is_written() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    prepare(folder);
    for (what, with, expected) in [
        ("schema = 1\nseed", "schema = 7\nseed", "this contest has schema 7"),
        ("seed = 3", "sead = 3", "sead"),
        ("slots = 4, seconds = 2.0", "slots = 0, seconds = 2.0", "phases[0].slots: zero"),
        ("slots = 4, seconds = 2.0", "slots = 4000, seconds = 2.0", "phases[0].slots: 4000 is more"),
        ("seconds = 3.0", "seconds = -1.0", "phases[1].seconds: -1 is not"),
        ("rate_per_s = 12.0", "rate_per_s = 0.0", "arrivals.poisson.rate_per_s: 0 is not"),
        ("rate_per_s = 12.0", "rate_per_s = 1e-6", "arrivals: none within the 5 s"),
        ("pods = { a = 2, b = 1 }", "pods = { a = 7, b = 1 }", "pods: a 7, b 1 are out of"),
        ("timeout_s = 1.5", "timeout_s = nan", "timeout_s: NaN is not"),
        ("interval_s = 0.25", "interval_s = 0.001", "interval_s: 0.001 is not 0.01 to"),
        ("window_s = 1.0", "window_s = 0.0", "window_s: 0 is not"),
        ("--rtt 0.1", "--rrt 0.1", "servers.proxy: unexpected argument '--rrt'"),
        (
            "--slot-bandwidth 50",
            "--slot-bandwidth 50 --threads 2",
            "servers.proxy: the argument '--threads <N>'",
        ),
        ("pods_max = 6", "pods_max = 99", "servers.a: --pods-max 64 is below the 99"),
        ("--engine emulated --service-time 0.02", "--cpu-share 0.5", "together: pipelines that compute"),
        ("latency_s = 1.0", "latency_s = 0.0", "pipeline.slo.latency_s: 0 is not"),
        ("settle_s = 0.0", "settle_s = -1.0", "shells.by-hand.settle_s: -1 is not"),
        ("settle_s = 0.0", "settle = 0.0", "settle"),
    ] {
        assert!(PLAN.contains(what), "{what}");
        fs::write(folder.join("plan.toml"), PLAN.replacen(what, with, 1)).unwrap();
        let said = refused(folder, "contest plan.toml by-hand.json stays.json --out run", 1);
        assert!(said.contains("plan.toml") && said.contains(expected), "{with}: {said}");
        assert!(!folder.join("run").exists(), "{with}");
    }
    fs::write(folder.join("plan.toml"), PLAN).unwrap();
    let said = refused(folder, "contest plan.toml stays.json stays.json --out run", 1);
    assert!(said.contains("stays.json: name: `stays` is as good as that of stays.json"), "{said}");
    let named = fs::read_to_string(folder.join("stays.json")).unwrap().replace("\"stays\"", "\"..\"");
    fs::write(folder.join("bad.json"), named).unwrap();
    let said = refused(folder, "contest plan.toml bad.json --out run", 1);
    assert!(said.contains("bad.json: name: `..` cannot be"), "{said}");
    let said = refused(folder, "contest plan.toml nowhere.json --out run", 1);
    assert!(said.contains("nowhere.json"), "{said}");
    refused(folder, "contest plan.toml", 2);
    assert!(!folder.join("run").exists());
}

#[test]
fn a_server_that_cannot_start_ends_it_with_the_end_of_its_log() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    prepare(folder);
    let words = "--engine emulated --service-time 0.02";
    let plan = PLAN.replacen(words, "--engine emulated --calibration nowhere.json", 1);
    fs::write(folder.join("plan.toml"), plan).unwrap();
    let said = refused(folder, "contest plan.toml stays.json --out run", 1);
    assert!(said.contains("the pipeline of stays") && said.contains("server a did not start"), "{said}");
    assert!(said.contains("nowhere.json"), "the end of its log: {said}");
}

/// A contest of an hour, once each pipeline has answered something.
fn under_way(folder: &Path) -> Child {
    prepare(folder);
    fs::write(folder.join("plan.toml"), PLAN.replace("seconds = 2.0", "seconds = 3600.0")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args("contest plan.toml by-hand.json stays.json --out run".split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let lines = |file: &Path| fs::read_to_string(file).unwrap_or_default().lines().count();
    for file in ["run/by-hand/records.csv", "run/stays/records.csv", "run/stays/decisions.jsonl"] {
        while lines(&folder.join(file)) < 5 {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before {file} had five lines");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    child
}

/// The processes whose parent is this one.
fn children(of: u32) -> Vec<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let parent = |pid: u32| stat(pid)?.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent(pid) == Some(of)).collect()
}

/// Fails if one of them is still there after a while.
fn gone(pids: &[u32]) {
    let begin = Instant::now();
    while pids.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{pids:?} are still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ctrl_c_keeps_what_was_played_and_leaves_no_process() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let child = under_way(folder);
    let servers = children(child.id());
    assert_eq!(servers.len(), 6, "three servers of each pipeline");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted: what was played is in run"), "{said}");
    gone(&servers);
    for policy in ["by-hand", "stays"] {
        let records = records(&folder.join("run").join(policy).join("records.csv"));
        assert!(records.iter().any(|record| record.status == Status::Answered));
        must(folder, &format!("replay run/{policy}/decisions.jsonl"));
    }
    let looks = rows(&folder.join("run/contest-timeline.csv"));
    assert!(looks.iter().any(|row| row["policy"] == "stays"));
    assert!(must(folder, "figures run").contains("contest.svg"));
    assert!(!folder.join("run/contest.csv").exists(), "half a contest has no score");
}

#[test]
fn a_server_that_dies_ends_it_for_all() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let child = under_way(folder);
    let servers = children(child.id());
    let killed = Command::new("kill").args(["-9", &servers[0].to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the pipeline of ") && said.contains("ended (signal: 9"), "{said}");
    gone(&servers);
}
