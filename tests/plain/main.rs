//! Two Deployments that are not ours, on a bed of the test's own, scaled by their own metrics: asked of the pods, and asked of a real
//! Prometheus. `docs/operator.md` ("Anybody's Deployments") shows the same manifests. `cargo xtask nightly` builds what it needs and
//! runs it where Prometheus is installed; `cargo test` does not, nor could it.
//!
//! ```text
//! SPLITSCALE_BED=PROGRAM cargo test --features torch --test plain -- --nocapture
//! ```

#[path = "../cluster/bed.rs"]
mod bed;
mod place;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use bed::Bed;
use place::{Place, Running, until};

/// What a Prometheus comes by on Debian.
const REMEDY: &str = "apt-get install --no-install-recommends prometheus";
/// Requests a second and for how long: few, many, few.
const TRAFFIC: [&str; 3] = ["1:20", "10:60", "1:75"];
/// What is to be there; a link that is idle is unknown.
const SIGNALS: [&str; 11] = [
    "arrivals_per_s",
    "answers_per_s",
    "queue_a",
    "queue_proxy",
    "queue_b",
    "busy_a",
    "busy_slots",
    "busy_b",
    "slots",
    "latency_p50_s",
    "latency_p95_s",
];

#[test]
fn two_deployments_that_are_not_ours_are_scaled() {
    let Some(bed) = Bed::of_the_test() else { return };
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let prometheus = std::env::split_paths(&paths).map(|folder| folder.join("prometheus"));
    let Some(prometheus) = prometheus.into_iter().find(|program| program.is_file()) else {
        writeln!(std::io::stderr(), "skipped: there is no Prometheus: {REMEDY}")
            .expect("standard error is open");
        return;
    };
    bed.run(&["up"]);
    let place = Place::new(&bed);
    let operator = place.operator();
    scraped(&place);
    place.forget("scraped");
    queried(&place, &prometheus);
    drop(operator);
}

/// All signals from the pods: the pods follow the traffic both ways.
fn scraped(place: &Place) {
    place.apply("scraped.yaml", |text| text);
    place.until_condition("scraped", "SignalsFresh", "True");
    let traffic = place.traffic(&TRAFFIC);
    place.until_pods("many requests", |[head, tail]| head >= 4 && tail >= 2);
    let told = place.run(&["get", "splitpipelines"]) + &place.run(&["describe", "splitpipeline", "scraped"]);
    assert!(told.contains("Scaled"), "{told}");
    eprintln!("{told}");
    place.until_pods("few requests", |pods| pods == [1, 1]);
    answered(traffic);
    nothing_missing(place, "scraped");
}

/// All signals from Prometheus: the same, and when it is gone the pods stay.
fn queried(place: &Place, prometheus: &Path) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _at_the_end = Ends(&ended);
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                place.tell_prometheus();
                sleep(Duration::from_secs(2));
            }
        });
        followed(place, prometheus);
    });
}

/// The same, while somebody tells Prometheus which pods there are.
fn followed(place: &Place, prometheus: &Path) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut running = start_prometheus(place, prometheus, &port);
    place.apply("queried.yaml", |text| {
        text.replace("prometheus.monitoring:9090", &format!("127.0.0.1:{port}"))
    });
    place.until_condition("queried", "SignalsFresh", "True");
    let traffic = place.traffic(&TRAFFIC);
    place.until_pods("many requests", |[head, tail]| head >= 4 && tail >= 2);
    eprintln!("{}", place.run(&["get", "splitpipelines"]));
    place.until_pods("few requests", |pods| pods == [1, 1]);
    answered(traffic);
    nothing_missing(place, "queried");

    let traffic = place.traffic(&["10:45", "1:105"]);
    place.until_pods("many requests", |[head, tail]| head >= 4 && tail >= 2);
    running.end();
    let told = place.until_condition("queried", "SignalsFresh", "False");
    assert!(told.contains("older than the 10 s that are believed: arrivals_per_s"), "{told}");
    eprintln!("{told}");
    // The traffic falls meanwhile, and nobody knows: what is missing is never zero.
    let pods = place.pods();
    for _ in 0..45 {
        sleep(Duration::from_secs(1));
        assert_eq!(place.pods(), pods, "the pods do not stay");
    }
    let describe = place.run(&["describe", "splitpipeline", "queried"]);
    eprintln!("{describe}");
    let _running = start_prometheus(place, prometheus, &port);
    place.until_condition("queried", "SignalsFresh", "True");
    place.until_pods("few requests", |pods| pods == [1, 1]);
    answered(traffic);
}

/// Says that it is the end, when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A Prometheus of the bed's pods that answers.
fn start_prometheus(place: &Place, program: &Path, port: &str) -> Running {
    let folder = place.folder();
    fs::copy(place::of_repository("deploy/tests/plain/prometheus.yml"), folder.join("prometheus.yml"))
        .unwrap();
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let running = Running::start("prometheus", &mut command, folder);
    until("prometheus listens", || TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    running
}

/// What became of the requests, as `10/s: 600 sent, answered map[200:600], ...` tells for each rate: nine of ten were answered.
fn answered(traffic: Running) {
    let told = traffic.finished();
    eprintln!("{told}");
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u32>();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(" sent, answered ")).collect();
    assert!(!lines.is_empty(), "{told}");
    for line in lines {
        let (_, sent) = line.split_once("/s: ").unwrap();
        let (_, well) = line.split_once("200:").unwrap_or_else(|| panic!("none was answered: {line}"));
        let (sent, well) = (number(sent).unwrap(), number(well).unwrap());
        assert!(sent > 0 && 10 * well >= 9 * sent, "{line}");
    }
}

/// While requests are answered every signal is there, at every decision.
fn nothing_missing(place: &Place, pipeline: &str) {
    let decisions = place.decisions(pipeline);
    let busy = decisions.iter().filter(|decision| {
        decision["observed"]["answers_per_s"]["value"].as_f64().is_some_and(|answers| answers > 0.0)
    });
    let busy: Vec<_> = busy.collect();
    assert!(busy.len() > 40, "{pipeline}: {} of {} decisions saw answers", busy.len(), decisions.len());
    for decision in &busy {
        let lacks: Vec<_> =
            SIGNALS.iter().filter(|signal| decision["observed"][**signal].is_null()).collect();
        assert!(lacks.is_empty(), "{pipeline}: {lacks:?} of {decision}");
    }
    eprintln!("{pipeline}: all signals in all {} decisions under traffic", busy.len());
}

/// A file of the bed's program, which lies beside it.
fn beside_the_bed(name: &str) -> PathBuf {
    let program = std::env::var_os("SPLITSCALE_BED").expect("the bed has one");
    Path::new(&program).with_file_name(name)
}
