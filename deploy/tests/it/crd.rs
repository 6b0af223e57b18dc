//! The CustomResourceDefinition: its rules, evaluated without a cluster, and its committed copy.

use std::path::Path;

use kube::core::cel::{validate_cel, validate_cel_update};
use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{ModeName, SplitPipeline, crd_yaml, definition};
use splitscale_policy::ShellConfig;
use splitscale_spec::Replicas;

/// The least that a pipeline says.
fn least() -> Value {
    json!({
        "apiVersion": "splitscale.io/v1alpha1",
        "kind": "SplitPipeline",
        "metadata": {"name": "demo", "namespace": "splitscale"},
        "spec": {
            "stages": {
                "a": {"deployment": "splitscale-a", "minReplicas": 1, "maxReplicas": 8},
                "b": {"deployment": "splitscale-b", "minReplicas": 1, "maxReplicas": 4},
            },
            "policy": {"configMap": {"name": "policy", "key": "policy.json"}},
        }
    })
}

/// With another value at a path, `null` to take it away.
fn with(path: &str, value: Value) -> SplitPipeline {
    let mut document = least();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let mut at = &mut document["spec"];
    for key in parent.split('/').filter(|key| !key.is_empty()) {
        at = &mut at[key];
    }
    match value {
        Value::Null => drop(at.as_object_mut().unwrap().remove(key)),
        value => at[key] = value,
    }
    serde_json::from_value(document).unwrap()
}

/// What is wrong with it, in words.
pub(crate) fn wrong(pipeline: &SplitPipeline) -> String {
    validate_cel(pipeline).map_or_else(|errors| errors.to_string(), |()| String::new())
}

#[test]
fn what_is_left_out_has_its_default() {
    let pipeline: SplitPipeline = serde_json::from_value(least()).unwrap();
    assert_eq!(wrong(&pipeline), "");
    let spec = &pipeline.spec;
    assert_eq!((spec.mode, spec.interval_seconds, spec.window_seconds), (ModeName::Recommend, 1.0, 5.0));
    assert_eq!(spec.shell(), ShellConfig::default(), "the shell is that of `splitscale scale`");
    assert_eq!(spec.bounds().pods_max, Replicas { a: 8, b: 4 });
    // One field of the shell leaves the others as they are, and 0 lifts a limit.
    let spec = with("/shell", json!({"downWindowSeconds": 5, "reversalsPerHour": 0})).spec;
    let shell = ShellConfig { down_window_s: 5.0, reversals_per_hour: None, ..ShellConfig::default() };
    assert_eq!(spec.shell(), shell);
    assert_eq!(with("/budget", json!(9)).spec.shell().budget, Some(9));
}

#[test]
fn each_rule_refuses_what_it_is_for_in_words() {
    let metric = json!({"counter": "requests_total"});
    let asked = json!({"query": "sum(rate(requests_total[1m]))"});
    let document = json!({"configMap": {"name": "policy", "key": "policy.json"}});
    for (path, value, words) in [
        ("/stages/a/minReplicas", json!(9), "minReplicas is above maxReplicas"),
        ("/stages/b/deployment", json!("splitscale-a"), "both stages name one Deployment"),
        ("/budget", json!(1), "budget is below the fewest pods"),
        ("/windowSeconds", json!(0.5), "windowSeconds is shorter than intervalSeconds"),
        ("/shadow", document.clone(), "shadow is scored by a calibration"),
        ("/calibration", document.clone(), "a calibration needs slo"),
        ("/shell", json!({"reversalsPerHour": 1}), "a turn down must leave one to turn up again"),
        ("/policy", json!({}), "name either a configMap or a url"),
        ("/policy/url", json!("https://policies.example/one.json"), "name either a configMap or a url"),
        ("/policy", json!({"url": "https://policies.example/one.json"}), "a url needs the sha256"),
        ("/baseline", json!({"url": "http://policies.example/one.json"}), "a url needs the sha256"),
        ("/signals", json!({"arrivals": asked}), "a query needs prometheus.url"),
        ("/signals", json!({"latency": {"queryP95": "1"}}), "a query needs prometheus.url"),
        ("/signals", json!({"arrivals": {"gauge": "requests"}}), "arrivals are a counter or a query"),
        ("/signals", json!({"queueB": metric}), "a queue is a gauge or a query"),
        (
            "/signals",
            json!({"busyA": {"counter": "x", "gauge": "y"}}),
            "name one of counter, gauge and query",
        ),
        ("/signals", json!({"latency": {}}), "name a histogram, or queries"),
        (
            "/signals",
            json!({"link": {"bytes": "sent_bytes_total"}}),
            "name bytes and busySeconds, or a query",
        ),
        ("/signals", json!({"proxy": {"port": 80}}), "name either a service or a selector"),
    ] {
        let told = wrong(&with(path, value.clone()));
        assert!(told.contains(words), "{path} {value}: {told:?} does not say {words:?}");
    }
}

