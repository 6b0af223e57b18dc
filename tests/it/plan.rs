//! Plans as they are typed: against exact answers, over cuts and encodings, and what is said where there is none.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use splitscale_sim::exact::{Mmc, Station};
use splitscale_spec::PipelineConfig;
use tempfile::TempDir;

use crate::cli::{interrupt, must, refused, splitscale};

/// Laws of the three, a slot of `bytes` of which each takes so long \[s\], and what they travelled as.
fn calibration(
    laws: [Value; 3],
    (bytes, byte_s): (f64, Option<f64>),
    measured: Option<(&str, &str)>,
) -> Value {
    let [service_a, transfer, service_b] = laws;
    let point = json!({ "pods": 1, "repeats": 1, "mean_s": 1.0, "sd_s": null, "fitted_s": 1.0, "low_s": null, "high_s": null });
    let mut document = json!({
        "schema": 2,
        "levels": [{
            "slots": 1, "status": "INSUFFICIENT", "pods_min": 1, "a": null, "b": null, "c": null, "b_low": null,
            "b_high": null, "p_flat": null, "p_lack": null, "rmse_s": 0.0, "points": [point],
        }],
        "surface": null,
        "laws": {
            "service_a": service_a, "transfer": transfer, "service_b": service_b,
            "overhead": constant(0.0), "cores_a": null, "cores_b": null,
            "slot": { "bytes": bytes, "seconds_per_byte": byte_s, "fixed_s": byte_s.map(|_| 0.0), "shared": false,
                      "held_until_answer": true },
            "start_up_a": null, "start_up_b": null, "intervals": {}, "fitted_on": [[1, 1]],
        },
        "provenance": { "table": "t.csv", "hash": "0", "rows": 1, "dropped": [], "host": null, "engine": null, "date": null },
    });
    if let Some((cut, encoding)) = measured {
        document["laws"]["cut"] = json!(cut);
        document["laws"]["encoding"] = json!(encoding);
    }
    document
}

fn constant(value_s: f64) -> Value {
    json!({ "deterministic": { "value_s": value_s } })
}

fn exponential(mean_s: f64) -> Value {
    json!({ "exponential": { "mean_s": mean_s } })
}

/// An activation of ResNet-50 after layer2, f32.
const BYTES: f64 = 401_408.0;

/// A takes 0.2 s, B 0.05 s, the f32 activation 0.1 s on a slot of its own.
fn pipeline() -> Value {
    let laws = [constant(0.2), constant(0.1), exponential(0.05)];
    calibration(laws, (BYTES, Some(0.1 / BYTES)), Some(("layer2", "f32")))
}

fn folder(document: &Value) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("c.json"), document.to_string()).unwrap();
    folder
}

fn plan(folder: &Path, out: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(out).join("plan.json")).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn pods(choice: &Value) -> (u64, u64) {
    (choice["pods"]["a"].as_u64().unwrap(), choice["pods"]["b"].as_u64().unwrap())
}

