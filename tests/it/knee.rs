//! The useful-replica cap beside the simulator's knee, as it is typed.

use std::fs;

use tempfile::TempDir;

use crate::cli::{interrupt, must, refused, splitscale};

const FEW: &str = "knee --slots 1,6 --bandwidth 20,500 --answers 2000 --replications 2";

#[test]
fn told_to_stop_it_keeps_what_is_done() {
    let folder = TempDir::new().unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args("knee --answers 50000 --threads 1 --out knee.csv".split(' '))
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It is at its first cell once it has used so much time of the processor; all cells together take many minutes.
    let used_ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    while used_ticks() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    interrupt(&child);
    let (mut said, mut table) = (String::new(), String::new());
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut table).unwrap();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("of 240 cells were worked out; they stand above, and in knee.csv"), "{said}");
    let kept = fs::read_to_string(folder.path().join("knee.csv")).unwrap();
    let rows = kept.lines().count() - 1;
    assert!((1..240).contains(&rows), "{kept}");
    assert!(
        said.contains(&format!("{rows} of 240")) && table.contains(&format!("of {rows} cells")),
        "{said} {table}"
    );
}

#[test]
fn the_closed_form_is_within_one_pod_of_the_simulated_knee_and_the_bytes_do_not_depend_on_threads() {
    let folder = TempDir::new().unwrap();
    let one = must(folder.path(), &format!("{FEW} --threads 1 --out one.csv"));
    assert_eq!(one, must(folder.path(), &format!("{FEW} --threads 3 --out three.csv")));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("one.csv"), read("three.csv"));
    assert!(one.contains("constant: 12 of 12 cells within 1 pod, worst difference a 0, b 0"), "{one}");
    assert!(one.contains("lognormal: 12 of 12 cells within 1 pod"), "{one}");

    let table = read("one.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let columns = rows.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let (differences, cut, slots, law_a) =
        ([at("difference_a"), at("difference_b")], at("cut"), at("slots"), at("law_a"));
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2 * 3 * 2 * 2);
    for row in &rows {
        assert!(differences.iter().all(|&at| row[at].parse::<i64>().unwrap().abs() <= 1), "{row:?}");
    }
    // 1 / (0.321 + 0.005 + 0.17) = 2.015 a second keep 1.43 pods of A at work.
    let of = |row: &&csv::StringRecord| &row[cut] == "layer3" && &row[slots] == "1";
    assert_eq!(&rows.iter().find(of).unwrap()[law_a], "2");
}

#[test]
fn a_calibration_brings_its_own_laws() {
    let folder = TempDir::new().unwrap();
    let law = |mean_s: f64| format!(r#"{{"lognormal": {{"mean_s": {mean_s}, "cv": 0.2}}}}"#);
    let constant = r#"{"deterministic": {"value_s": 0.1}}"#;
    let calibration = |slot: &str| {
        let point = r#"{"pods": 1, "repeats": 1, "mean_s": 1, "sd_s": null, "fitted_s": 1, "low_s": null, "high_s": null}"#;
        let level = format!(
            r#"{{"slots": 1, "status": "FLAT", "pods_min": 1, "a": null, "b": null, "c": null, "b_low": null,
                "b_high": null, "p_flat": null, "p_lack": null, "rmse_s": 0, "points": [{point}]}}"#
        );
        let laws = format!(
            r#"{{"service_a": {}, "transfer": {constant}, "service_b": {}, "overhead": {constant}, "cores_a": null,
                "cores_b": null, "slot": {slot}, "start_up_a": null, "start_up_b": null, "fitted_on": []}}"#,
            law(0.2),
            law(0.1)
        );
        format!(
            r#"{{"schema": 2, "levels": [{level}], "surface": null, "laws": {laws}, "provenance": {{"table": "",
                "hash": "", "rows": 0, "dropped": [], "host": null, "engine": null, "date": null}}}}"#
        )
    };
    let slot = r#"{"bytes": 125000, "seconds_per_byte": null, "fixed_s": 0.1, "shared": false, "held_until_answer": false}"#;
    fs::write(folder.path().join("c.json"), calibration(slot)).unwrap();
    let said = must(
        folder.path(),
        "knee --calibration c.json --slots 1,4 --bandwidth 10 --answers 2000 --replications 2",
    );
    // A slot is held 0.1 + 0.1 s and free then: 5 a second need 1 pod of A, 20 need 4, and 2 of B.
    let row = |service: &str, slots: &str| {
        let of = |line: &&str| line.starts_with(service) && line.split_whitespace().nth(3) == Some(slots);
        let line = said.lines().find(of).unwrap_or_else(|| panic!("{said}"));
        line.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (row("constant", "1"), row("measured", "4")),
        (vec!["1".into(), "1".into()], vec!["4".into(), "2".into()])
    );

    fs::write(folder.path().join("c.json"), calibration("null")).unwrap();
    let said = refused(folder.path(), "knee --calibration c.json", 1);
    assert!(said.contains("c.json cannot be used") && said.contains("laws.slot"), "{said}");
    refused(folder.path(), "knee --calibration c.json --shared", 2);
    let said = refused(folder.path(), "knee --service measured", 1);
    assert!(said.contains("--calibration"), "{said}");
    assert_eq!(splitscale(folder.path(), "knee --gain 0").status.code(), Some(2));
}
