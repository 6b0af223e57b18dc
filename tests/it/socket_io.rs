//! The original's way to be told: python-socketio's client, listening to the proxy as it runs.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::serve::{line, send_image};

const IMPORT: &str = "import socketio, requests, websocket";
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/socket_io_client.py");

/// A Python that has python-socketio's client, or a line saying that the test skips.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SPLITSCALE_SOCKETIO_PYTHON").map_or("python3".into(), PathBuf::from);
    let tried = Command::new(&python).args(["-c", IMPORT]).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let why = "has no python-socketio[client]; `cargo xtask test` provides it";
    // Past the test harness, which swallows what a passing test prints.
    writeln!(std::io::stderr(), "skipped: {} {why}", python.display()).expect("standard error is open");
    None
}

/// A listening client.
struct Listener {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Listener {
    fn start(python: &PathBuf, url: &str, transports: &str) -> Listener {
        let mut child = Command::new(python)
            .args([CLIENT, url, transports])
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Listener { child, lines }
    }

    /// The next event and its data.
    fn next(&mut self) -> (String, Value) {
        let line = self.lines.next().expect("the client says something more").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The data of the next event of this name; what comes before is told to `other`.
    fn until(&mut self, event: &str, mut other: impl FnMut(String, Value)) -> Value {
        loop {
            let (name, data) = self.next();
            if name == event {
                return data;
            }
            other(name, data);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_client_is_told_that_the_threshold_is_reached() {
    let Some(python) = python() else { return };
    let folder = TempDir::new().unwrap();
    let [_b, proxy, a] = line(folder.path(), "--service-time 0.001 --model-version 1", "", "");
    let set = reqwest::Client::new().post(format!("{}/set_queue_threshold", proxy.url));
    assert_eq!(set.body(r#"{"queue_threshold":3}"#).send().await.unwrap().status(), 200);
    // As a client connects by itself, and by each transport alone.
    let mut listeners = ["polling,websocket", "websocket", "polling"]
        .map(|transports| (transports, Listener::start(&python, &proxy.url, transports)));
    for (transports, listener) in &mut listeners {
        let mut connected_by = None;
        let hello = listener.until("hello", |name, data| {
            assert_eq!(name, "transport");
            connected_by = Some(data);
        });
        assert_eq!((&hello["threshold"], &hello["threshold_reached"]), (&3.into(), &false.into()));
        let by = connected_by.unwrap_or_else(|| listener.until("transport", |name, _| panic!("{name}")));
        assert_eq!(by, *transports.rsplit(',').next().unwrap());
    }
    for _ in 0..3 {
        assert_eq!(send_image(&format!("{}/predict-proxy?wait=true", a.url), &[]).await.status(), 200);
    }
    let responses: Vec<Value> =
        reqwest::get(format!("{}/responses", proxy.url)).await.unwrap().json().await.unwrap();
    for (_, listener) in &mut listeners {
        let mut told = Vec::new();
        let reached = listener.until("queue_threshold_reached", |name, data| {
            assert_eq!(name, "response");
            told.push(data);
        });
        assert_eq!(told, responses, "each response, in order, before the event");
        assert!(reached["time"].as_f64().unwrap() > 1.7e9, "{reached}");
    }
    // A proxy that stops tells whoever listens, and does not wait for polls to time out.
    drop(proxy);
    for (_, listener) in &mut listeners {
        assert_eq!(listener.next().0, "disconnect");
        assert!(listener.child.wait().unwrap().success());
    }
}
