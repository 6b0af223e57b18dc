//! How long the proxy waits: for a body, for a B, and for its answer.

use std::time::Duration;

use splitscale_serving::QueueBound;
use splitscale_serving::proxy::{Balance, ProxyOptions};
use splitscale_serving::stage::StageOptions;
use splitscale_serving::wire::PipelineAnswer;
use splitscale_spec::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::double::{Double, PAYLOAD, QUEUE, stage_options, until};
use crate::several::{Before, false_b, stage_b, stage_b_of};

#[tokio::test]
async fn the_time_of_a_request_runs_while_its_body_comes() {
    let double = Double::sleeping(0);
    let before = Before::start(&[&stage_b(&double, 1).await], 1, |_| ()).await;
    let mut socket = TcpStream::connect(before.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /complete?wait=true HTTP/1.1\r\nhost: proxy\r\nx-cut: layer3\r\nx-request-timeout: 0.02\r\n\
         expect: 100-continue\r\ncontent-length: {PAYLOAD}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // It is said once the body is being read.
    let mut said = [0; 25];
    socket.read_exact(&mut said).await.unwrap();
    assert_eq!(said.as_slice(), b"HTTP/1.1 100 Continue\r\n\r\n");
    tokio::time::sleep(Duration::from_millis(30)).await;
    socket.write_all(&[1; PAYLOAD]).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 504");
    assert!(double.tags().is_empty());
}

/// Sends an activation that gives so many seconds, and waits; the status, `Retry-After` and the answer.
async fn within(before: &Before, seconds: &str) -> (u16, Option<String>, PipelineAnswer) {
    let url = format!("{}/complete?wait=true", before.url);
    let request = before.http.post(url).header("x-cut", "layer3").header("x-request-timeout", seconds);
    let answer = request.body(vec![1; PAYLOAD]).send().await.unwrap();
    let again = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), again, answer.json().await.unwrap())
}

