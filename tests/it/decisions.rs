//! `scale` in its modes, and what is made of its decisions: told, taken again, by another policy; emulated engines.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{must, refused};
use crate::serve::{Server, line, send_image};

/// A pipeline of one to four pods a stage.
pub(crate) const PIPELINE: &str = r#"schema = 1
balancer = "central_queue"
a = { pods_min = 1, pods_max = 4, cpu_share = 1.0, cores = 2 }
b = { pods_min = 1, pods_max = 4, cpu_share = 1.0, cores = 2 }
cut = { name = "layer3", payload_bytes = 802816 }
link = { slots = 2, bandwidth = { per_slot_mbit_s = 1000.0 }, rtt_s = 0.0 }
slo = { latency_s = 1.0, target = 0.95 }
cost = { miss_weight = 10.0, churn_weight = 1.0 }
"#;

pub(crate) fn write(folder: &Path, name: &str, document: &Value) {
    fs::write(folder.join(name), document.to_string()).unwrap();
}

pub(crate) fn constant(name: &str, a: u32, b: u32) -> Value {
    json!({"schema": 2, "name": name, "kind": {"static": {"a": a, "b": b}}, "region": null, "training": null})
}

/// Laws of short times, with the payload that the cap needs.
pub(crate) fn calibration() -> Value {
    let law = |mean_s: f64| json!({"gamma": {"mean_s": mean_s, "cv": 0.2}});
    let none = json!({"deterministic": {"value_s": 0.0}});
    let slot = json!({"bytes": 802816.0, "seconds_per_byte": null, "fixed_s": null, "shared": false,
        "held_until_answer": true});
    let point = json!({"pods": 1, "repeats": 1, "mean_s": 1, "sd_s": null, "fitted_s": 1, "low_s": null,
        "high_s": null});
    json!({"schema": 2, "surface": null,
        "levels": [{"slots": 1, "status": "INSUFFICIENT", "pods_min": 1, "rmse_s": 0, "points": [point]}],
        "provenance": {"table": "", "hash": "", "rows": 1, "dropped": []},
        "laws": {"service_a": law(0.02), "transfer": none, "service_b": law(0.01), "overhead": none, "slot": slot,
            "fitted_on": []}})
}

/// A folder with documents, and a pipeline of three pods a stage under some load for `seconds`, watched with these flags.
fn watched(folder: &Path, seconds: u32, flags: &str) -> [Server; 3] {
    fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    write(folder, "policy.json", &constant("three", 3, 3));
    write(folder, "two.json", &constant("two", 2, 2));
    write(folder, "calibration.json", &calibration());
    let stages = "--model-version 1 --service-time 0.02 --pods 3 --pods-max 4";
    let line = line(folder, stages, "--threads 2 --slot-bandwidth 1000", "");
    let [b, proxy, a] = &line;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = format!("{}/predict-proxy?wait=true", a.url);
    let load = runtime.spawn(async move {
        loop {
            send_image(&url, &[]).await;
        }
    });
    let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    let words = format!(
        "scale --policy policy.json --pipeline pipeline.toml {servers} --interval 0.2 --window 1 --duration {seconds} {flags}"
    );
    must(folder, &words);
    load.abort();
    line
}

