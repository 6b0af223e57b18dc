//! Somebody else writes the replicas: nobody is fought with.

use reqwest::Method;
use serde_json::json;

use crate::gate::Gate;
use crate::place::Place;
use crate::scaler::Scaler;
use crate::world::World;

/// `kubectl scale`.
pub(crate) async fn replicas_that_kubectl_owns_are_left_to_it(world: &World) {
    let (place, gate) = (Place::new(world, "kubectl").await, world.gate().await);
    let scaler = place.scaler_behind(&gate, "one").await;
    place.until_done([3, 2]).await;
    world.bed.run(&[
        "kubectl",
        "scale",
        "--namespace",
        &place.name,
        "deployment/splitscale-a",
        "--replicas=2",
    ]);
    let told = left_alone(&place, &gate, &scaler, [2, 2]).await;
    assert!(told.contains("\"kubectl\""), "{told}");
    give_up(&place, &told);
    place.until_done([3, 2]).await;
    place.until_condition("ReplicasOwnedElsewhere", "False", "NobodyElse").await;
}

/// The HPA of the cluster itself, which wants at least four.
pub(crate) async fn replicas_that_an_hpa_owns_are_left_to_it(world: &World) {
    let (place, gate) = (Place::new(world, "hpa").await, world.gate().await);
    let scaler = place.scaler_behind(&gate, "one").await;
    place.until_done([3, 2]).await;
    let hpas = place.path("autoscaling/v2", "horizontalpodautoscalers");
    let hpa = json!({
        "metadata": {"name": "of-a"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "splitscale-a"},
            "minReplicas": 4, "maxReplicas": 6,
        },
    });
    world.write(Method::POST, &hpas, hpa).await;
    let told = left_alone(&place, &gate, &scaler, [4, 2]).await;
    assert!(told.contains("kubectl delete horizontalpodautoscaler of-a"), "{told}");
    world.bed.run(&["kubectl", "delete", "hpa", "of-a", "--namespace", &place.name]);
    give_up(&place, &told);
    place.until_done([3, 2]).await;
    place.until_condition("ReplicasOwnedElsewhere", "False", "NobodyElse").await;
}

/// One that is there first and has not written, for nobody measures CPU here.
pub(crate) async fn replicas_that_an_hpa_is_going_to_write_are_left_to_it(world: &World) {
    let (place, gate) = (Place::new(world, "hpa-first").await, world.gate().await);
    let to = ["--min=1", "--max=6", "--namespace", &place.name];
    world.bed.run(&[&["kubectl", "autoscale", "deployment", "splitscale-a"], &to[..]].concat());
    let scaler = place.scaler_behind(&gate, "one").await;
    let told = left_alone(&place, &gate, &scaler, [1, 1]).await;
    assert!(told.contains("kubectl delete horizontalpodautoscaler splitscale-a --namespace"), "{told}");
    world.bed.run(&[
        "kubectl",
        "delete",
        "horizontalpodautoscaler",
        "splitscale-a",
        "--namespace",
        &place.name,
    ]);
    place.until_done([3, 2]).await;
    place.until_condition("ReplicasOwnedElsewhere", "False", "NobodyElse").await;
}

/// Makes sure that it says whose the replicas are and writes none; what it says.
async fn left_alone(place: &Place<'_>, gate: &Gate, scaler: &Scaler, pods: [u64; 2]) -> String {
    place.until_pods(pods).await;
    place.until_condition("ReplicasOwnedElsewhere", "True", "OtherManager").await;
    place.until_condition("Ready", "False", "ReplicasOwnedElsewhere").await;
    let before = gate.asked().len();
    scaler.until_decisions(10).await;
    let written = gate.since(before).into_iter().find(|asked| asked.writes("/scale"));
    assert!(written.is_none(), "{written:?}");
    assert_eq!(place.pods().await, pods);
    // An autoscaler is told before it has written, and with its claim only after.
    let [.., told] = place.condition("ReplicasOwnedElsewhere").await;
    told
}

/// Types the command that the condition has.
fn give_up(place: &Place<'_>, told: &str) {
    let command = &told[told.find("kubectl patch").expect(told)..];
    let (words, patch) = command.split_once(" '").expect(command);
    let patch = &patch[..patch.find('\'').expect(patch)];
    let words: Vec<&str> = words.split_whitespace().chain([patch]).collect();
    place.world.bed.run(&words);
}
