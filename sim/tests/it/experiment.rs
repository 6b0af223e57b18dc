//! Experiments: what is swept, what is read, and what bad ones are told.

use std::collections::BTreeMap;

use splitscale_sim::{Experiment, ExperimentError, Plan, Replications};
use splitscale_spec::{Encoding, ServiceLaw};

const GOOD: &str = r#"schema = 1
name = "surface"
title = "slots against pods"
seed = 7
replications = 3
[setup]
arrivals = { burst = 20 }
[setup.a]
pods = 2
service = { exponential = { mean_s = 0.05 } }
[setup.link]
slots = 2
transfer = { law = { exponential = { mean_s = 0.06 } } }
[setup.b]
pods = 2
service = { exponential = { mean_s = 0.03 } }
"#;

fn plan_with(text: &str, files: &[(&str, &str)]) -> Result<Plan, ExperimentError> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    Experiment::parse("e.toml", text)?.plan(&mut |name| Ok(files[name].to_owned()))
}

fn plan(text: &str) -> Result<Plan, ExperimentError> {
    plan_with(text, &[])
}

fn with(more: &str) -> String {
    format!("{GOOD}{more}")
}

#[test]
fn without_a_sweep_there_is_one_point() {
    let experiment = Experiment::parse("e.toml", GOOD).unwrap();
    assert_eq!(experiment.replications, Replications::Fixed(3));
    let plan = plan(GOOD).unwrap();
    assert_eq!((plan.points.len(), plan.axes.len()), (1, 0));
    assert_eq!((plan.points[0].seed, plan.points[0].setup.a.pods), (7, 2));
}

#[test]
fn axes_make_their_product_with_the_first_the_slowest() {
    let plan = plan(&with(
        r#"
        [[sweep]]
        fields = ["a.pods", "b.pods"]
        values = [1, 4]
        [[sweep]]
        name = "cut"
        cases = [
            { label = "layer3", set = { "link.payload.activation" = { elements = 10, encoding = "u8" } } },
            { label = "none", set = { "seed" = 9, "a.service" = { deterministic = { value_s = 1.5 } } } },
            { label = "slow", set = { "a.service.exponential.mean_s" = 2 } },
        ]"#,
    ))
    .unwrap();
    assert_eq!(plan.axes, ["a.pods+b.pods", "cut"]);
    let labels: Vec<String> =
        plan.points.iter().map(|p| format!("{} {}", p.labels[0].1, p.labels[1].1)).collect();
    assert_eq!(labels, ["1 layer3", "1 none", "1 slow", "4 layer3", "4 none", "4 slow"]);
    assert!(plan.points.iter().enumerate().all(|(index, point)| point.index == index));
    let point = &plan.points[3];
    assert_eq!((point.setup.a.pods, point.setup.b.pods, point.seed), (4, 4, 7));
    let payload = point.setup.link.payload.unwrap();
    assert_eq!(payload.bytes(), 10 * Encoding::U8.bytes_per_element());
    assert_eq!(plan.points[4].seed, 9);
    assert_eq!(plan.points[4].setup.a.service, ServiceLaw::Deterministic { value_s: 1.5 });
    assert_eq!(plan.points[5].setup.a.service, ServiceLaw::Exponential { mean_s: 2.0 });
}

#[test]
fn entries_of_lists_and_fields_that_were_left_out_can_be_swept() {
    let more = r#"
        [setup.link.slots_change.schedule]
        steps = [{ at_s = 1.0, slots = 1 }, { at_s = 2.0, slots = 3 }]
        [[sweep]]
        fields = ["link.slots_change.schedule.steps.1.slots", "a.queue_limit"]
        values = [4, 5]"#;
    let plan = plan(&with(more)).unwrap();
    let limits: Vec<_> = plan.points.iter().map(|point| point.setup.a.queue_limit).collect();
    assert_eq!(limits, [Some(4), Some(5)]);
    assert!(format!("{:?}", plan.points[1].setup.link.slots_change).contains("slots: 5"));
}

