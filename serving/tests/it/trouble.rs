//! The pipeline when something goes wrong: nothing hangs, and nothing is lost silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use futures_util::StreamExt;
use splitscale_serving::client::{Endpoints, PipelineClient};
use splitscale_serving::load::{BurstSpec, ClosedSpec, Halt, Patience, burst, closed_loop};
use splitscale_serving::proxy::{BandwidthSteps, Proxy, ProxyOptions};
use splitscale_serving::stage::StageServer;
use splitscale_serving::wire::{Event, PipelineAnswer, SlotsState};
use splitscale_spec::{RequestRecord, Status};
use tokio_util::sync::CancellationToken;

use splitscale_serving::{Ending, QueueBound};

use crate::double::{
    Double, ENDING, LONG, Line, PAYLOAD, factory, images, line, line_with, nobody, port, proxy_options,
    stage_options, towards, until,
};

pub(crate) fn spec(size: u32) -> BurstSpec {
    BurstSpec { run_id: 0, size, timeout: LONG, origin: Instant::now() }
}

pub(crate) fn count(records: &[RequestRecord], status: Status) -> usize {
    records.iter().filter(|record| record.status == status).count()
}

async fn proxy_state(line: &Line) -> SlotsState {
    line.client.state().await.unwrap().proxy
}