/// A is M/M/c; the slots and B take a millisecond each of whoever comes, and nobody waits there but by a rare chance.
#[test]
fn the_answer_is_that_of_queueing_theory_where_there_is_one() {
    const RATE: f64 = 12.0;
    const SLO_S: f64 = 1.2;
    let folder = folder(&calibration(
        [exponential(0.2), constant(0.001), constant(0.001)],
        (BYTES, Some(0.001 / BYTES)),
        Some(("layer2", "f32")),
    ));
    let said = must(folder.path(), &format!("plan c.json --rate {RATE} --slo {SLO_S} --slots 64 --out p"));
    let station =
        |rate_per_s: f64, servers: u32| Mmc::new(Station { rate_per_s, service_s: 0.2, servers }).unwrap();
    let missed = |rate_per_s: f64, servers: u32| station(rate_per_s, servers).sojourn_exceeds(SLO_S - 0.002);
    assert!(missed(RATE, 3) > 0.02 && missed(RATE, 4) < 0.005, "3 pods of A are too few, and 4 are enough");
    let plan = plan(folder.path(), "p");
    let answer = &plan["answer"];
    assert_eq!(pods(answer), (4, 1), "{said}");
    assert!(
        said.contains("ANSWER  5 pods: 4 of A, 1 of B; cut layer2 as f32 (401408 bytes a transfer)"),
        "{said}"
    );
    let near = |name: &str, exact: f64, least: f64| {
        let of = &answer[name];
        let (value, half) = (number(&of["value"]), (number(&of["high"]) - number(&of["low"])) / 2.0);
        assert!((value - exact).abs() < 2.0 * half + least, "{name}: {value} +- {half} against {exact}");
    };
    near("attainment", 1.0 - missed(RATE, 4), 0.0);
    near("busy_a", RATE * 0.2 / 4.0, 0.0);
    // Quantiles are read from a histogram, to 1/128 of their value.
    for (name, p) in [("p50_s", 0.5), ("p99_s", 0.99)] {
        let exact = 0.002 + station(RATE, 4).sojourn_quantile(p).unwrap();
        near(name, exact, exact / 128.0);
    }
    let (mut keeps, mut breaks) = (RATE, 19.9);
    for _ in 0..40 {
        let middle = f64::midpoint(keeps, breaks);
        if missed(middle, 4) <= 0.01 { keeps = middle } else { breaks = middle }
    }
    let room = number(&answer["headroom"]["rate_per_s"]["value"]);
    assert!((room / keeps - 1.0).abs() < 0.02, "{room} a second against {keeps}");
    // `simulate` comes to the same events.
    must(folder.path(), "simulate p/answer.toml --out again.csv");
    let again = fs::read_to_string(folder.path().join("again.csv")).unwrap();
    assert!(again.contains(answer["fingerprint"].as_str().unwrap()), "{again}");
    let three = plan["candidates"].as_array().unwrap().iter().find(|row| row["pods_a"] == 3).unwrap();
    assert_eq!(
        (&three["verdict"], &three["seeds"]),
        (&json!("fails"), &json!(8)),
        "beyond doubt after 8 seeds of 20"
    );
    assert_eq!(plan["variants"][0]["law_peak"], json!({ "a": 3, "b": 1 }), "the law alone is content with 3");
}

