//! What becomes of requests at the running servers: while one stops, is full, or is too late; and how a
//! request is told from others and accounted for.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::must;
use crate::serve::{Server, line, send_image};

/// Longest that any test waits for anything: far beyond what it takes.
const LONG: Duration = Duration::from_secs(120);
/// Bytes of an activation behind layer3.
const PAYLOAD: usize = 802_816;

/// Waits until a condition holds that will.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn get(url: &str) -> Response {
    reqwest::get(url).await.unwrap_or_else(|e| panic!("{url}: {e}"))
}

async fn json(url: &str) -> Value {
    get(url).await.json().await.unwrap()
}

/// The value of one series of `/metrics`.
async fn counted(url: &str, series: &str) -> f64 {
    let text = get(&format!("{url}/metrics")).await.text().await.unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

/// Waits until so many are at pods and so many wait.
async fn until_there(url: &str, busy: u32, queued: u32) {
    until("they are there", async || {
        let pods = json(&format!("{url}/pods")).await;
        (pods["busy"].as_u64(), pods["queued"].as_u64()) == (Some(busy.into()), Some(queued.into()))
    })
    .await;
}

fn in_background(url: String) -> tokio::task::JoinHandle<Response> {
    tokio::spawn(async move { send_image(&url, &[]).await })
}

async fn activation(url: &str, headers: &[(&'static str, &str)]) -> Response {
    let mut request = reqwest::Client::new().post(format!("{url}/complete")).body(vec![0; PAYLOAD]);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn terminate(server: &Server) {
    let sent = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Its exit code, once it has ended.
async fn exit_code(server: &mut Server) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begin.elapsed() < LONG, "it does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_nothing_fall_that_was_accepted() {
    let folder = TempDir::new().unwrap();
    let mut b = Server::start(folder.path(), "b --engine emulated --service-time 0.001 --model-version 1");
    let proxy = format!("proxy --container-b-port {} --drain-delay 0.5", b.port());
    let mut proxy = Server::start(folder.path(), &proxy);
    // Three requests of two seconds on one pod: under way for longer than the drain delay of three.
    let a = format!(
        "a --engine emulated --service-time 2 --model-version 1 --drain-delay 3 --grace 100 \
         --container-b-port {} --proxy-port {}",
        b.port(),
        proxy.port()
    );
    let mut a = Server::start(folder.path(), &a);
    until("A is ready", async || get(&format!("{}/readyz", a.url)).await.status() == 200).await;
    let requests: Vec<_> = (0..3).map(|_| in_background(format!("{}/predict", a.url))).collect();
    until_there(&a.url, 1, 2).await;
    terminate(&a);
    until("it is not ready", async || get(&format!("{}/readyz", a.url)).await.status() == 503).await;
    assert_eq!(get(&format!("{}/livez", a.url)).await.status(), 200, "it lives while it drains");
    until("it takes no new connection", async || reqwest::get(format!("{}/livez", a.url)).await.is_err())
        .await;
    assert!(requests.iter().any(|request| !request.is_finished()), "what was accepted is still under way");
    for request in requests {
        assert_eq!(request.await.unwrap().status(), 200);
    }
    assert_eq!(exit_code(&mut a).await, Some(0));

    terminate(&proxy);
    until("it is not ready", async || {
        reqwest::get(format!("{}/readyz", proxy.url)).await.is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    assert_eq!(exit_code(&mut proxy).await, Some(0));
    terminate(&b);
    assert_eq!(exit_code(&mut b).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_that_is_over_ends_the_process_whatever_a_pod_does() {
    let folder = TempDir::new().unwrap();
    // Its pod warms up in a hundredth of a second, and keeps its share of a core for as many as a hundred.
    let stage = "b --engine emulated --service-time 0.01 --cpu-share 0.0001 --model-version 1 --grace 1";
    let mut b = Server::start(folder.path(), stage);
    until("B is ready", async || get(&format!("{}/readyz", b.url)).await.status() == 200).await;
    let request = reqwest::Client::new().post(format!("{}/complete", b.url)).body(vec![0; PAYLOAD]).send();
    let request = tokio::spawn(request);
    until_there(&b.url, 1, 0).await;
    let begin = Instant::now();
    terminate(&b);
    assert_eq!(exit_code(&mut b).await, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(50), "the pod was waited for: {:?}", begin.elapsed());
    assert!(request.await.unwrap().is_err(), "it ended with the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_is_answered_504_and_reaches_no_pod() {
    let folder = TempDir::new().unwrap();
    let [b, _proxy, a] = line(folder.path(), "--service-time 1 --model-version 1", "", "");
    until("B is ready", async || get(&format!("{}/readyz", b.url)).await.status() == 200).await;
    let busy = {
        let url = b.url.clone();
        tokio::spawn(async move { activation(&url, &[]).await })
    };
    until_there(&b.url, 1, 0).await;
    // It waits behind the other for longer than its millisecond.
    assert_eq!(activation(&b.url, &[("x-request-timeout", "0.001")]).await.status(), 504);
    assert_eq!(busy.await.unwrap().status(), 200);
    let forwards = "split_stage_duration_seconds_count{stage=\"b\",phase=\"forward\"}";
    assert_eq!(counted(&b.url, "split_rejected_total{stage=\"b\",reason=\"expired\"}").await, 1.0);
    assert_eq!(counted(&b.url, forwards).await, 1.0);

    // A does not even begin its half.
    until("A is ready", async || get(&format!("{}/readyz", a.url)).await.status() == 200).await;
    let late = send_image(&format!("{}/predict", a.url), &[("x-request-timeout", "0")]).await;
    assert_eq!(late.status(), 504);
    assert_eq!(counted(&a.url, "split_rejected_total{stage=\"a\",reason=\"expired\"}").await, 1.0);
    let text = get(&format!("{}/metrics", a.url)).await.text().await.unwrap();
    assert!(text.contains("split_stage_duration_seconds_count{stage=\"a\",phase=\"forward\"} 0\n"), "{text}");
    assert_eq!(counted(&b.url, "split_requests_total{stage=\"b\"}").await, 2.0, "B never heard of it");
    // Whatever came has left, under one heading.
    for (url, stage) in [(&a.url, "a"), (&b.url, "b")] {
        let mut left = 0.0;
        for status in ["answered", "failed", "refused", "expired", "abandoned"] {
            left +=
                counted(url, &format!("split_answers_total{{stage=\"{stage}\",status=\"{status}\"}}")).await;
        }
        assert_eq!(counted(url, &format!("split_requests_total{{stage=\"{stage}\"}}")).await, left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_neither_dead_nor_unready() {
    let folder = TempDir::new().unwrap();
    let b = Server::start(folder.path(), "b --engine emulated --service-time 2 --model-version 1 --queue 1");
    until("B is ready", async || get(&format!("{}/readyz", b.url)).await.status() == 200).await;
    let mut accepted = Vec::new();
    for queued in 0..2 {
        let url = b.url.clone();
        accepted.push(tokio::spawn(async move { activation(&url, &[]).await }));
        until_there(&b.url, 1, queued).await;
    }
    let refused = activation(&b.url, &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds >= 1);
    // A pod that is killed for being busy, or sent nothing once its queue has room, helps nobody.
    for path in ["/livez", "/v2/health/live", "/readyz", "/v2/health/ready"] {
        assert_eq!(get(&format!("{}{path}", b.url)).await.status(), 200, "{path}");
    }
    assert_eq!(counted(&b.url, "split_rejected_total{stage=\"b\",reason=\"queue_full\"}").await, 1.0);
    for request in accepted {
        assert_eq!(request.await.unwrap().status(), 200);
    }
}

/// The phases of an answer's `Server-Timing` \[s\].
fn phases(answer: &Response) -> Vec<(String, f64)> {
    let text = answer.headers()["server-timing"].to_str().unwrap();
    let phase = |entry: &str| {
        let (name, ms) = entry.split_once(";dur=").unwrap();
        (name.to_owned(), ms.parse::<f64>().unwrap() / 1e3)
    };
    text.split(", ").map(phase).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_timing_adds_up_and_the_id_goes_all_the_way() {
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = line(folder.path(), "--service-time 0.01 --model-version 1", "--rtt 0.02", "");
    until("A is ready", async || get(&format!("{}/readyz", a.url)).await.status() == 200).await;
    until("B is ready", async || get(&format!("{}/readyz", b.url)).await.status() == 200).await;
    let stages = ["queue_a", "decode", "forward_a", "encode", "rest_a"];
    let rest = ["transfer", "queue_b", "decode_b", "forward_b", "rest_b"];
    let through = [&stages[..], &["queue_proxy"], &rest].concat();
    for (route, names) in
        [("/predict", [&stages[..], &rest].concat()), ("/predict-proxy?wait=true", through.clone())]
    {
        let id = format!("of.{}.phases", names.len());
        let answer = send_image(&format!("{}{route}", a.url), &[("x-request-id", &id)]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-request-id"], *id);
        let phases = phases(&answer);
        assert_eq!(phases.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        let sum_s: f64 = phases.iter().map(|(_, s)| s).sum();
        let body: Value = answer.json().await.unwrap();
        let total_s = body["total_time"].as_f64().unwrap();
        // Each phase is rounded to a microsecond.
        assert!((sum_s - total_s).abs() < 1e-6 * names.len() as f64, "{route}: {sum_s} s of {total_s} s");
        if names == through {
            assert_eq!(body["request_id"], *id);
        }
    }
    let responses = json(&format!("{}/responses", proxy.url)).await;
    assert_eq!(responses.as_array().unwrap().len(), 1, "what A sent to B directly is not the proxy's");
    assert_eq!(responses[0]["request_id"], format!("of.{}.phases", through.len()));
    let unnamed = get(&format!("{}/slots", proxy.url)).await;
    assert!(!unnamed.headers()["x-request-id"].is_empty(), "one is made up where there is none");

    // The ids of a measurement lead from its records to the proxy's responses.
    let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    must(folder.path(), &format!("collect {servers} --slots 1 --pods 1 --burst 4 --repeats 1 --out run"));
    let records = fs::read_to_string(folder.path().join("run/records.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(records.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 4);
    let responses = json(&format!("{}/responses", proxy.url)).await;
    for row in &rows {
        let mut named = responses.as_array().unwrap().iter().filter(|response| {
            response["request_id"].as_str().unwrap().ends_with(&format!("-{}", row["request_id"]))
        });
        let response = named.next().expect("a response of each record");
        assert!(named.next().is_none());
        assert_eq!(response["transfer_s"].as_f64().unwrap(), row["transfer_s"].parse::<f64>().unwrap());
    }
}
