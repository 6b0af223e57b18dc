//! Several B behind one proxy: how they share the work, and what becomes of it where one is gone.

use std::sync::Arc;
use std::time::Duration;

use splitscale_serving::proxy::{Balance, ProxyOptions, serve_proxy};
use splitscale_serving::stage::{StageOptions, serve_b};
use splitscale_serving::wire::{PipelineAnswer, SlotsState};
use splitscale_spec::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::double::{Double, LONG, PAYLOAD, factory, nobody, port, proxy_options, stage_options, until};

/// A B of so many pods; it ends with the test.
pub(crate) async fn stage_b(double: &Arc<Double>, pods: u32) -> String {
    stage_b_of(double, stage_options(pods)).await
}

pub(crate) async fn stage_b_of(double: &Arc<Double>, options: StageOptions) -> String {
    let (listener, url) = port().await;
    tokio::spawn(serve_b(listener, options, factory(double), CancellationToken::new()));
    let ready = async || reqwest::get(format!("{url}/readyz")).await.is_ok_and(|a| a.status() == 200);
    until("B is ready", ready).await;
    url
}

/// A B that takes whole activations and answers this, or breaks the connection where that is nothing.
pub(crate) async fn false_b(answer: &'static str) -> String {
    let (listener, url) = port().await;
    let serve = async move |mut socket: TcpStream| -> std::io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await?);
            }
            socket.read_exact(&mut vec![0; PAYLOAD]).await?;
            if answer.is_empty() {
                return Ok(());
            }
            socket.write_all(answer.as_bytes()).await?;
        }
    };
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    url
}

