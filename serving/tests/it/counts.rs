//! What `/metrics` says over the life of pods and transfers: gauges of what there is, counters that only
//! grow, integrals that add up.

use std::time::{Duration, Instant};

use splitscale_serving::activation::Activation;
use splitscale_serving::client::PipelineClient;
use splitscale_serving::wire::PodsState;
use splitscale_serving::wire::format::{Container, Format, pack};
use splitscale_spec::{Encoding, PodPhase, Replicas};

use crate::double::{BARE, Double, LONG, Line, PAYLOAD, SHAPE, line, until};

/// One scrape: (series with its labels, value).
type Scrape = Vec<(String, f64)>;

async fn scrape(url: &str) -> Scrape {
    let body = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn find(scrape: &Scrape, series: &str) -> Option<f64> {
    scrape.iter().find(|(name, _)| name == series).map(|(_, value)| *value)
}

fn value(scrape: &Scrape, series: &str) -> f64 {
    find(scrape, series).unwrap_or_else(|| panic!("no {series}"))
}

/// Every counter of `before` is in `after`, and has not run backwards.
fn check_grown(before: &Scrape, after: &Scrape) {
    let counts = |name: &str| ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
    let counters: Vec<_> =
        before.iter().filter(|(series, _)| counts(series.split('{').next().unwrap())).collect();
    assert!(counters.len() >= 5, "{counters:?}");
    for (series, was) in counters {
        let is = value(after, series);
        assert!(is >= *was, "{series} ran from {was} back to {is}");
    }
}

async fn b_pods(client: &PipelineClient) -> PodsState {
    client.state().await.unwrap().b
}

/// Posts an activation to the proxy, and does not wait for what becomes of it.
async fn post(line: &Line, tag: u8) {
    let url = format!("{}/complete", line.endpoints.proxy);
    let request = reqwest::Client::new().post(url).header("x-cut", "layer3").body(vec![tag; PAYLOAD]);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn pods_come_and_go_in_the_gauges_and_stay_in_the_counters() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 2, 4).await;
    let url = &line.endpoints.b;
    let of = |name: &str, pod: u32| format!("{name}{{stage=\"b\",pod=\"{pod}\"}}");
    let gauges = ["split_pod_phase", "split_pod_ready_age_seconds", "split_pod_cpu_request_cores"];

    let first = scrape(url).await;
    for pod in 0..2 {
        assert_eq!(value(&first, &of("split_pod_phase", pod)), 1.0);
        assert!(value(&first, &of("split_pod_ready_age_seconds", pod)) >= 0.0);
        assert_eq!(value(&first, &of("split_pod_cpu_request_cores", pod)), 1.0);
    }

    // Both at work, then one is told to go: it drains until it has answered.
    post(&line, 1).await;
    post(&line, 2).await;
    until("both are at work", async || b_pods(&line.client).await.busy == 2).await;
    line.client.set_pods(Replicas { a: 2, b: 1 }, LONG).await.unwrap();
    let draining = b_pods(&line.client).await;
    assert_eq!(
        draining.pods.iter().map(|p| p.phase).collect::<Vec<_>>(),
        [PodPhase::Ready, PodPhase::Draining]
    );
    let second = scrape(url).await;
    assert_eq!(value(&second, &of("split_pod_phase", 1)), 2.0);
    assert_eq!(find(&second, &of("split_pod_ready_age_seconds", 1)), None, "it is not ready any more");
    assert_eq!(value(&second, &of("split_pod_cpu_request_cores", 1)), 1.0);
    check_grown(&first, &second);

    gate.let_through(2);
    until("it has gone", async || b_pods(&line.client).await.pods.len() == 1).await;
    let third = scrape(url).await;
    for gauge in gauges {
        assert_eq!(find(&third, &of(gauge, 1)), None, "{gauge} of a pod that has ended");
    }
    check_grown(&second, &third);

    // Its number is used again, and what it counts goes on from there.
    line.client.set_pods(Replicas { a: 2, b: 2 }, LONG).await.unwrap();
    let fourth = scrape(url).await;
    assert_eq!(value(&fourth, &of("split_pod_phase", 1)), 1.0);
    check_grown(&third, &fourth);
    line.stop().await;
}

