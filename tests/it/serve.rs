//! The three servers as they are typed, on emulated engines: real processes, sockets and queues.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::cli::{must, refused, splitscale};

/// A server that ends with this value: its standard input closes.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(folder: &Path, words: &str) -> Server {
        Server::start_at(folder, words, "0")
    }

    /// On this port.
    pub(crate) fn start_at(folder: &Path, words: &str, port: &str) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_splitscale"))
            .args(["serve"])
            .args(words.split_whitespace())
            .args(["--port", port, "--exit-with-stdin"])
            .current_dir(folder)
            .env_remove("MODEL_VERSION")
            .env_remove("GPU_TYPE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url =
            line.trim().strip_prefix("listening on ").expect("the address on standard output").to_owned();
        Server { child, url }
    }

    pub(crate) fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// B, the proxy and A in one line, emulated.
pub(crate) fn line(folder: &Path, stages: &str, proxy: &str, a: &str) -> [Server; 3] {
    let b = Server::start(folder, &format!("b --engine emulated {stages}"));
    let proxy = Server::start(folder, &format!("proxy --container-b-port {} {proxy}", b.port()));
    let a = Server::start(
        folder,
        &format!(
            "a --engine emulated {stages} --container-b-port {} --proxy-port {} {a}",
            b.port(),
            proxy.port()
        ),
    );
    [b, proxy, a]
}