#[test]
fn what_is_right_passes() {
    let hash = "0".repeat(64);
    for (path, value) in [
        ("/budget", json!(2)),
        ("/policy", json!({"url": "https://policies.example/one.json", "sha256": hash})),
        (
            "/signals",
            json!({
                "prometheus": {"url": "http://prometheus.monitoring:9090"},
                "arrivals": {"query": "sum(rate(requests_total[1m]))"},
                "queueB": {"pods": "b", "gauge": "queue", "labels": {"queue": "in"}},
                "busyA": {"counter": "busy_seconds_total"},
                "latency": {"pods": "a", "histogram": "latency_seconds"},
                "proxy": {"selector": {"app": "proxy"}, "port": 9000},
            }),
        ),
    ] {
        assert_eq!(wrong(&with(path, value.clone())), "", "{path} {value}");
    }
}

#[test]
fn the_signals_that_are_shown_are_those_that_are_run() {
    let shown = include_str!("../../../docs/operator.md");
    for (name, file) in [
        ("scraped.yaml", include_str!("../plain/scraped.yaml")),
        ("queried.yaml", include_str!("../plain/queried.yaml")),
    ] {
        assert_eq!(wrong(&serde_saphyr::from_str(file).unwrap()), "", "{name}");
        let (_, signals) = file.split_once("\n  signals:\n").unwrap();
        let signals: String = signals.lines().map(|line| format!("{}\n", &line[2..])).collect();
        assert!(shown.contains(&format!("signals:\n{signals}```")), "docs/operator.md does not show {name}");
    }
}

#[test]
fn the_deployment_of_a_stage_stays_and_everything_else_may_change() {
    let old: SplitPipeline = serde_json::from_value(least()).unwrap();
    let moved = with("/stages/a/deployment", json!("another"));
    let told = validate_cel_update(&moved, &old).unwrap_err().to_string();
    assert!(told.contains("the Deployment of a stage cannot be changed"), "{told}");
    for (path, value) in
        [("/mode", json!("Auto")), ("/stages/a/maxReplicas", json!(3)), ("/budget", json!(4))]
    {
        let new = with(path, value);
        assert_eq!(validate_cel_update(&new, &old).map_err(|errors| errors.to_string()), Ok(()), "{path}");
        assert_eq!(old.spec.same_but_mode(&new.spec), path == "/mode", "{path}");
    }
}

/// Every field of the schema, by path.
fn fields(schema: &Value, path: &str, told: &mut impl FnMut(&str, &Value)) {
    let Some(properties) = schema["properties"].as_object() else {
        if schema["items"].is_object() {
            fields(&schema["items"], path, told);
        }
        return;
    };
    for (name, field) in properties {
        let path = format!("{path}/{name}");
        told(&path, field);
        fields(field, &path, told);
    }
}

#[test]
fn the_schema_is_structural_and_every_field_is_explained() {
    let crd = serde_json::to_value(definition()).unwrap();
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut count = 0;
    for part in ["spec", "status"] {
        fields(&schema["properties"][part], part, &mut |path, field| {
            count += 1;
            let told = field["description"].as_str().unwrap_or_default();
            assert!(told.len() > 3, "{path} is explained as {told:?}");
            assert!(field["type"].is_string(), "{path} has no type: {field}");
            for never in ["$ref", "anyOf", "oneOf", "allOf", "not"] {
                assert!(field.get(never).is_none(), "{path} has {never}: {field}");
            }
        });
    }
    assert!(count > 90, "{count} fields");
    let columns: Vec<&str> = version["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|c| c["name"].as_str())
        .collect();
    assert_eq!(columns, ["Mode", "A", "B", "Bottleneck", "Useful", "Ready", "Reason", "Age"]);
    assert_eq!(schema["properties"]["spec"]["properties"]["mode"]["default"], "Recommend");
    assert_eq!(
        schema["properties"]["status"]["properties"]["conditions"]["x-kubernetes-list-map-keys"],
        json!(["type"])
    );
}

#[test]
fn the_committed_definition_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("base/crd.yaml");
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == crd_yaml(),
        "{} is not what the program says; write it anew: cargo run -- operator --crd > deploy/base/crd.yaml",
        path.display()
    );
}
