//! The binary as it is typed: documents in, documents out, and what bad input is told.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the binary in a folder.
fn splitscale(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_remove("MODEL_VERSION")
        .env_remove("GPU_TYPE")
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs what must fail with this exit code, and gives what it said.
fn refused(folder: &Path, words: &str, code: i32) -> String {
    let output = splitscale(folder, words);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn must(folder: &Path, words: &str) -> String {
    let output = splitscale(folder, words);
    assert!(output.status.success(), "{words}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A noiseless table: flat at one slot, falling at four.
fn table(folder: &Path) {
    let mut rows = String::from("bandwidth,pods,rep,y\n");
    for pods in 2..=8u32 {
        for rep in 0..2u32 {
            let noise = 1.0 + 0.002 * f64::from(rep) * if pods % 2 == 0 { 1.0 } else { -1.0 };
            let falling = 3.0 * (-0.9 * f64::from(pods - 2)).exp() + 2.0;
            rows += &format!("1,{pods},{rep},{}\n4,{pods},{rep},{}\n", 8.0 * noise, falling * noise);
        }
    }
    fs::write(folder.join("table.csv"), rows).unwrap();
}

#[test]
fn a_table_becomes_a_policy_and_the_same_bytes_twice() {
    let folder = TempDir::new().unwrap();
    table(folder.path());
    let said = must(folder.path(), "calibrate table.csv --fit fit.csv");
    assert!(said.contains("FLAT") && said.contains("EXP"), "{said}");
    let said = must(folder.path(), "train calibration.json --curve learning.csv");
    assert!(said.contains("regret 0.0000 %"), "{said}");
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let policy = read("policy.json");
    must(folder.path(), "train calibration.json --out again.json");
    assert_eq!(policy, read("again.json"));
    let policy: serde_json::Value = serde_json::from_slice(&policy).unwrap();
    assert_eq!(policy["kind"]["slots_table"][0]["pods"]["a"], 2, "pods are useless at one slot");
    let lines = text(&read("learning.csv"));
    assert!(lines.starts_with("episode,mean_return,regret,optimum_return\n"), "{lines}");
}

#[test]
fn flags_win_over_the_file_and_unknown_keys_are_refused() {
    let folder = TempDir::new().unwrap();
    table(folder.path());
    must(folder.path(), "calibrate table.csv");
    fs::write(folder.path().join("train.toml"), "seed = 3\n[q_learning]\nepisodes = 500\n").unwrap();
    let said = must(folder.path(), "train calibration.json --config train.toml --seed 4");
    assert!(said.contains("500 episodes, seed 4"), "{said}");
    fs::write(folder.path().join("train.toml"), "[q_learning]\nepisode = 500\n").unwrap();
    let said = refused(folder.path(), "train calibration.json --config train.toml", 1);
    assert!(said.contains("train.toml") && said.contains("episode"), "{said}");
}

#[test]
fn bad_tables_are_told_by_file_line_and_field() {
    let folder = TempDir::new().unwrap();
    let write = |text: &str| fs::write(folder.path().join("t.csv"), text).unwrap();
    write("pods,y\n2,4.0\n3,nan\n4,3.0\n");
    let said = refused(folder.path(), "calibrate t.csv", 1);
    assert!(said.contains("t.csv:3") && said.contains('y'), "{said}");
    assert!(!folder.path().join("calibration.json").exists());
    let said = must(folder.path(), "calibrate t.csv --skip-bad-rows");
    assert!(said.contains("INSUFFICIENT"), "two pod counts are left: {said}");
    write("pods,seconds\n2,4.0\n");
    let said = refused(folder.path(), "calibrate t.csv", 1);
    assert!(said.contains("t.csv") && said.contains("seconds"), "{said}");
    let said = refused(folder.path(), "calibrate nowhere.csv", 1);
    assert!(said.contains("nowhere.csv"), "{said}");
}

#[test]
fn documents_of_another_schema_or_without_laws_are_told_so() {
    let folder = TempDir::new().unwrap();
    table(folder.path());
    must(folder.path(), "calibrate table.csv");
    let said = refused(folder.path(), "simulate calibration.json", 1);
    assert!(said.contains("no laws") && said.contains("--records"), "{said}");
    let path = folder.path().join("calibration.json");
    let other = fs::read_to_string(&path).unwrap().replacen("\"schema\": 1", "\"schema\": 7", 1);
    fs::write(&path, other).unwrap();
    let said = refused(folder.path(), "train calibration.json", 1);
    assert!(said.contains("calibration.json") && said.contains("schema 7"), "{said}");
}

#[test]
fn wrong_words_are_wrong_use() {
    let folder = TempDir::new().unwrap();
    for words in [
        "",
        "nonsense",
        "collect --slots 0",
        "collect --pods 0",
        "serve proxy --threads 0",
        "serve proxy --slot-bandwidth -1",
        "serve b --cpu-share 1.5",
        "serve b --model-version 4",
        "train",
    ] {
        refused(folder.path(), words, 2);
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = refused(folder.path(), &format!("serve proxy --port {port}"), 1);
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("--port"), "{said}");
}

#[test]
fn images_that_are_none_and_folders_that_are_full_stop_a_measurement_before_it_begins() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    let said = refused(folder.path(), "collect --images pictures", 1);
    assert!(said.contains("pictures"), "{said}");
    fs::write(folder.path().join("pictures/not.jpg"), "no image").unwrap();
    let said = refused(folder.path(), "collect --images pictures", 1);
    assert!(said.contains("not.jpg"), "{said}");
    let said = refused(folder.path(), "collect --out pictures", 1);
    assert!(said.contains("not empty"), "{said}");
    assert!(folder.path().join("pictures/not.jpg").exists());
}

#[cfg(not(feature = "torch"))]
#[test]
fn without_libtorch_a_stage_names_the_command_that_sets_it_up() {
    let folder = TempDir::new().unwrap();
    let said = refused(folder.path(), "serve b --port 0", 1);
    assert!(said.contains("cargo xtask setup"), "{said}");
}

#[cfg(feature = "torch")]
#[test]
fn a_missing_weights_file_is_named() {
    let folder = TempDir::new().unwrap();
    let said = refused(folder.path(), "serve b --port 0 --weights nowhere.safetensors", 1);
    assert!(said.contains("nowhere.safetensors"), "{said}");
}
