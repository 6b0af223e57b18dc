use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use splitscale_deploy::{Endpoints, LocalBackend, Observer, Scaler};
use splitscale_policy::{Bin, Controller, Freshness, Mode, Policy, PolicyKind};
use splitscale_spec::{
    Balancer, Bandwidth, CostConfig, CutConfig, LinkConfig, PipelineConfig, Replicas, SloConfig, StageConfig,
};
use tokio_util::sync::CancellationToken;

/// A double of a server: a number of pods and of slots, told in its metrics.
#[derive(Clone, Default)]
struct Double {
    pods: Arc<Mutex<Vec<u32>>>,
}

async fn start(stage: &'static str, slots: u32) -> (String, Double) {
    let double = Double { pods: Arc::new(Mutex::new(vec![6])) };
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
        double.pods.lock().unwrap().push(digits.parse().unwrap());
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

async fn run(mode: Mode) -> (Vec<u32>, Vec<u32>, Vec<splitscale_policy::Decision>) {
    let (a, double_a) = start("a", 1).await;
    let (b, double_b) = start("b", 1).await;
    let (proxy, _) = start("proxy", 1).await;
    let scaler = Scaler {
        backend: LocalBackend::new(Endpoints { a, b, proxy }, Duration::from_secs(2)).unwrap(),
        observer: Observer::new(5.0),
        controller: controller(mode),
        shadow: None,
        begin_s: 0.0,
        interval: Duration::from_millis(20),
    };
    let stop = CancellationToken::new();
    let mut decisions = Vec::new();
    let done = scaler
        .run(stop.clone(), |decision| {
            decisions.push(decision.clone());
            if decisions.len() == 3 {
                stop.cancel();
            }
            Ok::<(), ()>(())
        })
        .await;
    assert_eq!(done, Ok(()));
    let (a, b) = (double_a.pods.lock().unwrap().clone(), double_b.pods.lock().unwrap().clone());
    (a, b, decisions)
}

#[tokio::test]
async fn auto_moves_both_stages_once_and_says_so() {
    let (a, b, decisions) = run(Mode::Auto).await;
    assert_eq!((a, b), (vec![6, 2], vec![6, 2]));
    assert_eq!(decisions[0].why.last().map(String::as_str), Some("carried out"));
    assert_eq!(decisions.iter().map(|d| d.id).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn recommend_changes_nothing() {
    let (a, b, decisions) = run(Mode::Recommend).await;
    assert_eq!((a, b), (vec![6], vec![6]));
    assert_eq!(decisions[0].pods, Some(Replicas { a: 2, b: 2 }));
    assert!(decisions[0].why.last().unwrap().contains("recommended only"), "{:?}", decisions[0].why);
}