#[tokio::test]
async fn a_slot_is_held_no_longer_than_the_request_gives() {
    let ((double_1, gate_1), (double_2, gate_2)) = (Double::gated(), Double::gated());
    let [one, two] = [stage_b(&double_1, 1).await, stage_b(&double_2, 1).await];
    // At a B that does not answer.
    let before = Before::start(&[&one], 1, |_| ()).await;
    let (status, _, answer) = within(&before, "0.05").await;
    assert_eq!((status, answer.status), (504, Status::Failed));
    assert!(answer.error.unwrap().contains("before stage B"));
    let state = before.state().await;
    assert_eq!((state.held, state.b[0].outstanding, state.b[0].ejected), (0, 0, false));

    // Before one that has no room.
    let before = Before::start(&[&one, &two], 3, |_| ()).await;
    let sent = [before.complete(1), before.complete(2)].map(tokio::spawn);
    until("each B has one", async || before.state().await.b.iter().all(|b| b.outstanding == 1)).await;
    let (status, _, answer) = within(&before, "0.05").await;
    assert_eq!((status, answer.status), (504, Status::Failed));
    assert_eq!(before.state().await.held, 2);
    assert_eq!(before.metric("split_b_waiting").await, 0.0);
    gate_1.let_through(2);
    gate_2.let_through(1);
    for answer in sent {
        assert_eq!(answer.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn a_link_that_is_too_slow_for_a_request_holds_its_slot_no_longer_either() {
    let double = Double::sleeping(0);
    let b = stage_b(&double, 1).await;
    // Half a minute for one activation.
    let before = Before::start(&[&b], 1, |options| options.slot_bandwidth_mbit_s = Some(0.001)).await;
    let (status, _, answer) = within(&before, "0.05").await;
    assert_eq!((status, answer.status), (504, Status::Failed));
    assert!(answer.transfer_s < 10.0, "{}", answer.transfer_s);
    assert_eq!(before.state().await.held, 0);
    let before = Before::start(&[&b], 1, |options| options.rtt = Duration::from_secs(30)).await;
    assert_eq!(within(&before, "0.05").await.0, 504);
    assert_eq!(before.state().await.held, 0);
    assert!(double.tags().is_empty());
}

#[tokio::test]
async fn a_b_that_hangs_is_passed_over_and_what_it_has_is_not_sent_again() {
    let ((hung, gate), sound) = (Double::gated(), Double::sleeping(0));
    let [one, two] = [stage_b(&hung, 1).await, stage_b(&sound, 1).await];
    let in_turn = |options: &mut ProxyOptions| {
        (options.balance, options.b_timeout) = (Balance::RoundRobin, Duration::from_millis(50));
    };
    let before = Before::start(&[&one, &two], 1, in_turn).await;
    let (status, answer) = before.complete(1).await;
    assert_eq!((status, answer.status), (502, Status::Failed));
    let state = before.state().await;
    assert_eq!(state.b.iter().map(|b| b.ejected).collect::<Vec<_>>(), [true, false]);
    assert_eq!((state.held, before.metric("split_retries_total").await), (0, 0.0));
    assert!(sound.tags().is_empty());
    gate.let_through(1);
}

const FULL: &str =
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 16\r\n\r\n{\"error\":\"full\"}";

#[tokio::test]
async fn what_a_full_b_refuses_holds_its_slot_until_it_is_answered() {
    let (double, gate) = Double::gated();
    let one_waits = StageOptions { queue: QueueBound { requests: 1, ..QUEUE }, ..stage_options(1) };
    let b = stage_b_of(&double, one_waits).await;
    let before = Before::start(&[&b], 5, |_| ()).await;
    let sent: Vec<_> = (1..=5).map(|tag| tokio::spawn(before.complete(tag))).collect();
    let refused = async || {
        let text = reqwest::get(format!("{b}/metrics")).await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.contains("status=\"refused\"")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    until("it is asked again", async || refused().await > 8.0).await;
    let state = before.state().await;
    assert_eq!((state.held, state.b[0].ejected), (5, false));
    gate.let_through(5);
    for answer in sent {
        let (status, answer) = answer.await.unwrap();
        assert_eq!((status, answer.status), (200, Status::Answered), "{:?}", answer.error);
        let queue_s = answer.stage_b.unwrap().queue_s;
        assert!(answer.transfer_s >= 0.0 && queue_s >= 0.0, "{answer:?}");
    }
    let mut tags = double.tags();
    tags.sort_unstable();
    assert_eq!(tags, [1, 2, 3, 4, 5], "each is computed once");
    assert_eq!(before.metric("split_retries_total").await, 0.0);
}

#[tokio::test]
async fn what_one_b_has_no_room_for_another_serves() {
    let double = Double::sleeping(0);
    let [full, sound] = [false_b(FULL).await, stage_b(&double, 1).await];
    for balance in [Balance::OneQueue, Balance::RoundRobin, Balance::LeastOutstanding] {
        let before = Before::start(&[&full, &sound], 4, |options| options.balance = balance).await;
        before.all_answered(12).await;
        let state = before.state().await;
        assert!(state.b.iter().all(|b| !b.ejected && b.outstanding == 0), "{:?}", state.b);
    }
    assert_eq!(double.tags().len(), 36);
}

#[tokio::test]
async fn a_b_that_stays_full_is_told_when_nobody_waits_any_longer() {
    let full = false_b(FULL).await;
    let before = Before::start(&[&full], 1, |_| ()).await;
    let (status, again, answer) = within(&before, "1").await;
    assert_eq!((status, again.as_deref(), answer.status), (429, Some("7"), Status::Failed));
    assert!(answer.error.unwrap().contains("full"));

    let short = |options: &mut ProxyOptions| options.b_timeout = Duration::from_millis(200);
    let before = Before::start(&[&full], 1, short).await;
    let (status, again, answer) = within(&before, "60").await;
    assert_eq!((status, again.as_deref(), answer.status), (429, Some("7"), Status::Failed));
    assert!(answer.transfer_s >= 0.19, "{}", answer.transfer_s);
    let state = before.state().await;
    assert_eq!((state.held, state.b[0].ejected), (0, false));
}
