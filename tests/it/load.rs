//! `load` as it is typed, against emulated pipelines: every mode, every way to end.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use splitscale_sim::{ArrivalTimes, Arrivals, MAX_REQUESTS};
use splitscale_spec::{RequestRecord, Status};
use tempfile::TempDir;

use crate::cli::{must, refused, splitscale};
use crate::serve::{Server, line};

/// A picture of one pixel.
const PNG: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\
    \x01\x08\x02\x00\x00\x00\x90\x77\x53\xde\x00\x00\x00\x0c\x49\x44\x41\x54\x78\xda\x63\x10\x68\
    \xf8\x00\x00\x02\x24\x01\x81\x51\x6c\x37\xc8\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";
/// Milliseconds of service, several pods.
const QUICK: &str = "--service-time 0.002 --pods 4";

fn servers([b, proxy, a]: &[Server; 3]) -> String {
    format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url)
}

fn records(folder: &Path, name: &str) -> Vec<RequestRecord> {
    let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
    let mut records: Vec<RequestRecord> = reader.deserialize().map(Result::unwrap).collect();
    for record in &records {
        record.validate().unwrap();
        assert!(record.sent_ns >= record.scheduled_ns, "{record:?}");
    }
    records.sort_by_key(|record| record.request_id);
    records
}

/// Runs a load, checks what must hold of any, and gives its figures and its records.
fn load(folder: &Path, words: &str) -> (Value, Vec<RequestRecord>) {
    let _ = fs::remove_file(folder.join("r.csv"));
    let figures =
        serde_json::from_str(&must(folder, &format!("load {words} --json --records r.csv"))).unwrap();
    let records = records(folder, "r.csv");
    add_up(&figures, &records);
    (figures, records)
}

fn add_up(figures: &Value, records: &[RequestRecord]) {
    let count = |field: &str| figures[field].as_u64().unwrap() as usize;
    let unanswered = figures["unanswered"].as_object().unwrap().values();
    let missed: u64 = unanswered.map(|miss| miss["count"].as_u64().unwrap()).sum();
    let of = |status| records.iter().filter(|record| record.status == status).count();
    assert_eq!(count("due") + count("left_out"), records.len(), "{figures}");
    assert_eq!(count("answered") + missed as usize, count("due"), "{figures}");
    assert_eq!(count("due") - count("sent"), of(Status::Dropped), "{figures}");
}

/// Behind `docker compose up` only A and the proxy can be reached.
#[test]
fn stage_b_may_be_out_of_reach() {
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = line(folder.path(), QUICK, "", "");
    let words = format!("burst:5 --a {} --proxy {} --b http://127.0.0.1:1", a.url, proxy.url);
    let (figures, records) = load(folder.path(), &words);
    assert_eq!(figures["answered"], 5, "{figures}");
    assert!(records.iter().all(|record| record.pods_b == 4), "{records:?}");
    drop(b);
}

fn due(records: &[RequestRecord]) -> Vec<u64> {
    records.iter().map(|record| record.scheduled_ns).collect()
}

#[test]
fn every_mode_sends_what_it_says_when_it_says() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let pipeline = line(folder, QUICK, "", "");
    let at = servers(&pipeline);

    let (figures, sent) = load(folder, &format!("burst:6,0.4 --duration 0.5 {at}"));
    assert_eq!(due(&sent), [[0; 6], [400_000_000; 6]].concat());
    assert_eq!((&figures["answered"], &figures["sent"]), (&12.into(), &12.into()));
    assert!(sent.iter().all(|record| record.http_status == Some(200) && record.emulated));
    assert_eq!(figures["latency"]["mean"]["interval_s"], Value::Null, "a burst is no sample");
    assert_eq!(load(folder, &format!("burst:5 {at}")).1.len(), 5);

    let (figures, sent) = load(folder, &format!("closed:3 --requests 10 {at}"));
    assert_eq!((&figures["answered"], sent.len()), (&10.into(), 10));
    assert!(sent.iter().all(|record| record.sent_ns == record.scheduled_ns));
    let together = |at: u64| sent.iter().filter(|r| (r.sent_ns..r.done_ns).contains(&at)).count();
    assert!(sent.iter().all(|record| together(record.sent_ns) <= 3), "three clients");

    fs::write(folder.join("t.csv"), "timestamp\n100\n100.05\n100.05\n100.2\n").unwrap();
    let (_, sent) = load(folder, &format!("trace:t.csv --compress 2 {at}"));
    assert_eq!(due(&sent), [0, 25_000_000, 25_000_000, 100_000_000]);
    fs::write(folder.join("t.jsonl"), "{\"timestamp\": 7}\n{\"timestamp\": 7.1}\n").unwrap();
    assert_eq!(due(&load(folder, &format!("trace:t.jsonl {at}")).1), [0, 100_000_000]);
    fs::write(folder.join("rates.txt"), "0 0\n0.2 200\n0.3 0\n0.4 0\n").unwrap();
    let (_, sent) = load(folder, &format!("rates:rates.txt {at}"));
    let within = |record: &RequestRecord| (200_000_000..300_000_000).contains(&record.scheduled_ns);
    assert!(!sent.is_empty() && sent.iter().all(within), "{:?}", due(&sent));
    fs::write(folder.join("counts.csv"), "time,count\n0,3\n0.1,0\n0.2,2\n").unwrap();
    let sent = due(&load(folder, &format!("counts:counts.csv {at}")).1);
    assert_eq!(sent.iter().map(|ns| ns / 100_000_000).collect::<Vec<_>>(), [0, 0, 0, 2, 2]);
}

