//! What goes wrong around a scaler that changes a running pipeline: each fault has an outcome that `docs/scaler.md` states, and
//! no request is lost.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::must;
use crate::decisions::{PIPELINE, calibration, constant, lines, write};
use crate::serve::{Server, line};

/// Longest that something may take to happen. What is waited for happens within seconds, unless the machine is busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Three emulated servers that a scaler moves between two and four pods.
struct Pipeline {
    folder: TempDir,
    servers: [Server; 3],
}

/// A scaler under way. It ends with this value.
struct Scaler(Child);

/// How a server between the scaler and a real one behaves.
#[derive(Clone, Copy, PartialEq)]
enum Front {
    /// It passes everything on.
    Honest = 0,
    /// It takes a question and never answers.
    Hung = 1,
    /// It answers metrics that are all zero.
    Zeros = 2,
}

impl Pipeline {
    fn start(stages: &str) -> Pipeline {
        let folder = TempDir::new().unwrap();
        let at = folder.path();
        fs::write(at.join("pipeline.toml"), PIPELINE).unwrap();
        // Three pods while there are two slots or more; the slots are what the proxy says.
        let bin = json!({"name": "any", "slots_min": 1, "slots_max": 8, "pods": {"a": 3, "b": 3}});
        let table = json!({"schema": 2, "name": "by slots", "kind": {"slots_table": [bin]}, "region": null,
            "training": null});
        write(at, "policy.json", &table);
        write(at, "baseline.json", &constant("two", 2, 2));
        write(at, "calibration.json", &calibration());
        fs::write(at.join("shell.toml"), "max_age_s = 1\nhold_s = 1\nsettle_s = 0\ndown_window_s = 0\n")
            .unwrap();
        let stages = format!("--model-version 1 --pods 4 --pods-max 4 {stages}");
        let servers = line(at, &stages, "--threads 2 --slot-bandwidth 1000", "");
        Pipeline { folder, servers }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> PathBuf {
        self.folder().join("decisions.jsonl")
    }

    fn url(&self, server: usize) -> &str {
        &self.servers[server].url
    }

    /// A scaler on these servers, in auto.
    fn scale(&self, (b, proxy, a): (&str, &str, &str), flags: &str) -> Scaler {
        let words = format!(
            "scale --policy policy.json --baseline baseline.json --shell shell.toml --pipeline pipeline.toml --mode auto \
             --a {a} --proxy {proxy} --b {b} --interval 0.2 --window 1 {flags}"
        );
        let child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
            .args(words.split_whitespace())
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Scaler(child.unwrap())
    }

    fn scaled(&self, flags: &str) -> Scaler {
        self.scale((self.url(0), self.url(1), self.url(2)), flags)
    }

    /// Loads the pipeline for these seconds while `fault` happens: every request is answered.
    fn without_a_loss(&self, seconds: u32, fault: impl FnOnce()) {
        let [b, proxy, a] = &self.servers;
        let words = format!(
            "load poisson:30 --duration {seconds} --timeout 60 --json --a {} --proxy {} --b {}",
            a.url, proxy.url, b.url
        );
        let figures: Value = thread::scope(|scope| {
            let load = scope.spawn(|| must(self.folder(), &words));
            fault();
            serde_json::from_str(&load.join().unwrap()).unwrap()
        });
        assert!(figures["due"].as_u64() > Some(0), "{figures}");
        assert_eq!(figures["answered"], figures["due"], "{figures}");
    }

    /// The lines of the log that are whole, once one is as `found` says.
    fn until(&self, what: &str, found: impl Fn(&Value) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(self.log()).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if lines.iter().any(&found) {
                return lines;
            }
            assert!(begun.elapsed() < LIMIT, "never {what}: {:?}", lines.last());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The pods of a stage, by itself.
    fn pods(&self, server: usize) -> Value {
        serde_json::from_str(&get(self.url(server), "/pods")).unwrap()
    }

    /// How many it is to have.
    fn desired(&self, server: usize) -> u64 {
        let pods = self.pods(server);
        pods["desired"].as_u64().unwrap_or_else(|| panic!("{pods}"))
    }

    /// The processes of its pods that are ready.
    fn processes(&self, server: usize) -> Vec<u64> {
        let pods = self.pods(server);
        let ready = pods["pods"].as_array().unwrap().iter().filter(|pod| pod["phase"] == "ready");
        ready.filter_map(|pod| pod["pid"].as_u64()).collect()
    }
}

impl Scaler {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// How it ended, once it has.
    fn ended(&mut self) -> std::process::ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LIMIT, "the scaler does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A decision that leaves the pods as they are and says this.
fn holds(words: &str) -> impl Fn(&Value) -> bool + '_ {
    move |line| line["id"].is_u64() && line.get("final").is_none() && line["why"].to_string().contains(words)
}

/// A decision of so many pods by the policy itself.
fn decides(pods: u32) -> impl Fn(&Value) -> bool {
    move |line| line["raw"] == json!({"a": pods, "b": pods}) && line["limits"] == json!([])
}

/// A decision of the baseline.
fn by_the_baseline(line: &Value) -> bool {
    line["limits"].as_array().is_some_and(|limits| limits.iter().any(|limit| limit["by"] == "baseline"))
}

fn ids(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["id"].as_u64()).collect()
}

/// No decision ever told a stage to have none, and the numbers go on without a gap.
fn sane(lines: &[Value]) {
    let finals = lines.iter().filter_map(|line| line.get("final"));
    assert!(finals.flat_map(|pods| [&pods["a"], &pods["b"]]).all(|pods| pods.as_u64() >= Some(1)));
    let ids = ids(lines);
    assert!(ids.iter().zip(1..).all(|(id, number)| *id == number), "{ids:?}");
}

/// A server before another one, which behaves as it is told.
fn front(url: &str) -> (String, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let (behaves, upstream) = (Arc::new(AtomicU8::new(Front::Honest as u8)), url.replace("http://", ""));
    let mode = Arc::clone(&behaves);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (mode, upstream) = (Arc::clone(&mode), upstream.clone());
            thread::spawn(move || pass(stream, &upstream, &mode));
        }
    });
    (at, behaves)
}