#[tokio::test]
async fn a_pod_that_starts_is_told_from_one_that_is_ready() {
    use std::sync::Arc;

    use crate::double::Gate;

    let gate = Arc::new(Gate::default());
    gate.let_through(1);
    let b = Arc::new(Double { start_gate: Some(Arc::clone(&gate)), ..Double::default() });
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    let body = r#"{"pod_count":2}"#;
    let set = reqwest::Client::new().post(format!("{}/set_pods", line.endpoints.b)).body(body);
    assert_eq!(set.send().await.unwrap().status(), 200);
    let seen = scrape(&line.endpoints.b).await;
    assert_eq!(value(&seen, "split_pod_phase{stage=\"b\",pod=\"1\"}"), 0.0);
    assert_eq!(find(&seen, "split_pod_ready_age_seconds{stage=\"b\",pod=\"1\"}"), None);
    assert_eq!(value(&seen, "split_pods{stage=\"b\",state=\"starting\"}"), 1.0);
    gate.let_through(1);
    line.client.wait_ready(LONG).await.unwrap();
    line.stop().await;
}

#[tokio::test]
async fn the_proxys_queue_and_slots_integrate_over_any_window() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 4, 2).await;
    let url = &line.endpoints.proxy;
    for tag in 1..=5 {
        post(&line, tag).await;
    }
    until("two are under way", async || line.client.state().await.unwrap().proxy.held == 2).await;
    let window = async || {
        let before = Instant::now();
        let seen = scrape(url).await;
        (before, seen, Instant::now())
    };
    let (begin_0, first, end_0) = window().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (begin_1, second, end_1) = window().await;
    // Each scrape was taken at one instant between its begin and its end.
    let (least_s, most_s) = ((begin_1 - end_0).as_secs_f64(), (end_1 - begin_0).as_secs_f64());
    for (series, level) in [
        ("split_queue_depth_seconds_total{queue=\"proxy\"}", 3.0),
        ("split_transfer_slot_seconds_total", 2.0),
        ("split_transfer_slot_held_seconds_total", 2.0),
    ] {
        let grown = value(&second, series) - value(&first, series);
        let (least, most) = (least_s * level - 1e-6, most_s * level + 1e-6);
        assert!((least..=most).contains(&grown), "{series}: {grown} is not in {least}..{most}");
    }
    assert_eq!(value(&second, "split_transfer_bytes_total{encoding=\"f32\"}"), 0.0, "none is answered yet");
    gate.let_through(5);
    line.client.wait_idle(LONG).await.unwrap();
    let third = scrape(url).await;
    let bytes = |seen: &Scrape| {
        ["f32", "bf16", "u8"]
            .map(|name| value(seen, &format!("split_transfer_bytes_total{{encoding=\"{name}\"}}")))
    };
    assert_eq!(bytes(&third), [(5 * PAYLOAD) as f64, 0.0, 0.0]);
    assert_eq!(value(&third, "split_pipeline_duration_seconds_count"), 5.0);
    assert_eq!(value(&third, "split_requests_total{stage=\"proxy\"}"), 5.0);
    check_grown(&first, &second);
    check_grown(&second, &third);

    // What travels in another encoding is counted under its name.
    let narrow = Format { encoding: Encoding::Bf16, container: Container::Safetensors, ..BARE };
    let body = pack(&Activation::new(SHAPE.to_vec(), vec![6; PAYLOAD].into()), narrow).unwrap().body;
    let travelled = body.len() as f64;
    let request = reqwest::Client::new().post(format!("{url}/complete?wait=true")).body(body);
    let request = request.header("x-cut", "layer3").header("x-encoding", "bf16");
    let answer = request.header("content-type", narrow.container.media_type()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let fourth = scrape(url).await;
    assert_eq!(bytes(&fourth), [(5 * PAYLOAD) as f64, travelled, 0.0]);
    check_grown(&third, &fourth);
    line.stop().await;
}