#[test]
fn the_hash_follows_the_content() {
    let hash = |text: &str| plan(text).unwrap().hash;
    assert_eq!(hash(GOOD), hash(&format!("# a comment\n{}", GOOD.replace(" = ", "  =  "))));
    assert_ne!(hash(GOOD), hash(&GOOD.replace("seed = 7", "seed = 8")));
    let mut set = Experiment::parse("e.toml", GOOD).unwrap();
    set.set("a.pods", "3").unwrap();
    let set = set.plan::<ExperimentError>(&mut |_| unreachable!()).unwrap();
    assert_eq!((set.points[0].setup.a.pods, set.points[0].setup.b.pods), (3, 2));
    assert_eq!(set.hash, hash(&GOOD.replacen("pods = 2", "pods = 3", 1)));
    let replay = GOOD.replace("{ burst = 20 }", r#"{ stamps = { trace = { file = "t.csv" } } }"#);
    let of = |text: &str| plan_with(&replay, &[("t.csv", text)]).unwrap();
    assert_ne!(of("0\n1\n").hash, of("0\n2\n").hash);
    assert_eq!(of("0\n1\n").points[0].setup.arrivals.requests(), 2);
}

#[test]
fn a_calibration_fills_what_the_setup_leaves_out() {
    let law = |mean: f64| format!(r#"{{"exponential": {{"mean_s": {mean}}}}}"#);
    let level = r#"{"slots": 1, "status": "INSUFFICIENT", "pods_min": 1, "a": null, "b": null, "c": null,
        "b_low": null, "b_high": null, "p_flat": null, "p_lack": null, "rmse_s": 0, "points": [
            {"pods": 1, "repeats": 1, "mean_s": 1, "sd_s": null, "fitted_s": 1, "low_s": null, "high_s": null}]}"#;
    let calibration = format!(
        r#"{{"schema": 2, "levels": [{level}], "surface": null, "laws": {{"service_a": {}, "transfer": {}, "service_b": {}, "overhead": {},
        "fitted_on": []}}, "provenance": {{"table": "t", "hash": "0", "rows": 1, "dropped": []}}}}"#,
        law(1.0),
        law(2.0),
        law(3.0),
        law(4.0)
    );
    let text = GOOD
        .replace("seed = 7", "seed = 7\ncalibration = \"c.json\"")
        .replace("service = { exponential = { mean_s = 0.05 } }\n", "")
        .replace("transfer = { law = { exponential = { mean_s = 0.06 } } }\n", "");
    let setup = plan_with(&text, &[("c.json", &calibration)]).unwrap().points.remove(0).setup;
    assert_eq!(setup.a.service, ServiceLaw::Exponential { mean_s: 1.0 });
    assert_eq!(setup.overhead, ServiceLaw::Exponential { mean_s: 4.0 });
    assert_eq!(setup.b.service, ServiceLaw::Exponential { mean_s: 0.03 }, "the setup's own stands");
    let error = plan_with(&text, &[("c.json", "{\"schema\": 1}")]).unwrap_err().to_string();
    assert!(error.contains("c.json") && error.contains("missing field"), "{error}");
}

#[test]
fn pods_change_within_a_run() {
    let still = plan(&with("[[sweep]]\nfields=[\"seed\"]\nvalues=[7]")).unwrap();
    let moved =
        plan(&GOOD.replace("[setup]", "[setup]\npods_change = [{ at_s = 0.1, a = 8, b = 8 }]")).unwrap();
    let run = |plan: &Plan| plan.points[0].run(&plan.points[0].model().unwrap(), 0).unwrap();
    let (still, moved) = (run(&still), run(&moved));
    assert_eq!((still.pods_a.changes, moved.pods_a.changes), (0, 6));
    assert!(moved.pods_a.pod_seconds > still.pods_a.pod_seconds);
}

#[test]
fn steps_are_the_run() {
    let text = GOOD.replace(
        "[setup]",
        "[setup]\npods_change = [{ at_s = 0.1, a = 8, b = 8 }, { at_s = 0.3, a = 1, b = 1 }, { at_s = 9e3, a = 2, b = 2 }]",
    );
    for text in [GOOD.to_owned(), text.clone(), text.replace("[setup]", "[setup]\nhorizon_s = 0.2")] {
        let point = plan(&text).unwrap().points.remove(0);
        let model = point.model().unwrap();
        let mut steps = point.steps(&model, 2);
        let events = steps.by_ref().count() as u64;
        let outcome = point.run(&model, 2).unwrap();
        assert_eq!((steps.fingerprint(), events), (outcome.fingerprint, outcome.events), "{text}");
    }
}

