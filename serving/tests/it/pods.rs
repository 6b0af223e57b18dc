//! Pods: how they start, serve, are paced, limited, drained and lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use splitscale_serving::ServeError;
use splitscale_serving::client::ClientError;
use splitscale_serving::stage::{StageOptions, serve_b};
use splitscale_serving::wire::{PodsState, TailAnswer};
use splitscale_spec::Replicas;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use splitscale_serving::{Ending, QueueBound};

use crate::double::{Double, ENDING, Gate, LONG, PAYLOAD, QUEUE, factory, line, port, stage_options, until};

/// A stage B on loopback.
struct StageB {
    http: reqwest::Client,
    url: String,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<Result<(), ServeError>>,
}

impl StageB {
    async fn start(double: &Arc<Double>, options: StageOptions) -> StageB {
        let (listener, url) = port().await;
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_b(listener, options, factory(double), stop.clone()));
        let stage = StageB { http: reqwest::Client::new(), url, stop, server };
        until("the pods have started", async || stage.pods().await.starting == 0).await;
        stage
    }

    async fn pods(&self) -> PodsState {
        self.http.get(format!("{}/pods", self.url)).send().await.unwrap().json().await.unwrap()
    }

    async fn set(&self, route: &str, pods: u32) {
        let body = format!("{{\"pod_count\":{pods}}}");
        let answer = self.http.post(format!("{}/{route}", self.url)).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Sends an activation with this tag; the status and the answer.
    fn complete(&self, tag: u8) -> impl Future<Output = (u16, String)> + Send + 'static {
        let request = self.http.post(format!("{}/complete", self.url)).body(vec![tag; PAYLOAD]);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    }

    /// Value of a metric without labels to tell apart.
    async fn metric(&self, series: &str) -> f64 {
        let body = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
        let line = body.lines().find(|line| line.starts_with(series));
        line.unwrap_or_else(|| panic!("no {series}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    async fn stop(self) -> Result<(), ServeError> {
        self.stop.cancel();
        tokio::time::timeout(LONG, self.server).await.expect("a server that stops").unwrap()
    }
}

#[tokio::test]
async fn a_stage_whose_pods_cannot_start_ends_and_says_why() {
    let double = Arc::new(Double { starts: Some(0), ..Double::default() });
    let (listener, _) = port().await;
    let served = serve_b(listener, stage_options(2), factory(&double), CancellationToken::new()).await;
    assert!(served.unwrap_err().to_string().contains("told not to start"));
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let sound = stage_options(2);
    for (options, field) in [
        (StageOptions { pods: 0, ..sound.clone() }, "pods"),
        (StageOptions { pods: 9, ..sound.clone() }, "pods"),
        (StageOptions { cpu_share: 0.0, ..sound.clone() }, "cpu_share"),
        (StageOptions { cpu_share: f64::NAN, ..sound.clone() }, "cpu_share"),
        (StageOptions { rated_cpu: Some(Duration::ZERO), ..sound.clone() }, "rated_cpu"),
        (StageOptions { queue: QueueBound { requests: 0, bytes: 1 }, ..sound.clone() }, "queue.requests"),
    ] {
        let (listener, _) = port().await;
        let served =
            serve_b(listener, options, factory(&Double::sleeping(0)), CancellationToken::new()).await;
        let error = served.unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[tokio::test]
async fn a_pod_that_cannot_start_leaves_the_others_serving() {
    let b = Arc::new(Double { starts: Some(1), ..Double::default() });
    let line = line(&Double::sleeping(0), &b, 1, 1).await;
    let asked = line.client.set_pods(Replicas { a: 1, b: 2 }, LONG).await;
    let Err(ClientError::Pods { ready: 1, desired: 2, error, .. }) = asked else { panic!("{asked:?}") };
    assert!(error.contains("told not to start"), "{error}");
    let state = line.client.state().await.unwrap();
    assert_eq!((state.b.ready, state.b.starting), (1, 0));
    line.client.set_pods(Replicas { a: 1, b: 1 }, LONG).await.unwrap();
    line.stop().await;
}

#[tokio::test]
async fn a_pod_whose_engine_panics_fails_one_request_and_is_replaced() {
    let double = Arc::new(Double { panics: Some(13), ..Double::default() });
    let stage = StageB::start(&double, stage_options(1)).await;
    let (status, body) = stage.complete(13).await;
    assert_eq!(status, 500);
    assert!(body.contains("told to panic"), "{body}");
    until("the pod was replaced", async || stage.pods().await.ready == 1).await;
    assert_eq!(stage.complete(1).await.0, 200);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_whose_pod_ended_is_the_next_to_be_served_and_waits_for_the_pod_that_replaces_it() {
    let (start_gate, gate) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (starts, takes) = (Some(Arc::clone(&start_gate)), Some(Arc::clone(&gate)));
    let double = Double { start_gate: starts, gate: takes, ends: vec![1].into(), ..Double::default() };
    let double = Arc::new(double);
    start_gate.let_through(1);
    let stage = StageB::start(&double, stage_options(1)).await;
    let mut answers = JoinSet::new();
    for tag in 1..=2 {
        answers.spawn(stage.complete(tag));
        until("it has come", async || {
            let state = stage.pods().await;
            state.queued + u64::from(state.busy) == u64::from(tag)
        })
        .await;
    }
    gate.let_through(1);
    until("the pod is lost", async || stage.pods().await.starting == 1).await;
    answers.spawn(stage.complete(3));
    until("all wait", async || stage.pods().await.queued == 3).await;
    let state = stage.pods().await;
    assert_eq!((state.ready, state.busy, state.desired), (0, 0, 1));
    assert!(state.last_error.unwrap().contains("pod 0 was lost: told to end"));
    start_gate.let_through(1);
    gate.let_through(3);
    let answers = answers.join_all().await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(double.tags(), [1, 1, 2, 3]);
    assert_eq!(stage.metric("split_answers_total{stage=\"b\",status=\"failed\"}").await, 0.0);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_ends_one_pod_after_the_other_fails_after_two() {
    let double = Arc::new(Double { ends: vec![13; 3].into(), ..Double::default() });
    let stage = StageB::start(&double, stage_options(2)).await;
    let (status, body) = stage.complete(13).await;
    assert_eq!(status, 500);
    assert!(body.contains("2 pods ended while they served this, the last: told to end"), "{body}");
    until("both were replaced", async || stage.pods().await.ready == 2).await;
    assert_eq!(double.started.load(Ordering::SeqCst), 4);
    assert_eq!(stage.complete(1).await.0, 200);
    assert_eq!(stage.metric("split_answers_total{stage=\"b\",status=\"failed\"}").await, 1.0);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_pod_keeps_its_share_of_a_core() {
    let share = 0.2;
    let double = Arc::new(Double { burn: Duration::from_millis(10), ..Double::default() });
    let stage = StageB::start(&double, StageOptions { cpu_share: share, ..stage_options(1) }).await;
    let mut service_s = 0.0;
    for tag in 1..=4 {
        let answer: TailAnswer = serde_json::from_str(&stage.complete(tag).await.1).unwrap();
        let times = answer.stage_b;
        let parts = [times.queue_s, times.decode_s, times.forward_s, times.encode_s, times.rest_s];
        assert!((times.residence_s() - parts.iter().sum::<f64>()).abs() < 1e-9);
        service_s += times.service_s();
    }
    // taken + c / share is a promise, so the CPU it may have used is a bound and no timing.
    let cpu_s = stage.pods().await.pods[0].cpu_s;
    assert!(cpu_s >= 0.04, "{cpu_s} s for 40 ms of burning");
    assert!(service_s >= cpu_s / share - 1e-6, "{service_s} s for {cpu_s} s of CPU at {share}");
    assert!((stage.metric("split_pod_cpu_seconds_total").await - cpu_s).abs() < 1e-9);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_rated_request_holds_its_pod_for_what_it_is_rated_at() {
    let rated_cpu = Some(Duration::from_millis(20));
    let double = Arc::new(Double { burn: Duration::from_millis(1), ..Double::default() });
    let options = StageOptions { cpu_share: 0.5, rated_cpu, ..stage_options(1) };
    let stage = StageB::start(&double, options.clone()).await;
    let answer: TailAnswer = serde_json::from_str(&stage.complete(1).await.1).unwrap();
    assert!(answer.stage_b.service_s() >= 0.04, "{:?}", answer.stage_b);
    let state = stage.pods().await;
    assert_eq!(state.rated_cpu_s, Some(0.02));
    assert!(state.pods[0].cpu_s < 0.02, "what it took is counted: {} s", state.pods[0].cpu_s);
    stage.stop().await.unwrap();

    // Whoever computes longer than that rests no more.
    let double = Arc::new(Double { burn: Duration::from_millis(50), ..Double::default() });
    let stage = StageB::start(&double, options).await;
    let answer: TailAnswer = serde_json::from_str(&stage.complete(1).await.1).unwrap();
    assert_eq!(answer.stage_b.rest_s, 0.0);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_share_does_not_rest() {
    let stage = StageB::start(&Double::sleeping(1), stage_options(1)).await;
    let answer: TailAnswer = serde_json::from_str(&stage.complete(1).await.1).unwrap();
    assert_eq!(answer.stage_b.rest_s, 0.0);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn the_queue_is_first_in_first_out_and_the_lowest_free_pod_in_use_takes_the_next() {
    let (double, gate) = Double::gated();
    let stage = StageB::start(&double, stage_options(3)).await;
    stage.set("use_pods", 1).await;
    let mut answers = JoinSet::new();
    for tag in 1..=6_u8 {
        answers.spawn(stage.complete(tag));
        // One request a step, so that the order of arrival is known.
        until("it has come", async || {
            let state = stage.pods().await;
            state.queued + u64::from(state.busy) == u64::from(tag)
        })
        .await;
    }
    let state = stage.pods().await;
    assert_eq!((state.ready, state.in_use, state.busy, state.queued), (3, 1, 1, 5));
    assert!(state.pods[0].busy);
    gate.let_through(3);
    until("three are through", async || double.tags().len() == 3).await;
    assert_eq!(double.tags(), [1, 2, 3]);
    // All three are used again: the waiting ones are taken at once.
    stage.set("use_pods", 3).await;
    until("three are at work", async || stage.pods().await.busy == 3).await;
    assert_eq!(stage.pods().await.queued, 0);
    gate.let_through(3);
    let answers = answers.join_all().await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn draining_pods_finish_what_they_have_and_take_nothing_new() {
    let (double, gate) = Double::gated();
    let stage = StageB::start(&double, stage_options(3)).await;
    let mut answers = JoinSet::new();
    (1..=5).for_each(|tag| drop(answers.spawn(stage.complete(tag))));
    until("five have come", async || stage.pods().await.queued == 2).await;
    stage.set("set_pods", 1).await;
    let state = stage.pods().await;
    assert_eq!((state.desired, state.ready, state.draining, state.busy), (1, 1, 2, 3));
    gate.let_through(5);
    let mut served: Vec<u32> = answers.join_all().await.iter().map(pod_of).collect();
    served.sort_unstable();
    assert_eq!(served, [0, 0, 0, 1, 2], "the two that waited went to the one that stays");
    until("two are gone", async || stage.pods().await.pods.len() == 1).await;

    // Up again, while one is at work and one waits.
    let mut answers = JoinSet::new();
    (6..=7).for_each(|tag| drop(answers.spawn(stage.complete(tag))));
    until("one waits", async || stage.pods().await.queued == 1).await;
    stage.set("set_pods", 2).await;
    until("the new pod has taken the one that waited", async || stage.pods().await.busy == 2).await;
    gate.let_through(2);
    let mut served: Vec<u32> = answers.join_all().await.iter().map(pod_of).collect();
    served.sort_unstable();
    assert_eq!(served, [0, 1]);
    stage.stop().await.unwrap();
}

/// Which pod gave a good answer.
fn pod_of((status, body): &(u16, String)) -> u32 {
    assert_eq!(*status, 200, "{body}");
    serde_json::from_str::<TailAnswer>(body).unwrap().stage_b.pod
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (double, gate) = Double::gated();
    let stage = StageB::start(
        &double,
        StageOptions { queue: QueueBound { requests: 1, ..QUEUE }, ..stage_options(1) },
    )
    .await;
    let first = tokio::spawn(stage.complete(1));
    until("one is at work", async || stage.pods().await.busy == 1).await;
    let second = tokio::spawn(stage.complete(2));
    until("one waits", async || stage.pods().await.queued == 1).await;
    let (status, body) = stage.complete(3).await;
    assert_eq!(status, 429);
    assert!(body.contains("queue is full"), "{body}");
    gate.let_through(2);
    assert_eq!((first.await.unwrap().0, second.await.unwrap().0), (200, 200));
    assert_eq!(stage.metric("split_answers_total{stage=\"b\",status=\"refused\"}").await, 1.0);
    assert_eq!(stage.metric("split_answers_total{stage=\"b\",status=\"answered\"}").await, 2.0);
    assert_eq!(stage.metric("split_requests_total").await, 3.0);
    stage.stop().await.unwrap();
}

#[tokio::test]
async fn shutting_down_finishes_what_was_accepted() {
    let (double, gate) = Double::gated();
    let stage = StageB::start(&double, stage_options(1)).await;
    let mut answers = JoinSet::new();
    (1..=3).for_each(|tag| drop(answers.spawn(stage.complete(tag))));
    until("three have come", async || stage.pods().await.queued == 2).await;
    stage.stop.cancel();
    gate.let_through(3);
    assert!(answers.join_all().await.iter().all(|(status, _)| *status == 200));
    let (http, url) = (stage.http.clone(), stage.url.clone());
    stage.stop().await.unwrap();
    assert!(http.get(format!("{url}/livez")).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_grace_that_is_over_leaves_what_waits_unserved_and_joins_the_pods() {
    let (double, gate) = Double::gated();
    let ending = Ending { grace: Duration::from_millis(50), ..ENDING };
    let stage = StageB::start(&double, StageOptions { ending, ..stage_options(1) }).await;
    let first = tokio::spawn(stage.complete(1));
    until("one is at work", async || stage.pods().await.busy == 1).await;
    let second = tokio::spawn(stage.complete(2));
    until("one waits", async || stage.pods().await.queued == 1).await;
    stage.stop.cancel();
    let (status, body) = second.await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("ended before"), "{body}");
    gate.let_through(1);
    assert_eq!(first.await.unwrap().0, 200);
    stage.stop().await.unwrap();
    assert_eq!(double.tags(), [1]);
}

#[tokio::test]
async fn a_pod_that_does_not_end_is_not_waited_for() {
    let (double, gate) = Double::gated();
    let ending = Ending { grace: Duration::from_millis(50), ..ENDING };
    let stage = StageB::start(&double, StageOptions { ending, ..stage_options(1) }).await;
    tokio::spawn(stage.complete(1));
    until("it is at work", async || stage.pods().await.busy == 1).await;
    stage.stop().await.unwrap();
    assert!(double.tags().is_empty(), "it is still there");
    gate.let_through(1);
}

#[tokio::test]
async fn busy_ready_and_queue_seconds_integrate_over_any_window() {
    let (double, gate) = Double::gated();
    let stage = StageB::start(&double, stage_options(2)).await;
    let scrape = async || {
        let before = Instant::now();
        let busy = stage.metric("split_pod_busy_seconds_total").await;
        let ready = stage.metric("split_pod_ready_seconds_total").await;
        let depth = stage.metric("split_queue_depth_seconds_total").await;
        (before, busy, ready, depth, Instant::now())
    };
    stage.set("use_pods", 1).await;
    let mut answers = JoinSet::new();
    (1..=4).for_each(|tag| drop(answers.spawn(stage.complete(tag))));
    until("one is at work and three wait", async || stage.pods().await.queued == 3).await;
    let (begin_0, busy_0, ready_0, depth_0, end_0) = scrape().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (begin_1, busy_1, ready_1, depth_1, end_1) = scrape().await;
    // The three are read at three instants between begin and end.
    let (least, most) = ((begin_1 - end_0).as_secs_f64(), (end_1 - begin_0).as_secs_f64());
    for (grown, level) in [(busy_1 - busy_0, 1.0), (ready_1 - ready_0, 1.0), (depth_1 - depth_0, 3.0)] {
        assert!(grown >= least * level - 1e-6 && grown <= most * level + 1e-6, "{grown} in {least}..{most}");
    }
    gate.let_through(4);
    answers.join_all().await;
    let busy_2 = stage.metric("split_pod_busy_seconds_total").await;
    let depth_2 = stage.metric("split_queue_depth_seconds_total").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(stage.metric("split_pod_busy_seconds_total").await, busy_2, "idle");
    assert_eq!(stage.metric("split_queue_depth_seconds_total").await, depth_2, "nobody waits");
    stage.stop().await.unwrap();
}
