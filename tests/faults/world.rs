//! The cluster that all cases share, and two ways to ask it that are no part of what is tested: as its administrator, and as nobody,
//! for those who bring a token.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::bed::Bed;
use crate::gate::Gate;
use crate::traffic::Pipeline;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_splitscale");

/// A cluster that is up.
pub(crate) struct World {
    /// A pipeline of real servers, once a case asks for it.
    pub(crate) pipeline: OnceCell<Pipeline>,
    pub(crate) http: reqwest::Client,
    admin: Proxied,
    nobody: Proxied,
    /// Address and certificate of the API server.
    pub(crate) way: Way,
    pub(crate) bed: Arc<Bed>,
    _folder: TempDir,
}

/// How the API server is reached.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) server: String,
    /// What signs its certificate, in base64; absent for plain HTTP.
    pub(crate) authority: Option<String>,
}

/// A `kubectl proxy`: plain HTTP in, TLS out.
struct Proxied {
    url: String,
    _child: Child,
}

impl World {
    /// Starts it.
    pub(crate) fn up(bed: Arc<Bed>, runtime: &Runtime) -> World {
        bed.run(&["up", "--hpa-sync", "2"]);
        let known = bed.run(&["kubectl", "config", "view", "--raw", "--output=json"]);
        let known: Value = serde_json::from_str(&known).unwrap();
        let cluster = &known["clusters"][0]["cluster"];
        let word = |field: &str| cluster[field].as_str().unwrap().to_owned();
        let way = Way { server: word("server"), authority: Some(word("certificate-authority-data")) };
        let folder = tempfile::tempdir().unwrap();
        let nobody = folder.path().join("nobody");
        // A token that is none, for without any it asks for a name; whoever brings one of his own is known by that.
        std::fs::write(&nobody, kubeconfig(&way, "default", json!({"token": "none"})).to_string()).unwrap();
        runtime.block_on(async {
            let admin = Proxied::start(&bed, None).await;
            let nobody = Proxied::start(&bed, Some(&nobody)).await;
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            World { pipeline: OnceCell::new(), http, admin, nobody, way, bed, _folder: folder }
        })
    }

    /// A way to the API server that obeys.
    pub(crate) async fn gate(&self) -> Gate {
        Gate::to(&self.nobody.url).await
    }

    /// Makes the kind SplitPipeline known, as docs/operator.md says.
    pub(crate) fn install(&self) {
        let told = std::process::Command::new(PROGRAM).args(["operator", "--crd"]).output().unwrap();
        assert!(told.status.success(), "{told:?}");
        let definition = String::from_utf8(told.stdout).unwrap();
        self.bed.feed(&["kubectl", "apply", "--server-side", "-f", "-"], &definition);
        let kind = "crd/splitpipelines.splitscale.io";
        self.bed.run(&["kubectl", "wait", "--for=condition=Established", "--timeout=30s", kind]);
    }

    /// Asks as the administrator; the status comes first.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let mut request = self.http.request(method, format!("{}{path}", self.admin.url));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, kind).body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What is at a path.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, found) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {found}");
        found
    }

    /// Makes or changes something.
    pub(crate) async fn write(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, told) = self.ask(method, path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {told}");
        told
    }

    /// The same with the token of somebody who may be refused; only the status counts.
    pub(crate) async fn status_for(&self, token: &str, method: Method, path: &str, body: Value) -> u16 {
        let request = self.http.request(method, format!("{}{path}", self.nobody.url)).bearer_auth(token);
        let request = request.header(CONTENT_TYPE, "application/merge-patch+json").body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    }
}

impl Proxied {
    /// As whoever a kubeconfig names, or as the administrator.
    async fn start(bed: &Bed, kubeconfig: Option<&Path>) -> Proxied {
        let own = kubeconfig.map(|path| format!("--kubeconfig={}", path.display()));
        let words = ["kubectl", "proxy", "--port=0"].into_iter().chain(own.as_deref());
        let (child, mut lines) = started(bound(&bed.command(&words.collect::<Vec<_>>())));
        // `Starting to serve on 127.0.0.1:40123`
        let said = lines.next_line().await.unwrap().expect("kubectl proxy says where it is");
        let url = format!("http://{}", said.rsplit(' ').next().unwrap());
        Proxied { url, _child: child }
    }
}

/// A program whose life ends with this one's, however that ends.
pub(crate) fn bound(command: &std::process::Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        bound.env(name, value.expect("nothing is taken out of the environment"));
    }
    bound.kill_on_drop(true);
    bound
}

/// Starts it; what it says.
pub(crate) fn started(mut command: Command) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// A kubeconfig.
pub(crate) fn kubeconfig(way: &Way, namespace: &str, user: Value) -> Value {
    let mut cluster = json!({"server": way.server});
    if let Some(authority) = &way.authority {
        cluster["certificate-authority-data"] = json!(authority);
    }
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
    })
}

/// A file of this repository.
pub(crate) fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