#[test]
fn bad_experiments_are_told_what_is_wrong() {
    let sweep =
        |fields: &str, values: &str| with(&format!("[[sweep]]\nfields = [{fields}]\nvalues = [{values}]\n"));
    let swap = |from: &str, to: &str| GOOD.replacen(from, to, 1);
    for (text, parts) in [
        (swap("schema = 1", "schema = 3"), &["schema 3", "reads schema 1"][..]),
        (swap("seed = 7", "sead = 7"), &["e.toml:4", "sead"]),
        (swap("seed = 7\n", ""), &["seed"]),
        (swap("replications = 3\n", ""), &["replications", "stop", "missing"]),
        (swap("replications = 3", "replications = 0"), &["replications", "zero"]),
        (swap("replications = 3", "replications = -1"), &["e.toml:5", "-1"]),
        (
            swap("replications = 3", "stop = { relative_half_width = 0.1, maximum = 5 }"),
            &["stop.maximum", "10"],
        ),
        (
            swap("replications = 3", "stop = { relative_half_width = 0.0, maximum = 50 }"),
            &["stop.relative", "above zero"],
        ),
        (swap("replications = 3", "slo_s = -1.0\nreplications = 3"), &["slo_s", "above zero"]),
        (swap("pods = 2", "podz = 2"), &["e.toml:9", "setup.a", "podz"]),
        (swap("pods = 2", "pods = 0"), &["setup.a.pods", "zero"]),
        (swap("mean_s = 0.05", "mean_s = nan"), &["setup.a.service", "mean_s"]),
        (swap("{ burst = 20 }", "{ burst = 20, poisson = 1 }"), &["setup.arrivals"]),
        (swap("[setup]", "[setup"), &["e.toml:6"]),
        (sweep("\"link.slotz\"", "1"), &["setup.link (where link.slotz = 1)", "unknown field `slotz`"]),
        (sweep("\"link.slots\"", "\"many\""), &["where link.slots = many", "setup.link.slots", "string"]),
        (sweep("\"link.slots\"", "1, 0"), &["where link.slots = 0", "setup.link.slots", "zero"]),
        (sweep("\"a.service.deterministic.value_s\"", "1.0"), &["setup.a.service", "set the whole of it"]),
        (sweep("\"a.pods.x\"", "1"), &["sweep `a.pods.x`", "no field `x`"]),
        (sweep("", "1"), &["sweep[0].fields", "empty"]),
        (sweep("\"seed\"", ""), &["sweep[0]", "empty"]),
        (sweep("\"seed\"", "-1"), &["sweep `seed`", "-1"]),
        (with("[[sweep]]\ncases = [{ label = \"x\", set = {} }]"), &["sweep[0].name", "missing"]),
        (with("[[sweep]]\nfields = [\"seed\"]"), &["sweep[0]", "fields and values"]),
        (
            with(
                "[[sweep]]\nname = \"x\"\nfields = [\"a.pods\"]\nvalues = [1]\n[[sweep]]\nname = \"y\"\nfields = [\"a.pods\"]\nvalues = [2]\n",
            ),
            &["sweep[1]", "`a.pods` is set by axis `x` too"],
        ),
        (swap("name = \"", "name = \"../"), &["name", "slashes"]),
        (with("[setup.pods_change]"), &["setup.pods_change"]),
        (
            swap(
                "[setup]",
                "[setup]\npods_change = [{ at_s = 1.0, a = 1, b = 1 }, { at_s = 1.0, a = 2, b = 2 }]",
            ),
            &["setup.pods_change.at_s", "not after"],
        ),
        (
            swap("[setup]", "[setup]\npods_change = [{ at_s = 1.0, a = 0, b = 1 }]"),
            &["pods_change.0.a", "zero"],
        ),
    ] {
        let error = plan(&text).expect_err(&text).to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} does not say {part:?} of\n{text}");
        }
    }
    let fields = ["seed", "a.pods", "b.pods", "link.slots", "a.cores", "b.cores"];
    let huge = fields.map(|field| {
        format!("[[sweep]]\nfields = [\"{field}\"]\nvalues = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n")
    });
    let error = plan(&with(&huge.concat())).unwrap_err().to_string();
    assert!(error.contains("100000 points"), "{error}");
    let mut experiment = Experiment::parse("e.toml", &sweep("\"a.pods\"", "1, 2")).unwrap();
    let error = experiment.set("a.pods", "3").unwrap_err().to_string();
    assert!(error.contains("swept on axis `a.pods`"), "{error}");
}
