//! The backend of Deployments on a double of the API server: what is written, in what order, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use kube::runtime::events::Recorder;
use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{
    Begun, Election, KubernetesBackend, Leader, Ledger, Plan, Policy as Loaded, SplitPipeline, Surroundings,
    resumed,
};
use splitscale_deploy::{Backend, Desk, Observer, Refused, Scaler};
use splitscale_policy::{Controller, End, Line, Mode, Policy, PolicyKind, Setup, ShellConfig};
use splitscale_spec::Replicas;
use tokio_util::sync::CancellationToken;

use crate::api::{
    Api, Call, DEPLOYMENTS, Held, Instead, LEASE, NAMESPACE, PIPELINES, conflict, lease, refusal,
};

/// What the other manager's entry looks like.
fn managed(manager: &str) -> Value {
    json!([
        {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
        {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:selector": {}}}},
    ])
}

fn object() -> SplitPipeline {
    let stage = |name: &str| json!({"deployment": name, "minReplicas": 1, "maxReplicas": 8});
    serde_json::from_value(json!({
        "apiVersion": "splitscale.io/v1alpha1", "kind": "SplitPipeline",
        "metadata": {"name": "demo", "namespace": NAMESPACE, "generation": 3},
        "spec": {"stages": {"a": stage("a"), "b": stage("b")}, "policy": {"configMap": {"name": "policy", "key": "policy.json"}}},
    }))
    .unwrap()
}

/// A backend and what it stands on.
struct Stand {
    api: Api,
    held: Held,
    ledger: Arc<Ledger>,
    backend: KubernetesBackend,
}

fn stand(api: Api, leader: Leader) -> Stand {
    stand_of(api, leader, Held::new(&json!([])), &object())
}

fn stand_of(api: Api, leader: Leader, held: Held, object: &SplitPipeline) -> Stand {
    api.put(&format!("{PIPELINES}/demo"), serde_json::to_value(object).unwrap());
    let client = api.client();
    let pipelines = kube::Api::namespaced(client.clone(), NAMESPACE);
    let recorder = Recorder::new(client.clone(), "splitscale".into());
    let ledger = Arc::new(Ledger::new(pipelines, object, recorder, leader.clone()));
    let surroundings = Surroundings {
        cluster: held.cluster.clone(),
        scales: kube::Api::namespaced(client, NAMESPACE),
        leader,
        ledger: ledger.clone(),
    };
    let deployments = ["a", "b"].map(String::from);
    let backend =
        KubernetesBackend::new(surroundings, deployments, Plan::of(None), Duration::from_secs(1)).unwrap();
    Stand { api, held, ledger, backend }
}

fn pods(a: u32, b: u32) -> Replicas {
    Replicas { a, b }
}

/// The stage and the number of each scale that was written.
fn told(calls: &[Call]) -> Vec<(String, u64)> {
    let stage = |call: &Call| call.path.split('/').nth_back(1).unwrap().to_owned();
    calls.iter().map(|call| (stage(call), call.body["spec"]["replicas"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn a_scale_is_applied_without_force_and_what_shrinks_goes_first() {
    let mut stand = stand(Api::with_scales(2, 6), Leader::alone());
    assert_eq!(stand.backend.desired().await, (Some(2), Some(6)));
    stand.backend.apply(pods(2, 6), pods(5, 3)).await.unwrap();
    let scaled = stand.api.scaled();
    assert_eq!(told(&scaled), [("b".to_owned(), 3), ("a".to_owned(), 5)]);
    let first = &scaled[0];
    assert_eq!((first.method.as_str(), first.kind.as_str()), ("PATCH", "application/apply-patch+yaml"));
    assert_eq!(first.path, format!("{DEPLOYMENTS}/b/scale"));
    assert_eq!(first.query.trim_matches('&'), "fieldManager=splitscale", "no force");
    assert_eq!(
        first.body,
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "b", "namespace": NAMESPACE}, "spec": {"replicas": 3},
        })
    );
    assert_eq!(stand.api.writes().len(), 2, "nothing else is written");
    // What stays is not written.
    stand.backend.apply(pods(5, 3), pods(5, 4)).await.unwrap();
    assert_eq!(told(&stand.api.scaled()[2..]), [("b".to_owned(), 4)]);
}

#[tokio::test]
async fn replicas_of_another_manager_are_left_to_it() {
    // As the cluster tells its managers: nothing is even tried.
    let held = Held::new(&managed("argocd"));
    let mut stand = stand_of(Api::with_scales(2, 2), Leader::alone(), held, &object());
    let refused = stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap_err();
    assert!(refused.untouched);
    let words = "spec.replicas of Deployment a belong to \"argocd\"; leave the number to splitscale: kubectl patch deployment a \
                 --namespace splitscale --type json --patch '[{\"op\":\"test\",\"path\":\"/metadata/managedFields/1/manager\",\
                 \"value\":\"argocd\"},{\"op\":\"remove\",\"path\":\"/metadata/managedFields/1/fieldsV1/f:spec/f:replicas\"}]', \
                 and take replicas out of what \"argocd\" applies";
    assert_eq!(refused.why, words);
    assert_eq!(stand.api.writes(), []);
    // What it gave up may be written.
    stand.held.deploy(&json!([]));
    stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap();
    assert_eq!(stand.api.scaled().len(), 2);
}

#[tokio::test]
async fn a_conflict_is_the_first_and_the_last_write() {
    let api = Api::with_scales(2, 2);
    api.put(
        &format!("{DEPLOYMENTS}/a"),
        json!({"metadata": {"name": "a", "namespace": NAMESPACE, "managedFields": managed("kubectl")}}),
    );
    api.instead(|call| {
        call.path
            .ends_with("a/scale")
            .then_some(())
            .filter(|()| call.method == "PATCH")
            .map(|()| Instead::Answer(409, conflict("kubectl")))
    });
    let mut stand = stand(api, Leader::alone());
    let refused = stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap_err();
    assert!(
        refused.untouched
            && refused.why.contains("belong to \"kubectl\"")
            && refused.why.contains("managedFields/1"),
        "{refused}"
    );
    assert_eq!(told(&stand.api.scaled()), [("a".to_owned(), 3)], "b is not touched");
    let found = stand.ledger.findings().found();
    assert_eq!(found.all_owners()[0].manager, "kubectl");
    // Half of it is done where the second refuses: that is no longer nothing.
    stand.api.instead(|call| {
        (call.method == "PATCH" && call.path.ends_with("b/scale"))
            .then(|| Instead::Answer(409, conflict("kubectl")))
    });
    let refused = stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap_err();
    assert!(!refused.untouched);
}

#[tokio::test]
async fn replicas_of_nobody_are_taken_unless_something_has_changed() {
    const NOTE: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let (named, none) = (r#"{"spec": {"replicas": 2}}"#, r#"{"spec": {}}"#);
    for (manager, applied, changed, taken) in [
        ("before-first-apply", None, false, true),
        // `kubectl apply` without --server-side: the number is the API server's.
        ("kubectl-client-side-apply", Some(none), false, true),
        ("kubectl-client-side-apply", Some(none), true, false),
        ("kubectl-client-side-apply", Some(named), false, false),
    ] {
        let api = Api::with_scales(2, 2);
        let mut meta = json!({"name": "a", "resourceVersion": "7"});
        if let Some(applied) = applied {
            let fields = json!({
                "f:metadata": {"f:annotations": {format!("f:{NOTE}"): {}}}, "f:spec": {"f:replicas": {}},
            });
            meta["annotations"] = json!({NOTE: applied});
            meta["managedFields"] = json!([{"manager": manager, "operation": "Update", "fieldsV1": fields}]);
        }
        api.put(&format!("{DEPLOYMENTS}/a"), json!({"metadata": meta}));
        api.instead(move |call| {
            let tried = call.method == "PATCH" && call.path.ends_with("/scale");
            let answer = match call.query.contains("force=true") {
                false => Some(conflict(manager)),
                true => changed.then(|| refusal(409, "Conflict", "the object has been modified")),
            };
            answer.filter(|_| tried).map(|answer| Instead::Answer(409, answer))
        });
        let mut stand = stand(api, Leader::alone());
        let applied = stand.backend.apply(pods(2, 2), pods(3, 2)).await;
        assert_eq!(applied.is_ok(), taken, "{manager}: {applied:?}");
        let scaled = stand.api.scaled();
        assert_eq!(scaled.len(), if taken || changed { 2 } else { 1 }, "{manager}");
        if let Some(forced) = scaled.get(1) {
            assert!(
                forced.query.contains("force=true") && forced.body["metadata"]["resourceVersion"] == "7",
                "{scaled:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_refused_is_tried_once_and_what_is_not_answered_is_not_known() {
    let api = Api::with_scales(2, 2);
    api.instead(|call| {
        (call.method == "PATCH")
            .then(|| Instead::Answer(503, refusal(503, "ServiceUnavailable", "overloaded")))
    });
    let mut stand = stand(api, Leader::alone());
    let failed = stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap_err();
    // A server that fails may have done it.
    assert!(!failed.untouched && failed.why.contains("overloaded"), "{failed}");
    assert_eq!(stand.api.scaled().len(), 1);
    stand.api.instead(|call| {
        (call.method == "PATCH").then(|| Instead::Answer(403, refusal(403, "Forbidden", "may not")))
    });
    let failed = stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap_err();
    assert!(failed.untouched, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_hangs_is_given_up() {
    let api = Api::with_scales(2, 2);
    api.instead(|_| Some(Instead::Never));
    let mut stand = stand(api, Leader::alone());
    assert_eq!(stand.backend.desired().await, (None, None));
    let failed = stand.backend.apply(pods(2, 2), pods(3, 3)).await.unwrap_err();
    assert!(!failed.untouched && failed.why.contains("did not answer within 4 s"), "{failed}");
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing_whatever_it_last_heard() {
    let api = Api::with_scales(2, 2);
    api.put(LEASE, lease("one", 14));
    let election = Election {
        namespace: NAMESPACE.to_owned(),
        lease: "splitscale".to_owned(),
        identity: "one".to_owned(),
    };
    let stop = CancellationToken::new();
    let (mut leader, task) = Leader::elect(api.client(), election, stop.clone());
    leader.changed().await;
    assert!(leader.leads());
    assert_eq!(leader.check().await, Ok(2));
    let mut stand = stand(api.clone(), leader.clone());
    stand.backend.apply(pods(2, 2), pods(3, 2)).await.unwrap();
    assert_eq!(api.scaled().len(), 1);
    for (now, words) in [
        (lease("two", 14), "two holds lease splitscale, not this replica"),
        (lease("one", 2), "is not renewed yet"),
        (refusal(404, "NotFound", "gone"), "cannot be told"),
    ] {
        match now["kind"].as_str() {
            Some("Lease") => api.put(LEASE, now),
            _ => api.instead(move |call| (call.path == LEASE).then(|| Instead::Answer(404, now.clone()))),
        }
        let refused = stand.backend.apply(pods(3, 2), pods(4, 2)).await.unwrap_err();
        assert!(refused.untouched && refused.why.contains(words), "{refused}");
    }
    assert_eq!(api.scaled().len(), 1, "still the first");
    stop.cancel();
    task.await.unwrap();
    assert!(!leader.leads());
}

fn setup(to: Replicas) -> Setup {
    let policy = Policy { kind: PolicyKind::Static(to), name: "constant".to_owned(), ..Policy::hpa() };
    let shell = ShellConfig { rate_up: None, ..ShellConfig::default() };
    Setup {
        schema: Setup::SCHEMA,
        policy,
        baseline: None,
        bounds: object().spec.bounds(),
        useful: None,
        shell,
    }
}

/// Runs over so many decisions, each of which wants these pods, and says what came of them.
async fn run(stand: Stand, to: Replicas, decisions: usize, last: Option<Value>) -> Vec<Line> {
    let Stand { ledger, backend, .. } = stand;
    let mut controller = Controller::new(setup(to), Mode::Auto).unwrap();
    let (mut begin_s, mut half) = (0.0, None);
    if let Some(last) = last {
        let (decision, open) = resumed(&serde_json::from_value(last).unwrap());
        controller.resume(&decision);
        (begin_s, half) = (decision.now_s, open);
    }
    let desk = Desk::new(controller.setup().clone(), Duration::from_millis(20), Mode::Auto);
    ledger.begin(Begun {
        generation: Some(3),
        policy: Loaded { loaded: Some(("constant".to_owned(), "0".repeat(64))), problem: None },
        calibrated: false,
        expected: Vec::new(),
        max_age_s: 10.0,
        desk: desk.clone(),
    });
    let scaler = Scaler {
        backend,
        observer: Observer::new(5.0),
        controller,
        shadow: None,
        residuals: None,
        desk,
        begin_s,
        half,
        refused: Refused::default(),
        asked: None,
    };
    let stop = CancellationToken::new();
    let mut lines = Vec::new();
    let ran = scaler.run(stop.clone(), |line| {
        match &line {
            Line::Decision(decision) => ledger.decided(decision),
            Line::Outcome(outcome) => ledger.ended(outcome),
            Line::Setup(_) => {}
        }
        lines.push(line);
        if lines.iter().filter(|line| matches!(line, Line::Decision(_))).count() == decisions {
            stop.cancel();
        }
        Ok::<(), ()>(())
    });
    assert_eq!(ran.await, Ok(()));
    lines
}

fn ends(lines: &[Line]) -> Vec<(u64, End)> {
    let outcomes = lines.iter().filter_map(|line| match line {
        Line::Outcome(outcome) => Some((outcome.of, outcome.end)),
        _ => None,
    });
    outcomes.collect()
}

#[tokio::test]
async fn the_status_says_what_is_about_to_be_done() {
    let api = Api::with_scales(1, 1);
    let lines = run(stand(api.clone(), Leader::alone()), pods(3, 2), 3, None).await;
    assert_eq!(ends(&lines), [(1, End::Done)]);
    let writes = api.writes();
    let path = format!("{PIPELINES}/demo/status");
    assert_eq!(
        writes.iter().map(|call| call.path.as_str()).collect::<Vec<_>>(),
        [path.as_str(), &format!("{DEPLOYMENTS}/a/scale"), &format!("{DEPLOYMENTS}/b/scale")],
    );
    let noted = &writes[0];
    assert_eq!(noted.kind, "application/apply-patch+yaml");
    assert!(
        noted.query.contains("fieldManager=splitscale-status") && noted.query.contains("force=true"),
        "{}",
        noted.query
    );
    let last = &noted.body["status"]["lastDecision"];
    assert_eq!((&last["from"], &last["final"]), (&json!({"a": 1, "b": 1}), &json!({"a": 3, "b": 2})));
    assert_eq!((&last["acts"], last.get("end"), &last["id"]), (&json!(true), None, &json!("0-1")));
    assert_eq!(noted.body["status"]["observedGeneration"], 3);
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_done() {
    let api = Api::with_scales(1, 1);
    api.instead(|call| {
        call.path
            .ends_with("/status")
            .then(|| Instead::Answer(503, refusal(503, "ServiceUnavailable", "overloaded")))
    });
    let lines = run(stand(api.clone(), Leader::alone()), pods(3, 2), 5, None).await;
    assert_eq!(api.scaled(), []);
    assert_eq!(ends(&lines), [(1, End::GivenUp)], "and not tried again at once");
    assert_eq!(api.writes().len(), 1, "one try");
}

#[tokio::test]
async fn an_api_server_that_is_gone_takes_no_decision_away_and_gets_none() {
    let api = Api::with_scales(1, 1);
    let gone = Arc::new(AtomicBool::new(true));
    let is_gone = gone.clone();
    api.instead(move |_| {
        is_gone.load(SeqCst).then(|| Instead::Answer(500, refusal(500, "InternalError", "gone")))
    });
    let lines = run(stand(api.clone(), Leader::alone()), pods(3, 2), 3, None).await;
    assert_eq!((ends(&lines), api.writes()), (vec![], vec![]));
    let Line::Decision(last) = lines.last().unwrap() else { panic!("a decision is taken each tick") };
    assert!(
        last.pods.is_none() && last.why.last().unwrap().contains("stage a does not answer"),
        "{:?}",
        last.why
    );
    gone.store(false, SeqCst);
    let lines = run(stand(api, Leader::alone()), pods(3, 2), 3, None).await;
    assert_eq!(ends(&lines), [(1, End::Done)]);
}

#[tokio::test]
async fn a_storm_of_refusals_is_met_with_few_tries() {
    let api = Api::with_scales(1, 1);
    api.instead(|call| {
        (call.method == "PATCH" && call.path.ends_with("/scale"))
            .then(|| Instead::Answer(503, refusal(503, "ServiceUnavailable", "overloaded")))
    });
    let lines = run(stand(api.clone(), Leader::alone()), pods(3, 2), 20, None).await;
    // Told, finished once, and then left alone for a while.
    assert_eq!(ends(&lines), [(1, End::Half), (1, End::RolledBack)]);
    assert!(api.scaled().len() <= 3, "{:?}", api.scaled());
}

#[tokio::test]
async fn what_another_leader_announced_and_did_not_finish_is_finished_first() {
    let announced = |end: Value| {
        json!({
            "id": "0-41", "number": 41, "mode": "Auto", "bottleneck": "load", "acts": true, "clockSeconds": 1000.0,
            "from": {"a": 1, "b": 1}, "final": {"a": 3, "b": 2}, "end": end,
        })
    };
    // It was killed between the two writes.
    let api = Api::with_scales(3, 1);
    let lines = run(stand(api.clone(), Leader::alone()), pods(3, 2), 2, Some(announced(Value::Null))).await;
    assert_eq!(ends(&lines), [(41, End::Finished)]);
    assert_eq!(told(&api.scaled()), [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    let Line::Decision(first) = &lines[1] else { panic!("{lines:?}") };
    assert_eq!((first.id, first.now_s >= 1000.0), (42, true), "it counts on");
    // What has ended is left alone.
    let api = Api::with_scales(3, 2);
    let lines = run(stand(api.clone(), Leader::alone()), pods(3, 2), 2, Some(announced(json!("done")))).await;
    assert_eq!((ends(&lines), api.scaled()), (vec![], vec![]));
}

/// A pod that answers metrics, if it does.
async fn server(metrics: Option<&'static str>) -> u16 {
    let answer = move || async move {
        match metrics {
            Some(metrics) => metrics,
            None => std::future::pending().await,
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

fn pod(stage: &str, name: &str, port: u16, ready: &str) -> Value {
    let containers = json!([{"name": "server", "ports": [{"containerPort": port}], "resources": {"requests": {"cpu": "500m"}}}]);
    json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "labels": {"app": stage}},
        "spec": {"containers": containers},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

#[tokio::test]
async fn the_pods_of_a_stage_are_one_server_and_the_cluster_tells_how_many() {
    let metrics = "split_requests_total{stage=\"a\"} 5\nsplit_queue_depth{queue=\"a\"} 2\nsplit_pod_cpu_seconds_total{stage=\"a\",pod=\"0\"} 1.5\n";
    let (one, two, hung) = (server(Some(metrics)).await, server(Some(metrics)).await, server(None).await);
    let mut stand = stand(Api::with_scales(3, 1), Leader::alone());
    stand.held.pods(&[
        pod("a", "one", one, "True"),
        pod("a", "two", two, "True"),
        pod("a", "three", hung, "False"),
    ]);
    let round = stand.backend.scrape().await;
    let merged = round.a.unwrap();
    assert_eq!(merged.value("split_queue_depth", &[("queue", "a")]), Some(4.0));
    let kept = round.kept.unwrap();
    let told = kept.a.unwrap();
    let count = |state| told.value("split_pods", &[("stage", "a"), ("state", state)]);
    assert_eq!(["desired", "ready", "starting"].map(count), [3.0, 2.0, 1.0].map(Some));
    let used: Vec<f64> = told.by_label("split_pod_cpu_seconds_total", "pod").map(|(_, used)| used).collect();
    assert_eq!(used, [1.5, 1.5]);
    // Of B nobody is there, which is known, and nobody answers, which is not zero.
    assert_eq!((round.b, kept.b.unwrap().value("split_pods", &[("state", "ready")])), (None, Some(0.0)));
    // A pod that takes requests and does not answer: what the others say is not the whole.
    stand.held.pods(&[pod("a", "one", one, "True"), pod("a", "three", hung, "True")]);
    let round = stand.backend.scrape().await;
    assert_eq!(round.a, None);
    assert!(round.kept.unwrap().a.is_some(), "how many there are is known all the same");
    assert_eq!(stand.ledger.findings().found().silent, [format!("127.0.0.1:{hung} of a")]);
    // Without the scale it is not.
    stand.api.instead(|call| {
        call.path.ends_with("a/scale").then(|| Instead::Answer(404, refusal(404, "NotFound", "no such")))
    });
    let round = stand.backend.scrape().await;
    assert!(round.kept.unwrap().a.is_none());
    let found = stand.ledger.findings().found();
    assert_eq!(found.scales, ["there is no Deployment a in namespace splitscale"]);
}
