//! Measurements that are cut off and go on, and the same arrivals through servers and simulator; emulated engines.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{must, refused};
use crate::scaling_faults::get;
use crate::serve::line;

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

/// A calibration of short times.
fn calibration(folder: &Path) {
    let law = |mean_s: f64| format!("{{\"gamma\": {{\"mean_s\": {mean_s}, \"cv\": 0.2}}}}");
    let none = "{\"deterministic\": {\"value_s\": 0.0}}";
    let point = "{\"pods\": 1, \"repeats\": 1, \"mean_s\": 1, \"sd_s\": null, \"fitted_s\": 1, \"low_s\": null, \"high_s\": null}";
    let document = format!(
        "{{\"schema\": 2, \"levels\": [{{\"slots\": 1, \"status\": \"INSUFFICIENT\", \"pods_min\": 1, \"rmse_s\": 0, \
         \"points\": [{point}]}}], \"surface\": null, \"provenance\": {{\"table\": \"\", \"hash\": \"\", \"rows\": 1, \
         \"dropped\": []}}, \"laws\": {{\"service_a\": {}, \"transfer\": {none}, \"service_b\": {}, \"overhead\": {none}, \
         \"fitted_on\": []}}}}",
        law(0.03),
        law(0.02)
    );
    fs::write(folder.join("emulated.json"), document).unwrap();
}

const PLAN: &str = r#"
schema = 1
[accuracy]
mean = 0.05
p99 = 0.09
worst = 0.12
attainment = 0.02
[servers]
model_version = 1
cpu_share = 1.0
slot_mbit_s = 1000.0
pods = 2
[fitting]
slots = [1, 2]
pods = [1, 2]
burst = 8
repeats = 1
[held_out]
requests = 30
slo_times_pilot = 3.0
loads = ["burst:6", "closed:2", "poisson:0.5", "gamma:0.6,2", "trace:0.7"]
places = [{ slots = 3, pods = 2 }]
"#;

#[test]
fn the_same_arrivals_go_through_servers_and_simulator() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    calibration(folder);
    fs::write(folder.join("plan.toml"), PLAN).unwrap();
    let stamps: String = (0..40).map(|i| format!("{}\n", f64::from(i * i) / 7.0)).collect();
    fs::write(folder.join("trace.csv"), format!("timestamp\n{stamps}")).unwrap();
    let words = "fidelity --plan plan.toml --emulated emulated.json --trace trace.csv --out run";
    let said = must(folder, words);
    let report = json(&folder.join("run/fidelity.json"));
    assert_eq!(
        (&report["summary"]["cells"], &report["summary"]["unanswered"]),
        (&5.into(), &0.into()),
        "{said}"
    );
    assert_eq!(report["session"]["pipeline"]["engine"][1], "emulated");
    assert_eq!(report["floor"]["cell"], "poisson-0.5-s3-p2");
    // The simulator knows the laws of an engine that only waits: it is not far off. No claim beyond that is made here.
    let mean = report["summary"]["mean"].as_f64().unwrap();
    assert!(mean < 0.5, "mean error {mean}");
    for cell in report["cells"].as_array().unwrap() {
        let of = &cell["fidelity"];
        let parts: f64 =
            of["parts"].as_array().unwrap().iter().map(|p| p["of_latency"].as_f64().unwrap()).sum();
        assert!((parts - of["latency"]["mean"]["error"].as_f64().unwrap()).abs() < 1e-3, "{cell}");
        assert!((0.0..=1.05).contains(&cell["utilisation"].as_f64().unwrap()), "{cell}");
    }
    // What was asked of it stands there, with what was found.
    assert!(said.contains("| error of the mean latency |") && said.contains("| 5.0 % |"), "{said}");
    assert_eq!(lines(&folder.join("run/arrivals/trace-0.7-s3-p2.csv")), 31);
    assert_eq!(lines(&folder.join("run/latency.csv")), 1 + 5 * 99);

    // A cell that was lost is measured again, and that one pilot.
    fs::remove_file(folder.join("run/cells/closed-2-s3-p2.csv")).unwrap();
    let again = must(folder, &format!("{words} --resume"));
    assert_eq!(again.matches("answered\n").count(), 1, "{again}");
    assert_eq!(lines(&folder.join("run/cells/closed-2-s3-p2.csv")), 31);
    let twice = ["", "-again"]
        .map(|again| fs::read(folder.join(format!("run/arrivals/poisson-0.5-s3-p2{again}.csv"))).unwrap());
    assert_eq!(twice[0], twice[1], "the floor is of the same arrivals");
    // All is there: it is told once more, without servers, and the same.
    let report = fs::read_to_string(folder.join("run/fidelity.csv")).unwrap();
    must(folder, &format!("{words} --resume"));
    assert_eq!(fs::read_to_string(folder.join("run/fidelity.csv")).unwrap(), report);
    let other = refused(folder, &format!("{words} --resume --seed 2"), 1);
    assert!(other.contains("run/session.json was begun with another seed"), "{other}");
    fs::write(folder.join("trace.csv"), format!("timestamp\n{stamps}900\n")).unwrap();
    let other = refused(folder, &format!("{words} --resume"), 1);
    assert!(other.contains("was begun with another trace"), "{other}");
    let short = refused(folder, &format!("{} --requests 60", words.replace("--out run", "--out short")), 1);
    assert!(short.contains("trace.csv has 41 arrivals, and a cell takes 60"), "{short}");
    let full = refused(folder, words, 1);
    assert!(full.contains("run is not empty"), "{full}");
    let drawn = must(folder, "figures run");
    assert!(drawn.contains("fidelity.svg") && drawn.contains("latency.png"), "{drawn}");
}

