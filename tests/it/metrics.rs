//! What the running servers export against `docs/metrics.md`, and against the rules of the text format.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::page::{Watched, decided, documents};
use crate::serve::{line, send_image};

/// A metric: its type and the names of its labels.
type Family = (String, BTreeSet<String>);

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows of the table of the servers, by cell.
fn table() -> Vec<[String; 7]> {
    rows(tables()[0])
}

/// The two tables: of the servers, and of the scaler.
fn tables() -> [&'static str; 2] {
    static TEXT: LazyLock<String> = LazyLock::new(|| read("docs/metrics.md"));
    let (servers, scaler) = TEXT.split_once("\n## The scaler\n").expect("two tables");
    [servers, scaler]
}

/// The rows of one, by cell.
fn rows<const CELLS: usize>(text: &str) -> Vec<[String; CELLS]> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        cells.try_into().unwrap_or_else(|cells: Vec<_>| panic!("{} cells: {row}", cells.len()))
    })
    .collect()
}

/// What the table says of one server.
fn told(server: &str) -> BTreeMap<String, Family> {
    let rows =
        table().into_iter().filter(|[_, _, _, _, servers, ..]| servers.split(", ").any(|s| s == server));
    rows.map(|[name, kind, labels, ..]| {
        // `version, A and B: engine, cut`: those after the colon are of the stages alone.
        let (all, stages) = labels.split_once(", A and B: ").unwrap_or((&labels, ""));
        let stages = if server == "proxy" { "" } else { stages };
        let labels = [all, stages].into_iter().flat_map(|names| names.split(", "));
        (name, (kind, labels.filter(|label| !label.is_empty()).map(str::to_owned).collect()))
    })
    .collect()
}

/// What a scrape has, checked line by line: HELP and TYPE stand before the samples of a metric, which stand
/// together; counters end in `_total` and nothing else does; buckets cumulate to `_count`; no series twice.
fn linted(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let (mut helped, mut current) = (String::new(), String::new());
    let mut bucket: Option<(String, f64)> = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(help.len() > 10 && help.ends_with('.'), "{line}");
            helped = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(name, helped, "HELP before TYPE");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{line}"
            );
            let new = families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert!(new.is_none(), "{name} comes twice");
            current = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let (kind, names) = families.get_mut(&current).expect("TYPE before samples");
            let suffix =
                name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("{line} below {current}"));
            let known: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(known.contains(&suffix), "{line}");
            assert!(kind != "counter" || value >= 0.0, "{line}");
            let labels = labels.strip_suffix('}').expect("labels end");
            let labels: Vec<(&str, &str)> = labels
                .split_terminator(',')
                .map(|label| label.split_once('=').unwrap_or_else(|| panic!("{line}")))
                .collect();
            names.extend(labels.iter().map(|(key, _)| (*key).to_owned()).filter(|key| key != "le"));
            let others = labels.iter().filter(|(key, _)| *key != "le").map(|(k, v)| format!("{k}={v}"));
            let others = others.collect::<Vec<_>>().join(",");
            match (suffix, &bucket) {
                ("_bucket", Some((of, below))) if *of == others => assert!(value >= *below, "{line}"),
                ("_count", Some((of, all))) => assert_eq!((of, all), (&others, &value), "{line}"),
                _ => {}
            }
            bucket = match suffix {
                "_bucket" => Some((others, value)),
                "_sum" => bucket,
                _ => None,
            };
        }
    }
    families
}