/// By the law 2 slots carry 2 / (0.1 + 0.05) = 13.3 f32 activations a second, 20 in bf16 and 26.7 in u8.
#[test]
fn fewer_bytes_carry_what_the_link_does_not() {
    let folder = folder(&pipeline());
    let words = "plan c.json --rate 15 --slo 0.8 --slots 2 --encodings f32,bf16,u8 --requests 4000 --out p";
    let said = must(folder.path(), words);
    let plan = plan(folder.path(), "p");
    let variants = plan["variants"].as_array().unwrap();
    let carried: Vec<f64> = variants.iter().map(|of| number(&of["link_per_s"])).collect();
    for (carried, exact) in carried.iter().zip([2.0 / 0.15, 2.0 / 0.1, 2.0 / 0.075]) {
        assert!((carried / exact - 1.0).abs() < 1e-9, "{carried} against {exact}");
    }
    let why = variants[0]["why"].as_str().unwrap();
    assert!(
        why.contains("the link carries 13.33/s at most, and 15.00/s come") && variants[0]["pods"].is_null()
    );
    let bytes: Vec<u64> = variants.iter().map(|of| of["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [401_408, 200_704, 100_352]);
    let answer = &plan["answer"];
    assert_eq!(answer["encoding"], "u8", "{said}");
    assert!(number(&answer["attainment"]["low"]) >= 0.99);
    assert!(said.contains("an encoding that was not measured has the measured service times"), "{said}");
    // No cheaper candidate keeps the promise, and each that was simulated costs what it says.
    let cost = pods(answer).0 + pods(answer).1;
    for row in plan["candidates"].as_array().unwrap() {
        assert_eq!(
            row["pods"].as_u64().unwrap(),
            row["pods_a"].as_u64().unwrap() + row["pods_b"].as_u64().unwrap()
        );
        assert!(row["verdict"] != "holds" || row["pods"].as_u64().unwrap() >= cost, "{row}");
    }
    assert!(plan["runner_up"]["headroom"]["factor"]["value"].is_number(), "{said}");
    let text = fs::read_to_string(folder.path().join("p/pipeline.toml")).unwrap();
    let config = toml::from_str::<PipelineConfig>(&text).unwrap().validate().unwrap();
    assert_eq!(
        (config.cut.payload_bytes, config.cut.name.as_str(), config.link.slots),
        (100_352, "layer2", 2)
    );
    assert_eq!((u64::from(config.a.pods_max), u64::from(config.b.pods_max)), pods(answer));
    assert!((config.transfer_s() - 0.025).abs() < 1e-12, "{}", config.transfer_s());
    // Where the bytes make no difference to the pods, what was measured is named.
    let words = "plan c.json --rate 5 --slo 1.5 --slots 8 --encodings f32,u8 --requests 2000 --out q";
    let said = must(folder.path(), words);
    assert!(said.contains("layer2 as f32, as it was measured, keeps it with as many pods"), "{said}");
}

#[test]
fn a_link_that_cannot_is_told_with_what_would_help() {
    let folder = folder(&pipeline());
    let asked = "plan c.json --rate 15 --slo 0.8 --requests 4000 --out p";
    let said = refused(folder.path(), &format!("{asked} --slots 2 --slot-bandwidth 32.11264"), 1);
    for part in [
        "cut layer2 as f32, the link carries 13.33/s at most",
        "--encodings u8 (kept with ",
        "--slots 3 (kept with ",
        "--slot-bandwidth ",
        "a rate of ",
    ] {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    let plan = plan(folder.path(), "p");
    assert!(plan["answer"].is_null() && plan["candidates"].as_array().unwrap().is_empty());
    assert!(!folder.path().join("p/pipeline.toml").exists());
    // What it says would help does, each by itself.
    let said_of = |said: &str, before: &str, behind: &str| -> f64 {
        let (_, rest) = said.split_once(before).unwrap_or_else(|| panic!("{said:?} does not say {before:?}"));
        rest.split(behind).next().unwrap().parse().unwrap()
    };
    let mbit_s = said_of(&said, "--slot-bandwidth ", " ");
    // By the law t + 0.05 s must be below 2 / 15 s, or the queue grows without end.
    assert!(mbit_s > BYTES * 8e-6 / (2.0 / 15.0 - 0.05), "{mbit_s}");
    must(folder.path(), &format!("{asked} --slots 2 --slot-bandwidth {mbit_s}"));
    must(folder.path(), &format!("{asked} --slots 3 --slot-bandwidth 32.11264"));
    must(folder.path(), &format!("{asked} --slots 2 --slot-bandwidth 32.11264 --encodings u8"));
    // And bf16, which it does not say, would not.
    refused(folder.path(), &format!("{asked} --slots 2 --slot-bandwidth 32.11264 --encodings bf16"), 1);
    let rate = said_of(&said, "a rate of ", "/s");
    assert!(rate < 13.33, "{rate}");
    let slower = asked.replace("--rate 15", &format!("--rate {rate}"));
    must(folder.path(), &format!("{slower} --slots 2 --slot-bandwidth 32.11264"));
    // One link of 32 Mbit/s for all slots carries 32.11264 / 3.211264 = 10 a second, however many there are.
    let said = refused(folder.path(), &format!("{asked} --slots 50 --link-bandwidth 32.11264"), 1);
    assert!(said.contains("the link carries 10.00/s at most"), "{said}");
    assert!(!said.contains("--slots "), "more slots on the same link carry no more: {said}");
    let mbit_s = said_of(&said, "--link-bandwidth ", " ");
    assert!(mbit_s > 15.0 * BYTES * 8e-6, "{mbit_s}");
    must(folder.path(), &format!("{asked} --slots 50 --link-bandwidth {mbit_s}"));
    // A promise below what a request takes alone is none.
    let said = refused(folder.path(), &asked.replace("0.8", "0.3"), 1);
    assert!(said.contains("a request that meets nobody takes 0.350 s"), "{said}");
    let slo_s = said_of(&said, "--slo ", " ");
    must(folder.path(), &asked.replace("0.8", &slo_s.to_string()));
    assert!(!said.contains("a rate of"), "alone it takes longer: {said}");
    let said = refused(folder.path(), &format!("{asked} --pods-max 2"), 1);
    assert!(said.contains("takes 4 pods of A and 1 of B, above --pods-max 2"), "{said}");
    let most = said_of(&said, "what would help: --pods-max ", " ");
    must(folder.path(), &format!("{asked} --pods-max {most}"));
}

/// Ten a second, evenly, at constant times: D/D/c, where nobody waits once there are as many pods as are busy.
#[test]
fn a_trace_is_planned_for_as_it_was_recorded() {
    let laws = [constant(0.25), constant(0.05), constant(0.03)];
    let folder = folder(&calibration(laws, (BYTES, Some(0.05 / BYTES)), Some(("layer2", "f32"))));
    let stamps: String = (0..600).map(|i| format!("{}.{}\n", i / 10, i % 10)).collect();
    fs::write(folder.path().join("even.csv"), format!("time_s\n{stamps}")).unwrap();
    let said = must(folder.path(), "plan c.json --trace even.csv --slo 0.34 --slots 4 --out p");
    let plan = plan(folder.path(), "p");
    let answer = &plan["answer"];
    assert_eq!(pods(answer), (3, 1), "{said}");
    // All 600 of each of 20 seeds: Wilson's interval of n hits in n begins at n / (n + 1.96^2).
    let n = 20.0 * 600.0;
    let low = number(&answer["attainment"]["low"]);
    assert!((low - n / (n + 1.959_964f64.powi(2))).abs() < 1e-9, "{answer}");
    assert!((number(&answer["p99_s"]["value"]) / 0.33 - 1.0).abs() < 1.0 / 128.0, "{answer}");
    assert!((number(&answer["busy_a"]["value"]) - 2.5 / 3.0).abs() < 0.01, "{answer}");
    assert!((number(&plan["inputs"]["mean_per_s"]) - 600.0 / 59.9).abs() < 1e-9);
    assert_eq!(plan["inputs"]["load_hash"].as_str().unwrap().len(), 16);
    // 2 pods carry 8 of the 10 a second, and for a minute that is enough where 20 s are allowed: request i is done after
    // 0.25 (floor(i / 2) + 1) + 0.08 s. Of 600 six may miss, so that number 592 is the last even one that counts: f times
    // as dense it comes after 59.2 / f s.
    let said = must(folder.path(), "plan c.json --trace even.csv --slo 20 --slots 4 --out p");
    let answer = &plan_of(&said, folder.path())["answer"];
    assert_eq!(pods(answer), (2, 1), "{said}");
    let factor = number(&answer["headroom"]["factor"]["value"]);
    assert!((factor - 59.2 / (0.25 * 297.0 + 0.08 - 20.0)).abs() < 0.002, "{factor}");
    assert!(said.contains("a queue grows at A's pods where more than 8.00/s come"), "{said}");
    // Without haste nothing breaks it.
    let said = must(folder.path(), "plan c.json --trace even.csv --slo 200 --slots 4 --seeds 4 --out p");
    let room = &plan_of(&said, folder.path())["answer"]["headroom"];
    assert!(room["at_least"] == true && said.contains("headroom   at least +"), "{said}");
    // A burst in it takes more pods than its mean does: 20 at once within 0.9 s.
    let burst: String = (0..20).map(|_| "60.0\n").collect();
    fs::write(folder.path().join("burst.csv"), format!("time_s\n{stamps}{burst}")).unwrap();
    let said = must(folder.path(), "plan c.json --trace burst.csv --slo 0.6 --slots 20 --out p");
    let answer = &plan_of(&said, folder.path())["answer"];
    assert!(pods(answer).0 > 3, "{said}");
    for (file, flag, text) in [
        ("rates.txt", "rates", "0 8\n30 12\n60 8\n"),
        ("counts.csv", "counts", "time,count\n0,80\n10,120\n20,80\n"),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
        let said = must(folder.path(), &format!("plan c.json --{flag} {file} --slo 0.6 --slots 20 --out p"));
        assert!(said.contains(file) && said.contains("on average"), "{said}");
        let answer = &plan_of(&said, folder.path())["answer"];
        assert!(pods(answer).0 >= 3 && number(&answer["attainment"]["low"]) >= 0.99, "{said}");
    }
}

fn plan_of(said: &str, folder: &Path) -> Value {
    assert!(said.trim_end().ends_with('p'), "{said}");
    plan(folder, "p")
}

#[test]
fn the_same_question_has_the_same_bytes_on_any_number_of_threads() {
    let folder = folder(&pipeline());
    let words = "plan c.json --rate 15 --slo 0.9 --slots 3 --encodings f32,u8 --requests 2000 --seeds 6";
    for (threads, out) in [(1, "one"), (3, "three")] {
        must(folder.path(), &format!("{words} --threads {threads} --out {out}"));
    }
    let read = |out: &str, name: &str| fs::read(folder.path().join(out).join(name)).unwrap();
    for name in [
        "plan.json",
        "candidates.csv",
        "pipeline.toml",
        "answer.toml",
        "pareto.svg",
        "pareto.png",
        "pareto.csv",
    ] {
        assert_eq!(read("one", name), read("three", name), "{name}");
    }
    assert!(!folder.path().join("one/candidates.csv.part").exists());
    let svg = String::from_utf8(read("one", "pareto.svg")).unwrap();
    for words in ["layer2 as f32", "layer2 as u8", "the promise", "answer", "runner-up"] {
        assert!(svg.contains(words), "`{words}` is not in the picture");
    }
    // Into the same folder again, and under another seed it is another plan.
    must(folder.path(), &format!("{words} --seed 2 --out one"));
    assert_ne!(read("one", "plan.json"), read("three", "plan.json"));
}

#[test]
fn two_cuts_are_held_against_each_other() {
    let folder = folder(&pipeline());
    let early = calibration(
        [constant(0.05), constant(0.4), constant(0.2)],
        (4.0 * BYTES, Some(0.1 / BYTES)),
        Some(("layer1", "f32")),
    );
    fs::write(folder.path().join("early.json"), early.to_string()).unwrap();
    let said =
        must(folder.path(), "plan c.json early.json --rate 6 --slo 1.5 --slots 8 --requests 2000 --out p");
    let plan = plan(folder.path(), "p");
    let names: Vec<&str> =
        plan["variants"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["layer2", "layer1"]);
    let hosts = &plan["inputs"]["calibrations"];
    assert_eq!((&hosts[1]["cut"], &hosts[1]["file"]), (&json!("layer1"), &json!("early.json")));
    assert!(said.contains("A below") && said.contains("with layer1 as f32"), "{said}");
}

/// Where all requests are in time, Wilson's interval of n of them begins at n / (n + 1.96^2): of 4 seeds of 90 at 0.9894, of
/// 16 at 0.9973.
#[test]
fn so_many_requests_show_so_much() {
    let folder = folder(&pipeline());
    let asked = "plan c.json --rate 5 --slo 9 --slots 8 --requests 100 --seeds 4 --out p";
    let said = refused(folder.path(), &format!("{asked} --target 0.9999"), 1);
    assert!(said.contains("not settled: ") && said.contains("what would help: more --seeds"), "{said}");
    let open = &plan(folder.path(), "p")["candidates"][0];
    let n = 16.0 * 90.0;
    assert_eq!(
        (&open["verdict"], &open["seeds"], &open["attainment"]),
        (&json!("open"), &json!(16), &json!(1.0))
    );
    // The warm-up goes by time, and what comes in it is Poisson: 160 of all on average, give or take four times 12.6.
    let low = number(&open["attainment_low"]);
    let counted = 1.959_964f64.powi(2) * low / (1.0 - low);
    assert!((counted - n).abs() < 51.0, "{counted} of {n}: {open}");
    // Of 0.99 the four cannot tell either, and the sixteen do: the experiment has as many.
    must(folder.path(), asked);
    let answer = &plan(folder.path(), "p")["answer"];
    let text = fs::read_to_string(folder.path().join("p/answer.toml")).unwrap();
    assert!(text.contains("replications = 16"), "{text}");
    must(folder.path(), "simulate p/answer.toml --out again.csv");
    let again = fs::read_to_string(folder.path().join("again.csv")).unwrap();
    assert!(again.contains(answer["fingerprint"].as_str().unwrap()), "{again}");
}

#[test]
fn bad_use_of_plans_is_told() {
    let folder = folder(&pipeline());
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    let laws = || [constant(0.2), constant(0.1), constant(0.05)];
    let mut bare = pipeline();
    bare["laws"] = Value::Null;
    write("bare.json", bare.to_string());
    write("unnamed.json", calibration(laws(), (BYTES, None), None).to_string());
    write("unknown.json", calibration(laws(), (BYTES, None), Some(("layer2", "f32"))).to_string());
    let mut sizeless = pipeline();
    sizeless["laws"]["slot"] = Value::Null;
    write("sizeless.json", sizeless.to_string());
    write("t.csv", "time_s\n0\n1\nx\n".into());
    fs::create_dir(folder.path().join("full")).unwrap();
    write("full/notes.txt", "mine".into());
    let asked = "--rate 5 --slo 1";
    for (words, parts) in [
        (format!("plan bare.json {asked}"), &["bare.json has no laws", "--records"][..]),
        (format!("plan nowhere.json {asked}"), &["could not read nowhere.json"]),
        (format!("plan unnamed.json {asked}"), &["unnamed.json: laws.cut", "layer2=unnamed.json"]),
        (format!("plan layer2=unnamed.json {asked}"), &["laws.encoding", "layer2:f32=unnamed.json"]),
        (format!("plan x:u8=c.json {asked}"), &["c.json was measured as f32, not as u8"]),
        (format!("plan c.json c.json {asked}"), &["both called layer2", "layer2-fast=c.json"]),
        (
            format!("plan unknown.json {asked} --encodings u8"),
            &["unknown.json", "laws.slot.seconds_per_byte", "another encoding", "--slot-bandwidth"],
        ),
        (format!("plan unknown.json {asked} --slot-bandwidth 50"), &["another bandwidth"]),
        (format!("plan sizeless.json {asked}"), &["sizeless.json", "laws.slot is missing"]),
        ("plan c.json --trace t.csv --slo 1".into(), &["t.csv:4", "x"]),
        (format!("plan c.json {asked} --out full"), &["full is not empty", "--out"]),
        (
            format!("plan c.json {asked} --cv 50 --requests 2000"),
            &["--requests 2000", "CV of 50", "--requests 40000"],
        ),
    ] {
        let said = refused(folder.path(), &words, 1);
        for part in parts {
            assert!(said.contains(part), "{words}: {said:?} does not say {part:?}");
        }
    }
    for words in [
        "plan c.json --slo 1",
        "plan c.json --rate 5",
        "plan c.json --rate 5 --trace t.csv --slo 1",
        "plan c.json --rate 0 --slo 1",
        "plan c.json --rate 5 --slo 1 --target 1",
        "plan c.json --rate 5 --slo 1 --seed 9223372036854775808",
        "plan c.json --rate 5 --slo 1 --encodings u4",
        "plan c.json --rate 5 --slo 1 --slot-bandwidth 5 --link-bandwidth 5",
        "plan c.json --trace t.csv --slo 1 --cv 2",
        "plan --rate 5 --slo 1",
    ] {
        refused(folder.path(), words, 2);
    }
    // As measured it can be planned with all the same, under the name that is given.
    let said =
        must(folder.path(), &format!("plan mine:f32=unnamed.json {asked} --requests 500 --seeds 4 --out p"));
    assert!(said.contains("cut mine as f32") && said.contains("8 slots as measured"), "{said}");
}

#[test]
fn an_interrupted_plan_keeps_its_candidates() {
    let folder = folder(&pipeline());
    let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args("plan c.json --rate 15 --slo 1 --slots 3 --requests 40000 --seeds 40 --out p".split(' '))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = folder.path().join("p/candidates.csv.part");
    while fs::read_to_string(&part).unwrap_or_default().lines().count() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it was done before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let rows = fs::read_to_string(&part).unwrap();
    assert!(rows.starts_with("name,encoding,pods_a,pods_b,pods,verdict,") && rows.ends_with('\n'), "{rows}");
    assert!(!folder.path().join("p/plan.json").exists());
    must(folder.path(), "plan c.json --rate 5 --slo 1 --requests 500 --seeds 4 --out p");
    assert!(!part.exists() && folder.path().join("p/plan.json").exists());
}

/// Close to what is carried the seeds differ widely: the mean of their percentiles would lie above a promise that more than the
/// target of all requests are answered within.
#[test]
fn the_share_in_time_and_the_latency_that_it_keeps_agree() {
    let folder = folder(&calibration(
        [exponential(0.2), constant(0.001), constant(0.001)],
        (BYTES, Some(0.001 / BYTES)),
        Some(("layer2", "f32")),
    ));
    let asked = "plan c.json --rate 19 --slots 64 --requests 2000 --pods-max 6 --out p";
    for slo_s in [0.9, 1.2, 1.6, 2.2, 3.0] {
        splitscale(folder.path(), &format!("{asked} --slo {slo_s}"));
        let plan = plan(folder.path(), "p");
        for row in plan["candidates"].as_array().unwrap() {
            let (attained, kept_s) = (number(&row["attainment"]), number(&row["kept_s"]));
            // As far as a bucket of the histogram goes.
            let told = |share: f64, latency_s: f64| match share >= 0.99 {
                true => latency_s <= slo_s * (1.0 + 1.0 / 128.0),
                false => latency_s >= slo_s * (1.0 - 1.0 / 128.0),
            };
            assert!(told(attained, kept_s), "{row}");
            assert!(number(&row["kept_low_s"]) <= kept_s && kept_s <= number(&row["kept_high_s"]), "{row}");
            assert_eq!(row["kept_s"], row["p99_s"], "the target is 99 %");
        }
    }
}