/// One request of a connection that is then closed.
fn pass(mut stream: TcpStream, upstream: &str, mode: &AtomicU8) {
    let Some(request) = message(&mut stream) else { return };
    let behaves = mode.load(SeqCst);
    if behaves == Front::Hung as u8 {
        // Whoever asked has given up long before.
        thread::sleep(LIMIT);
        return;
    }
    let request = String::from_utf8(request).unwrap();
    let answer = exchange(upstream, &request.replacen("\r\n", "\r\nconnection: close\r\n", 1));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap();
    let zeroed = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => format!("{series} 0\n"),
        _ => format!("{line}\n"),
    };
    let body = match behaves == Front::Zeros as u8 && request.starts_with("GET /metrics") {
        true => body.lines().map(zeroed).collect(),
        false => body.to_owned(),
    };
    let length = body.len();
    let answer = format!("{status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes());
}

/// A head and as much of a body as it announces.
fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(bytes)
}

/// Sends a request that closes its connection, and gives the whole answer.
fn exchange(at: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn get(url: &str, path: &str) -> String {
    let at = url.replace("http://", "");
    let answer = exchange(&at, &format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n"));
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn sigterm_ends_a_scaler_cleanly_and_the_pods_stay() {
    let pipeline = Pipeline::start("--service-time 0.01");
    pipeline.without_a_loss(4, || {
        let mut scaler = pipeline.scaled("");
        pipeline.until("three pods", decides(3));
        scaler.signal("TERM");
        assert!(scaler.ended().success(), "a stop is no failure");
    });
    assert_eq!((pipeline.desired(2), pipeline.desired(0)), (3, 3));
    let text = fs::read_to_string(pipeline.log()).unwrap();
    assert!(text.ends_with('\n'));
    sane(&lines(&pipeline.log()));
    must(pipeline.folder(), "replay decisions.jsonl");
}

#[test]
fn a_scaler_that_is_killed_leaves_the_pods_and_another_goes_on_where_it_was() {
    let pipeline = Pipeline::start("--service-time 0.01");
    pipeline.without_a_loss(6, || {
        let mut scaler = pipeline.scaled("");
        pipeline.until("three pods", decides(3));
        scaler.signal("KILL");
        scaler.ended();
        let before = ids(&pipeline.until("a line", |_| true)).len();
        let mut scaler = pipeline.scaled("--resume");
        pipeline.until("more decisions", |line| line["id"].as_u64() > Some(before as u64 + 3));
        scaler.signal("TERM");
        assert!(scaler.ended().success());
    });
    assert_eq!((pipeline.desired(2), pipeline.desired(0)), (3, 3));
    let both = lines(&pipeline.log());
    assert_eq!(both.iter().filter(|line| line.get("shell").is_some()).count(), 2);
    sane(&both);
    must(pipeline.folder(), "replay decisions.jsonl");
}

#[test]
fn a_scaler_that_was_killed_between_two_stages_is_finished_by_the_next() {
    let pipeline = Pipeline::start("--service-time 0.01");
    pipeline.without_a_loss(5, || {
        let mut scaler = pipeline.scaled("");
        let logged = pipeline.until("what came of it", |line| line.get("end").is_some());
        scaler.signal("KILL");
        scaler.ended();
        // As if it had been killed after A was told: the log ends with the decision, and B has what it had.
        let at = logged.iter().position(|line| line.get("end").is_some()).unwrap();
        let text = fs::read_to_string(pipeline.log()).unwrap();
        let kept: String = text.lines().take(at).map(|line| format!("{line}\n")).collect();
        fs::write(pipeline.log(), kept).unwrap();
        post(pipeline.url(0), "/set_pods", r#"{"pod_count":4}"#);
        let mut scaler = pipeline.scaled("--resume");
        pipeline.until("finished", |line| line["end"] == "finished");
        scaler.signal("TERM");
        assert!(scaler.ended().success());
    });
    assert_eq!((pipeline.desired(2), pipeline.desired(0)), (3, 3));
    must(pipeline.folder(), "replay decisions.jsonl");
}

#[test]
fn pods_that_are_killed_under_a_scaler_are_replaced() {
    let pipeline = Pipeline::start("--service-time 0.05 --pod-processes");
    pipeline.without_a_loss(8, || {
        let mut scaler = pipeline.scaled("");
        pipeline.until("three pods", decides(3));
        for server in [0, 2] {
            let three = || Some(pipeline.processes(server)).filter(|pids| pids.len() == 3);
            let before = wait_for("three processes", three);
            let sent = Command::new("kill").args(["-KILL", &before[0].to_string()]).status();
            assert!(sent.unwrap().success());
            let after = wait_for("another process", || three().filter(|pids| !pids.contains(&before[0])));
            assert!(
                before[1..].iter().all(|pid| after.contains(pid)),
                "the others go on: {before:?}, {after:?}"
            );
        }
        scaler.signal("TERM");
        assert!(scaler.ended().success());
    });
    assert_eq!((pipeline.desired(2), pipeline.desired(0)), (3, 3));
    sane(&lines(&pipeline.log()));
}

/// What is there at last.
fn wait_for<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "never {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn post(url: &str, path: &str, body: &str) {
    let (at, length) = (url.replace("http://", ""), body.len());
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {at}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    let answer = exchange(&at, &request);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_hung_metrics_endpoint_is_held_through_and_then_left_to_the_baseline() {
    let pipeline = Pipeline::start("--service-time 0.01");
    let (proxy, behaves) = front(pipeline.url(1));
    let mut logged = Vec::new();
    pipeline.without_a_loss(12, || {
        let mut scaler = pipeline.scale((pipeline.url(0), &proxy, pipeline.url(2)), "");
        pipeline.until("three pods", decides(3));
        behaves.store(Front::Hung as u8, SeqCst);
        pipeline.until("held", holds("the baseline decides in"));
        let last = pipeline.until("the baseline", by_the_baseline).len();
        behaves.store(Front::Honest as u8, SeqCst);
        logged = pipeline
            .until("the policy again", |line| line["id"].as_u64() > Some(last as u64) && decides(3)(line));
        scaler.signal("TERM");
        assert!(scaler.ended().success());
    });
    sane(&logged);
    let fallen_back = logged.iter().find(|line| by_the_baseline(line)).unwrap();
    assert_eq!(fallen_back["raw"], json!({"a": 2, "b": 2}));
    assert!(
        fallen_back["observed"]["slots"]["age_s"].as_f64() > Some(1.0),
        "old, and not zero: {fallen_back}"
    );
}

#[test]
fn a_stage_whose_metrics_hang_is_left_as_it_is() {
    let pipeline = Pipeline::start("--service-time 0.01");
    let (b, behaves) = front(pipeline.url(0));
    pipeline.without_a_loss(6, || {
        let mut scaler = pipeline.scale((&b, pipeline.url(1), pipeline.url(2)), "");
        pipeline.until("three pods", decides(3));
        behaves.store(Front::Hung as u8, SeqCst);
        pipeline.until("held", holds("stage b does not answer"));
        scaler.signal("TERM");
        assert!(scaler.ended().success());
    });
    assert_eq!((pipeline.desired(2), pipeline.desired(0)), (3, 3), "neither stage was touched");
    sane(&lines(&pipeline.log()));
}

#[test]
fn metrics_that_are_all_zero_take_no_pod_away() {
    for (server, words) in [(0, "stage b says that it is to have no pods"), (1, "slots 0 is no measurement")]
    {
        let pipeline = Pipeline::start("--service-time 0.01");
        let (between, behaves) = front(pipeline.url(server));
        pipeline.without_a_loss(6, || {
            let mut urls = [pipeline.url(0), pipeline.url(1), pipeline.url(2)];
            urls[server] = &between;
            let mut scaler = pipeline.scale((urls[0], urls[1], urls[2]), "");
            pipeline.until("three pods", decides(3));
            behaves.store(Front::Zeros as u8, SeqCst);
            pipeline.until(words, |line| line["why"].to_string().contains(words));
            scaler.signal("TERM");
            assert!(scaler.ended().success());
        });
        let logged = lines(&pipeline.log());
        sane(&logged);
        // Of a stage it holds; of the proxy it goes by the baseline.
        let found = logged.iter().find(|line| line["why"].to_string().contains(words)).unwrap();
        assert_eq!(found.get("final").is_none(), server == 0, "{found}");
        assert!(pipeline.desired(0) >= 2 && pipeline.desired(2) >= 2);
    }
}

#[test]
fn a_scaler_whose_clock_jumps_decides_once_and_goes_on() {
    let pipeline = Pipeline::start("--service-time 0.01");
    pipeline.without_a_loss(7, || {
        let mut scaler = pipeline.scaled("");
        let before = pipeline.until("three pods", decides(3));
        // Stopped and let go on: to it, no time has passed until it looks at its clock.
        scaler.signal("STOP");
        thread::sleep(Duration::from_secs(3));
        scaler.signal("CONT");
        pipeline
            .until("decisions after the jump", |line| line["id"].as_u64() > Some(before.len() as u64 + 5));
        scaler.signal("TERM");
        assert!(scaler.ended().success());
    });
    let logged = lines(&pipeline.log());
    sane(&logged);
    let times: Vec<f64> = logged.iter().filter_map(|line| line["now_s"].as_f64()).collect();
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().any(|gap| *gap > 2.0), "the jump: {gaps:?}");
    // Fifteen ticks were missed: they are not made up for.
    let jump = times[gaps.iter().position(|gap| *gap > 2.0).unwrap() + 1];
    let soon = times.iter().filter(|at_s| (jump..jump + 0.5).contains(*at_s)).count();
    assert!(soon <= 5, "no volley of decisions on the same window: {gaps:?}");
    assert_eq!((pipeline.desired(2), pipeline.desired(0)), (3, 3));
    must(pipeline.folder(), "replay decisions.jsonl");
}

#[test]
fn a_calibration_that_no_longer_holds_is_told_with_the_command_that_makes_a_new_one() {
    // Calibrated at 0.02 and 0.01 s, and slower by far.
    let pipeline = Pipeline::start("--service-time 0.05");
    let servers = format!("--a {} --proxy {} --b {}", pipeline.url(2), pipeline.url(1), pipeline.url(0));
    let mut said = String::new();
    // Only what is steady is judged, and a machine that does much else makes the link look slower: no pods are useless here.
    let three = PIPELINE.replace("pods_min = 1", "pods_min = 3");
    fs::write(pipeline.folder().join("pipeline.toml"), three).unwrap();
    pipeline.without_a_loss(54, || {
        said = must(
            pipeline.folder(),
            &format!(
                "scale --policy policy.json --pipeline pipeline.toml --shell shell.toml --mode auto {servers} --interval 0.5 \
                 --window 5 --calibration calibration.json --duration 50"
            ),
        );
    });
    let command = format!(
        "splitscale collect {servers} --pods 3,4 --out out/recalibrated-1 && splitscale calibrate out/recalibrated-1 \
         --out calibration.json"
    );
    let stale = said.lines().find(|line| line.contains("CalibrationStale")).unwrap_or(&said);
    assert!(stale.contains("pods of B take") && stale.contains(&command), "{stale}");
    let last = lines(&pipeline.log()).into_iter().rfind(|line| line["id"].is_u64()).unwrap();
    let of_b =
        last["agreement"]["residuals"].as_array().unwrap().iter().find(|r| r["quantity"] == "throughput_b");
    let of_b = of_b.unwrap_or_else(|| panic!("{last}"));
    assert_eq!(of_b["stale"], true, "{of_b}");
    let ratio = of_b["ratio"].as_f64().unwrap();
    assert!((0.1..0.35).contains(&ratio), "a fifth, as its pods take five times as long: {ratio}");
}