#[test]
fn a_plan_that_cannot_be_is_told_by_its_field() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for (what, with, expected) in [
        ("slots = 3, pods = 2", "slots = 2, pods = 2", "2 slots and 2 pods are fitted on"),
        ("pods = 2\n", "pods = 1\n", "servers.pods: 1 where 2 are measured"),
        ("closed:2", "closed:none", "write burst:N"),
        ("cpu_share = 1.0", "cpu_share = 1.0\nrated_cpu_s = [0.1, 0.0]", "servers.rated_cpu_s: 0 is not"),
        ("mean = 0.05", "mean = 0", "accuracy.mean: 0 is not"),
        ("burst = 8", "bursts = 8", "plan.toml"),
        ("schema = 1", "schema = 7", "this plan has schema 7"),
        ("requests = 30", "requests = 1", "held_out.requests: 1; it takes at least 2"),
        ("\"closed:2\"", "\"poisson:0.50\"", "poisson-0.5-s3-p2 is there twice"),
    ] {
        fs::write(folder.join("plan.toml"), PLAN.replacen(what, with, 1)).unwrap();
        let said = refused(folder, "fidelity --plan plan.toml --out run", 1);
        assert!(said.contains(expected), "{with}: {said}");
    }
    let said = refused(folder, "fidelity --a http://127.0.0.1:1", 2);
    assert!(said.contains("--proxy"), "{said}");
}

#[test]
fn a_measurement_that_was_cut_off_goes_on() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let stages = "--service-time 0.01 --model-version 1 --pods 1 --pods-max 2";
    let [b, proxy, a] = line(folder, stages, "--threads 3", "");
    let standing = || [(&a, "/pods"), (&proxy, "/slots"), (&b, "/pods")].map(|(of, path)| get(&of.url, path));
    let there = |state: &str| serde_json::from_str::<Value>(state).unwrap();
    let is_as_before = || {
        let [a, proxy, b] = standing();
        assert_eq!((&there(&a)["desired"], &there(&b)["desired"]), (&1.into(), &1.into()));
        assert_eq!(there(&proxy)["slots"], 3);
    };
    let swapped = format!("--a {} --proxy {} --b {}", b.url, proxy.url, a.url);
    let said = refused(folder, &format!("collect {swapped} --slots 1 --pods 2 --burst 2 --out swapped"), 1);
    assert!(said.contains("stage B answers at the address of stage A; are --a and --b swapped?"), "{said}");
    is_as_before();
    let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    let words = format!("collect {servers} --slots 1,2 --pods 1,2 --burst 5 --repeats 2 --out run");
    must(folder, &format!("{words} --starts 2"));
    is_as_before();
    let (records, table) = (folder.join("run/records.csv"), folder.join("run/table.csv"));
    assert_eq!((lines(&records), lines(&table)), (1 + 8 * 5, 1 + 8));
    assert_eq!(lines(&folder.join("run/starts.csv")), 1 + 2 * 4);
    // Cut in the middle of a line of the fourth burst.
    let whole = fs::read_to_string(&records).unwrap();
    let end = whole.lines().take(1 + 17).map(|line| line.len() + 1).sum::<usize>();
    fs::write(&records, &whole[..end + 20]).unwrap();
    let said = must(folder, &format!("{words} --resume"));
    assert!(said.contains("3 bursts are there already; 2 rows of what was cut off"), "{said}");
    assert_eq!((lines(&records), lines(&table)), (1 + 8 * 5, 1 + 8));
    let again = fs::read_to_string(&records).unwrap();
    let kept = whole.lines().take(16).map(|line| line.len() + 1).sum::<usize>();
    assert_eq!(again[..kept], whole[..kept], "what was measured stays");
    // The last burst met nobody: it is measured again.
    let unanswered: Vec<String> = again
        .lines()
        .enumerate()
        .map(|(at, line)| if at > 7 * 5 { line.replace("answered", "failed") } else { line.to_owned() })
        .collect();
    fs::write(&records, unanswered.join("\n") + "\n").unwrap();
    let said = must(folder, &format!("{words} --resume"));
    assert!(said.contains("7 bursts are there already; 5 rows of what"), "{said}");
    assert_eq!((lines(&records), lines(&table)), (1 + 8 * 5, 1 + 8));
    // Nothing is left to do.
    let said = must(folder, &format!("{words} --resume"));
    assert!(said.contains("8 bursts are there already"), "{said}");
    let said = refused(folder, &format!("{} --resume", words.replace("--burst 5", "--burst 6")), 1);
    assert!(said.contains("burst: the measurement was begun with 5, and is to go on with 6"), "{said}");
    let said = refused(folder, &format!("{} --resume", words.replace("--out run", "--out none")), 1);
    assert!(said.contains("leave --resume away to begin"), "{said}");

    let said = must(folder, "calibrate run");
    assert!(said.contains("start_up_a") && said.contains("drain_b"), "{said}");
    let provenance = &json(&folder.join("calibration.json"))["provenance"];
    assert_eq!(provenance["engine"], "emulated");
    assert!(provenance["host"].as_str().unwrap().contains("cores") && provenance["date"].is_string());
}
