//! Pods that are processes of their own (`--pod-processes`): killed, replaced, drained, and gone with their server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::cli::refused;
use crate::serve::{Server, line, send_image};

const PODS: &str = "--model-version 1 --pod-processes --service-time";
/// Longest that any test waits for anything: far beyond what it takes.
const LONG: Duration = Duration::from_secs(60);

/// Waits until this is there.
async fn until<T>(what: &str, mut seen: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(seen) = seen().await {
            return seen;
        }
        assert!(begin.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn state(server: &Server) -> Value {
    reqwest::get(format!("{}/pods", server.url)).await.unwrap().json().await.unwrap()
}

/// The processes of the pods that are ready, once they are so many and nothing else is.
async fn pids(server: &Server, pods: usize) -> Vec<u32> {
    until(&format!("{pods} pods are ready"), async || {
        let state = state(server).await;
        let all = state["pods"].as_array().unwrap();
        let ready = all.iter().filter(|pod| pod["phase"] == "ready").map(pid).collect::<Vec<_>>();
        (ready.len() == pods && all.len() == pods).then_some(ready)
    })
    .await
}

/// The process of some pod that has a request.
async fn busy(server: &Server, other_than: Option<u32>) -> u32 {
    until("a pod is busy", async || {
        let state = state(server).await;
        let mut busy = state["pods"].as_array().unwrap().iter().filter(|pod| pod["busy"] == true).map(pid);
        busy.find(|pid| other_than != Some(*pid))
    })
    .await
}

fn pid(pod: &Value) -> u32 {
    u32::try_from(pod["pid"].as_u64().expect("a process")).unwrap()
}

/// Requests that a stage has ended so.
async fn ended(server: &Server, status: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let of = |line: &&str| {
        line.starts_with("split_answers_total{") && line.contains(&format!("status=\"{status}\""))
    };
    let line = text.lines().find(of).expect("a metric");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// State, parent and process group of each process there is.
fn processes() -> BTreeMap<u32, (char, u32, u32)> {
    let stat = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        Some((pid, (state, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)))
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| stat(entry.unwrap())).collect()
}

/// The child processes of a server, those that have ended and were not waited for too.
fn children(server: &Server) -> Vec<u32> {
    let all = processes().into_iter();
    all.filter(|(_, (_, parent, _))| *parent == server.child.id()).map(|(pid, _)| pid).collect()
}

/// Waits until none of them runs; whoever inherits one may be slow to wait for it.
async fn all_ended(pids: &[u32]) {
    until("they have ended", async || {
        let all = processes();
        let runs = |pid: &u32| all.get(pid).is_some_and(|(state, ..)| *state != 'Z');
        (!pids.iter().any(runs)).then_some(())
    })
    .await;
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

async fn set_pods(server: &Server, pods: u32) {
    let body = format!("{{\"pod_count\":{pods}}}");
    let answer = reqwest::Client::new().post(format!("{}/set_pods", server.url)).body(body).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

/// Sends B bare values of an activation at layer3.
async fn complete(url: String, bytes: Vec<u8>) -> (StatusCode, Value) {
    let request = reqwest::Client::new().post(format!("{url}/complete")).body(bytes);
    let answer = request.header("content-type", "application/octet-stream").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn zeros() -> Vec<u8> {
    vec![0; 802_816]
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_pods_of_both_stages_that_are_killed_take_no_request_with_them() {
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = line(folder.path(), &format!("{PODS} 0.04 --pods 2"), "", "");
    for server in [&a, &b] {
        pids(server, 2).await;
    }
    let mut sent = JoinSet::new();
    for _ in 0..100 {
        let url = format!("{}/predict-proxy?wait=true", a.url);
        sent.spawn(async move { send_image(&url, &[]).await.status() });
    }
    for _ in 0..2 {
        for server in [&a, &b] {
            signal(busy(server, None).await, "-KILL");
            // What it had is the next to be served; once some more are, it may be another's turn to be killed.
            let before = ended(server, "answered").await;
            until("others are served", async || {
                (ended(server, "answered").await >= before + 4).then_some(())
            })
            .await;
        }
    }
    assert_eq!(sent.join_all().await, vec![StatusCode::OK; 100]);
    for server in [&a, &b] {
        assert_eq!((ended(server, "answered").await, ended(server, "failed").await), (100, 0));
        pids(server, 2).await;
        let said = state(server).await["last_error"].to_string();
        assert!(said.contains("was lost") && said.contains("SIGKILL"), "{said}");
    }
    drop((a, proxy, b));
}

#[tokio::test]
async fn an_idle_pod_that_is_killed_is_replaced_and_waited_for() {
    let folder = TempDir::new().unwrap();
    let b = Server::start(folder.path(), &format!("b --engine emulated {PODS} 0.001 --pods 2"));
    let before = pids(&b, 2).await;
    signal(before[0], "-KILL");
    until("another has its place", async || {
        let now = pids(&b, 2).await;
        (now[0] != before[0] && now[1] == before[1]).then_some(())
    })
    .await;
    let mut now = pids(&b, 2).await;
    now.sort_unstable();
    assert_eq!(children(&b), now, "no other process is left");
    assert_eq!(complete(b.url.clone(), zeros()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_request_under_which_two_pods_are_killed_fails_and_says_why() {
    let folder = TempDir::new().unwrap();
    let b = Server::start(folder.path(), &format!("b --engine emulated {PODS} 5"));
    // The warm-up takes as long.
    pids(&b, 1).await;
    let sent = tokio::spawn(complete(b.url.clone(), zeros()));
    let first = busy(&b, None).await;
    signal(first, "-KILL");
    signal(busy(&b, Some(first)).await, "-KILL");
    let (status, answer) = sent.await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let said = answer["error"].as_str().unwrap();
    assert!(said.contains("2 pods ended") && said.contains("SIGKILL"), "{said}");
    pids(&b, 1).await;
}

#[tokio::test]
async fn pods_that_are_set_start_and_end_as_processes() {
    let folder = TempDir::new().unwrap();
    let mut b = Server::start(folder.path(), &format!("b --engine emulated {PODS} 0.001"));
    let first = pids(&b, 1).await;
    set_pods(&b, 3).await;
    let three = pids(&b, 3).await;
    assert_eq!(three[0], first[0]);
    let all = processes();
    for pid in &three {
        let (_, parent, group) = all[pid];
        assert_eq!((parent, group), (b.child.id(), *pid), "a child of its own group: Ctrl-C is not for it");
    }
    set_pods(&b, 1).await;
    assert_eq!(pids(&b, 1).await, first);
    assert_eq!(children(&b), first, "they were waited for");

    signal(b.child.id(), "-TERM");
    assert_eq!(b.child.wait().unwrap().code(), Some(0));
    all_ended(&three).await;
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_pod_behind_be_it_idle_or_busy() {
    let folder = TempDir::new().unwrap();
    let mut b = Server::start(folder.path(), &format!("b --engine emulated {PODS} 2 --pods 2"));
    let both = pids(&b, 2).await;
    let sent = tokio::spawn(reqwest::Client::new().post(format!("{}/complete", b.url)).body(zeros()).send());
    assert!(both.contains(&busy(&b, None).await));
    signal(b.child.id(), "-KILL");
    b.child.wait().unwrap();
    all_ended(&both).await;
    assert!(sent.await.unwrap().is_err(), "nobody answered");
}

#[tokio::test]
async fn a_pod_whose_server_is_gone_computes_no_longer() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut pod = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(["pod", "b", "--engine", "emulated", "--service-time", "1000000", "--model-version", "1"])
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let mut begin = [0; 4];
    ours.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"spl\x01", "it is ready");
    let header = br#"{"tail":{"shape":[1024,14,14]}}"#;
    let lengths = [header.len() as u32, 802_816].map(u32::to_le_bytes).concat();
    ours.write_all(&[&begin[..], &lengths, header, &zeros()].concat()).unwrap();
    drop(ours);
    until("it has ended", async || pod.try_wait().unwrap()).await;
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_as_of_a_thread() {
    let folder = TempDir::new().unwrap();
    for words in ["serve b --port 0 --engine emulated", "serve b --port 0 --service-time 1"] {
        let thread = refused(folder.path(), words, 1);
        assert_eq!(refused(folder.path(), &format!("{words} --pod-processes"), 1), thread);
    }
    let said = refused(folder.path(), "pod b --engine emulated --service-time 1", 1);
    assert!(said.contains("--pod-processes"), "{said}");
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_process_computes_what_a_thread_does() {
    let folder = TempDir::new().unwrap();
    let halves = concat!(env!("CARGO_MANIFEST_DIR"), "/serving/tests/data/modules");
    let input: Vec<u8> = (0..8).flat_map(|value| (value as f32 / 3.0 - 1.0).to_le_bytes()).collect();
    let mut photo = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(300, 256, |x, y| image::Rgb([x, y, x ^ y].map(|v| v as u8)))
        .write_to(&mut photo, image::ImageFormat::Png)
        .unwrap();
    let mut answers = Vec::new();
    for how in ["", "--pod-processes"] {
        let words = format!("b --module {halves}/tensor_b.pt --module-input 8 {how}");
        let b = Server::start(folder.path(), &words);
        until("it is ready", async || (state(&b).await["ready"] == 1).then_some(())).await;
        let (status, answer) = complete(b.url.clone(), input.clone()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");

        let words = format!("b --module {halves}/image_b.pt --module-input 2,14,14 {how}");
        let b = Server::start(folder.path(), &words);
        let words = format!(
            "a --module {halves}/image_a.pt --module-input 3,224,224 --container-b-port {} {how}",
            b.port()
        );
        let a = Server::start(folder.path(), &words);
        for server in [&a, &b] {
            until("it is ready", async || (state(server).await["ready"] == 1).then_some(())).await;
        }
        let part = reqwest::multipart::Part::bytes(photo.get_ref().clone());
        let form = reqwest::multipart::Form::new().part("file", part);
        let sent = reqwest::Client::new().post(format!("{}/predict", a.url)).multipart(form).send().await;
        let whole: Value = sent.unwrap().json().await.unwrap();
        answers.push(vec![answer["class_id"].clone(), answer["class_name"].clone(), answer["logit"].clone()]);
        answers.push(vec![whole["class_id"].clone(), whole["class_name"].clone()]);
    }
    assert!(answers.iter().flatten().all(|value| !value.is_null()), "{answers:?}");
    assert_eq!(answers[..2], answers[2..], "of threads, and of processes");
}

/// What `split_pod_processes_cpu_seconds_total` says of a server.
async fn pods_cpu_s(server: &Server) -> f64 {
    let text = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("split_pod_processes_cpu_seconds_total{"))
        .expect("a metric");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// What the kernel says of a process, user and system, in its ticks of 10 ms.
fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

#[tokio::test]
async fn the_time_of_pods_that_are_processes_is_told_and_kept_when_they_end() {
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = line(folder.path(), &format!("{PODS} 0.005 --pods 2"), "", "");
    let before = pids(&b, 2).await;
    let told = async |server: &Server, of: &[u32]| {
        let least: f64 = of.iter().map(|&pid| cpu_s(pid)).sum();
        let told = pods_cpu_s(server).await;
        let most: f64 = of.iter().map(|&pid| cpu_s(pid)).sum();
        assert!((least - 1e-9..=most + 1e-9).contains(&told), "{least} {told} {most}");
        told
    };
    let started = told(&b, &before).await;
    assert!(started > 0.0, "a process takes time to start");
    let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    let words = format!("load closed:4 --requests 100 --json {servers}");
    let at = folder.path().to_owned();
    let figures = tokio::task::spawn_blocking(move || crate::cli::must(&at, &words)).await.unwrap();
    let figures: Value = serde_json::from_str(&figures).unwrap();
    let loaded = told(&b, &before).await;
    let told_by_load = figures["cpu_s"]["b"].as_f64().unwrap();
    assert!(told_by_load >= loaded - started - 0.02, "{told_by_load} of which pods {started} to {loaded}");
    let sent = Command::new("kill").args(["-KILL", &before[0].to_string()]).status();
    assert!(sent.unwrap().success());
    let after =
        until("another process", async || Some(pids(&b, 2).await).filter(|pids| !pids.contains(&before[0])))
            .await;
    assert_ne!(after, before);
    assert!(pods_cpu_s(&b).await >= loaded, "what it has taken stays");
}
