//! What a scaler makes sure of before it begins, and what it leaves where it writes; emulated engines.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{interrupt, must, refused, splitscale};
use crate::decisions::{PIPELINE, constant, lines, write};
use crate::serve::{Server, line};

/// Documents of a pipeline of one to four pods, and servers of stages that are started so.
fn pipeline(stages: &str) -> (TempDir, [Server; 3]) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("pipeline.toml"), PIPELINE).unwrap();
    write(folder.path(), "policy.json", &constant("two", 2, 2));
    let servers = line(folder.path(), &format!("--service-time 0.01 --model-version 1 {stages}"), "", "");
    (folder, servers)
}

fn urls([b, proxy, a]: &[Server; 3]) -> String {
    format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url)
}

fn scale(flags: &str) -> String {
    format!("scale --policy policy.json --pipeline pipeline.toml --interval 0.05 --window 1 {flags}")
}

/// A scaler under way, once it has decided.
fn running(folder: &Path, words: &str) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let (child, begun) = (child.unwrap(), Instant::now());
    let decided =
        || fs::read_to_string(folder.join("decisions.jsonl")).unwrap_or_default().lines().count() > 2;
    while !decided() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never decides");
        thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn one_scaler_at_a_time_writes_a_file() {
    let (folder, servers) = pipeline("--pods 2");
    let at = folder.path();
    let words = scale(&urls(&servers));
    let mut first = running(at, &words);
    let said = refused(at, &format!("{words} --resume"), 1);
    assert!(said.contains("another scaler writes decisions.jsonl") && said.contains("--out"), "{said}");
    first.kill().unwrap();
    first.wait().unwrap();
    // However it ended, nobody writes it now.
    must(at, &format!("{words} --resume --duration 0.5"));
    let ids: Vec<u64> =
        lines(&at.join("decisions.jsonl")).iter().filter_map(|line| line["id"].as_u64()).collect();
    assert!(ids.iter().zip(1..).all(|(id, number)| *id == number), "one after the other: {ids:?}");
    must(at, "replay decisions.jsonl");
}

#[test]
fn a_start_that_failed_stands_in_the_way_of_no_other() {
    let (folder, servers) = pipeline("--pods 2");
    let at = folder.path();
    fs::write(at.join("timeline.csv"), "mine\n").unwrap();
    let words = scale(&format!("{} --duration 0.5", urls(&servers)));
    let said = refused(at, &format!("{words} --timeline timeline.csv"), 1);
    assert!(said.contains("could not start timeline.csv"), "{said}");
    assert!(!at.join("decisions.jsonl").exists());
    assert_eq!(fs::read_to_string(at.join("timeline.csv")).unwrap(), "mine\n");
    must(at, &format!("{words} --timeline other.csv"));
    assert!(at.join("decisions.jsonl").exists());
}

#[test]
fn addresses_that_are_swapped_are_told_by_who_answers() {
    let (folder, [b, proxy, a]) = pipeline("--pods 2");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", other.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in other.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    for (urls, words) in [
        (
            [&b.url, &proxy.url, &a.url],
            format!("--a {}: stage B answers there, not stage A; is its address that of --b?", b.url),
        ),
        (
            [&proxy.url, &a.url, &b.url],
            format!(
                "--a {}: the proxy answers there, not stage A; is its address that of --proxy?",
                proxy.url
            ),
        ),
        ([&a.url, &b.url, &b.url], format!("--proxy {}: stage B answers there, not the proxy", b.url)),
        (
            [&a.url, &proxy.url, &elsewhere],
            format!("--b {elsewhere}: no metrics of stage B are there: status 404"),
        ),
    ] {
        let [a, proxy, b] = urls;
        let said = refused(folder.path(), &scale(&format!("--a {a} --proxy {proxy} --b {b}")), 1);
        assert!(said.contains(&words), "{said:?} does not say {words:?}");
        assert!(!folder.path().join("decisions.jsonl").exists());
    }
}

#[test]
fn a_scaler_goes_on_when_nobody_reads_what_it_says() {
    let (folder, [b, proxy, a]) = pipeline("--pods 1 --pods-max 4");
    let at = folder.path();
    fs::write(at.join("pipeline.toml"), PIPELINE.replace("layer3", "layer1")).unwrap();
    fs::write(at.join("decisions.jsonl.1"), "of an earlier run\n").unwrap();
    let (reads, writes) = std::io::pipe().unwrap();
    drop(reads);
    // An address may end with a slash.
    let words =
        scale(&format!("--a {}/ --proxy {}/ --b {}/ --mode auto --duration 6", a.url, proxy.url, b.url));
    let output = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(at)
        .stdout(writes)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(lines(&at.join("decisions.jsonl")).iter().any(|line| line["end"] == "done"), "it scales");
    assert!(said.contains("the servers cut at layer3, and pipeline.toml says layer1 (cut.name)"), "{said}");
    assert!(said.contains("decisions.jsonl.1 is of an earlier run"), "{said}");
}

