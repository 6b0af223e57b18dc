//! A proxy that ends, in good order or without a word, is slow, or never was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use splitscale_serving::client::{Endpoints, PipelineClient};
use splitscale_serving::load::{BurstSpec, burst};
use splitscale_serving::proxy::serve_proxy;
use splitscale_serving::stage::{serve_a, serve_b};
use splitscale_serving::wire::PodsState;
use splitscale_spec::Status;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::double::{
    Double, LONG, PAYLOAD, factory, images, line, port, proxy_options, stage_options, towards, until,
};

fn spec(size: u32) -> BurstSpec {
    BurstSpec { run_id: 0, size, timeout: LONG, origin: Instant::now() }
}

#[tokio::test]
async fn a_proxy_that_is_stopped_finishes_its_backlog() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    for tag in 1..=4_u8 {
        let url = format!("{}/complete", line.endpoints.proxy);
        let request = reqwest::Client::new().post(url).header("x-cut", "layer3").body(vec![tag; PAYLOAD]);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    until("three wait", async || line.client.state().await.unwrap().proxy.queued == 3).await;
    line.stop_proxy.cancel();
    gate.let_through(4);
    // Stops the proxy for the second time, and waits until it has ended.
    line.stop().await;
    assert_eq!(b.tags(), [1, 2, 3, 4], "nobody waited for them, and still they were passed on");
}

/// A runtime of its own: dropping it cuts every connection of what runs there, as a killed process would.
fn elsewhere() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_proxy_that_dies_in_a_burst_leaves_it_neither_hanging_nor_short() {
    let (b, gate) = Double::gated();
    let behind = line(&Double::sleeping(0), &b, 2, 1).await;
    let runtime = elsewhere();
    let proxy = {
        let (options, stop) = (proxy_options(&behind.endpoints.b, 2), CancellationToken::new());
        let (url, said) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let (listener, address) = port().await;
            url.send(address).unwrap();
            serve_proxy(listener, options, stop).await
        });
        said.recv_timeout(LONG).unwrap()
    };
    let (listener, a) = port().await;
    let stop = CancellationToken::new();
    let downstream = towards(behind.endpoints.b.clone(), proxy.clone());
    let a_double = factory(&Double::sleeping(0));
    let server = tokio::spawn(serve_a(listener, stage_options(2), downstream, a_double, stop.clone()));
    let client = PipelineClient::new(Endpoints { a, proxy, b: behind.endpoints.b.clone() }).unwrap();
    client.wait_ready(LONG).await.unwrap();

    let (images, spec) = (images([1]), spec(6));
    let fire = burst(&client, &images, &spec);
    let death = async {
        until("all six are there", async || {
            let proxy = client.state().await.unwrap().proxy;
            (proxy.held, proxy.queued) == (2, 4)
        })
        .await;
        gate.let_through(1);
        until("one is answered", async || client.state().await.unwrap().proxy.board.response_count == 1)
            .await;
        runtime.shutdown_background();
    };
    let (records, ()) = tokio::join!(fire, death);
    let records = records.unwrap();
    let count = |status| records.iter().filter(|record| record.status == status).count();
    assert_eq!(records.len(), 6);
    // What was answered may not have been pushed yet, and what was taken may not have been acknowledged to A.
    let (answered, failed, lost) = (count(Status::Answered), count(Status::Failed), count(Status::Lost));
    assert!(answered <= 1 && answered + failed + lost == 6, "{answered}, {failed}, {lost}: {records:?}");
    records.iter().for_each(|record| record.validate().unwrap());

    // The next burst finds no proxy, and says so before it sends.
    assert!(burst(&client, &images, &spec).await.is_err());
    gate.let_through(9);
    stop.cancel();
    server.await.unwrap().unwrap();
    behind.stop().await;
}

