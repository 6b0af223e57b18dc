//! The operator on a double of the API server: objects come, change and go, and another replica leads.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{Board, Election, Operator};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt;

use crate::api::{Api, CONFIG_MAPS, DEPLOYMENTS, Instead, LEASE, NAMESPACE, PIPELINES, lease, refusal};

const PODS: &str = "/api/v1/namespaces/splitscale/pods";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/splitscale/endpointslices";
const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/splitscale/horizontalpodautoscalers";
/// Longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn list(kind: &str, version: &str, items: Vec<Value>) -> Value {
    json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {"resourceVersion": "10"}, "items": items})
}

pub(crate) fn pipeline(generation: u32, change: impl FnOnce(&mut Value)) -> Value {
    let stage = |name: &str| json!({"deployment": name, "minReplicas": 1, "maxReplicas": 8});
    let mut object = json!({
        "apiVersion": "splitscale.io/v1alpha1", "kind": "SplitPipeline",
        "metadata": {"name": "demo", "namespace": NAMESPACE, "uid": "1", "generation": generation, "resourceVersion": "11"},
        "spec": {
            "stages": {"a": stage("a"), "b": stage("b")}, "mode": "Auto", "intervalSeconds": 0.1, "windowSeconds": 1,
            "policy": {"configMap": {"name": "policy", "key": "policy.json"}},
            "shell": {"rateUp": {"pods": 0, "periodSeconds": 1}},
        },
    });
    change(&mut object["spec"]);
    object
}

/// A policy that always wants so many pods.
fn policy(a: u32, b: u32) -> Value {
    let document = json!({
        "schema": 2, "name": format!("{a} and {b}"), "kind": {"static": {"a": a, "b": b}}, "region": null, "training": null,
    });
    json!({"metadata": {"name": "policy", "namespace": NAMESPACE}, "data": {"policy.json": document.to_string()}})
}

/// A cluster of two Deployments, a policy, and this pipeline.
pub(crate) fn cluster(object: &Value) -> Api {
    let api = Api::with_scales(1, 1);
    let deployment = |name: &str| {
        json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {}},
        })
    };
    api.put(DEPLOYMENTS, list("Deployment", "apps/v1", vec![deployment("a"), deployment("b")]));
    api.put(PODS, list("Pod", "v1", vec![]));
    api.put(SLICES, list("EndpointSlice", "discovery.k8s.io/v1", vec![]));
    api.put(AUTOSCALERS, list("HorizontalPodAutoscaler", "autoscaling/v2", vec![]));
    api.put(PIPELINES, list("SplitPipeline", "splitscale.io/v1alpha1", vec![object.clone()]));
    api.put(&format!("{PIPELINES}/demo"), object.clone());
    api.put(&format!("{CONFIG_MAPS}/policy"), policy(3, 2));
    api
}