const GOING: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 20\r\n\r\n{\"error\":\"stopping\"}";
const TOO_LATE: &str = "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 20\r\n\r\n{\"error\":\"too late\"}";

/// A proxy before these B.
pub(crate) struct Before {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
}

impl Before {
    pub(crate) async fn start(b: &[&String], slots: u32, change: impl FnOnce(&mut ProxyOptions)) -> Before {
        let (listener, url) = port().await;
        let mut options = proxy_options("", slots);
        options.b = b.iter().map(|b| b.to_string()).collect();
        change(&mut options);
        tokio::spawn(serve_proxy(listener, options, CancellationToken::new()));
        Before { http: reqwest::Client::new(), url }
    }

    /// Sends an activation with this tag and waits; the status and the answer.
    pub(crate) fn complete(&self, tag: u8) -> impl Future<Output = (u16, PipelineAnswer)> + Send + 'static {
        let request = self.http.post(format!("{}/complete?wait=true", self.url)).header("x-cut", "layer3");
        let request = request.body(vec![tag; PAYLOAD]);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        }
    }

    /// So many at once; all are answered.
    pub(crate) async fn all_answered(&self, count: u8) {
        let mut sent: JoinSet<_> = (1..=count).map(|tag| self.complete(tag)).collect();
        while let Some(answer) = sent.join_next().await {
            let (status, answer) = answer.unwrap();
            assert_eq!((status, answer.status), (200, Status::Answered), "{:?}", answer.error);
        }
    }

    pub(crate) async fn state(&self) -> SlotsState {
        self.http.get(format!("{}/slots", self.url)).send().await.unwrap().json().await.unwrap()
    }

    async fn set_b(&self, b: &str) -> (u16, String) {
        let request = self.http.post(format!("{}/set_b", self.url)).body(format!("{{\"b\": [{b}]}}"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let body = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
        let line = body.lines().find(|line| line.starts_with(series));
        line.unwrap_or_else(|| panic!("no {series}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn one_queue_keeps_in_the_proxy_what_no_pod_is_free_for() {
    let ((double_1, gate_1), (double_2, gate_2)) = (Double::gated(), Double::gated());
    let [one, two] = [stage_b(&double_1, 1).await, stage_b(&double_2, 1).await];
    let before = Before::start(&[&one, &two], 8, |_| ()).await;
    let mut sent: JoinSet<_> = (1..=6).map(|tag| before.complete(tag)).collect();
    until("each B has one", async || before.metric("split_b_waiting").await == 4.0).await;
    let state = before.state().await;
    assert_eq!(state.b.iter().map(|b| b.outstanding).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(state.held, 6, "the slot is held until B has answered");
    // One B stands still, and the other serves whatever waits.
    gate_1.let_through(5);
    for _ in 0..5 {
        let (status, answer) = sent.join_next().await.unwrap().unwrap();
        assert_eq!((status, answer.status), (200, Status::Answered));
        assert!(answer.transfer_s < answer.total_time.unwrap());
    }
    assert_eq!((double_1.tags().len(), double_2.tags().len()), (5, 0));
    gate_2.let_through(1);
    assert_eq!(sent.join_next().await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn what_waits_goes_to_a_b_that_is_back_though_the_other_stands_still() {
    let ((busy, gate), back) = (Double::gated(), Double::sleeping(0));
    let (one, two) = (nobody().await, stage_b(&busy, 1).await);
    // Nothing comes after these, and nothing ends: all slots are held.
    let before = Before::start(&[&one, &two], 3, |_| ()).await;
    let mut sent: JoinSet<_> = (1..=2).map(|tag| before.complete(tag)).collect();
    until("one is at the other, which one that was at the first waits for", async || {
        before.metric("split_retries_total").await == 1.0 && before.metric("split_b_waiting").await == 1.0
    })
    .await;
    let third = tokio::spawn(before.complete(3));
    until("the third waits behind it", async || before.metric("split_b_waiting").await == 2.0).await;
    let listener = TcpListener::bind(one.trim_start_matches("http://")).await.unwrap();
    tokio::spawn(serve_b(listener, stage_options(1), factory(&back), CancellationToken::new()));
    let (status, answer) = third.await.unwrap();
    assert_eq!((status, answer.status), (200, Status::Answered), "{:?}", answer.error);
    assert_eq!((busy.tags().len(), back.tags()), (0, vec![3]), "the first goes to another");
    gate.let_through(2);
    while let Some(answer) = sent.join_next().await {
        assert_eq!(answer.unwrap().0, 200);
    }
}

#[tokio::test]
async fn each_balance_uses_all_b_and_one_in_turn_each_equally() {
    for balance in [Balance::OneQueue, Balance::RoundRobin, Balance::Random, Balance::LeastOutstanding] {
        let doubles = [Double::sleeping(1), Double::sleeping(1)];
        let [one, two] = [stage_b(&doubles[0], 2).await, stage_b(&doubles[1], 2).await];
        let before = Before::start(&[&one, &two], 4, |options| options.balance = balance).await;
        before.all_answered(40).await;
        let shares = doubles.map(|double| double.tags().len());
        assert_eq!(shares.iter().sum::<usize>(), 40, "{balance:?}: none is computed twice");
        assert!(shares.iter().all(|share| *share > 0), "{balance:?}: {shares:?}");
        if balance == Balance::RoundRobin {
            assert_eq!(shares, [20, 20]);
        }
        assert_eq!(before.metric("split_retries_total").await, 0.0);
    }
}

#[tokio::test]
async fn what_a_b_took_with_it_is_sent_to_another_once_and_no_more() {
    let double = Double::sleeping(0);
    let sound = stage_b(&double, 2).await;
    for broken in [nobody().await, false_b("").await, false_b(GOING).await] {
        let turns = |options: &mut ProxyOptions| options.balance = Balance::RoundRobin;
        let before = Before::start(&[&broken, &sound], 1, turns).await;
        before.all_answered(9).await;
        let retries = before.metric("split_retries_total").await;
        assert!((1.0..=9.0).contains(&retries), "{retries}");
        assert!(before.state().await.b.iter().all(|b| b.outstanding == 0));
        // Alone it is asked twice, and then the client is told.
        let before = Before::start(&[&broken], 1, |_| ()).await;
        let (status, answer) = before.complete(1).await;
        assert_eq!((status, answer.status), (502, Status::Failed));
        assert!(answer.error.unwrap().starts_with("stage B"));
        assert_eq!(before.metric("split_retries_total").await, 1.0);
    }
    assert_eq!(double.tags().len(), 27);
}

#[tokio::test]
async fn a_broken_b_is_passed_over_and_the_others_get_what_it_would_have_had() {
    let (broken, sound) = (false_b("").await, stage_b(&Double::sleeping(0), 1).await);
    let turns = |options: &mut ProxyOptions| options.balance = Balance::RoundRobin;
    let before = Before::start(&[&broken, &sound], 1, turns).await;
    before.complete(1).await;
    let state = before.state().await;
    assert_eq!(state.b.iter().map(|b| b.ejected).collect::<Vec<_>>(), [true, false]);
    assert_eq!(before.metric(&format!("split_b_ejected{{b=\"{broken}\"}}")).await, 1.0);
}

#[tokio::test]
async fn a_time_that_is_up_is_told_as_504_and_not_tried_again() {
    let before = Before::start(&[&false_b(TOO_LATE).await], 1, |_| ()).await;
    let (status, answer) = before.complete(1).await;
    assert_eq!((status, answer.status), (504, Status::Failed));
    assert!(answer.error.unwrap().contains("too late"));
    assert_eq!(before.metric("split_retries_total").await, 0.0);

    // Up while it waits for the one slot.
    let (double, gate) = Double::gated();
    let before = Before::start(&[&stage_b(&double, 1).await], 1, |_| ()).await;
    let first = tokio::spawn(before.complete(1));
    until("the slot is held", async || before.state().await.held == 1).await;
    let url = format!("{}/complete?wait=true", before.url);
    let late = before.http.post(url).header("x-cut", "layer3").header("x-request-timeout", "0.02");
    let late = tokio::spawn(late.body(vec![2; PAYLOAD]).send());
    until("it waits", async || before.state().await.queued == 1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    gate.let_through(1);
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!(late.await.unwrap().unwrap().status(), 504);
    assert_eq!(double.tags(), [1]);
}

#[tokio::test]
async fn the_b_there_are_can_be_changed_and_a_name_stands_for_its_addresses() {
    let doubles = [Double::sleeping(0), Double::sleeping(0)];
    let [one, two] = [stage_b(&doubles[0], 1).await, stage_b(&doubles[1], 1).await];
    let before = Before::start(&[&one], 2, |_| ()).await;
    before.all_answered(3).await;
    for (b, says) in [("", "no B at all"), ("\"b\"", "is neither"), ("1", "invalid type")] {
        let (status, said) = before.set_b(b).await;
        assert!(status == 400 && said.contains(says), "{said}");
    }
    assert_eq!(before.set_b(&format!("\"{two}/\"")).await.0, 200);
    assert_eq!(before.state().await.b.iter().map(|b| &b.url).collect::<Vec<_>>(), [&two]);
    before.all_answered(3).await;
    assert_eq!(doubles.each_ref().map(|double| double.tags().len()), [3, 3]);

    let name = two.replace("http://127.0.0.1", "dns://localhost");
    assert_eq!(before.set_b(&format!("\"{name}\"")).await.0, 200);
    until("the name is resolved", async || before.state().await.b.iter().any(|b| b.url == two)).await;
    before.all_answered(3).await;
    assert_eq!(doubles[1].tags().len(), 6);
    // Sent before the name is known, it waits until it is.
    let before = Before::start(&[&name], 1, |options| options.b_timeout = LONG).await;
    before.all_answered(2).await;
}

#[tokio::test]
async fn credits_of_the_proxy_hold_whichever_b_it_is() {
    let ((double_1, gate_1), (double_2, gate_2)) = (Double::gated(), Double::gated());
    let [one, two] = [stage_b(&double_1, 1).await, stage_b(&double_2, 1).await];
    let before = Before::start(&[&one, &two], 2, |options| options.queue.requests = 1).await;
    let credit = async || {
        let request = before.http.post(format!("{}/credits", before.url)).body("{\"bytes\": 4096}");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let send = |credit: &str| {
        let credit: serde_json::Value = serde_json::from_str(credit).unwrap();
        let url = format!("{}/complete?wait=true", before.url);
        let request = before.http.post(url).header("x-cut", "layer3");
        tokio::spawn(request.header("x-credit", credit["credit"].to_string()).body(vec![1; PAYLOAD]).send())
    };
    let mut sent = Vec::new();
    for held in 1..=2 {
        let (status, given) = credit().await;
        assert_eq!(status, 200);
        assert_eq!(credit().await.0, 429, "one may wait, and it is promised");
        sent.push(send(&given));
        until("it has a slot", async || before.state().await.held == held).await;
    }
    let (status, given) = credit().await;
    assert_eq!(status, 200);
    sent.push(send(&given));
    until("it waits", async || before.state().await.queued == 1).await;
    assert_eq!(credit().await.0, 429);
    gate_1.let_through(3);
    gate_2.let_through(3);
    for answer in sent {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}
