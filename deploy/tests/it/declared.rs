//! Pipelines that a ConfigMap declares, on a double of the API server.

use std::time::Duration;

use serde_json::{Value, json};
use splitscale_deploy::kubernetes::Election;

use crate::api::{Api, CONFIG_MAPS, Call, Instead, LEASE, NAMESPACE, PIPELINES, lease, refusal};
use crate::operator::{Running, cluster, list, pipeline, replicas, start_declared, until};

const MAP: &str = "pipelines";

/// A cluster with a ConfigMap of these texts, and no pipeline.
fn declares(texts: Value) -> Api {
    let api = cluster(&pipeline(1, |_| {}));
    api.put(PIPELINES, list("SplitPipeline", "splitscale.io/v1alpha1", vec![]));
    declare(&api, texts);
    api
}

fn declare(api: &Api, texts: Value) {
    let map = json!({"metadata": {"name": MAP, "namespace": NAMESPACE, "uid": "2"}, "data": texts});
    api.put(&format!("{CONFIG_MAPS}/{MAP}"), map);
}

/// A pipeline as somebody writes it, with so many pods of A at most.
fn text(name: &str, most: u32) -> String {
    format!(
        "# Of mine.\napiVersion: splitscale.io/v1alpha1\nkind: SplitPipeline\nmetadata: {{ name: {name} }}\nspec:\n  mode: Auto\n  \
         stages: {{ a: {{ deployment: a, maxReplicas: {most} }}, b: {{ deployment: b, maxReplicas: 8 }} }}\n  \
         policy: {{ configMap: {{ name: policy, key: policy.json }} }}\n"
    )
}

/// What was applied: no status, which has a path of its own.
fn applied(api: &Api) -> Vec<Call> {
    let whole = |call: &Call| call.path.starts_with(PIPELINES) && !call.path.ends_with("/status");
    api.writes().into_iter().filter(whole).collect()
}

/// Events of what was not applied: about which kind, and their words.
fn refused(api: &Api) -> Vec<(String, String)> {
    let told = api.writes().into_iter();
    let told = told.filter(|call| call.method == "POST" && call.body["reason"] == "NotApplied");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    told.map(|call| (word(&call.body["regarding"]["kind"]), word(&call.body["note"]))).collect()
}

/// Whoever is told what happens has to watch.
async fn start(api: &Api) -> Running {
    let running = start_declared(api, None, Some(MAP));
    until_watched(api).await;
    running
}

async fn until_watched(api: &Api) {
    let watches = |call: &Call| call.path == PIPELINES && call.query.contains("watch=true");
    until("pipelines are watched", || api.calls().iter().any(watches)).await;
}

/// Looked at twice more.
async fn later() {
    tokio::time::sleep(Duration::from_secs(70)).await;
}

/// From now on whatever is applied conflicts.
fn conflicts(api: &Api, words: &'static str) {
    api.instead(move |call| {
        let whole =
            call.method == "PATCH" && call.path.starts_with(PIPELINES) && !call.path.ends_with("/status");
        whole.then(|| Instead::Answer(409, refusal(409, "Conflict", words)))
    });
}

