//! Policies that cannot be used.

use serde_json::{Value, json};

use crate::place::{Place, constant};
use crate::until;
use crate::world::World;

/// The last good one goes on, and the condition says why.
pub(crate) async fn a_policy_that_cannot_be_used(world: &World) {
    let place = Place::new(world, "policy").await;
    let scaler = place.scaler("one").await;
    place.until_done([3, 2]).await;
    let named = |name: &str, key: &str, sha256: Option<String>| json!({"policy": {"configMap": {"name": name, "key": key}, "sha256": sha256}});
    // It may not look at others than the Role names, and so cannot tell whether there is one.
    for (edit, reason, words) in [
        (named("another", "policy.json", None), "Forbidden", "resourceNames"),
        (named("splitscale-policy", "another", None), "NotFound", "has no such key"),
        (named("splitscale-policy", "policy.json", Some("0".repeat(64))), "ChecksumMismatch", "has SHA-256"),
    ] {
        place.edit(edit).await;
        is_told_and_goes_on(&place, reason, words).await;
    }
    // What is at the same place becomes another.
    place.edit(named("splitscale-policy", "policy.json", None)).await;
    place.until_condition("PolicyLoaded", "True", "Loaded").await;
    let mut newer = constant(8, 8);
    newer["schema"] = json!(9);
    let mut senseless = constant(8, 8);
    senseless["kind"]["static"]["a"] = json!(0);
    for (text, reason, words) in [
        ("{\"schema\": 2, \"name\":".to_owned(), "Corrupt", "is not the expected document"),
        (newer.to_string(), "OtherSchema", "schema"),
        (senseless.to_string(), "Invalid", "kind.static"),
    ] {
        place.policy(&text).await;
        is_told_and_goes_on(&place, reason, words).await;
    }
    place.policy(&constant(4, 3).to_string()).await;
    place.until_done([4, 3]).await;
    place.until_condition("PolicyLoaded", "True", "Loaded").await;
    assert_eq!(scaler.get("/livez").await.0, 200);
}

async fn is_told_and_goes_on(place: &Place<'_>, reason: &str, words: &str) {
    let told = place.until_condition("PolicyLoaded", "False", reason).await;
    assert!(told.contains(words) && told.contains("`of the test` goes on"), "{told}");
    assert_eq!(place.pods().await, [3, 2]);
    // It still decides: with other bounds there are other pods.
    place.edit(json!({"stages": {"a": {"minReplicas": 5}}})).await;
    place.until_done([5, 2]).await;
    place.edit(json!({"stages": {"a": {"minReplicas": 1}}})).await;
    place.until_done([3, 2]).await;
    let [_, still, _] = place.condition("PolicyLoaded").await;
    assert_eq!(still, reason);
}

/// Without a good one the pods stay as they are, but in an emergency.
pub(crate) async fn no_policy_at_all(world: &World) {
    let place = Place::new(world, "none").await;
    place.policy("no JSON").await;
    let scaler = place.scaler("one").await;
    place.until_condition("PolicyLoaded", "False", "Corrupt").await;
    place.until_condition("Ready", "False", "PolicyNotLoaded").await;
    scaler.until_decisions(5).await;
    assert_eq!((place.pods().await, place.status().await["mode"].clone()), ([1, 1], Value::from("Paused")));
    place.edit(json!({"mode": "Emergency"})).await;
    place.until_done([8, 8]).await;
    place.edit(json!({"mode": "Auto"})).await;
    until("it pauses again", async || place.status().await["mode"] == "Paused").await;
    place.policy(&constant(3, 2).to_string()).await;
    place.until_done([3, 2]).await;
}