/// Posts an activation straight to the proxy.
async fn activation(line: &Line, tag: u8) {
    let url = format!("{}/complete", line.endpoints.proxy);
    let request = reqwest::Client::new().post(url).header("x-cut", "layer3").body(vec![tag; PAYLOAD]);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// A listener of the proxy's events.
async fn listen(proxy: &str) -> impl AsyncFnMut() -> Event + use<> {
    let url = format!("{}/events", proxy.replace("http://", "ws://"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    async move || {
        let message = tokio::time::timeout(LONG, socket.next()).await.expect("an event").unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn slots_change_at_once_under_backlog_and_the_order_stays() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 8, 1).await;
    for tag in 1..=9 {
        activation(&line, tag).await;
    }
    until("the one slot is held", async || proxy_state(&line).await.held == 1).await;
    assert_eq!(proxy_state(&line).await.queued, 8);
    line.client.set_threads(4).await.unwrap();
    let state = proxy_state(&line).await;
    assert_eq!((state.slots, state.held, state.queued), (4, 4, 5), "more slots start at once");
    line.client.set_threads(1).await.unwrap();
    let state = proxy_state(&line).await;
    assert_eq!((state.slots, state.held, state.queued), (1, 4, 5), "running transfers go on");
    gate.let_through(3);
    until("the surplus slots are gone", async || proxy_state(&line).await.held == 1).await;
    assert_eq!(proxy_state(&line).await.queued, 5, "surplus slots took nothing new");
    gate.let_through(6);
    line.client.wait_idle(LONG).await.unwrap();
    assert_eq!(proxy_state(&line).await.board.response_count, 9);
    // One at a time after the first four, in the order in which they came.
    assert_eq!(b.tags()[4..], [5, 6, 7, 8, 9]);
    line.stop().await;
}

#[tokio::test]
async fn a_change_of_slots_under_backlog_does_not_stop_a_burst() {
    let line = line(&Double::sleeping(0), &Double::sleeping(3), 4, 1).await;
    let images = images(1..=5);
    let spec = spec(30);
    let fire = burst(&line.client, &images, &spec);
    let change = async {
        for slots in [8, 1, 4, 2, 16, 1, 3] {
            line.client.set_threads(slots).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (records, ()) = tokio::join!(fire, change);
    assert_eq!(count(&records.unwrap(), Status::Answered), 30);
    line.stop().await;
}

#[tokio::test]
async fn a_hundred_changes_of_slots_under_load_answer_all_and_hold_no_more_than_the_largest() {
    const MOST: u32 = 12;
    let line = line(&Double::sleeping(0), &Double::sleeping(1), 4, 1).await;
    let (done, stop) = (CancellationToken::new(), CancellationToken::new());
    let patience = Patience { timeout: LONG, retries: 0 };
    let spec = ClosedSpec { run_id: 0, clients: 24, requests: None, patience, origin: Instant::now() };
    let halt = Halt { stop: stop.clone(), ..Halt::default() };
    let (images, mut records) = (images(1..=5), Vec::new());
    let load = closed_loop(&line.client, &images, &spec, halt, |ended| records.push(ended.record));
    let watch = async {
        let mut most = 0;
        while !done.is_cancelled() {
            most = most.max(proxy_state(&line).await.held);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        most
    };
    let change = async {
        for turn in 0..100 {
            // Up, down and to the ends, in no even order.
            let slots = 1 + turn * 7 % MOST;
            let before = proxy_state(&line).await.board.response_count;
            line.client.set_threads(slots).await.unwrap();
            assert_eq!(proxy_state(&line).await.slots, slots);
            let answered = async || proxy_state(&line).await.board.response_count > before;
            until("the load goes on under so many slots", answered).await;
        }
        done.cancel();
        stop.cancel();
    };
    let (sent, most, ()) = tokio::join!(load, watch, change);
    assert_eq!(sent.unwrap() as usize, records.len());
    assert_eq!(count(&records, Status::Answered), records.len());
    assert!((1..=MOST).contains(&most), "{most} slots were held");
    let board = proxy_state(&line).await.board;
    assert_eq!((board.request_count, board.response_count), (0, records.len() as u64));
    line.stop().await;
}

#[tokio::test]
async fn slots_share_the_link_and_a_new_bandwidth_acts_on_what_is_under_way() {
    let mbit_s = PAYLOAD as f64 * 8e-6;
    // One payload a second for all, of which eight slots have an eighth each.
    let proxy = |b: &str| ProxyOptions {
        link_bandwidth: Some(BandwidthSteps::constant(mbit_s)),
        ..proxy_options(b, 8)
    };
    let line = line_with(&Double::sleeping(0), &Double::sleeping(0), 8, proxy).await;
    let http = reqwest::Client::new();
    for tag in 1..=8 {
        activation(&line, tag).await;
    }
    let set = async |field: &str, mbit_s: f64| {
        let url = format!("{}/set_bandwidth", line.endpoints.proxy);
        let answer = http.post(url).body(format!("{{\"{field}\": {mbit_s}}}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy_state(&line).await.held, 8, "the first cannot be through before 8 s");
    set("link_bandwidth_mbit_s", 1e4).await;
    line.client.wait_idle(LONG).await.unwrap();
    let url = format!("{}/responses", line.endpoints.proxy);
    let listed: Vec<PipelineAnswer> = http.get(url).send().await.unwrap().json().await.unwrap();
    let held: Vec<f64> = listed.iter().map(|answer| answer.transfer_s).collect();
    assert!(held.iter().all(|s| (0.25..8.0).contains(s)), "{held:?}");
    // A slot's own bandwidth holds beside it: a transfer of half a second.
    set("slot_bandwidth_mbit_s", 2.0 * mbit_s).await;
    activation(&line, 9).await;
    line.client.wait_idle(LONG).await.unwrap();
    let url = format!("{}/responses", line.endpoints.proxy);
    let last: Vec<PipelineAnswer> = http.get(url).send().await.unwrap().json().await.unwrap();
    let last = last.last().unwrap();
    assert_eq!(last.bandwidth_mbit_s, Some(2.0 * mbit_s));
    assert!(last.transfer_s >= 0.5, "{}", last.transfer_s);
    line.stop().await;
}

#[tokio::test]
async fn an_error_that_comes_last_ends_the_burst_and_counts() {
    let b = Arc::new(Double { fails: Some(9), ..Double::default() });
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    let mut next = listen(&line.endpoints.proxy).await;
    assert!(matches!(next().await, Event::Hello(_)));
    let first = burst(&line.client, &images(1..=4), &spec(4)).await.unwrap();
    let last = burst(&line.client, &images([9]), &spec(1)).await.unwrap();
    assert_eq!((count(&first, Status::Answered), count(&last, Status::Failed)), (4, 1));
    last[0].validate().unwrap();
    assert!(last[0].pod_a.is_some() && last[0].pod_b.is_none());
    let mut reached = 0;
    let mut responses = Vec::new();
    while reached < 2 {
        match next().await {
            Event::QueueThresholdReached { time } => {
                assert!(time > 1.7e9);
                reached += 1;
            }
            Event::Response(answer) => responses.push(*answer),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(responses.len(), 5);
    let error = responses[4].error.as_deref().unwrap();
    assert!(error.contains("told to fail"), "{error}");
    line.stop().await;
}

#[tokio::test]
async fn the_threshold_is_pushed_once_a_crossing_and_told_to_whoever_comes_late() {
    let line = line(&Double::sleeping(0), &Double::sleeping(0), 1, 1).await;
    let http = reqwest::Client::new();
    let url = |route: &str| format!("{}/{route}", line.endpoints.proxy);
    let threshold = async |n: u32| {
        let body = format!("{{\"queue_threshold\":{n}}}");
        assert_eq!(http.post(url("set_queue_threshold")).body(body).send().await.unwrap().status(), 200);
    };
    let mut next = listen(&line.endpoints.proxy).await;
    let Event::Hello(hello) = next().await else { panic!() };
    assert_eq!((hello.response_count, hello.threshold, hello.threshold_reached), (0, None, false));
    threshold(2).await;
    for tag in 1..=3 {
        activation(&line, tag).await;
    }
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(matches!(next().await, Event::QueueThresholdReached { .. }));
    }
    assert_eq!(
        heard,
        [false, false, true, false],
        "after the second response, and not again after the third"
    );

    let mut late = listen(&line.endpoints.proxy).await;
    let Event::Hello(hello) = late().await else { panic!() };
    assert_eq!((hello.response_count, hello.threshold, hello.threshold_reached), (3, Some(2), true));
    // A threshold that the responses have reached already is pushed as it is set.
    threshold(3).await;
    assert!(matches!(late().await, Event::QueueThresholdReached { .. }));
    http.post(url("clear_responses")).send().await.unwrap();
    let mut later = listen(&line.endpoints.proxy).await;
    let Event::Hello(hello) = later().await else { panic!() };
    assert_eq!((hello.epoch, hello.response_count, hello.threshold_reached), (1, 0, false));
    line.stop().await;
}

#[tokio::test]
async fn late_results_of_an_earlier_epoch_do_not_count_to_the_new_one() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    activation(&line, 1).await;
    activation(&line, 2).await;
    until("one is at B", async || proxy_state(&line).await.held == 1).await;
    let http = reqwest::Client::new();
    http.post(format!("{}/clear_responses", line.endpoints.proxy)).send().await.unwrap();
    activation(&line, 3).await;
    gate.let_through(3);
    line.client.wait_idle(LONG).await.unwrap();
    assert_eq!(proxy_state(&line).await.board.response_count, 1);
    let listed = http.get(format!("{}/responses", line.endpoints.proxy)).send().await.unwrap();
    let listed: Vec<PipelineAnswer> = listed.json().await.unwrap();
    assert_eq!(listed.iter().map(|answer| answer.class_id).collect::<Vec<_>>(), [Some(3)]);
    line.stop().await;
}

#[tokio::test]
async fn b_gone_fails_every_request_and_nothing_hangs() {
    let gone = nobody().await;
    let proxy = |_: &str| proxy_options(&gone, 2);
    let line = line_with(&Double::sleeping(0), &Double::sleeping(0), 2, proxy).await;
    let records = burst(&line.client, &images([1]), &spec(6)).await.unwrap();
    assert_eq!(count(&records, Status::Failed), 6);
    assert!(records.iter().all(|record| record.pod_a.is_some() && record.validate().is_ok()));
    let part = reqwest::multipart::Part::bytes(images([1])[0].1.clone());
    let form = reqwest::multipart::Form::new().part("file", part);
    let url = format!("{}/predict-proxy?wait=true", line.endpoints.a);
    let answer = reqwest::Client::new().post(url).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    let answer: PipelineAnswer = answer.json().await.unwrap();
    assert!(answer.error.unwrap().contains("stage B did not answer"));
    line.stop().await;
}

#[tokio::test]
async fn a_b_that_never_answers_is_given_up_after_its_timeout() {
    let (b, gate) = Double::gated();
    let proxy = |b: &str| ProxyOptions { b_timeout: Duration::from_millis(50), ..proxy_options(b, 1) };
    let line = line_with(&Double::sleeping(0), &b, 1, proxy).await;
    let records = burst(&line.client, &images([1]), &spec(2)).await.unwrap();
    assert_eq!(count(&records, Status::Failed), 2);
    gate.let_through(2);
    line.stop().await;
}

#[tokio::test]
async fn what_is_not_back_in_time_is_lost_and_does_not_disturb_the_next_burst() {
    let (b, gate) = Double::gated();
    let line = line(&Double::sleeping(0), &b, 1, 2).await;
    let short = BurstSpec { timeout: Duration::from_millis(300), ..spec(5) };
    let records = burst(&line.client, &images([1]), &short).await.unwrap();
    assert_eq!(count(&records, Status::Lost), 5);
    assert!(records.iter().all(|record| record.done_ns - record.sent_ns > 250_000_000));
    // The late five come back during the next burst, which tells them apart.
    let (images, next_spec) = (images([2]), spec(3));
    let next = burst(&line.client, &images, &next_spec);
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.let_through(8);
    };
    let (records, ()) = tokio::join!(next, release);
    assert_eq!(count(&records.unwrap(), Status::Answered), 3);
    line.stop().await;
}

#[tokio::test]
async fn no_image_at_all_in_a_burst_fails_it_without_waiting() {
    let line = line(&Double::sleeping(0), &Double::sleeping(0), 1, 1).await;
    let mut images = images([1, 2]);
    images.push(("notes.txt".into(), b"no picture".to_vec()));
    let records = burst(&line.client, &images, &spec(6)).await.unwrap();
    assert_eq!((count(&records, Status::Answered), count(&records, Status::Failed)), (4, 2));
    assert!(burst(&line.client, &[], &spec(1)).await.is_err());
    assert!(burst(&line.client, &images, &spec(0)).await.is_err());
    line.stop().await;
}

#[tokio::test]
async fn servers_that_stop_under_a_closed_loop_leave_every_request_accounted_for() {
    let mut line = line(&Double::sleeping(2), &Double::sleeping(2), 2, 2).await;
    let stop = CancellationToken::new();
    let patience = Patience { timeout: LONG, retries: 0 };
    let spec = ClosedSpec { run_id: 0, clients: 4, requests: None, patience, origin: Instant::now() };
    let mut records = Vec::new();
    let images = images([1]);
    let halt = Halt { stop: stop.clone(), ..Halt::default() };
    let load = closed_loop(&line.client, &images, &spec, halt, |ended| records.push(ended.record));
    let stop_a = line.stop_a.clone();
    let server_a = line.servers.remove(0);
    let outage = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop_a.cancel();
        server_a.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
    };
    let (sent, ()) = tokio::join!(load, outage);
    assert_eq!(sent.unwrap() as usize, records.len());
    let [answered, refused, failed, lost] =
        [Status::Answered, Status::Refused, Status::Failed, Status::Lost].map(|s| count(&records, s));
    assert_eq!(answered + refused + failed + lost, records.len());
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
    // A finished what it had accepted; each client may have written to a connection just being closed.
    assert!(failed == 0 && lost <= 4, "{failed} failed, {lost} lost");
    for (stop, server) in [line.stop_proxy, line.stop_b].into_iter().zip(line.servers) {
        stop.cancel();
        server.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_is_closed_fails_what_it_has_and_says_so() {
    let (b, gate) = Double::gated();
    let ending = Ending { grace: Duration::from_millis(50), ..ENDING };
    let line =
        line_with(&Double::sleeping(0), &b, 1, |b| ProxyOptions { ending, ..proxy_options(b, 1) }).await;
    let mut next = listen(&line.endpoints.proxy).await;
    assert!(matches!(next().await, Event::Hello(_)));
    activation(&line, 1).await;
    activation(&line, 2).await;
    line.stop_proxy.cancel();
    for _ in 0..2 {
        let Event::Response(answer) = next().await else { panic!() };
        assert!(answer.error.unwrap().contains("shut down"));
    }
    gate.let_through(2);
    line.stop().await;
}

#[tokio::test]
async fn options_of_the_proxy_out_of_range_are_named() {
    let sound = proxy_options("http://127.0.0.1:9", 1);
    for (options, field) in [
        (ProxyOptions { slots: 0, ..sound.clone() }, "slots"),
        (ProxyOptions { slots: 17, ..sound.clone() }, "slots"),
        (ProxyOptions { slot_bandwidth_mbit_s: Some(0.0), ..sound.clone() }, "slot_bandwidth_mbit_s"),
        (ProxyOptions { slot_bandwidth_mbit_s: Some(f64::NAN), ..sound.clone() }, "slot_bandwidth_mbit_s"),
        (ProxyOptions { b_limit: Some(0), ..sound.clone() }, "b_limit"),
        (ProxyOptions { b: vec![], ..sound.clone() }, "b: no B at all"),
        (ProxyOptions { b: vec!["b:5001".into()], ..sound.clone() }, "b: \"b:5001\" is neither"),
        (ProxyOptions { b: vec!["dns://b".into()], ..sound.clone() }, "b: \"dns://b\" is neither"),
        (
            ProxyOptions { link_bandwidth: Some(BandwidthSteps::constant(0.0)), ..sound.clone() },
            "link_bandwidth",
        ),
        (ProxyOptions { b_timeout: Duration::ZERO, ..sound.clone() }, "b_timeout"),
        (ProxyOptions { queue: QueueBound { requests: 0, bytes: 1 }, ..sound.clone() }, "queue.requests"),
    ] {
        let error = Proxy::new(options).err().unwrap().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let bad = Endpoints { a: "localhost:5000".into(), proxy: "http://x".into(), b: "http://y".into() };
    assert!(PipelineClient::new(bad).unwrap_err().to_string().contains("localhost:5000"));
}

#[tokio::test]
async fn what_the_next_server_says_of_when_to_ask_again_is_passed_on() {
    const LATER: [(&str, &str); 4] = [("7", "7"), ("", "1"), ("0", "1"), ("999999", "3600")];
    let (listener, url) = port().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let full = axum::routing::post(async move || {
        let (said, _) = LATER[asked.fetch_add(1, Ordering::SeqCst) / 2];
        let status = StatusCode::TOO_MANY_REQUESTS;
        (status, [(RETRY_AFTER, said)], r#"{"error": "it is full"}"#)
    });
    let server = axum::Router::new().route("/complete", full);
    tokio::spawn(async move { axum::serve(listener, server).await });
    let downstream = towards(url.clone(), url);
    let a = StageServer::a(stage_options(1), downstream, factory(&Double::sleeping(0))).unwrap();
    let (listener, url) = port().await;
    let app = a.app();
    tokio::spawn(async move { axum::serve(listener, app).await });
    for (_, passed_on) in LATER {
        for route in ["predict", "predict-proxy?wait=true"] {
            let part = reqwest::multipart::Part::bytes(images([1])[0].1.clone());
            let form = reqwest::multipart::Form::new().part("file", part);
            let answer =
                reqwest::Client::new().post(format!("{url}/{route}")).multipart(form).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 429);
            assert_eq!(answer.headers()["retry-after"], passed_on);
            assert!(answer.text().await.unwrap().contains("it is full"));
        }
    }
    a.close().await;
}
