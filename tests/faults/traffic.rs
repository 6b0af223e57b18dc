//! Requests through real servers while something breaks: each is answered, or somebody says why not. None is lost without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::api::Back;
use crate::place::Place;
use crate::scaler::Scaler;
use crate::until;
use crate::world::{PROGRAM, World, bound, of_repository};

/// Requests under which something breaks, two a second; and those after it.
const UNDER: usize = 60;
const AFTER: usize = 20;
/// For so long one is waited for [s].
const PATIENCE: &str = "30";

/// `deploy/overlays/emulated`, with the operator outside of the cluster: the program under test.
pub(crate) struct Pipeline {
    /// Where the proxy is.
    proxy: String,
}

/// In the namespace of the overlay.
fn kubectl(world: &World, words: &[&str]) -> String {
    world.bed.run(&[&["kubectl", "--namespace", "splitscale"], words].concat())
}

/// A load that runs.
struct Load {
    child: Child,
    requests: usize,
    folder: TempDir,
}

/// What became of all requests of a load.
#[derive(Debug)]
struct Ends {
    sent: usize,
    answered: usize,
    /// By reason.
    unanswered: BTreeMap<String, usize>,
}

impl Pipeline {
    /// As docs/deploy.md says, on a cluster that does not know the kind; its own operator makes the SplitPipeline.
    async fn start(world: &World) -> Pipeline {
        let image = std::env::var("SPLITSCALE_IMAGE").expect("the case is left out without it");
        world.bed.run(&["load", &image]);
        world.bed.run(&["kubectl", "delete", "crd", "splitpipelines.splitscale.io", "--ignore-not-found"]);
        let overlay = of_repository("deploy/overlays/emulated").display().to_string();
        world.bed.run(&["kubectl", "apply", "-k", &overlay]);
        kubectl(world, &["wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s"]);
        until("the pipeline is made", async || {
            kubectl(world, &["get", "splitpipelines", "--output=name"]).contains("/emulated")
        })
        .await;
        kubectl(world, &["scale", "deployment/splitscale-scaler", "--replicas=0"]);
        let of_scaler = "--selector=app.kubernetes.io/component=scaler";
        kubectl(world, &["wait", "--for=delete", "pod", of_scaler, "--timeout=60s"]);
        let of_proxy = "--selector=app.kubernetes.io/component=proxy";
        let address = kubectl(world, &["get", "pod", of_proxy, "--output=jsonpath={.items[0].status.podIP}"]);
        Pipeline { proxy: format!("http://{}:6000", address.trim()) }
    }
}

/// The pipeline, scaled by the program under test.
async fn scaled(world: &World) -> (&Pipeline, Place<'_>, Scaler) {
    let pipeline = world.pipeline.get_or_init(|| Pipeline::start(world)).await;
    let place = Place::kept(world, "splitscale", "emulated").await;
    place.edit(json!({"mode": "Auto"})).await;
    let scaler = place.scaler("one").await;
    place.until_condition("SignalsFresh", "True", "Fresh").await;
    (pipeline, place, scaler)
}

/// One `kubectl apply -k`, without --server-side: the 1 that the API server fills in is nobody's, and the pods can be changed.
pub(crate) async fn requests_after_one_kubectl_apply(world: &World) {
    let (pipeline, place, _scaler) = scaled(world).await;
    place.until_condition("ReplicasOwnedElsewhere", "False", "NobodyElse").await;
    place.want(2, 2).await;
    place.until_done([2, 2]).await;
    let of = json!({"minReplicas": 1, "maxReplicas": 8});
    place.edit(json!({"stages": {"a": of, "b": of}})).await;
    all_is_answered(pipeline).await;
}

/// A pod of B ends at once, with whatever it was working on.
pub(crate) async fn requests_while_a_pod_of_b_is_killed(world: &World) {
    let (pipeline, place, _scaler) = scaled(world).await;
    let load = Load::start(pipeline, UNDER);
    load.until(20).await;
    let of_b = "--selector=app.kubernetes.io/component=b";
    let pod = kubectl(world, &["get", "pod", of_b, "--output=jsonpath={.items[0].metadata.name}"]);
    kubectl(world, &["delete", "pod", pod.trim(), "--grace-period=0", "--force"]);
    let ends = load.end().await;
    assert!(ends.answered > UNDER / 2, "{ends:?}");
    place.until_condition("SignalsFresh", "True", "Fresh").await;
    all_is_answered(pipeline).await;
}

/// The link carries nothing for a while, and then everything again.
pub(crate) async fn requests_while_the_link_drops_everything(world: &World) {
    let (pipeline, _place, scaler) = scaled(world).await;
    let load = Load::start(pipeline, UNDER);
    load.until(20).await;
    world.bed.run(&["link", "0"]);
    let back = Back(&world.bed, &["link", "off"]);
    let decisions = scaler.until_decisions(10).await;
    within(&decisions);
    drop(back);
    load.end().await;
    all_is_answered(pipeline).await;
}