#[test]
fn whoever_changes_the_pods_beside_a_scaler_is_told_of() {
    let (folder, servers) = pipeline("--pods 1 --pods-max 4");
    let at = folder.path();
    write(at, "three.json", &constant("three", 3, 3));
    let words = scale(&format!("{} --mode auto", urls(&servers)));
    let first = Command::new(env!("CARGO_BIN_EXE_splitscale"))
        .args(words.split_whitespace())
        .current_dir(at)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let done = || fs::read_to_string(at.join("decisions.jsonl")).unwrap_or_default().contains("\"done\"");
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never scales");
        thread::sleep(Duration::from_millis(20));
    }
    must(at, &format!("{} --out other.jsonl --duration 6", words.replace("policy.json", "three.json")));
    interrupt(&first);
    let output = first.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(
            "somebody else changes the pods, or a stage was started anew: this scaler left a 2 and b 2"
        ),
        "{said}"
    );
}

#[test]
fn an_emergency_asks_no_stage_for_more_than_it_takes() {
    let (folder, servers) = pipeline("--pods 1 --pods-max 2");
    let at = folder.path();
    let output = splitscale(at, &scale(&format!("{} --mode emergency --duration 2", urls(&servers))));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let warned = "takes 2 pods at most, and may have 4: it is asked for 2, whatever is wanted; start it with --pods-max 4 or more";
    assert!(said.matches(warned).count() == 2, "{said}");
    let logged = lines(&at.join("decisions.jsonl"));
    assert!(logged.iter().any(|line| line["end"] == "done"), "it is carried out");
    let last = logged.iter().rfind(|line| line["id"].is_u64()).unwrap();
    assert_eq!(
        (&last["from"], &last["limits"][0]["by"]),
        (&json!({"a": 2, "b": 2}), &json!("server")),
        "{last}"
    );
    must(at, "replay decisions.jsonl");

    // Fewer than it has to have at least is no pipeline.
    fs::write(at.join("pipeline.toml"), PIPELINE.replace("pods_min = 1", "pods_min = 3")).unwrap();
    let said = refused(at, &scale(&format!("{} --out other.jsonl", urls(&servers))), 1);
    assert!(
        said.contains("takes 2 pods at most, and is to have 3 at least") && said.contains("--pods-max 3"),
        "{said}"
    );
    assert!(!at.join("other.jsonl").exists());
}

#[test]
fn a_full_file_makes_room_for_the_next_and_each_is_replayed_by_itself() {
    let (folder, servers) = pipeline("--pods 3 --pods-max 4");
    let at = folder.path();
    let words =
        scale(&format!("{} --mode auto --out-mb 1 --out-kept 2", urls(&servers))).replace("0.05", "0.01");
    // Until it is full, however long that takes where others have the processor.
    let mut scaler = running(at, &words);
    let begun = Instant::now();
    while !at.join("decisions.jsonl.1").exists() {
        assert!(begun.elapsed() < Duration::from_secs(300), "it is never full");
        thread::sleep(Duration::from_millis(50));
    }
    interrupt(&scaler);
    assert!(scaler.wait().unwrap().success());
    let whole = |name: &str| -> Vec<Value> { lines(&at.join(name)) };
    let names: Vec<&str> = ["decisions.jsonl.3", "decisions.jsonl.2", "decisions.jsonl.1", "decisions.jsonl"]
        .into_iter()
        .filter(|name| at.join(name).exists())
        .collect();
    assert!(names.len() >= 2 && names[0] != "decisions.jsonl.3", "{names:?}");
    let mut ids = Vec::new();
    for name in &names {
        let logged = whole(name);
        assert!(logged[0]["shell"].is_object(), "{name} begins with who decides");
        assert!(fs::metadata(at.join(name)).unwrap().len() <= 1 << 20, "{name}");
        ids.extend(logged.iter().filter_map(|line| line["id"].as_u64()));
        assert!(must(at, &format!("replay {name}")).contains("all the same"));
    }
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is missing in between: {ids:?}");
    let said = refused(at, "explain decisions.jsonl 1", 1);
    assert!(said.contains("those before are in decisions.jsonl.1"), "{said}");
    must(at, &format!("{words} --resume --duration 0.3"));
    let last = whole("decisions.jsonl").iter().filter_map(|line| line["id"].as_u64()).max();
    assert!(last > ids.last().copied(), "it goes on where it was: {last:?}");
}
