//! A Deployment for whoever measures, on a double of the API server: who scales it meanwhile, and why nobody can tell.

use kube::Config;
use serde_json::json;
use splitscale_deploy::kubernetes::{Clients, Scaled, Workload};

use crate::api::{Api, Instead, NAMESPACE, PIPELINES, conflict, refusal};

/// A cluster with one pipeline of two Deployments, a and b.
fn scaled(mode: &str) -> Api {
    let api = Api::default();
    let stage = |name: &str| json!({"deployment": name, "maxReplicas": 8});
    let pipeline = json!({
        "metadata": {"name": "demo", "namespace": NAMESPACE},
        "spec": {
            "stages": {"a": stage("a"), "b": stage("b")}, "mode": mode,
            "policy": {"configMap": {"name": "policy", "key": "policy.json"}},
        },
    });
    let list = json!({
        "kind": "SplitPipelineList", "apiVersion": "splitscale.io/v1alpha1", "metadata": {}, "items": [pipeline],
    });
    api.put(PIPELINES, list);
    api
}

#[tokio::test]
async fn whoever_scales_a_deployment_is_known_by_its_mode() {
    for (mode, deployments, by) in [
        ("Auto", ["a", "b"], Some(["Auto", "a"])),
        ("Emergency", ["c", "b"], Some(["Emergency", "b"])),
        ("Auto", ["c", "d"], None),
        ("Paused", ["a", "b"], None),
        ("Recommend", ["a", "b"], None),
    ] {
        let found = Scaled::find(&scaled(mode).clients(), NAMESPACE, deployments).await.unwrap();
        let by = by.map(|[mode, deployment]| Scaled {
            pipeline: "demo".to_owned(),
            mode: mode.to_owned(),
            deployment: deployment.to_owned(),
        });
        assert_eq!(found, by, "{deployments:?} in {mode}");
    }
    // Where the kind is not there nobody is of it: the API server says so in plain text.
    let unknown = Api::default();
    unknown.instead(|_| Some(Instead::Answer(404, json!("404 page not found\n"))));
    assert_eq!(Scaled::find(&unknown.clients(), NAMESPACE, ["a", "b"]).await.unwrap(), None);
}

#[tokio::test]
async fn what_the_api_server_says_is_told_once_and_in_words() {
    let forbidden = Api::default();
    forbidden.instead(|_| Some(Instead::Answer(403, refusal(403, "Forbidden", "pipelines are forbidden"))));
    let error = Scaled::find(&forbidden.clients(), NAMESPACE, ["a", "b"]).await.unwrap_err();
    assert_eq!(error.to_string(), "pipelines are forbidden");
    let odd = Api::default();
    for (answer, words) in [("", "status 503"), ("upstream is gone", "status 503 upstream is gone")] {
        odd.instead(move |_| Some(Instead::Answer(503, json!(answer))));
        let error = Workload::new(&odd.clients(), NAMESPACE, "a").standing().await.unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    // Nobody listens at port 1: the cause is told, and not only that a call failed.
    let nowhere = Clients::of(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let error = Workload::new(&nowhere, NAMESPACE, "a").standing().await.unwrap_err();
    assert_eq!(error.to_string().matches("refused").count(), 1, "{error}");
}

#[tokio::test]
async fn a_conflict_whose_managers_cannot_be_read_is_told_as_the_conflict() {
    let api = Api::with_scales(1, 1);
    api.instead(|call| match call.method.as_str() {
        "PATCH" => Some(Instead::Answer(409, conflict("somebody"))),
        _ => Some(Instead::Answer(503, refusal(503, "ServiceUnavailable", "overloaded"))),
    });
    let told = Workload::new(&api.clients(), NAMESPACE, "a").scale(3).await.unwrap_err();
    assert!(told.contains("conflict with \"somebody\""), "{told}");
    assert_eq!(api.scaled().len(), 1, "nothing is forced");
}