/// The worker of B is out of reach: what is not known of B is not zero.
pub(crate) async fn requests_while_a_node_is_cut_off(world: &World) {
    let (pipeline, place, scaler) = scaled(world).await;
    let load = Load::start(pipeline, UNDER);
    load.until(20).await;
    world.bed.run(&["node", "cut", "worker-2"]);
    let back = Back(&world.bed, &["node", "restore", "worker-2"]);
    until("B is silent", async || {
        let [status, _, message] = place.condition("SignalsFresh").await;
        status == "False" && message.contains("of b")
    })
    .await;
    let decisions = scaler.until_decisions(10).await;
    within(&decisions);
    drop(back);
    load.end().await;
    place.until_condition("SignalsFresh", "True", "Fresh").await;
    all_is_answered(pipeline).await;
}

/// After the fault every request is answered.
async fn all_is_answered(pipeline: &Pipeline) {
    let ends = Load::start(pipeline, AFTER).end().await;
    assert_eq!(ends.answered, AFTER, "afterwards: {ends:?}");
}

/// No decision goes out of the bounds and the budget of the overlay, whatever is seen.
fn within(decisions: &[Value]) {
    for pods in decisions.iter().map(|decision| &decision["pods"]).filter(|pods| !pods.is_null()) {
        let [a, b] = ["a", "b"].map(|stage| pods[stage].as_u64().unwrap());
        assert!((1..=8).contains(&a) && (1..=8).contains(&b) && a + b <= 10, "{pods}");
    }
}

impl Load {
    /// `splitscale load`, at A's NodePort.
    fn start(pipeline: &Pipeline, requests: usize) -> Load {
        let folder = tempfile::tempdir().unwrap();
        let mut load = Command::new(PROGRAM);
        load.args([
            "load",
            "poisson:2",
            "--duration",
            "300",
            "--requests",
            &requests.to_string(),
            "--timeout",
            PATIENCE,
        ]);
        load.args([
            "--json",
            "--fresh-connections",
            "--a",
            "http://10.99.0.11:30500",
            "--proxy",
            &pipeline.proxy,
        ]);
        load.arg("--records").arg(folder.path().join("records.csv"));
        let mut load = bound(&load);
        load.stdout(File::create(folder.path().join("figures.json")).unwrap());
        Load { child: load.spawn().unwrap(), requests, folder }
    }

    /// How each request ended so far: its number and its status.
    fn rows(&self) -> Vec<(u32, String)> {
        let text = fs::read_to_string(self.folder.path().join("records.csv")).unwrap_or_default();
        let mut lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(|line| line.split(',').collect());
        let columns: Vec<&str> = lines.next().unwrap_or_default();
        let place = |name: &str| columns.iter().position(|column| *column == name).expect(name);
        lines
            .map(|row: Vec<&str>| {
                (row[place("request_id")].parse().unwrap(), row[place("status")].to_owned())
            })
            .collect()
    }

    /// Waits until so many requests have ended.
    async fn until(&self, ended: usize) {
        until(&format!("{ended} requests have ended"), async || self.rows().len() >= ended).await;
    }

    /// Waits for the last, and makes sure that none is missing: those that were sent are those that were answered, refused, failed,
    /// or whose time was up, each once and each with a reason.
    async fn end(mut self) -> Ends {
        assert!(self.child.wait().await.unwrap().success());
        let text = fs::read_to_string(self.folder.path().join("figures.json")).unwrap();
        let told: Value = serde_json::from_str(&text).unwrap();
        let count = |value: &Value| value.as_u64().unwrap() as usize;
        let unanswered = told["unanswered"].as_object().unwrap();
        let ends = Ends {
            sent: count(&told["sent"]),
            answered: count(&told["answered"]),
            unanswered: unanswered.iter().map(|(why, miss)| (why.clone(), count(&miss["count"]))).collect(),
        };
        eprintln!("    {ends:?}");
        assert_eq!((ends.sent, count(&told["due"])), (self.requests, self.requests));
        assert_eq!(ends.answered + ends.unanswered.values().sum::<usize>(), self.requests, "{ends:?}");
        let rows = self.rows();
        let numbers: BTreeSet<u32> = rows.iter().map(|(number, _)| *number).collect();
        assert_eq!((rows.len(), numbers.len()), (self.requests, self.requests), "a row each");
        assert_eq!(rows.iter().filter(|(_, status)| status == "answered").count(), ends.answered);
        // No server dropped one without a word: what was not answered was refused, failed with a reason, or its time was up.
        assert!(!ends.unanswered.contains_key("connection broke"), "{ends:?}");
        ends
    }
}