#[test]
fn a_seed_gives_the_arrival_times_of_the_simulator() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let pipeline = line(folder, QUICK, "", "");
    let at = servers(&pipeline);
    let poisson = |seed: u64, words: &str| {
        due(&load(folder, &format!("poisson:80 --seed {seed} --requests 20 {words} {at}")).1)
    };
    let first = poisson(7, "");
    // Neither the images nor a warm-up nor what else is asked for changes them.
    assert_eq!(first, poisson(7, "--warm-up 0.1 --retry 3 --timeout 9"));
    assert_ne!(first, poisson(8, ""));
    let simulated = Arrivals::Poisson { rate_per_s: 80.0, requests: MAX_REQUESTS };
    let simulated = ArrivalTimes::of(&simulated, 7).unwrap().take(20).map(|time| time.as_nanos());
    assert_eq!(first, simulated.collect::<Vec<_>>());
    let gamma = || due(&load(folder, &format!("gamma:80,3 --duration 0.4 {at}")).1);
    let times = gamma();
    assert!(!times.is_empty() && times == gamma() && times.iter().all(|ns| *ns < 400_000_000));
}

#[test]
fn an_open_loop_waits_for_nobody_and_drops_what_it_says() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    // One pod: 0.1 s a request, where one comes every 10 ms.
    let pipeline = line(folder, "--service-time 0.1", "", "");
    let times: String = (0..12).map(|i| format!("{}\n", f64::from(i) * 0.01)).collect();
    fs::write(folder.join("t.csv"), times).unwrap();
    let (figures, sent) = load(folder, &format!("trace:t.csv --slo 0.45 {}", servers(&pipeline)));
    assert_eq!(figures["answered"], 12);
    // The k-th is done after 0.1 k s at the earliest, and counts from when it was due.
    let done: Vec<f64> = sent.iter().map(|r| (r.done_ns - r.scheduled_ns) as f64 * 1e-9).collect();
    let latest = done.iter().copied().fold(0.0, f64::max);
    assert!(latest > 1.2 - 0.11, "{done:?}");
    assert!((figures["latency"]["max_s"].as_f64().unwrap() - latest).abs() < 1e-9);
    let mean = done.iter().sum::<f64>() / 12.0;
    assert!((figures["latency"]["mean"]["value_s"].as_f64().unwrap() - mean).abs() < 1e-9);
    let phases: f64 =
        figures["phases_s"].as_array().unwrap().iter().map(|phase| phase[1].as_f64().unwrap()).sum();
    assert!((phases - mean).abs() < 1e-3, "they add up: {phases} {mean}");
    let within = done.iter().filter(|s| **s <= 0.45).count();
    assert!(within < 12);
    assert!((figures["slo"]["attainment"].as_f64().unwrap() - within as f64 / 12.0).abs() < 1e-9);
    for server in ["a", "proxy", "b"] {
        assert!(figures["cpu_s"][server].as_f64().unwrap() > 0.0, "{figures}");
    }

    let (figures, sent) = load(folder, &format!("trace:t.csv --outstanding 2 {}", servers(&pipeline)));
    let dropped = sent.iter().filter(|r| r.status == Status::Dropped).count() as u64;
    // No answer can be there before 0.1 s: ten are due by then, two of them may be under way.
    assert!(dropped >= 7, "{dropped} dropped");
    assert_eq!(figures["unanswered"]["dropped, too many under way"]["count"], dropped);
    assert_eq!(figures["sent"], 12 - dropped);
}

