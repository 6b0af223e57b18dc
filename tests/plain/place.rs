//! A namespace with two Deployments that are not ours, and what runs beside it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::Bed;
use crate::beside_the_bed;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_splitscale");
/// What the operator may do.
const RIGHTS: &str = include_str!("../../deploy/base/rbac.yaml");
/// Who gets them; kustomize would add its namespace.
const SUBJECT: &str = "  - kind: ServiceAccount\n    name: splitscale-scaler";
/// Longest that anything may take to come about: traffic of a minute, and pods that follow it.
const LIMIT: Duration = Duration::from_secs(180);

/// The namespace.
pub(crate) struct Place<'a> {
    bed: &'a Bed,
    folder: TempDir,
}

impl<'a> Place<'a> {
    /// With both Deployments and their rights, and without a pipeline.
    pub(crate) fn new(bed: &'a Bed) -> Place<'a> {
        let place = Place { bed, folder: tempfile::tempdir().unwrap() };
        let kubeconfig = bed.run(&["kubeconfig"]);
        let archive = Path::new(kubeconfig.lines().last().unwrap()).with_file_name("plain.tar");
        bed.run(&["load", &archive.display().to_string()]);
        let told = Command::new(PROGRAM).args(["operator", "--crd"]).output().unwrap();
        assert!(told.status.success(), "{told:?}");
        let definition = String::from_utf8(told.stdout).unwrap();
        bed.feed(&["kubectl", "apply", "--server-side", "-f", "-"], &definition);
        let kind = "crd/splitpipelines.splitscale.io";
        bed.run(&["kubectl", "wait", "--for=condition=Established", "--timeout=30s", kind]);
        bed.run(&["kubectl", "create", "namespace", "plain"]);
        // As docs/operator.md says: other Deployments and ConfigMaps are other names in the Role.
        let rights = RIGHTS.replace(SUBJECT, &format!("{SUBJECT}\n    namespace: plain"));
        let rights = rights.replace("[splitscale-a, splitscale-b]", "[head, tail]");
        place.feed(&rights.replace("splitscale-policy", "plain-policy"));
        let policy = of_repository("deploy/tests/plain/policy.json");
        place.run(&["create", "configmap", "plain-policy", &format!("--from-file={}", policy.display())]);
        place.apply("services.yaml", |text| text);
        let wait =
            ["wait", "--for=condition=Available", "--timeout=60s", "deployment/head", "deployment/tail"];
        place.run(&wait);
        place
    }

    /// Where everything is written.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What kubectl says.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        self.bed.run(&[&["kubectl", "--namespace", "plain"], words].concat())
    }

    fn feed(&self, text: &str) {
        self.bed.feed(&["kubectl", "--namespace", "plain", "apply", "--server-side", "-f", "-"], text);
    }

    /// Applies a file of `deploy/tests/plain`, changed so.
    pub(crate) fn apply(&self, name: &str, change: impl Fn(String) -> String) {
        let path = of_repository("deploy/tests/plain").join(name);
        self.feed(&change(fs::read_to_string(path).unwrap()));
    }

    /// Deletes a pipeline.
    pub(crate) fn forget(&self, pipeline: &str) {
        self.run(&["delete", "splitpipeline", pipeline]);
    }

    /// An operator, outside of the cluster, with the token of its service account and nothing else.
    pub(crate) fn operator(&self) -> Running {
        let token = self.run(&["create", "token", "splitscale-scaler", "--duration=1h"]);
        let known = self.run(&["config", "view", "--raw", "--output=json"]);
        let mut known: Value = serde_json::from_str(&known).unwrap();
        known["users"][0]["user"] = json!({"token": token.trim()});
        known["contexts"][0]["context"]["namespace"] = json!("plain");
        let config = self.folder().join("kubeconfig");
        fs::write(&config, known.to_string()).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["operator", "--listen", "127.0.0.1:0", "--identity", "of-the-test"]);
        command.arg("--decisions").arg(self.folder()).env("KUBECONFIG", &config);
        Running::start("operator", &mut command, self.folder())
    }

    /// Requests at these rates.
    pub(crate) fn traffic(&self, parts: &[&str]) -> Running {
        let address = self.run(&["get", "service", "head", "-o=jsonpath={.spec.clusterIP}"]);
        let mut command = Command::new(beside_the_bed("plain"));
        command.args(["load", &format!("http://{}/infer", address.trim())]).args(parts);
        Running::start("load", &mut command, self.folder())
    }

    /// Pods that both Deployments are told to have.
    pub(crate) fn pods(&self) -> [u64; 2] {
        let told = self.run(&["get", "deployments", "-o=json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        ["head", "tail"].map(|name| {
            let items = told["items"].as_array().unwrap();
            let item = items.iter().find(|item| item["metadata"]["name"] == name).expect(name);
            item["spec"]["replicas"].as_u64().unwrap()
        })
    }

    /// Writes which pods there are where Prometheus reads it.
    pub(crate) fn tell_prometheus(&self) {
        let told: Value = serde_json::from_str(&self.run(&["get", "pods", "-o=json"])).unwrap();
        let target = |pod: &Value| {
            let address = pod["status"]["podIP"].as_str().filter(|_| pod["status"]["phase"] == "Running")?;
            let labels = json!({"app": pod["metadata"]["labels"]["app"], "pod": pod["metadata"]["name"]});
            Some(json!({"targets": [format!("{address}:9100")], "labels": labels}))
        };
        let targets: Vec<Value> = told["items"].as_array().unwrap().iter().filter_map(target).collect();
        let [partial, whole] = ["targets.partial", "targets.json"].map(|name| self.folder().join(name));
        fs::write(&partial, json!(targets).to_string()).unwrap();
        fs::rename(&partial, &whole).unwrap();
    }

    /// Waits until they have so many.
    pub(crate) fn until_pods(&self, why: &str, are: impl Fn([u64; 2]) -> bool) {
        until(&format!("pods for {why}"), || are(self.pods()));
    }

    /// Waits until a condition has a status; reason and message.
    pub(crate) fn until_condition(&self, pipeline: &str, kind: &str, status: &str) -> String {
        let field = |field: &str| {
            let path = format!("-o=jsonpath={{.status.conditions[?(@.type==\"{kind}\")].{field}}}");
            self.run(&["get", "splitpipeline", pipeline, &path])
        };
        until(&format!("{pipeline}: {kind} is {status}"), || field("status").trim() == status);
        format!("{} {}", field("reason").trim(), field("message").trim())
    }

    /// What was decided of a pipeline.
    pub(crate) fn decisions(&self, pipeline: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder().join(format!("plain.{pipeline}.jsonl"))).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line.get("observed").is_some()).collect()
    }
}

/// A program whose life ends with this one's, however that ends.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it says goes into a file of the folder.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Running {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        bound.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        bound.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: bound.spawn().unwrap(), log }
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it said, once it has ended by itself; that must have gone well.
    pub(crate) fn finished(mut self) -> String {
        let status = self.child.wait().unwrap();
        let told = fs::read_to_string(&self.log).unwrap();
        assert!(status.success(), "{}: {told}", self.log.display());
        told
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if std::thread::panicking() {
            eprintln!(
                "--- {}, {ended:?}\n{}",
                self.log.display(),
                fs::read_to_string(&self.log).unwrap_or_default()
            );
        }
    }
}

/// A file of this repository.
pub(crate) fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < LIMIT, "not within {} s: {what}", LIMIT.as_secs());
        sleep(Duration::from_millis(300));
    }
}
