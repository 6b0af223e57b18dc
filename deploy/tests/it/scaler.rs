use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use splitscale_deploy::{Backend, Desk, Endpoints, Half, LocalBackend, Observer, Refused, Scaler};
use splitscale_policy::{Bin, Controller, Decision, End, Freshness, Line, Mode, Policy, PolicyKind};
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, Observation, PipelineConfig, Replicas, SloConfig,
    StageConfig,
};
use tokio_util::sync::CancellationToken;

/// A double of a server: a number of pods and of slots, told in its metrics. It refuses so many changes and then takes so many.
#[derive(Clone)]
struct Double {
    pods: Arc<Mutex<Vec<u32>>>,
    refuses: Arc<AtomicU32>,
    takes: Arc<AtomicU32>,
}

async fn start(stage: &'static str, slots: u32) -> (String, Double) {
    let double = Double {
        pods: Arc::new(Mutex::new(vec![6])),
        refuses: Arc::default(),
        takes: Arc::new(AtomicU32::new(u32::MAX)),
    };
    let metrics = move |State(double): State<Double>| async move {
        let pods = *double.pods.lock().unwrap().last().unwrap();
        let states =
            ["desired", "ready"].map(|s| format!("split_pods{{stage=\"{stage}\",state=\"{s}\"}} {pods}"));
        let none =
            ["starting", "draining"].map(|s| format!("split_pods{{stage=\"{stage}\",state=\"{s}\"}} 0"));
        format!("split_transfer_slots {slots}\n{}\n{}\n", states.join("\n"), none.join("\n"))
    };
    let set_pods = |State(double): State<Double>, body: String| async move {
        let digits: String = body.chars().filter(char::is_ascii_digit).collect();
        let one_less =
            |left: &AtomicU32| left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if one_less(&double.refuses) || !one_less(&double.takes) {
            return StatusCode::CONFLICT;
        }
        double.pods.lock().unwrap().push(digits.parse().unwrap());
        StatusCode::OK
    };
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/set_pods", post(set_pods))
        .with_state(double.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, double)
}

fn controller(mode: Mode) -> Controller {
    let stage = StageConfig { pods_min: 1, pods_max: 8, cpu_share: 0.1, cores: 2 };
    let pipeline = PipelineConfig {
        schema: PipelineConfig::SCHEMA,
        a: stage.clone(),
        b: stage,
        cut: CutConfig { name: "layer3".into(), payload_bytes: 802_816 },
        link: LinkConfig { slots: 8, bandwidth: Bandwidth::PerSlot(50.0), rtt_s: 0.0 },
        balancer: Balancer::CentralQueue,
        slo: SloConfig { latency_s: 5.0, target: 0.95 },
        cost: CostConfig { miss_weight: 1.0, churn_weight: 1.0 },
    };
    let pipeline = pipeline.validate().unwrap();
    let mut controller = splitscale_policy::start(&policy(), &pipeline, Freshness::default()).unwrap();
    controller.set_mode(mode);
    controller
}

fn policy() -> Policy {
    let bin = |name: &str, slots_min, slots_max, pods| Bin {
        name: name.into(),
        slots_min,
        slots_max,
        pods: Replicas { a: pods, b: pods },
    };
    Policy {
        schema: Policy::SCHEMA,
        name: "test".into(),
        kind: PolicyKind::SlotsTable(vec![bin("one", 1, 1, 2), bin("more", 2, 8, 6)]),
        region: None,
        training: None,
    }
}

/// What a run over some ticks was and left: the pods that each stage was told one after the other, and what was written.
struct Ran {
    a: Vec<u32>,
    b: Vec<u32>,
    lines: Vec<Line>,
    desk: Desk,
}

impl Ran {
    fn decisions(&self) -> Vec<&Decision> {
        let decisions = self.lines.iter().filter_map(|line| match line {
            Line::Decision(decision) => Some(&**decision),
            _ => None,
        });
        decisions.collect()
    }

    /// What came of which decision.
    fn ends(&self) -> Vec<(u64, End)> {
        let outcomes = self.lines.iter().filter_map(|line| match line {
            Line::Outcome(outcome) => Some((outcome.of, outcome.end)),
            _ => None,
        });
        outcomes.collect()
    }
}

/// A scaler of these doubles, and its desk.
fn scaler(endpoints: Endpoints, mode: Mode, half: Option<Half>) -> (Scaler, Desk) {
    let controller = controller(mode);
    let desk = Desk::new(controller.setup().clone(), Duration::from_millis(20), mode);
    let scaler = Scaler {
        backend: LocalBackend::new(endpoints, Duration::from_secs(2)).unwrap(),
        observer: Observer::new(5.0),
        controller,
        shadow: None,
        residuals: None,
        desk: desk.clone(),
        begin_s: 0.0,
        half,
        refused: Refused::default(),
        asked: None,
    };
    (scaler, desk)
}

