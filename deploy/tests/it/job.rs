//! An Indexed Job on a double of the API server: which index is done, by which pod, and why another is not.

use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{Index, IndexedJob};

use crate::api::{Api, NAMESPACE};

const JOB: &str = "/apis/batch/v1/namespaces/splitscale/jobs/slots";
const PODS: &str = "/api/v1/namespaces/splitscale/pods";

fn pod(name: &str, index: &str, phase: &str) -> Value {
    json!({
        "metadata": {"name": name, "annotations": {"batch.kubernetes.io/job-completion-index": index}},
        "status": {"phase": phase},
    })
}

fn job(mode: Option<&str>, status: Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "slots", "namespace": NAMESPACE},
        "spec": {"completionMode": mode, "completions": 5, "template": {"spec": {"containers": []}}}, "status": status,
    })
}

#[tokio::test]
async fn every_index_says_which_pod_has_done_it_or_why_none_has() {
    let api = Api::default();
    let ended = json!([{"type": "Failed", "status": "True", "reason": "FailedIndexes"}]);
    let status = json!({"completedIndexes": "0-2", "failedIndexes": "3", "conditions": ended});
    api.put(JOB, job(Some("Indexed"), status));
    let pods = [
        pod("slots-0-aaaaa", "0", "Failed"),
        pod("slots-0-bbbbb", "0", "Succeeded"),
        pod("slots-2-ccccc", "2", "Succeeded"),
        pod("slots-3-ddddd", "3", "Failed"),
    ];
    api.put(PODS, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}));
    api.put(&format!("{PODS}/slots-2-ccccc/log"), json!("what it printed\n"));
    let slots = IndexedJob::new(&api.clients(), NAMESPACE, "slots");
    let done = |pod: &str| Index::Done { pod: pod.into() };
    let missing = |why: &str| Index::Missing(why.into());
    assert_eq!(
        slots.indexes().await.unwrap(),
        [
            done("slots-0-bbbbb"),
            missing("is done, but its pod is gone, and with it its log"),
            done("slots-2-ccccc"),
            missing("has failed as often as it may"),
            missing("is not done, and the Job has ended: FailedIndexes"),
        ]
    );
    let asked = api.calls().into_iter().find(|call| call.path == PODS).unwrap();
    assert!(asked.query.contains("batch.kubernetes.io%2Fjob-name%3Dslots"), "{}", asked.query);
    assert_eq!(slots.log("slots-2-ccccc").await.unwrap(), "what it printed\n");
    assert!(slots.log("slots-0-bbbbb").await.unwrap_err().to_string().contains("not found"));
    assert_eq!(api.writes(), [], "nothing is written");
}

#[tokio::test]
async fn a_job_that_is_none_of_ours_is_told_as_such() {
    let api = Api::default();
    let slots = IndexedJob::new(&api.clients(), NAMESPACE, "slots");
    assert!(slots.indexes().await.unwrap_err().to_string().contains("not found"));
    api.put(JOB, job(None, json!({})));
    let said = slots.indexes().await.unwrap_err().to_string();
    assert!(said.contains("completionMode is NonIndexed"), "{said}");
}