/// A running operator.
pub(crate) struct Running {
    app: Router,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(api: &Api, election: Option<Election>) -> Running {
    start_declared(api, election, None)
}

/// The same with a ConfigMap that declares pipelines.
pub(crate) fn start_declared(api: &Api, election: Option<Election>, declared: Option<&str>) -> Running {
    let namespaces = vec![NAMESPACE.to_owned()];
    let board = Board::new(&namespaces);
    let (app, stop) = (board.app(), CancellationToken::new());
    let operator = Operator {
        clients: api.clients(),
        namespaces,
        declared: declared.map(str::to_owned),
        election,
        identity: "one".to_owned(),
        board,
        journals: Arc::new(|_, _| None),
    };
    Running { app, stop: stop.clone(), task: tokio::spawn(operator.run(stop)) }
}

impl Running {
    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it ends").unwrap();
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) fn replicas(api: &Api) -> [Value; 2] {
    ["a", "b"]
        .map(|name| api.get(&format!("{DEPLOYMENTS}/{name}/scale")).unwrap()["spec"]["replicas"].clone())
}

fn status(api: &Api) -> Value {
    api.get(&format!("{PIPELINES}/demo")).unwrap()["status"].clone()
}

/// Status, reason and message of a condition.
fn condition(api: &Api, kind: &str) -> [String; 3] {
    let status = status(api);
    let found =
        status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    ["status", "reason", "message"]
        .map(|field| found.map_or(String::new(), |found| found[field].as_str().unwrap().to_owned()))
}

#[tokio::test]
async fn a_pipeline_is_scaled_told_and_left_as_it_is() {
    let api = cluster(&pipeline(1, |_| {}));
    let running = start(&api, None);
    until("both are told", || replicas(&api) == [3, 2]).await;
    until("the status tells it", || {
        status(&api)["lastDecision"]["end"] == "done" || status(&api)["replicas"] == json!({"a": 3, "b": 2})
    })
    .await;
    assert_eq!(condition(&api, "PolicyLoaded")[..2], ["True", "Loaded"]);
    assert_eq!(condition(&api, "ReplicasOwnedElsewhere")[..2], ["False", "NobodyElse"]);
    // Nobody answers: no signal is there, and the pods that there should be are not zero.
    let [fresh, reason, words] = condition(&api, "SignalsFresh");
    assert_eq!((fresh.as_str(), reason.as_str()), ("False", "SignalsMissing"), "{words}");
    assert!(words.contains("missing: arrivals_per_s"), "{words}");
    let path = "/pipelines/splitscale/demo/api/status";
    let (code, told) = running.get(path).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (code, &told["policy"], &told["switchable"]),
        (StatusCode::OK, &json!("3 and 2"), &json!(false))
    );
    assert!(running.get("/pipelines/splitscale/demo/").await.1.contains("<title>"));
    assert_eq!(running.get("/pipelines/splitscale/other/").await.0, StatusCode::NOT_FOUND);
    assert!(running.get("/").await.1.contains("pipelines/splitscale/demo/"));
    assert_eq!(running.get("/livez").await.0, StatusCode::OK);
    assert_eq!(running.get("/readyz").await, (StatusCode::OK, "ready, leads\n".to_owned()));
    let metrics = running.get("/metrics").await.1;
    for line in [
        "split_operator_leads 1",
        "split_scaler_mode{namespace=\"splitscale\",pipeline=\"demo\",mode=\"auto\"} 1",
        "split_scaler_condition{namespace=\"splitscale\",pipeline=\"demo\",type=\"ReplicasOwnedElsewhere\"} 0",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    let events = || {
        api.writes()
            .into_iter()
            .filter(|call| call.path.ends_with("/events"))
            .map(|call| call.body["reason"].clone())
    };
    until("it is an event", || events().any(|reason| reason == "Scaled")).await;
    // It is gone: nothing is written any more, and the pods stay.
    api.put(PIPELINES, list("SplitPipeline", "splitscale.io/v1alpha1", vec![]));
    api.happens(PIPELINES, "DELETED", &pipeline(1, |_| {}));
    let is_gone = async {
        while running.get(path).await.0 != StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, is_gone).await.expect("it is scaled no more");
    assert_eq!(replicas(&api), [3, 2]);
    running.end().await;
}

#[tokio::test]
async fn a_filled_in_number_is_nobodys_and_an_autoscaler_owns_its_own() {
    const NOTE: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let api = cluster(&pipeline(1, |_| {}));
    let fields =
        json!({"f:metadata": {"f:annotations": {format!("f:{NOTE}"): {}}}, "f:spec": {"f:replicas": {}}});
    let managed =
        json!([{"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": fields}]);
    let mut deployments = api.get(DEPLOYMENTS).unwrap();
    for deployment in deployments["items"].as_array_mut().unwrap() {
        deployment["metadata"]["annotations"] = json!({NOTE: "{\"spec\": {}}"});
        deployment["metadata"]["managedFields"] = managed.clone();
    }
    api.put(DEPLOYMENTS, deployments);
    let running = start(&api, None);
    until("both are told", || replicas(&api) == [3, 2]).await;
    until("nobody owns them", || condition(&api, "ReplicasOwnedElsewhere")[1] == "NobodyElse").await;
    let spec = json!({"scaleTargetRef": {"kind": "Deployment", "name": "b"}, "maxReplicas": 3});
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "of-b", "namespace": NAMESPACE, "resourceVersion": "12"}, "spec": spec,
    });
    let watches = |call: &crate::api::Call| call.path == AUTOSCALERS && call.query.contains("watch=true");
    until("autoscalers are watched", || api.calls().iter().any(watches)).await;
    api.happens(AUTOSCALERS, "ADDED", &hpa);
    until("it is told", || condition(&api, "ReplicasOwnedElsewhere")[1] == "OtherManager").await;
    assert!(
        condition(&api, "ReplicasOwnedElsewhere")[2].contains("kubectl delete horizontalpodautoscaler of-b")
    );
    api.happens(AUTOSCALERS, "DELETED", &hpa);
    until("it is gone", || condition(&api, "ReplicasOwnedElsewhere")[1] == "NobodyElse").await;
    running.end().await;
}