/// Runs over some decisions on doubles of six pods, of which A takes so many changes and B refuses so many before it takes one;
/// `half` another process left.
async fn run(mode: Mode, (takes_a, refuses_b): (u32, u32), half: Option<Half>) -> Ran {
    let (a, double_a) = start("a", 1).await;
    let (b, double_b) = start("b", 1).await;
    let (proxy, _) = start("proxy", 1).await;
    double_a.takes.store(takes_a, SeqCst);
    double_b.refuses.store(refuses_b, SeqCst);
    let (scaler, desk) = scaler(Endpoints { a, b, proxy }, mode, half);
    let stop = CancellationToken::new();
    let mut lines = Vec::new();
    let done = scaler
        .run(stop.clone(), |line| {
            lines.push(line);
            if lines.iter().filter(|line| matches!(line, Line::Decision(_))).count() == 4 {
                stop.cancel();
            }
            Ok::<(), ()>(())
        })
        .await;
    assert_eq!(done, Ok(()));
    let (a, b) = (double_a.pods.lock().unwrap().clone(), double_b.pods.lock().unwrap().clone());
    Ran { a, b, lines, desk }
}

#[tokio::test]
async fn auto_moves_both_stages_once_and_says_so() {
    let ran = run(Mode::Auto, (u32::MAX, 0), None).await;
    assert_eq!((&ran.a, &ran.b), (&vec![6, 2], &vec![6, 2]));
    assert_eq!(ran.ends(), [(1, End::Done)]);
    assert!(
        matches!(ran.lines[..2], [Line::Decision(_), Line::Outcome(_)]),
        "written before it is carried out"
    );
    assert_eq!(ran.decisions().iter().map(|d| d.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // What is shown has what came of it, and is counted.
    let first = ran.desk.decision(1).unwrap();
    assert_eq!((first.carried_out, first.why.last().map(String::as_str)), (Some(true), Some("carried out")));
    let meters = ran.desk.meters();
    assert_eq!((meters.decisions, meters.changes, meters.ends), (4, [[0, 1], [0, 1]], [1, 0, 0, 0, 0]));
    assert!(meters.pod_seconds[0] > 0.0 && ran.desk.alive());
}

#[tokio::test]
async fn a_stage_that_did_not_answer_leaves_the_other_alone() {
    let (a, _) = start("a", 1).await;
    let (proxy, _) = start("proxy", 1).await;
    // Port 9 answers nobody.
    let endpoints = Endpoints { a, b: "http://127.0.0.1:9".to_owned(), proxy };
    let mut backend = LocalBackend::new(endpoints, Duration::from_secs(2)).unwrap();
    backend.scrape().await;
    let mut decision = controller(Mode::Auto).decide(0.0, &Observation::default());
    (decision.from, decision.pods) = (Some(Replicas { a: 2, b: 2 }), Some(Replicas { a: 1, b: 2 }));
    assert_eq!(backend.announce(&decision).await, Ok(()), "B is to have what it has");
    decision.pods = Some(Replicas { a: 1, b: 1 });
    let refused = backend.announce(&decision).await.unwrap_err();
    assert!(refused.soon, "it has refused nothing");
    assert_eq!((refused.why.as_str(), refused.untouched), ("stage B at http://127.0.0.1:9: no answer", true));
    // An emergency takes what it can get.
    decision.mode = Mode::Emergency;
    assert_eq!(backend.announce(&decision).await, Ok(()));
}

#[tokio::test]
async fn recommend_changes_nothing() {
    let ran = run(Mode::Recommend, (u32::MAX, 0), None).await;
    assert_eq!((&ran.a, &ran.b), (&vec![6], &vec![6]));
    let first = ran.decisions()[0];
    assert_eq!((first.pods, first.carried_out), (Some(Replicas { a: 2, b: 2 }), Some(false)));
    assert!(first.why.last().unwrap().contains("recommended only"), "{:?}", first.why);
    assert_eq!(ran.ends(), []);
}

#[tokio::test]
async fn what_one_stage_refused_is_finished_at_the_next_tick() {
    let ran = run(Mode::Auto, (u32::MAX, 1), None).await;
    // Told twice is told once: A is asked again for what it has.
    assert_eq!((&ran.a, &ran.b), (&vec![6, 2, 2], &vec![6, 2]));
    assert_eq!(ran.ends(), [(1, End::Half), (1, End::Finished)]);
    let first = ran.desk.decision(1).unwrap();
    assert_eq!(first.carried_out, Some(true), "{:?}", first.why);
    assert!(first.why.iter().any(|why| why.contains("refused 2 pods: 409")), "{:?}", first.why);
    assert_eq!(ran.decisions()[1].pods, Some(Replicas { a: 2, b: 2 }), "the next one begins with both");
}

#[tokio::test]
async fn what_one_stage_refuses_for_good_is_taken_back_from_the_other_once() {
    let ran = run(Mode::Auto, (u32::MAX, u32::MAX), None).await;
    assert_eq!(ran.ends(), [(1, End::Half), (1, End::RolledBack)]);
    assert_eq!(
        (&ran.a, &ran.b),
        (&vec![6, 2, 2, 6], &vec![6]),
        "told, asked again, taken back, and left alone"
    );
    assert_eq!(ran.desk.decision(1).unwrap().carried_out, Some(false));
    // The next decisions want the same from where they stand, and wait.
    for decision in &ran.decisions()[1..] {
        assert_eq!(
            (decision.from, decision.raw),
            (Some(Replicas { a: 6, b: 6 }), Some(Replicas { a: 2, b: 2 }))
        );
        assert_eq!(decision.carried_out, Some(false));
        let why = decision.why.last().unwrap();
        assert_eq!(why, "not carried out: the last change failed, the next is tried in 15 s");
    }
}

#[tokio::test]
async fn what_can_neither_be_finished_nor_taken_back_is_given_up_and_the_stages_are_heard_first() {
    // A takes the change twice, as told and as asked again, and refuses to go back.
    let ran = run(Mode::Auto, (2, u32::MAX), None).await;
    assert_eq!(ran.ends(), [(1, End::Half), (1, End::GivenUp)]);
    assert_eq!((&ran.a, &ran.b), (&vec![6, 2, 2], &vec![6]));
    let decisions = ran.decisions();
    assert_eq!(decisions.len(), 4, "it goes on deciding");
    // It begins with what they say: half of it is done.
    assert_eq!(decisions[1].from, Some(Replicas { a: 2, b: 6 }), "{:?}", decisions[1].why);
    assert_eq!(decisions[1].carried_out, Some(false));
}

#[tokio::test]
async fn what_another_process_left_half_done_is_finished_first() {
    let half = Half { decision: 41, from: Replicas { a: 6, b: 6 }, to: Replicas { a: 3, b: 3 } };
    let ran = run(Mode::Auto, (u32::MAX, 0), Some(half)).await;
    assert_eq!(ran.ends()[0], (41, End::Finished));
    assert_eq!((&ran.a[..2], &ran.b[..2]), ([6, 3].as_slice(), [6, 3].as_slice()));
    assert_eq!(ran.decisions()[0].from, Some(Replicas { a: 3, b: 3 }));
    // What somebody else has changed since is left to him, and what is out of bounds now to nobody.
    for (from, to) in [((8, 8), (3, 3)), ((6, 6), (9, 9))] {
        let pods = |(a, b)| Replicas { a, b };
        let half = Half { decision: 41, from: pods(from), to: pods(to) };
        let ran = run(Mode::Auto, (u32::MAX, 0), Some(half)).await;
        assert_eq!(ran.ends()[0], (41, End::GivenUp), "{to:?}");
        assert!(!ran.a.contains(&to.0), "{:?}", ran.a);
    }
    // Whoever does not act leaves it as it is.
    let ran = run(Mode::Recommend, (u32::MAX, 0), Some(half)).await;
    assert_eq!((ran.ends(), &ran.a, &ran.b), (vec![(41, End::GivenUp)], &vec![6], &vec![6]));
}

#[tokio::test]
async fn another_mode_counts_from_the_next_decision_on() {
    let (a, double_a) = start("a", 1).await;
    let (b, _) = start("b", 1).await;
    let (proxy, _) = start("proxy", 1).await;
    let (scaler, desk) = scaler(Endpoints { a, b, proxy }, Mode::Recommend, None);
    let (stop, mut modes) = (CancellationToken::new(), Vec::new());
    let done = scaler.run(stop.clone(), |line| {
        let Line::Decision(decision) = line else { return Ok(()) };
        modes.push(decision.mode);
        match modes.len() {
            2 => desk.ask(Mode::Auto),
            4 => desk.ask(Mode::Paused),
            6 => stop.cancel(),
            _ => {}
        }
        Ok::<(), ()>(())
    });
    assert_eq!(done.await, Ok(()));
    assert_eq!(modes, [Mode::Recommend, Mode::Recommend, Mode::Auto, Mode::Auto, Mode::Paused, Mode::Paused]);
    assert_eq!(*double_a.pods.lock().unwrap(), [6, 2]);
}
