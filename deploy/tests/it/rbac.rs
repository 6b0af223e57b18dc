//! What the operator may do: exactly this. A right more is a failure here first.

use std::collections::BTreeSet;

use serde_json::Value;

const RBAC: &str = include_str!("../../base/rbac.yaml");

#[test]
fn the_role_grants_what_the_operator_does_and_nothing_more() {
    let documents: Vec<Value> = serde_saphyr::from_multiple(RBAC).unwrap();
    let kinds: Vec<&str> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
    assert_eq!(kinds, ["ServiceAccount", "Role", "RoleBinding"], "one namespace, no ClusterRole");
    assert_eq!(documents[0]["automountServiceAccountToken"], false);
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in documents[1]["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    granted.insert(format!(
                        "{verb} {group}/{resource} {}",
                        words(&rule["resourceNames"]).join(",")
                    ));
                }
            }
        }
    }
    let all: BTreeSet<String> = [
        "get splitscale.io/splitpipelines ",
        "list splitscale.io/splitpipelines ",
        "watch splitscale.io/splitpipelines ",
        "create splitscale.io/splitpipelines ",
        "patch splitscale.io/splitpipelines ",
        "get splitscale.io/splitpipelines/status ",
        "patch splitscale.io/splitpipelines/status ",
        "get apps/deployments/scale splitscale-a,splitscale-b",
        "patch apps/deployments/scale splitscale-a,splitscale-b",
        "get apps/deployments ",
        "list apps/deployments ",
        "watch apps/deployments ",
        "get /pods ",
        "list /pods ",
        "watch /pods ",
        "get discovery.k8s.io/endpointslices ",
        "list discovery.k8s.io/endpointslices ",
        "watch discovery.k8s.io/endpointslices ",
        "list autoscaling/horizontalpodautoscalers ",
        "watch autoscaling/horizontalpodautoscalers ",
        "get /configmaps splitscale-policy,splitscale-pipelines",
        "create coordination.k8s.io/leases ",
        "get coordination.k8s.io/leases splitscale",
        "patch coordination.k8s.io/leases splitscale",
        "create events.k8s.io/events ",
        "patch events.k8s.io/events ",
    ]
    .map(String::from)
    .into();
    assert_eq!(granted, all);
}