/// An object that was applied, as the API server keeps it.
fn kept(call: &Call, generation: u32) -> Value {
    let mut object = call.body.clone();
    object["metadata"]["uid"] = json!("1");
    object["metadata"]["resourceVersion"] = json!("11");
    object["metadata"]["namespace"] = json!(NAMESPACE);
    object["metadata"]["generation"] = json!(generation);
    object["spec"]["shell"] = json!({"rateUp": {"pods": 0, "periodSeconds": 1}});
    object
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_is_applied_where_it_is_not_there_and_where_it_is_declared_otherwise() {
    let api = declares(json!({"pipeline.yaml": text("demo", 8)}));
    let running = start(&api).await;
    until("it is applied", || applied(&api).len() == 1).await;
    let first = &applied(&api)[0];
    assert_eq!((&*first.method, &*first.path), ("PATCH", &*format!("{PIPELINES}/demo")));
    assert_eq!(first.kind, "application/apply-patch+yaml");
    assert!(first.query.contains("fieldManager=splitscale-declared") && !first.query.contains("force"));
    assert_eq!(first.body["spec"]["stages"]["a"]["maxReplicas"], 8);
    api.happens(PIPELINES, "ADDED", &kept(first, 1));
    until("it is scaled", || replicas(&api) == [3, 2]).await;
    later().await;
    assert_eq!(applied(&api).len(), 1, "it is there");
    // An edit stays.
    let mut edited = kept(first, 2);
    edited["spec"]["mode"] = json!("Paused");
    api.happens(PIPELINES, "MODIFIED", &edited);
    later().await;
    assert_eq!(applied(&api).len(), 1, "what is declared is what was");
    declare(&api, json!({"pipeline.yaml": text("demo", 5)}));
    until("it is applied again", || applied(&api).len() == 2).await;
    let second = &applied(&api)[1];
    assert_eq!(second.body["spec"]["stages"]["a"]["maxReplicas"], 5);
    api.happens(PIPELINES, "MODIFIED", &kept(second, 3));
    // Whoever deletes it and leaves it declared gets it again.
    api.happens(PIPELINES, "DELETED", &kept(second, 3));
    until("it is applied once more", || applied(&api).len() == 3).await;
    assert_eq!(refused(&api), []);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_edited_is_theirs_and_that_is_told_once() {
    let api = declares(json!({"pipeline.yaml": text("demo", 8)}));
    let running = start(&api).await;
    until("it is applied", || applied(&api).len() == 1).await;
    api.happens(PIPELINES, "ADDED", &kept(&applied(&api)[0], 1));
    conflicts(&api, "Apply failed with 1 conflict: conflict with \"kubectl-patch\": .spec.mode");
    declare(&api, json!({"pipeline.yaml": text("demo", 5)}));
    until("it is told", || !refused(&api).is_empty()).await;
    later().await;
    let (about, note) = &refused(&api)[0];
    assert_eq!(about, "SplitPipeline");
    assert!(note.contains("pipeline.yaml of ConfigMap pipelines") && note.contains(".spec.mode"), "{note}");
    assert!(applied(&api).len() > 2, "it is tried again");
    assert_eq!(refused(&api).len(), 1, "one event");
    let counts = |call: &Call| call.method == "PATCH" && call.body["series"]["count"].is_u64();
    assert!(api.writes().iter().any(counts), "which is counted, and so does not end");
    // Another field of another's: another event.
    let words = "Apply failed with 1 conflict: conflict with \"kubectl-edit\": .spec.budget";
    conflicts(&api, words);
    until("it is told", || refused(&api).len() == 2).await;
    assert!(refused(&api)[1].1.contains(".spec.budget"), "{:?}", refused(&api));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_pipeline_is_told_and_keeps_none_away() {
    let elsewhere = text("c", 8).replace("{ name: c }", "{ name: c, namespace: other }");
    let api = declares(json!({
        "a.yaml": "spec: [", "b.yaml": "kind: ConfigMap\napiVersion: v1", "c.yaml": elsewhere,
        "d.yaml": text("demo", 8).replace("metadata: { name: demo }\n", ""), "good.yaml": text("demo", 8),
        "twice.yaml": text("demo", 5),
    }));
    let running = start(&api).await;
    until("the good one is applied", || applied(&api).len() == 1).await;
    until("the others are told", || refused(&api).len() == 5).await;
    api.happens(PIPELINES, "ADDED", &kept(&applied(&api)[0], 1));
    later().await;
    let told = refused(&api);
    for ((about, note), words) in told.iter().zip([
        "a.yaml of ConfigMap pipelines is not applied: it is no YAML",
        "it is \"ConfigMap\" of \"v1\", and is to be SplitPipeline of splitscale.io/v1alpha1",
        "metadata.namespace is other, and this is namespace splitscale",
        "metadata.name is missing",
        "key good.yaml declares SplitPipeline demo already",
    ]) {
        assert!(about == "ConfigMap" && note.contains(words), "{about}: {note}");
    }
    assert_eq!((told.len(), applied(&api).len()), (5, 1), "one event each: {told:?}");
    running.end().await;
}

#[tokio::test]
async fn who_does_not_lead_applies_nothing() {
    let api = declares(json!({"pipeline.yaml": text("demo", 8)}));
    api.put(LEASE, lease("other", 3));
    let election =
        Election { namespace: NAMESPACE.into(), lease: "splitscale".into(), identity: "one".into() };
    let running = start_declared(&api, Some(election), Some(MAP));
    until_watched(&api).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(applied(&api), []);
    api.put(LEASE, lease("one", 15));
    until("it leads, and applies", || applied(&api).len() == 1).await;
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_map_that_is_not_there_or_may_not_be_read_keeps_nobody_from_scaling() {
    for forbidden in [false, true] {
        let api = cluster(&pipeline(1, |_| {}));
        let asked = |call: &Call| call.path.ends_with(&format!("/{MAP}"));
        api.instead(move |call| {
            (forbidden && asked(call)).then(|| Instead::Answer(403, refusal(403, "Forbidden", "may not")))
        });
        let running = start(&api).await;
        until("it is scaled", || replicas(&api) == [3, 2]).await;
        until("the map was asked for", || api.calls().iter().any(asked)).await;
        later().await;
        assert_eq!(applied(&api), []);
        running.end().await;
    }
}

/// One that was applied by an earlier version is not applied again for that the version is another.
#[tokio::test(start_paused = true)]
async fn the_hash_of_what_is_declared_stays_the_same() {
    let api = declares(json!({"pipeline.yaml": text("demo", 8)}));
    let running = start(&api).await;
    until("it is applied", || applied(&api).len() == 1).await;
    let hash = applied(&api)[0].body["metadata"]["annotations"]["splitscale.io/declared"].clone();
    assert_eq!(hash, "10318c028e783217e648a3a81228a8b530ae585dfca760a65cb26b5e766b6c0c");
    // A comment and an order are none of it.
    api.happens(PIPELINES, "ADDED", &kept(&applied(&api)[0], 1));
    declare(&api, json!({"pipeline.yaml": format!("# Another.\n{}", text("demo", 8))}));
    later().await;
    assert_eq!(applied(&api).len(), 1);
    running.end().await;
}