#[tokio::test]
async fn half_a_head_does_not_keep_a_server_that_is_stopped() {
    let (listener, url) = port().await;
    let (double, gate) = Double::gated();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve_b(listener, stage_options(1), factory(&double), stop.clone()));
    until("it is ready", async || {
        reqwest::get(format!("{url}/readyz")).await.is_ok_and(|a| a.status() == 200)
    })
    .await;
    let mut half = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    half.write_all(b"POST /comp").await.unwrap();
    let whole = reqwest::Client::new().post(format!("{url}/complete")).body(vec![1; PAYLOAD]).send();
    let whole = tokio::spawn(whole);
    until("the other is at the pod", async || {
        let pods: PodsState = reqwest::get(format!("{url}/pods")).await.unwrap().json().await.unwrap();
        pods.busy == 1
    })
    .await;
    stop.cancel();
    // What was asked for is answered, however long after.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gate.let_through(1);
    assert_eq!(whole.await.unwrap().unwrap().status(), 200);
    let ended = tokio::time::timeout(LONG / 2, server).await;
    ended.expect("nobody waits for the other half").unwrap().unwrap();
    drop(half);
}

#[tokio::test]
async fn what_is_on_its_way_to_the_proxy_is_not_idle() {
    let behind = line(&Double::sleeping(0), &Double::sleeping(0), 1, 1).await;
    let (arrived, taken) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (arrived, taken) = (Arc::clone(&arrived), Arc::clone(&taken));
        async move || {
            arrived.notify_one();
            taken.notified().await;
            "{}"
        }
    };
    let (listener, proxy) = port().await;
    let app = axum::Router::new().route("/complete", axum::routing::post(slow));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let (listener, a) = port().await;
    let stop = CancellationToken::new();
    let downstream = towards(behind.endpoints.b.clone(), proxy);
    let a_double = factory(&Double::sleeping(0));
    let server = tokio::spawn(serve_a(listener, stage_options(1), downstream, a_double, stop.clone()));
    let client = PipelineClient::new(Endpoints { a: a.clone(), ..behind.endpoints.clone() }).unwrap();
    client.wait_ready(LONG).await.unwrap();

    let part = reqwest::multipart::Part::bytes(images([1])[0].1.clone());
    let form = reqwest::multipart::Form::new().part("file", part);
    let post = reqwest::Client::new().post(format!("{a}/predict-proxy")).multipart(form).send();
    let post = tokio::spawn(post);
    arrived.notified().await;
    let seen = client.state().await.unwrap().a;
    assert_eq!((seen.busy, seen.queued, seen.forwarding), (0, 0, 1));
    let idle = client.wait_idle(Duration::from_millis(1)).await.unwrap_err().to_string();
    assert!(idle.contains("not idle"), "{idle}");
    taken.notify_one();
    assert_eq!(post.await.unwrap().unwrap().status(), 200);
    client.wait_idle(LONG).await.unwrap();
    stop.cancel();
    server.await.unwrap().unwrap();
    behind.stop().await;
}

#[tokio::test]
async fn a_proxy_that_never_was_is_a_failure_of_every_request() {
    let behind = line(&Double::sleeping(0), &Double::sleeping(0), 1, 1).await;
    let nowhere = crate::double::nobody().await;
    let (listener, a) = port().await;
    let stop = CancellationToken::new();
    let downstream = towards(behind.endpoints.b.clone(), nowhere);
    let a_double = factory(&Double::sleeping(0));
    let server = tokio::spawn(serve_a(listener, stage_options(1), downstream, a_double, stop.clone()));
    // The load's proxy is another than A's: it never hears of the requests that A cannot pass on.
    let endpoints = Endpoints { a, ..behind.endpoints.clone() };
    let client = PipelineClient::new(endpoints).unwrap();
    client.wait_ready(LONG).await.unwrap();
    let begun = BurstSpec { timeout: Duration::from_secs(30), ..spec(3) };
    let records = burst(&client, &images([1]), &begun).await.unwrap();
    assert!(records.iter().all(|record| record.status == Status::Failed), "{records:?}");
    stop.cancel();
    server.await.unwrap().unwrap();
    behind.stop().await;
}
