//! The binary as it is typed: documents in, documents out, and what bad input is told.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Runs the binary in a folder.
pub(crate) fn splitscale(folder: &Path, words: &str) -> Output {
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
pub(crate) fn refused(folder: &Path, words: &str, code: i32) -> String {
    let output = splitscale(folder, words);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

pub(crate) fn must(folder: &Path, words: &str) -> String {
    let output = splitscale(folder, words);
    assert!(output.status.success(), "{words}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A noiseless table: flat at one slot, falling at four.
pub(crate) fn table(folder: &Path) {
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
    let said = must(folder.path(), "train calibration.json --out one");
    assert!(said.contains("regret 0.0000 %, mean 0.0000 %; none at 1 of 1 seeds"), "{said}");
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let policy = read("one/policy.json");
    must(folder.path(), "train calibration.json --out two");
    for name in ["policy.json", "learning.csv", "seeds.csv", "training.json", "checkpoints/seed-1.json"] {
        assert_eq!(read(&format!("one/{name}")), read(&format!("two/{name}")), "{name}");
    }
    let policy: serde_json::Value = serde_json::from_slice(&policy).unwrap();
    assert_eq!(policy["kind"]["slots_table"][0]["pods"]["a"], 2, "pods are useless at one slot");
    let lines = text(&read("one/learning.csv"));
    assert!(lines.starts_with("episode,seeds,mean_return,return_low,return_high,regret,"), "{lines}");
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
    let other = fs::read_to_string(&path).unwrap().replacen("\"schema\": 2", "\"schema\": 7", 1);
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
        "serve proxy --threads 2000",
        "serve proxy --grace nan",
        "serve proxy --rtt 1e300",
        "serve proxy --b-timeout 0",
        "serve proxy --slot-bandwidth 1e-300",
        "scale --policy p --pipeline q --interval 1e-12",
        "scale --policy p --pipeline q --duration 1e300",
        "train",
        "train t.toml --seeds 0",
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

const BURSTS: &str = "inference_time_a,inference_time_b,total_time,end_time,NUM_POD_A,NUM_POD_B,BANDWIDTH\n";

#[test]
fn measured_rows_become_laws_a_simulation_and_pictures() {
    let folder = TempDir::new().unwrap();
    let (mut table, mut records) = (String::new(), String::new());
    for (run, (slots, pods)) in [(1, 2), (1, 4), (2, 2), (2, 4)].into_iter().enumerate() {
        // Constant times, and all of a burst done together: a makespan that is easy to believe.
        let makespan = 6.0 / f64::from(pods.min(2 * slots));
        table += &format!("0.5,0.2,{makespan},{makespan},{pods},{pods},{slots}\n");
        for request in 0..6 {
            let (done, waited) = ((makespan * 1e9) as u64, makespan - 0.9);
            records += &format!(
                "{run},{request},0,0,{done},answered,layer3,f32,802816,{slots},50,{pods},{pods},0,0,\
                 0,0.1,0.4,0,0,{waited},0.13,0,0.01,0.19,0,0.07\n"
            );
        }
    }
    fs::write(folder.path().join("table.csv"), format!("{BURSTS}{table}")).unwrap();
    let header = "run_id,request_id,scheduled_ns,sent_ns,done_ns,status,cut,encoding,bytes,slots,bandwidth_mbit_s,\
                  pods_a,pods_b,pod_a,pod_b,queue_a_s,decode_s,forward_a_s,encode_s,rest_a_s,queue_proxy_s,\
                  transfer_s,queue_b_s,decode_b_s,forward_b_s,rest_b_s,back_s\n";
    fs::write(folder.path().join("records.csv"), format!("{header}{records}")).unwrap();

    // The folder has it all, and the records alone too.
    let said = must(folder.path(), "calibrate . --fit fit.csv --laws laws.csv");
    for words in
        ["service_a  mean 0.5000 s", "transfer  mean 0.1300 s", "service_b  mean 0.2000 s", "50.0 Mbit/s"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let alone = must(folder.path(), "calibrate records.csv --out alone.json");
    assert_eq!(alone, said);
    let other = table.replace("6,6", "7,7").replace("3,3,", "7,7,");
    fs::write(folder.path().join("other.csv"), format!("{BURSTS}{other}")).unwrap();
    let said = refused(folder.path(), "calibrate other.csv --records records.csv", 1);
    assert!(said.contains("other.csv: 7 s at") && said.contains("records.csv has 3 s"), "{said}");
    let said = must(folder.path(), "simulate calibration.json --table table.csv --out cells.csv");
    assert!(said.contains("corner: fitted on"), "{said}");
    let cells = fs::read_to_string(folder.path().join("cells.csv")).unwrap();
    assert!(cells.contains("1,2,") && cells.lines().count() == 5, "{cells}");
    must(folder.path(), "simulate calibration.json --table table.csv --out again.csv");
    assert_eq!(cells, fs::read_to_string(folder.path().join("again.csv")).unwrap());
    let said = refused(folder.path(), "simulate calibration.json --table table.csv --burst 7", 1);
    assert!(said.contains("bursts of 6"), "{said}");
    let said = must(folder.path(), "figures .");
    for name in ["fit", "comparison", "laws"] {
        assert!(said.contains(&format!("{name}.svg")), "{said}");
        assert!(folder.path().join(format!("figures/{name}.png")).exists());
    }
}

#[test]
fn a_policy_of_another_schema_does_not_scale() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("policy.json"), "{\"schema\": 9}").unwrap();
    fs::write(folder.path().join("pipeline.toml"), "schema = 1").unwrap();
    let said = refused(folder.path(), "scale --policy policy.json --pipeline pipeline.toml --duration 1", 1);
    assert!(said.contains("policy.json") && said.contains("schema 9"), "{said}");
}

/// The binary under way, with its first line of standard output.
fn started(folder: &Path, words: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

pub(crate) fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_server_ends_with_its_standard_input_or_with_ctrl_c() {
    let folder = TempDir::new().unwrap();
    let (mut child, line) = started(folder.path(), "serve proxy --port 0 --exit-with-stdin");
    assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (mut child, _) = started(folder.path(), "serve proxy --port 0");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn who_no_longer_reads_ends_the_program_and_a_full_disk_is_told() {
    let folder = TempDir::new().unwrap();
    table(folder.path());
    let calibrate = |out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_splitscale"));
        command.args(["calibrate", "table.csv"]).current_dir(folder.path()).stdout(out);
        command.output().unwrap()
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = calibrate(writer.into());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(141), ""));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = calibrate(full.into());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: could not write to standard output: No space left"), "{said}");
}

#[test]
fn an_error_that_nobody_hears_is_one_all_the_same() {
    let (reads, writes) = std::io::pipe().unwrap();
    drop(reads);
    let ended = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(["calibrate", "there-is-no-such-file"])
        .stderr(writes)
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(1));
}

#[test]
fn an_interrupted_measurement_says_so_by_its_exit_code() {
    let folder = TempDir::new().unwrap();
    // Port 9 answers nobody: the measurement waits for the pipeline until it is interrupted.
    let words = "collect --a http://127.0.0.1:9 --proxy http://127.0.0.1:9 --b http://127.0.0.1:9 --out o";
    let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The folder is made just before it begins to listen for signals.
    while !folder.path().join("o").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// An experiment of a burst through the pipeline, times by `law`.
fn experiment(folder: &Path, law: &str, more: &str) {
    let service = format!("{{ {law} }}");
    let text = format!(
        "schema = 1\nname = \"burst\"\ntitle = \"ten at once\"\nseed = 1\nreplications = 20\n[setup]\n\
         a = {{ pods = 2, service = {service} }}\n\
         link = {{ slots = 3, transfer = {{ law = {service} }} }}\n\
         b = {{ pods = 2, service = {service} }}\n\
         arrivals = {{ burst = 10 }}\n{more}"
    );
    fs::write(folder.join("burst.toml"), text).unwrap();
}

#[test]
fn verify_tells_right_from_wrong() {
    let folder = TempDir::new().unwrap();
    let rows = |said: &str| serde_json::from_str::<Vec<serde_json::Value>>(said).unwrap();
    experiment(folder.path(), "deterministic = { value_s = 0.1 }", "");
    let all = rows(&must(folder.path(), "verify burst.toml --json"));
    assert_eq!(all.len(), 2, "{all:?}");
    for row in &all {
        assert_eq!((row["z"].as_f64(), row["half_width"].as_f64()), (Some(0.0), Some(0.0)), "{row}");
        assert!((row["exact"].as_f64().unwrap() - row["simulated"].as_f64().unwrap()).abs() < 1e-12, "{row}");
        assert_eq!(row["verdict"], "agrees");
    }
    assert!(all[0]["name"].as_str().unwrap().contains("makespan"), "{all:?}");
    let table = must(folder.path(), "verify burst.toml");
    assert!(table.contains("2 simulated values agree"), "{table}");

    // Twenty bursts say little: the rows are there all the same, the exit code is 1.
    experiment(folder.path(), "exponential = { mean_s = 0.1 }", "");
    let few = splitscale(folder.path(), "verify burst.toml --json --threads 1");
    assert_eq!(few.status.code(), Some(1));
    assert!(rows(&text(&few.stdout)).iter().all(|row| row["verdict"] == "too_wide"), "{}", text(&few.stdout));
    assert!(text(&few.stderr).contains("too wide to tell"), "{}", text(&few.stderr));
    assert_eq!(few.stdout, splitscale(folder.path(), "verify burst.toml --json --threads 3").stdout);
}

#[test]
fn verify_names_what_stands_in_the_way() {
    let folder = TempDir::new().unwrap();
    experiment(folder.path(), "lognormal = { mean_s = 0.1, cv = 0.5 }", "warm_up_s = 1.0\n");
    let said = refused(folder.path(), "verify burst.toml", 1);
    assert!(said.contains("burst.toml") && said.contains("warm_up_s"), "{said}");
    experiment(
        folder.path(),
        "lognormal = { mean_s = 0.1, cv = 0.5 }",
        "overhead = { exponential = { mean_s = 1 } }",
    );
    let said = refused(folder.path(), "verify burst.toml", 1);
    assert!(said.contains("no exact answer") && said.contains("overhead"), "{said}");
    experiment(folder.path(), "exponential = { mean_s = 0.1 }", "slots = 3\n");
    let said = refused(folder.path(), "verify burst.toml", 1);
    assert!(said.contains("burst.toml") && said.contains("slots"), "{said}");
    fs::write(folder.path().join("broken.toml"), "schema = 1\nname = \n").unwrap();
    let said = refused(folder.path(), "verify broken.toml", 1);
    assert!(said.contains("broken.toml:2"), "{said}");
    refused(folder.path(), "verify", 2);
}
