//! A Deployment for whoever measures, on a double of the API server: who scales it meanwhile, and why nobody can tell.

use kube::Config;
use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{Clients, ModeName, Workload};

use crate::api::{Api, Instead, NAMESPACE, PIPELINES, refusal};

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

fn refused(code: u16, reason: &'static str, message: &'static str) -> Api {
    let api = Api::default();
    api.instead(move |_| Some(Instead::Answer(code, refusal(code, reason, message))));
    api
}

#[tokio::test]
async fn whoever_scales_a_deployment_is_known_by_its_mode() {
    for (mode, name, by) in [
        ("Auto", "a", Some(ModeName::Auto)),
        ("Emergency", "b", Some(ModeName::Emergency)),
        ("Auto", "c", None),
        ("Paused", "a", None),
        ("Recommend", "b", None),
    ] {
        let workload = Workload::new(&scaled(mode).clients(), NAMESPACE, name);
        let found = workload.scaled_by().await.unwrap();
        assert_eq!(found.map(|pipeline| pipeline.spec.mode), by, "{name} in {mode}");
    }
    // Where the kind is not there nobody is of it.
    let unknown = refused(404, "NotFound", "404 page not found");
    assert_eq!(Workload::new(&unknown.clients(), NAMESPACE, "a").scaled_by().await.unwrap(), None);
}

#[tokio::test]
async fn what_the_api_server_says_is_told_once_and_in_words() {
    let forbidden = refused(403, "Forbidden", "splitpipelines.splitscale.io is forbidden");
    let error = Workload::new(&forbidden.clients(), NAMESPACE, "a").scaled_by().await.unwrap_err();
    assert_eq!(error.to_string(), "splitpipelines.splitscale.io is forbidden");
    let silent = Api::default();
    silent.instead(|_| Some(Instead::Answer(503, Value::Null)));
    let error = Workload::new(&silent.clients(), NAMESPACE, "a").standing().await.unwrap_err();
    assert!(!error.to_string().contains('{'), "{error}");
    // Nobody listens at port 1: the cause is told, and not only that a call failed.
    let nowhere = Clients::of(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let error = Workload::new(&nowhere, NAMESPACE, "a").standing().await.unwrap_err();
    assert_eq!(error.to_string().matches("refused").count(), 1, "{error}");
}