#[test]
fn refusals_have_their_status_and_are_sent_again_where_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let pipeline = line(folder, "--service-time 0.1", "", "--queue 1");
    let at = servers(&pipeline);
    let (figures, sent) = load(folder, &format!("burst:8 {at}"));
    let full = sent.iter().filter(|r| r.status == Status::Refused && r.http_status == Some(429)).count();
    assert!(full > 0, "{figures}");
    assert_eq!(figures["unanswered"]["HTTP 429"]["count"], full);
    assert!(figures["unanswered"]["HTTP 429"]["first"].as_str().unwrap().contains("queue is full"));
    let (figures, sent) = load(folder, &format!("burst:8 --retry 50 --timeout 100 {at}"));
    assert_eq!(figures["answered"], 8, "{figures}");
    assert!(figures["retries"].as_u64().unwrap() > 0);
    // Retry-After is a second or more, which counts for whoever waits.
    assert!(sent.iter().any(|r| r.sent_ns - r.scheduled_ns > 900_000_000 && r.status == Status::Answered));
}

#[test]
fn a_timeout_is_kept() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let pipeline = line(folder, "--service-time 0.2", "", "");
    let words = "load burst:6 --timeout 0.5 --json --records r.csv";
    // Where none comes in time, that is an error too.
    let output = splitscale(folder, &format!("{words} {}", servers(&pipeline)));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sent = records(folder, "r.csv");
    add_up(&figures, &sent);
    // Each takes 0.2 s of the one pod of A, then of B's: the second has its answer after 0.6 s at the earliest.
    assert!(figures["answered"].as_u64().unwrap() <= 1, "{figures}");
    for record in sent.iter().filter(|record| record.status != Status::Answered) {
        assert!(
            matches!((record.status, record.http_status), (Status::Lost, None) | (Status::Failed, Some(504))),
            "{record:?}"
        );
    }
}

fn start(folder: &Path, words: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Waits until a file has so many lines; a child that ends before fails the test.
fn grown(child: &mut Child, file: &Path, lines: usize) {
    while fs::read_to_string(file).unwrap_or_default().lines().count() < lines {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before {} had {lines} lines", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupted(child: Child) -> Output {
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    child.wait_with_output().unwrap()
}

#[test]
fn ctrl_c_leaves_the_figures_and_the_records_of_what_was_done() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let pipeline = line(folder, QUICK, "", "");
    for (mode, file) in [("poisson:40 --duration 600", "open.csv"), ("closed:2 --duration 600", "closed.csv")]
    {
        let mut child = start(folder, &format!("load {mode} --json --records {file} {}", servers(&pipeline)));
        grown(&mut child, &folder.join(file), 6);
        let output = interrupted(child);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains(file), "{said}");
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        add_up(&figures, &records(folder, file));
        assert!(figures["answered"].as_u64().unwrap() >= 5);
    }
    // What hangs is not waited for, and not forgotten.
    drop(pipeline);
    let pipeline = line(folder, "--service-time 500", "", "");
    let mut child = start(
        folder,
        &format!(
            "load burst:3,0.2 --duration 600 --timeout 600 --outstanding 3 --json --records hung.csv {}",
            servers(&pipeline)
        ),
    );
    grown(&mut child, &folder.join("hung.csv"), 4);
    let output = interrupted(child);
    assert_eq!(output.status.code(), Some(130));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    add_up(&figures, &records(folder, "hung.csv"));
    assert_eq!(figures["unanswered"]["abandoned, the load was ended"]["count"], 3, "{figures}");
    for mut server in pipeline {
        server.child.kill().unwrap();
    }
}

#[test]
fn servers_that_are_dead_or_die_are_told() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let [b, proxy, mut a] = line(folder, QUICK, "", "");
    let dead = format!("--a http://127.0.0.1:1 --proxy {} --b {}", proxy.url, b.url);
    let said = refused(folder, &format!("load burst:2 --records r.csv {dead}"), 1);
    assert!(said.contains("http://127.0.0.1:1") && said.contains("did not answer"), "{said}");
    assert!(!folder.join("r.csv").exists());

    // One that dies under way: the load goes on, and every request is accounted for.
    let at = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    let mut child = start(folder, &format!("load poisson:40 --requests 60 --json --records r.csv {at}"));
    grown(&mut child, &folder.join("r.csv"), 4);
    a.child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    add_up(&figures, &records(folder, "r.csv"));
    assert_eq!(figures["due"], 60);
    assert!(figures["unanswered"]["no connection"]["count"].as_u64().unwrap() > 0, "{figures}");
    assert_eq!(figures["cpu_s"]["a"], Value::Null, "it no longer says");
}