#[tokio::test]
async fn another_mode_takes_effect_and_another_policy_begins_anew() {
    let api = cluster(&pipeline(1, |spec| spec["mode"] = json!("Recommend")));
    let running = start(&api, None);
    until("it decides", || condition(&api, "Ready")[1] == "Deciding").await;
    assert_eq!((replicas(&api), api.scaled().len()), ([json!(1), json!(1)], 0), "it is only told");
    let counted = status(&api)["lastDecision"]["number"].as_u64().unwrap();
    let auto = pipeline(2, |_| {});
    api.put(&format!("{PIPELINES}/demo"), auto.clone());
    api.happens(PIPELINES, "MODIFIED", &auto);
    until("it is carried out", || replicas(&api) == [3, 2]).await;
    until("the status is of the new generation", || status(&api)["observedGeneration"] == 2).await;
    assert!(status(&api)["lastDecision"]["number"].as_u64().unwrap() > counted, "it counts on");
    // Fewer pods: with the window of a minute, and settling, they stay for now; more come at once.
    api.put(&format!("{CONFIG_MAPS}/policy2"), policy(5, 5));
    let other = pipeline(3, |spec| spec["policy"]["configMap"]["name"] = json!("policy2"));
    api.happens(PIPELINES, "MODIFIED", &other);
    until("the other policy decides", || replicas(&api) == [5, 5]).await;
    let paused = pipeline(4, |spec| {
        spec["policy"]["configMap"]["name"] = json!("policy2");
        spec["mode"] = json!("Paused");
    });
    api.happens(PIPELINES, "MODIFIED", &paused);
    until("it pauses", || condition(&api, "Ready")[1] == "Paused").await;
    running.end().await;
}

