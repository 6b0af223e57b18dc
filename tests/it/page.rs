//! The scaler's page and API on a running scaler: over HTTP, and in headless Chromium where there is one (`deploy/page/test/`).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::refused;
use crate::decisions::{PIPELINE, calibration, constant, write};
use crate::serve::{Server, line};

/// A scaler with a page, which is told to end when this value does.
pub(crate) struct Watched {
    child: Child,
    pub(crate) url: String,
}

impl Watched {
    /// On these servers, with the documents of [`documents`].
    pub(crate) fn start(folder: &Path, [b, proxy, a]: &[Server; 3], flags: &str) -> Watched {
        let words = format!(
            "scale --policy policy.json --pipeline pipeline.toml {} --interval 0.2 --window 1 --listen 127.0.0.1:0 {flags}",
            servers([b, proxy, a])
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
            .args(words.split_whitespace())
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("page at ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        // What it says later is read, so that it does not fail to say it.
        std::thread::spawn(move || said.lines().count());
        Watched { child, url }
    }

    fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn servers([b, proxy, a]: [&Server; 3]) -> String {
    format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url)
}

/// One pod at one slot, else three.
fn by_slots() -> Value {
    let bin = |name, slots_min, slots_max, pods: u32| json!({"name": name, "slots_min": slots_min, "slots_max": slots_max, "pods": {"a": pods, "b": pods}});
    json!({"schema": 2, "name": "by slots", "kind": {"slots_table": [bin("one", 1, 1, 1), bin("more", 2, 64, 3)]},
        "region": null, "training": null})
}

/// A folder with documents, and the servers.
pub(crate) fn documents(folder: &Path) -> [Server; 3] {
    fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    fs::write(folder.join("token"), "a-token-of-tests\n").unwrap();
    let shell = "max_age_s = 10\nhold_s = 2\nsettle_s = 0\nup_window_s = 0\ndown_window_s = 0\nbudget = 8";
    fs::write(folder.join("shell.toml"), shell).unwrap();
    write(folder, "policy.json", &by_slots());
    write(folder, "two.json", &constant("two", 2, 2));
    let mut calibration = calibration();
    for (service, mean_s) in [("service_a", 0.1), ("service_b", 0.1)] {
        calibration["laws"][service]["gamma"]["mean_s"] = json!(mean_s);
    }
    write(folder, "calibration.json", &calibration);
    let stages = "--model-version 1 --service-time 0.1 --pods 3 --pods-max 4";
    line(folder, stages, "--threads 8 --slot-bandwidth 50", "")
}

async fn get(url: &str) -> (StatusCode, Value) {
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let status = answer.status();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let expected = if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, expected, "{url}");
    (status, answer.json().await.unwrap())
}

/// Waits until this many decisions were taken.
pub(crate) async fn decided(url: &str, id: u64) -> Value {
    for _ in 0..600 {
        let (_, status) = get(&format!("{url}/api/status")).await;
        if status["latest"]["id"].as_u64() >= Some(id) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no decision {id} at {url}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_says_what_is_logged_and_the_mode_has_a_lock() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let line = documents(folder);
    let watched = Watched::start(folder, &line, "--shell shell.toml --token-file token");
    let url = watched.url.clone();
    let status = decided(&url, 3).await;
    assert_eq!(
        (&status["policy"], &status["baseline"], &status["mode"], &status["switchable"]),
        (&json!("by slots"), &json!("hpa"), &json!("recommend"), &json!(true))
    );
    assert_eq!(status["bounds"]["pods_max"], json!({"a": 4, "b": 4}));
    assert_eq!((&status["budget"], &status["interval_s"]), (&json!(8), &json!(0.2)));
    assert!(status["meters"]["decisions"].as_u64() >= Some(3), "{status}");
    for route in ["livez", "readyz"] {
        assert_eq!(reqwest::get(format!("{url}/{route}")).await.unwrap().status(), 200, "{route}");
    }

    let (_, two) = get(&format!("{url}/api/decisions?before=4&limit=2")).await;
    let ids: Vec<u64> =
        two["decisions"].as_array().unwrap().iter().filter_map(|d| d["id"].as_u64()).collect();
    assert_eq!((ids, &two["more"]), (vec![3, 2], &json!(true)));
    let (_, one) = get(&format!("{url}/api/decisions/2")).await;
    let log = fs::read_to_string(folder.join("decisions.jsonl")).unwrap();
    let logged = log.lines().find(|line| line.contains("\"id\":2,")).unwrap();
    assert_eq!(one["decision"], serde_json::from_str::<Value>(logged).unwrap());
    assert!(one["sentences"][0].as_str().unwrap().starts_with("Decision 2 at "), "{one}");

    for (path, code, says) in [
        ("api/decisions/100000", 404, "no decision 100000: 1 to "),
        ("api/decisions/one", 400, "one"),
        ("api/decisions?limit=-1", 400, "limit"),
        ("api/decisions?limits=1", 400, "limits"),
        ("nowhere", 404, "no such route"),
        ("api/mode", 405, "method"),
    ] {
        let (status, problem) = get(&format!("{url}/{path}")).await;
        assert_eq!((status.as_u16(), &problem["status"]), (code, &json!(code)), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }

    let http = reqwest::Client::new();
    let ask = async |token: Option<&str>, kind: &str, body: &'static str| {
        let mut request = http.post(format!("{url}/api/mode")).header("content-type", kind).body(body);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    const TYPE: &str = "application/json";
    let (right, auto) = (Some("a-token-of-tests"), "{\"mode\":\"auto\"}");
    for (token, kind, body, code, says) in [
        (None, TYPE, auto, 401, "Bearer TOKEN"),
        (Some("a-token-of-test"), TYPE, auto, 401, "not the token"),
        (Some(""), TYPE, auto, 401, "token"),
        (right, "text/plain", auto, 415, "application/json"),
        (right, TYPE, "{\"mode\":", 400, "mode"),
        (right, TYPE, "{\"mode\":\"automatic\"}", 422, "mode: unknown variant `automatic`"),
        (right, TYPE, "{\"modes\":\"auto\"}", 422, "unknown field `modes`"),
    ] {
        let (status, problem) = ask(token, kind, body).await;
        assert_eq!(status, code, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{body}: {problem}");
    }
    let (_, status) = get(&format!("{url}/api/status")).await;
    assert_eq!(status["mode"], "recommend", "nothing of that has switched it");
    assert_eq!(ask(right, TYPE, "{\"mode\":\"paused\"}").await, (200, json!({"mode": "paused"})));
    let asked = status["latest"]["id"].as_u64().unwrap();
    // The one that was being taken may still be of the other mode.
    let status = decided(&url, asked + 3).await;
    assert_eq!((&status["mode"], &status["latest"]["mode"]), (&json!("paused"), &json!("paused")));

    let page = reqwest::get(&url).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    let text = page.text().await.unwrap().replace("http://www.w3.org/2000/svg", "");
    assert!(!text.contains("://"), "nothing from outside");
    assert_eq!(watched.end(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_goes_on_where_he_was_and_does_not_keep_it_from_ending() {
    let folder = TempDir::new().unwrap();
    let line = documents(folder.path());
    let watched = Watched::start(folder.path(), &line, "--mode auto --shell shell.toml");
    decided(&watched.url, 4).await;
    let url = format!("{}/api/events", watched.url);
    let ids = async |last: Option<&str>, address: &str, count: usize| {
        let mut request = reqwest::Client::new().get(address);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (mut text, mut ids) = (String::new(), Vec::new());
        while ids.len() < count {
            text += std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap();
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            ids = whole.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()).collect();
        }
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["id"].as_u64(), Some(ids[0]));
        (ids, answer)
    };
    // From the last on, which may have been amended; the header counts before the address.
    assert_eq!(ids(Some("2"), &url, 3).await.0, [2, 3, 4]);
    assert_eq!(ids(None, &format!("{url}?last=1"), 3).await.0, [1, 2, 3]);
    assert_eq!(ids(Some("3"), &format!("{url}?last=1"), 2).await.0, [3, 4]);
    // A number of another run: all is new.
    assert_eq!(ids(Some("1000000"), &url, 3).await.0, [1, 2, 3]);
    let (from, open) = ids(None, &url, 2).await;
    assert!(from[0] >= 4 && from[1] == from[0] + 1, "the latest, and then as they are taken: {from:?}");
    // Without a token nobody switches the mode, whatever he says.
    let request =
        reqwest::Client::new().post(format!("{}/api/mode", watched.url)).header("authorization", "Bearer ");
    let answer = request
        .header("content-type", "application/json")
        .body("{\"mode\":\"paused\"}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("--token-file"));
    // Two stages are told of another number of pods: that decision comes again, with what came of it.
    let mut open = open;
    let slots = reqwest::Client::new().post(format!("{}/set_threads", line[1].url));
    slots.header("content-type", "application/json").body("{\"thread_count\":1}").send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\"carried_out\":true") {
        text += std::str::from_utf8(&open.chunk().await.unwrap().expect("it goes on")).unwrap();
    }
    assert_eq!(watched.end(), Some(0), "a stream that is read ends");
    while let Some(chunk) = open.chunk().await.expect("in good order") {
        text += std::str::from_utf8(&chunk).unwrap();
    }
}

#[test]
fn an_address_that_is_taken_and_a_token_that_is_none_stop_it_before_anything_is_written() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    write(folder, "policy.json", &constant("three", 3, 3));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scale = "scale --policy policy.json --pipeline pipeline.toml --duration 1";
    let said = refused(folder, &format!("{scale} --listen {}", taken.local_addr().unwrap()), 1);
    assert!(said.contains("--listen 127.0.0.1:") && said.contains("in use"), "{said}");
    fs::write(folder.join("empty"), " \n").unwrap();
    let said = refused(folder, &format!("{scale} --listen 127.0.0.1:0 --token-file empty"), 1);
    assert!(said.contains("empty is empty"), "{said}");
    fs::write(folder.join("two"), "one word\nand another").unwrap();
    let said = refused(folder, &format!("{scale} --listen 127.0.0.1:0 --token-file two"), 1);
    assert!(said.contains("two: a token is one word"), "{said}");
    let said = refused(folder, &format!("{scale} --listen 127.0.0.1:0 --token-file absent"), 1);
    assert!(said.contains("absent"), "{said}");
    refused(folder, &format!("{scale} --token-file two"), 2);
    assert!(!folder.join("decisions.jsonl").exists());
}

#[test]
fn the_page_in_chromium_shows_what_the_api_says() {
    let chromium =
        std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    let runs = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !chromium.exists() || !runs("node") || !runs("npm") {
        eprintln!("skipped: it takes node, npm and {} (or CHROMIUM)", chromium.display());
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (tests, pictures) = (root.join("deploy/page/test"), root.join("target/page"));
    fs::create_dir_all(&pictures).unwrap();
    let installed =
        Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&tests).output().unwrap();
    if !installed.status.success() {
        eprintln!("skipped: npm ci: {}", String::from_utf8_lossy(&installed.stderr));
        return;
    }
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = documents(folder.path());
    let output = Command::new("node")
        .args(["--test", "--test-reporter=tap"])
        .current_dir(&tests)
        .env("SPLITSCALE", env!("CARGO_BIN_EXE_splitscale"))
        .env("FOLDER", folder.path())
        .env("SERVERS", servers([&b, &proxy, &a]))
        .env("PICTURES", &pictures)
        .env("CHROMIUM", &chromium)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("# fail 0") && !said.contains("# pass 0"), "{said}");
}