/// Posts an image, which an emulated engine does not look at, as a form.
pub(crate) async fn send_image(url: &str, headers: &[(&'static str, &str)]) -> reqwest::Response {
    let form = reqwest::multipart::Form::new().part("file", reqwest::multipart::Part::bytes(&b"image"[..]));
    let mut request = reqwest::Client::new().post(url).multipart(form);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

#[test]
fn more_pods_than_the_most_are_refused() {
    let folder = TempDir::new().unwrap();
    for stage in ["a", "b"] {
        let said = refused(
            folder.path(),
            &format!("serve {stage} --engine emulated --port 0 --pods 5 --pods-max 4"),
            1,
        );
        assert!(said.contains("--pods 5 is above --pods-max 4; raise --pods-max"), "{said}");
    }
}

#[test]
fn an_emulated_pipeline_is_measured_as_a_real_one_and_says_what_it_is() {
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = line(
        folder.path(),
        "--service-time 0.02 --model-version 1 --pods 2",
        "",
        "--encoding u8 --compression zstd",
    );
    let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    must(folder.path(), &format!("collect {servers} --slots 1,2 --pods 1,2 --burst 6 --repeats 1 --out run"));
    let records = fs::read_to_string(folder.path().join("run/records.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(records.as_bytes());
    let column = |name: &str| records.lines().next().unwrap().split(',').position(|c| c == name).unwrap();
    let (encoding, bytes, emulated) = (column("encoding"), column("bytes"), column("emulated"));
    let (forward_a, cut) = (column("forward_a_s"), column("cut"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 24);
    for row in &rows {
        assert_eq!((&row[encoding], &row[emulated], &row[cut]), ("u8", "true", "layer3"));
        let bytes: u64 = row[bytes].parse().unwrap();
        assert!((20_000..200_704).contains(&bytes), "a compressed u8 activation: {bytes}");
        assert!(row[forward_a].parse::<f64>().unwrap() >= 0.02);
    }
    must(folder.path(), "calibrate run/table.csv --records run/records.csv");
    // What was measured is what the next emulation draws from.
    drop((a, proxy, b));
    let [b, proxy, a] = line(folder.path(), "--calibration calibration.json --model-version 1", "", "");
    let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, b.url);
    must(folder.path(), &format!("collect {servers} --slots 1 --pods 1 --burst 3 --repeats 1 --out again"));
}

#[test]
fn a_server_is_asked_whether_it_is_ready() {
    let folder = TempDir::new().unwrap();
    let proxy = Server::start(folder.path(), "proxy");
    let (url, ask) = (proxy.url.clone(), format!("ready {}/", proxy.url));
    must(folder.path(), &ask);
    drop(proxy);
    let said = refused(folder.path(), &ask, 1);
    assert!(said.contains(&url) && said.contains("did not answer"), "{said}");
    let said = refused(folder.path(), "ready localhost", 1);
    assert!(said.contains("base URL"), "{said}");
}

#[test]
fn an_emulated_engine_says_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let said = refused(folder.path(), "serve b --port 0 --engine emulated", 1);
    assert!(said.contains("--calibration") && said.contains("--service-time"), "{said}");
    let words = "serve b --port 0 --engine emulated --service-time 1 --rated-cpu 1";
    let said = refused(folder.path(), words, 1);
    assert!(said.contains("--rated-cpu is for engines that compute"), "{said}");
    let said = refused(folder.path(), "serve b --port 0 --service-time 1", 1);
    assert!(said.contains("--engine emulated"), "{said}");
    fs::write(folder.path().join("c.json"), "{}").unwrap();
    let said = refused(folder.path(), "serve a --port 0 --engine emulated --calibration c.json", 1);
    assert!(said.contains("c.json"), "{said}");
}

#[test]
fn a_proxy_that_cannot_start_does_not_say_that_it_listens() {
    let folder = TempDir::new().unwrap();
    let output = splitscale(folder.path(), "serve proxy --port 0 --next elsewhere");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty() && said.contains("\"elsewhere\""), "{said}");
}

#[test]
fn a_recorded_link_is_read_or_its_error_names_the_line_and_the_field() {
    let folder = TempDir::new().unwrap();
    let trace = |text: &str| fs::write(folder.path().join("link.txt"), text).unwrap();
    for (text, says) in [
        ("0 10\n1 -3\n", "link.txt:2: mbit_s"),
        ("0 10\n\nx 3\n", "link.txt:3: time_s"),
        ("0 10 5\n", "link.txt:1: row: 3 fields; write two"),
        ("0 0\n1 0\n", "zero throughout"),
        ("", "empty"),
    ] {
        trace(text);
        let said = refused(folder.path(), "serve proxy --port 0 --link-trace link.txt", 1);
        assert!(said.contains(says), "{said}");
    }
    let said = refused(folder.path(), "serve proxy --port 0 --link-trace no.txt", 1);
    assert!(said.contains("no.txt"), "{said}");
    refused(folder.path(), "serve proxy --link-bandwidth 5 --link-trace link.txt", 2);
    trace("0 10\n0.5 0\n2 20\n");
    drop(Server::start(folder.path(), "proxy --link-trace link.txt"));
}

#[test]
fn a_b_that_is_killed_takes_no_request_with_it() {
    let folder = TempDir::new().unwrap();
    let stage = "--engine emulated --service-time 0.03 --model-version 1";
    let [one, mut two] = [(); 2].map(|()| Server::start(folder.path(), &format!("b {stage}")));
    let b = format!("--next {},{} --balance round-robin", one.url, two.url);
    let proxy = Server::start(folder.path(), &format!("proxy {b}"));
    let ports = format!("--container-b-port {} --proxy-port {}", one.port(), proxy.port());
    let a = Server::start(folder.path(), &format!("a {stage} {ports}"));
    std::thread::scope(|scope| {
        // In the middle of two seconds of work; wherever it falls, what follows must hold.
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            two.child.kill().unwrap();
        });
        let servers = format!("--a {} --proxy {} --b {}", a.url, proxy.url, one.url);
        must(
            folder.path(),
            &format!("collect {servers} --slots 4 --pods 1 --burst 60 --repeats 1 --out run"),
        );
    });
    let records = fs::read_to_string(folder.path().join("run/records.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(records.as_bytes());
    let status = reader.headers().unwrap().iter().position(|name| name == "status").unwrap();
    let ends: Vec<String> = reader.records().map(|row| row.unwrap()[status].to_owned()).collect();
    assert_eq!(ends, vec!["answered"; 60]);
}