/// The value of the first series that begins so.
fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find(|line| line.starts_with(series));
    let found = found.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    found.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_and_what_the_servers_export_are_the_same() {
    let folder = TempDir::new().unwrap();
    let [b, proxy, a] = line(folder.path(), "--service-time 0.001 --model-version 1 --pods 2", "", "");
    for route in ["/predict", "/predict-proxy?wait=true"] {
        assert_eq!(send_image(&format!("{}{route}", a.url), &[]).await.status(), 200);
    }
    assert_eq!(reqwest::get(format!("{}/nowhere", proxy.url)).await.unwrap().status(), 404);
    for (server, at) in [("A", &a), ("proxy", &proxy), ("B", &b)] {
        let scrape = async || {
            let answer = reqwest::get(format!("{}/metrics", at.url)).await.unwrap();
            assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
            answer.text().await.unwrap()
        };
        // The second has the first among its requests.
        scrape().await;
        let text = scrape().await;
        let (told, found) = (told(server), linted(&text));
        assert!(!told.is_empty());
        for name in told.keys().chain(found.keys()) {
            assert_eq!(told.get(name), found.get(name), "{name} of {server}: docs/metrics.md, exported");
        }
        let route =
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/metrics\"";
        assert_eq!(value(&text, route), 1.0);
        assert!(text.contains("_bucket{http_request_method=\"GET\",http_route=\"/metrics\",http_response_status_code=\"200\",le=\"0.005000\"}"));
        assert!(value(&text, "process_cpu_seconds_total") > 0.0);
        assert!(value(&text, "process_open_fds") >= 3.0, "standard input, output and error");
        let resident = value(&text, "process_resident_memory_bytes");
        assert!((1e6..1e10).contains(&resident), "{resident}");
        let now_s = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let started_s = value(&text, "process_start_time_seconds");
        assert!((now_s - 3600.0..now_s + 1.0).contains(&started_s), "{started_s}, it is {now_s}");
    }
    let text = reqwest::get(format!("{}/metrics", proxy.url)).await.unwrap().text().await.unwrap();
    let unmatched = "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"unmatched\",http_response_status_code=\"404\"}";
    assert_eq!(value(&text, unmatched), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_and_what_a_scaler_exports_are_the_same() {
    let folder = TempDir::new().unwrap();
    let line = documents(folder.path());
    // Within the first window nothing goes down: that is a countdown. So is the shadow, and the law, of the calibration.
    fs::write(folder.path().join("shell.toml"), "settle_s = 3600").unwrap();
    let watched =
        Watched::start(folder.path(), &line, "--shell shell.toml --calibration calibration.json --mode auto");
    decided(&watched.url, 1).await;
    let told: BTreeMap<String, Family> = rows::<5>(tables()[1])
        .into_iter()
        .map(|[name, kind, labels, ..]| {
            let labels = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
            (name, (kind, labels))
        })
        .collect();
    let url = format!("{}/predict-proxy?wait=true", line[2].url);
    let clients = [(); 4].map(|()| {
        let url = url.clone();
        tokio::spawn(async move {
            loop {
                send_image(&url, &[]).await;
            }
        })
    });
    let mut text = String::new();
    // What is compared with the calibration has to be steady for ten seconds.
    for _ in 0..1_200 {
        let answer = reqwest::get(format!("{}/metrics", watched.url)).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        text = answer.text().await.unwrap();
        if linted(&text) == told {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    let found = linted(&text);
    for name in told.keys().chain(found.keys()) {
        assert_eq!(told.get(name), found.get(name), "{name}: docs/metrics.md, exported in\n{text}");
    }
    assert_eq!(value(&text, "split_scaler_info{"), 1.0);
    assert_eq!(value(&text, "split_scaler_mode{mode=\"auto\"}"), 1.0);
    assert_eq!(value(&text, "split_scaler_mode{mode=\"paused\"}"), 0.0);
    assert_eq!(value(&text, "split_scaler_replicas_proposal{stage=\"a\"}"), 3.0);
    assert!(value(&text, "split_scaler_decisions_total") >= 2.0);
    assert!(value(&text, "split_scaler_pod_seconds_total{stage=\"b\"}") > 0.0);
    let ahead_s = value(&text, "split_scaler_transition_countdown_seconds{transition=\"down\"}");
    assert!((3000.0..3600.0).contains(&ahead_s), "{ahead_s}");
}

#[test]
fn what_an_observation_is_made_of_is_what_the_table_says_feeds_one() {
    let source = read("deploy/src/scrape.rs");
    let names = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with("split_"));
    // A histogram is one row, and is read by its parts.
    let whole = |name: &str| name.trim_end_matches("_bucket").trim_end_matches("_count").to_owned();
    let read: BTreeSet<String> = names.map(whole).collect();
    let feeds = table().into_iter().filter(|[.., observation]| !observation.is_empty());
    assert_eq!(read, feeds.map(|[name, ..]| name).collect());
}