/// The lines of a file as documents.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn decisions_are_recommended_told_taken_again_and_by_another_policy() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let _line = watched(folder, 3, "--calibration calibration.json --shadow two.json --baseline two.json");
    let log = folder.join("decisions.jsonl");
    let logged = lines(&log);
    assert_eq!(logged[0]["policy"]["name"], "three");
    assert_eq!(logged[0]["useful"]["payload_bytes"], 802_816);
    assert_eq!(logged[0]["baseline"]["name"], "two");
    let last = logged.last().unwrap();
    assert_eq!((&last["mode"], last["final"]["a"].is_u64()), (&json!("recommend"), true), "{last}");
    assert!(last.get("carried_out").is_none(), "there was nothing to change: {last}");
    let shadow = &last["shadow"];
    assert_eq!(shadow["shadow"]["pods"], json!({"a": 2, "b": 2}));
    assert!(shadow["live"]["pod_seconds"].as_f64() > shadow["shadow"]["pod_seconds"].as_f64(), "{shadow}");
    assert!(shadow["scored_s"].as_f64().unwrap() > 0.0);

    let id = last["id"].as_u64().unwrap();
    let told = must(folder, &format!("explain decisions.jsonl {id}"));
    assert!(told.contains("by policy `three`") && told.contains("It wants A 3, B 3."), "{told}");
    assert!(told.contains("Taken again from what was seen and remembered it is the same."), "{told}");
    let told = must(folder, "replay decisions.jsonl");
    assert!(told.contains("taken again: all the same."), "{told}");
    let words =
        "replay decisions.jsonl --policy two.json --calibration calibration.json --slo 1 --out both.csv";
    let told = must(folder, words);
    assert!(told.contains("asked of `two`") && told.contains("`two`: "), "{told}");
    let both = fs::read_to_string(folder.join("both.csv")).unwrap();
    assert_eq!(both.lines().count(), logged.len(), "a header in place of the setup");

    // A line that somebody changed is found out; so is a policy that did not decide it.
    let text = fs::read_to_string(&log).unwrap();
    let changed = text.replace("\"raw\":{\"a\":3,\"b\":3}", "\"raw\":{\"a\":4,\"b\":3}");
    fs::write(folder.join("changed.jsonl"), changed).unwrap();
    let said = refused(folder, &format!("explain changed.jsonl {id}"), 1);
    assert!(said.contains("raw A 3, B 3 in place of A 4, B 3"), "{said}");
    refused(folder, "replay changed.jsonl", 1);
    let other = text.replacen("\"name\":\"three\"", "\"name\":\"other\"", 1);
    fs::write(folder.join("other.jsonl"), other).unwrap();
    let said = refused(folder, &format!("explain other.jsonl {id}"), 1);
    assert!(said.contains("other.jsonl") && said.contains("was taken by"), "{said}");

    // A scaler that was killed in the middle of a line leaves the others.
    fs::write(folder.join("cut.jsonl"), &text[..text.len() - 40]).unwrap();
    must(folder, "replay cut.jsonl");
    fs::write(
        folder.join("bad.jsonl"),
        text.replacen("\"schema\":3,\"id\":1,", "\"schema\":3,\"idd\":1,", 1),
    )
    .unwrap();
    let said = refused(folder, "replay bad.jsonl", 1);
    assert!(said.contains("bad.jsonl, line 2") && said.contains("idd"), "{said}");
    let said = refused(folder, "explain decisions.jsonl 100000", 1);
    assert!(said.contains("has no decision 100000; it has 1 to"), "{said}");
    fs::write(folder.join("headless.jsonl"), text.split_once('\n').unwrap().1).unwrap();
    let said = refused(folder, "replay headless.jsonl", 1);
    assert!(said.contains("before the line that says who decides"), "{said}");
}

#[test]
fn an_emergency_holds_at_the_most_and_a_pause_where_it_is() {
    let folder = TempDir::new().unwrap();
    let _line = watched(folder.path(), 2, "--mode paused");
    let logged = lines(&folder.path().join("decisions.jsonl"));
    assert!(logged[1..].iter().all(|decision| decision.get("final").is_none()));
    assert_eq!(logged.last().unwrap()["observed"]["a"]["desired"], 3);
    let folder = TempDir::new().unwrap();
    let _line = watched(folder.path(), 2, "--mode emergency");
    let last = lines(&folder.path().join("decisions.jsonl")).pop().unwrap();
    assert_eq!(last["observed"]["a"]["desired"], 4, "{last}");
    assert_eq!(last["observed"]["b"]["desired"], 4);
}

#[test]
fn auto_takes_a_pod_away_within_its_rate_and_another_process_goes_on() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let [b, proxy, a] = watched(folder, 1, "--mode paused --out paused.jsonl");
    write(folder, "one.json", &constant("one", 1, 1));
    let shell = "settle_s = 0\ndown_window_s = 0\nrate_down = { pods = 1, period_s = 3600 }";
    fs::write(folder.join("shell.toml"), shell).unwrap();
    let scale = format!(
        "scale --policy one.json --pipeline pipeline.toml --a {} --proxy {} --b {} --interval 0.2 --mode auto \
         --shell shell.toml --duration 2",
        a.url, proxy.url, b.url
    );
    must(folder, &scale);
    let log = folder.join("decisions.jsonl");
    let logged = lines(&log);
    let moved: Vec<&Value> = moved(&logged);
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!((&moved[0]["raw"], &moved[0]["final"]), (&json!({"a": 1, "b": 1}), &json!({"a": 2, "b": 2})));
    assert_eq!(moved[0]["limits"][0]["by"], "rate");
    // Killed in the middle of a line, it goes on: the rate of the hour is used up.
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{text}{{\"schema\":3,\"id\"")).unwrap();
    assert!(refused(folder, &scale, 1).contains("go on with it by --resume"));
    must(folder, &format!("{scale} --resume"));
    let both = lines(&log);
    assert_eq!(both.iter().filter(|line| line.get("shell").is_some()).count(), 2);
    let ids: Vec<u64> = both.iter().filter_map(|line| line["id"].as_u64()).collect();
    assert!(ids.len() > logged.len() && ids.iter().zip(1..).all(|(id, number)| *id == number), "{ids:?}");
    assert_eq!(both.iter().filter(|line| line["end"] == "done").count(), 1);
    must(folder, "replay decisions.jsonl");
}