#[tokio::test]
async fn an_edit_while_the_policy_is_read_is_not_lost() {
    let api = cluster(&pipeline(1, |_| {}));
    let asked = |call: &crate::api::Call| call.path == format!("{CONFIG_MAPS}/policy");
    api.instead(move |call| asked(call).then_some(Instead::Later(Duration::from_millis(500))));
    let running = start(&api, None);
    until("the policy is asked for", || api.calls().iter().any(asked)).await;
    let edited = pipeline(2, |spec| spec["stages"]["a"]["minReplicas"] = json!(4));
    api.happens(PIPELINES, "MODIFIED", &edited);
    until("the edit counts", || replicas(&api) == [4, 2]).await;
    running.end().await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_used_is_told_and_the_last_good_one_goes_on() {
    let api = cluster(&pipeline(1, |_| {}));
    let running = start(&api, None);
    until("both are told", || replicas(&api) == [3, 2]).await;
    for (generation, change, reason, words) in [
        (
            2,
            json!({"configMap": {"name": "nowhere", "key": "policy.json"}}),
            "NotFound",
            "kubectl create configmap nowhere",
        ),
        (
            3,
            json!({"configMap": {"name": "policy", "key": "other"}}),
            "NotFound",
            "it has policy.json; name one",
        ),
        (
            4,
            json!({"configMap": {"name": "policy", "key": "policy.json"}, "sha256": "0".repeat(64)}),
            "ChecksumMismatch",
            "has SHA-256",
        ),
        (
            5,
            json!({"configMap": {"name": "corrupt", "key": "policy.json"}}),
            "Corrupt",
            "is not the expected document",
        ),
        (6, json!({"configMap": {"name": "newer", "key": "policy.json"}}), "OtherSchema", "schema"),
        (7, json!({"configMap": {"name": "secret", "key": "policy.json"}}), "Forbidden", "resourceNames"),
        (
            8,
            json!({"url": "http://127.0.0.1:1/policy.json", "sha256": "0".repeat(64)}),
            "Unreachable",
            "is tried again",
        ),
    ] {
        let text =
            |name: &str, text: &str| json!({"metadata": {"name": name}, "data": {"policy.json": text}});
        api.put(&format!("{CONFIG_MAPS}/corrupt"), text("corrupt", "{\"schema\": 2, \"name\":"));
        api.put(&format!("{CONFIG_MAPS}/newer"), text("newer", "{\"schema\": 9}"));
        api.instead(|call| {
            call.path
                .ends_with("/secret")
                .then(|| Instead::Answer(403, refusal(403, "Forbidden", "may not get")))
        });
        api.happens(PIPELINES, "MODIFIED", &pipeline(generation, |spec| spec["policy"] = change));
        until(reason, || {
            status(&api)["observedGeneration"] == generation && condition(&api, "PolicyLoaded")[1] == reason
        })
        .await;
        let [loaded, _, told] = condition(&api, "PolicyLoaded");
        assert_eq!(loaded, "False");
        assert!(told.contains(words) && told.contains("`3 and 2` goes on"), "{told}");
        assert!(!told.contains("Status {"), "in words: {told}");
        // The second for one reason is no event of its own.
        let action = format!("PolicyLoadedFalse{reason}");
        until("it is an event", || {
            let of = |call: &crate::api::Call| {
                call.path.ends_with("/events") && call.body["action"] == action.as_str()
            };
            api.calls().iter().filter(|call| of(call)).count() == 1
        })
        .await;
    }
    running.end().await;
}

#[tokio::test]
async fn without_any_policy_nothing_is_decided_but_an_emergency() {
    let api = cluster(&pipeline(1, |_| {}));
    api.put(&format!("{CONFIG_MAPS}/policy"), json!({"metadata": {"name": "policy"}, "data": {}}));
    let running = start(&api, None);
    until("it is told", || condition(&api, "Ready")[1] == "PolicyNotLoaded").await;
    assert_eq!((status(&api)["mode"].clone(), api.scaled().len()), (json!("Paused"), 0));
    api.happens(PIPELINES, "MODIFIED", &pipeline(2, |spec| spec["mode"] = json!("Emergency")));
    until("as many as may be", || replicas(&api) == [8, 8]).await;
    running.end().await;
}

#[tokio::test]
async fn a_kind_that_is_not_known_yet_is_waited_for() {
    let api = cluster(&pipeline(1, |_| {}));
    api.instead(|call| {
        call.path
            .starts_with(PIPELINES)
            .then(|| Instead::Answer(404, refusal(404, "NotFound", "no such kind")))
    });
    let running = start(&api, None);
    until("it is asked for again", || api.calls().iter().filter(|call| call.path == PIPELINES).count() >= 2)
        .await;
    let (code, words) = running.get("/readyz").await;
    assert_eq!(
        (code, words.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "SplitPipelines are not known yet in splitscale")
    );
    assert_eq!(running.get("/livez").await.0, StatusCode::OK);
    api.instead(|_| None);
    until("it is scaled", || replicas(&api) == [3, 2]).await;
    running.end().await;
}

#[tokio::test]
async fn a_watch_that_has_expired_begins_anew() {
    let api = cluster(&pipeline(1, |_| {}));
    let running = start(&api, None);
    until("both are told", || replicas(&api) == [3, 2]).await;
    let lists = || {
        api.calls().iter().filter(|call| call.path == PIPELINES && !call.query.contains("watch=true")).count()
    };
    let before = lists();
    api.put(
        PIPELINES,
        list(
            "SplitPipeline",
            "splitscale.io/v1alpha1",
            vec![pipeline(2, |spec| spec["stages"]["a"]["minReplicas"] = json!(4))],
        ),
    );
    api.happens(PIPELINES, "ERROR", &refusal(410, "Expired", "too old resource version"));
    until("it is listed anew", || lists() > before).await;
    until("what changed meanwhile counts", || replicas(&api) == [4, 2]).await;
    running.end().await;
}

#[tokio::test]
async fn a_replica_that_does_not_lead_stands_by_and_takes_over() {
    let api = cluster(&pipeline(1, |_| {}));
    api.put(LEASE, lease("other", 3));
    let election =
        Election { namespace: NAMESPACE.into(), lease: "splitscale".into(), identity: "one".into() };
    let running = start(&api, Some(election));
    until("the lease is looked at", || api.calls().iter().any(|call| call.path == LEASE)).await;
    let is_ready = async {
        while running.get("/readyz").await.0 != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, is_ready).await.expect("who stands by is ready");
    assert_eq!(running.get("/readyz").await.1, "ready, stands by\n");
    assert!(running.get("/metrics").await.1.contains("split_operator_leads 0"));
    assert_eq!(api.scaled(), []);
    // The other's lease runs out; whoever takes it is answered with its own.
    api.put(LEASE, lease("one", 15));
    until("it leads", || replicas(&api) == [3, 2]).await;
    let id = status(&api)["lastDecision"]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("2-"), "{id}");
    // Lost: the loops end, and nothing is written any more.
    api.put(LEASE, lease("other", 60));
    let stands_by = async {
        while running.get("/readyz").await.1 != "ready, stands by\n" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, stands_by).await.expect("it notices");
    let path = "/pipelines/splitscale/demo/api/status";
    let ended = async {
        while running.get(path).await.0 != StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, ended).await.expect("its loops end");
    let written = api.scaled().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(api.scaled().len(), written);
    running.end().await;
}