#[test]
fn a_collection_ends_when_a_server_goes_away_and_keeps_what_it_has() {
    for (victim, name) in [(0, "stage B"), (1, "the proxy"), (2, "stage A")] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        let mut pipeline = line(folder, "--service-time 0.02", "", "");
        let words = "--slots 1 --pods 1 --burst 4 --repeats 500 --out run";
        let mut child = start(folder, &format!("collect {words} {}", servers(&pipeline)));
        grown(&mut child, &folder.join("run/table.csv"), 3);
        pipeline[victim].child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let address = pipeline[victim].url.trim_start_matches("http://");
        assert!(said.contains(address), "{name} at {address}: {said}");
        assert!(said.contains("bursts measured; they are in run"), "{said}");
        let table = fs::read_to_string(folder.join("run/table.csv")).unwrap();
        let measured = records(folder, "run/records.csv");
        assert!(table.lines().count() >= 3 && measured.len() >= 8);
    }
}

#[test]
fn what_is_typed_wrong_is_told() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let usage = [
        ("nothing", "burst:N"),
        ("burst:0", "whole number"),
        ("burst:5,0", "0.01 s"),
        ("poisson:-1", "a rate"),
        ("poisson:nan", "a rate"),
        ("gamma:5", "gamma:RATE,CV"),
        ("gamma:5,0", "a CV"),
        ("trace:", "name a file"),
        ("closed:1.5", "whole number"),
        ("burst:1 --outstanding 0", "1 to 1000000"),
        ("burst:1 --timeout 0", "0.01 s"),
    ];
    for (words, expected) in usage {
        let said = refused(folder, &format!("load {words}"), 2);
        assert!(said.contains(expected), "{words}: {said}");
    }
    fs::write(folder.join("t.csv"), "0\n1\n0.5\n").unwrap();
    let said = refused(folder, "load trace:t.csv", 1);
    assert!(said.contains("t.csv:3") && said.contains("sort"), "{said}");
    fs::write(folder.join("rates.txt"), "0 1\n5 x\n").unwrap();
    let said = refused(folder, "load rates:rates.txt", 1);
    assert!(said.contains("rates.txt:2") && said.contains("rate_per_s"), "{said}");
    assert!(refused(folder, "load trace:nowhere.csv", 1).contains("nowhere.csv"));
    fs::write(folder.join("list.txt"), "\nmissing.jpg\n").unwrap();
    assert!(refused(folder, "load burst:1 --images list.txt", 1).contains("missing.jpg"));
    fs::write(folder.join("missing.jpg"), "no picture").unwrap();
    assert!(refused(folder, "load burst:1 --images list.txt", 1).contains("cannot be sent"));
    fs::write(folder.join("list.txt"), "\n").unwrap();
    assert!(refused(folder, "load burst:1 --images list.txt", 1).contains("lists no file"));

    let pipeline = line(folder, QUICK, "", "");
    fs::write(folder.join("r.csv"), "mine").unwrap();
    let said = refused(folder, &format!("load burst:1 --records r.csv {}", servers(&pipeline)), 1);
    assert!(said.contains("r.csv") && said.contains("not there yet"), "{said}");
    assert_eq!(fs::read_to_string(folder.join("r.csv")).unwrap(), "mine");
}

#[test]
fn a_list_of_images_is_sent_and_the_table_says_what_came_of_it() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("pictures")).unwrap();
    fs::write(folder.join("pictures/one.png"), PNG).unwrap();
    fs::write(folder.join("pictures/list.txt"), "one.png\n").unwrap();
    let pipeline = line(folder, QUICK, "", "");
    let words = "load poisson:100 --requests 210 --warm-up 0.05 --slo 1 --images pictures/list.txt";
    let said = must(folder, &format!("{words} {}", servers(&pipeline)));
    for part in ["poisson:100, seed 1", "left out", "throughput", "goodput", "p99.9", "takes 3688 answers"] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
    for phase in splitscale_spec::PHASES {
        assert!(said.lines().any(|line| line.starts_with(phase)), "no {phase} in\n{said}");
    }
}