/// The decisions that were carried out.
fn moved(lines: &[Value]) -> Vec<&Value> {
    let done: Vec<&Value> =
        lines.iter().filter(|line| line["end"] == "done").map(|line| &line["of"]).collect();
    lines.iter().filter(|line| line["id"].is_u64() && done.contains(&&line["id"])).collect()
}

#[test]
fn a_rule_by_useful_pods_caps_what_decides_in_its_place_until_they_are_measured() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    let rule = json!({"service_a_s": 0.66, "service_b_s": 0.23, "payload_bytes": 700_000});
    write(
        folder,
        "policy.json",
        &json!({"schema": 2, "name": "rule", "kind": {"useful": rule}, "region": null, "training": null}),
    );
    write(folder, "calibration.json", &calibration());
    for (flags, bytes) in [("", 700_000), ("--calibration calibration.json", 802_816)] {
        // Nobody listens there: only who decides is looked at.
        let nobody = "--a http://127.0.0.1:1 --proxy http://127.0.0.1:1 --b http://127.0.0.1:1 --duration 1";
        let out = format!("{bytes}.jsonl");
        must(
            folder,
            &format!("scale --policy policy.json --pipeline pipeline.toml {nobody} --out {out} {flags}"),
        );
        assert_eq!(lines(&folder.join(out))[0]["useful"]["payload_bytes"], bytes);
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_field() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    write(folder, "policy.json", &constant("three", 3, 3));
    let scale = "scale --policy policy.json --pipeline pipeline.toml --duration 1";
    fs::write(folder.join("shell.toml"), "budget = 1").unwrap();
    let said = refused(folder, &format!("{scale} --shell shell.toml"), 1);
    assert!(said.contains("shell.toml") && said.contains("budget: 1 is below the fewest pods"), "{said}");
    fs::write(folder.join("shell.toml"), "rate_up = { pods = 2 }").unwrap();
    let said = refused(folder, &format!("{scale} --shell shell.toml"), 1);
    assert!(said.contains("shell.toml") && said.contains("period_s"), "{said}");
    let mut lawless = calibration();
    lawless["laws"] = Value::Null;
    write(folder, "lawless.json", &lawless);
    let said = refused(folder, &format!("{scale} --calibration lawless.json"), 1);
    assert!(said.contains("lawless.json has no laws"), "{said}");
    write(folder, "bad.json", &constant("none", 0, 1));
    let said = refused(folder, &format!("{scale} --baseline bad.json"), 1);
    assert!(said.contains("bad.json") && said.contains("kind.static.a"), "{said}");
    refused(folder, &format!("{scale} --shadow policy.json"), 2);
}

#[test]
fn a_value_of_another_type_is_named_by_its_field() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    fs::write(at.join("pipeline.toml"), PIPELINE).unwrap();
    let scale = "scale --policy policy.json --pipeline pipeline.toml";
    for (document, words) in [
        (json!({"static": {"a": "two", "b": 2}}), "kind.static.a: invalid type: string \"two\""),
        (
            json!({"slots_table": [{"name": "x", "slots_min": 1, "slots_max": -8, "pods": {"a": 1, "b": 1}}]}),
            "kind.slots_table[0].slots_max: invalid value: integer `-8`",
        ),
    ] {
        let policy = json!({"schema": 2, "name": "p", "kind": document, "region": null, "training": null});
        write(at, "policy.json", &policy);
        let said = refused(at, scale, 1);
        assert!(said.contains("policy.json is not the expected document") && said.contains(words), "{said}");
    }
    fs::write(at.join("policy.json"), "{\"schema\": 2} {}").unwrap();
    refused(at, scale, 1);
}

/// A policy that looks every 15 s wants nothing in between: that is no other wish.
#[test]
fn a_policy_that_waits_has_no_wish_in_a_replay() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let _line = watched(at, 3, "");
    let hpa = json!({"schema": 2, "name": "hpa", "kind": {"hpa": {}}, "region": null, "training": null});
    write(at, "hpa.json", &hpa);
    let told = must(at, "replay decisions.jsonl --policy hpa.json --out both.csv");
    let number = |before: &str, behind: &str| -> usize {
        let (_, rest) = told.split_once(before).unwrap_or_else(|| panic!("{told}"));
        rest.split(behind).next().unwrap().trim().parse().unwrap()
    };
    let decisions: usize = told.split(' ').next().unwrap().parse().unwrap();
    let (waits, same) = (number("no wish ", "times"), number("same pods ", "times"));
    assert!(waits >= decisions - 2 && same <= 2, "it looks once in three seconds: {told}");
    // Three are recommended of three there are: who waits leaves them as they are too.
    assert_eq!(number("other pods ", "times") + same + waits, decisions, "{told}");
}
