//! An operator that runs: the program, with the token of its service account and nothing else.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::place::Place;
use crate::until;
use crate::world::{PROGRAM, Way, bound, kubeconfig, started};

/// An operator.
pub(crate) struct Scaler {
    child: Child,
    url: String,
    namespace: String,
    /// Its decisions.
    journal: PathBuf,
    http: reqwest::Client,
    folder: TempDir,
}

impl Scaler {
    /// Starts one that reaches the API server in this way.
    pub(crate) async fn start(place: &Place<'_>, identity: &str, way: &Way) -> Scaler {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("kubeconfig");
        let user = json!({"token": place.token});
        fs::write(&config, kubeconfig(way, &place.name, user).to_string()).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["operator", "--listen", "127.0.0.1:0", "--identity", identity]);
        command.arg("--decisions").arg(folder.path()).env("KUBECONFIG", &config);
        let log = folder.path().join("log");
        let mut command = bound(&command);
        command.stderr(File::create(&log).unwrap());
        let (child, mut lines) = started(command);
        let said = lines
            .next_line()
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap()));
        let url = said.strip_prefix("pages at ").expect(&said).trim_end_matches('/').to_owned();
        // Nobody reads what else it says, and it must not be ended by that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let journal = folder.path().join(format!("{}.{}.jsonl", place.name, place.pipeline));
        Scaler { child, url, namespace: place.name.clone(), journal, http, folder }
    }

    /// What it answers at a path; the status comes first.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Whether it says that it leads.
    pub(crate) async fn leads(&self) -> bool {
        self.get("/metrics").await.1.contains("\nsplit_operator_leads 1\n")
    }

    /// Waits until it leads, or stands by.
    pub(crate) async fn until_leads(&self, leads: bool) {
        until(&format!("an operator of {} leads: {leads}", self.namespace), async || {
            self.leads().await == leads
        })
        .await;
    }

    /// What it told.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What it wrote of its decisions.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Its decisions.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("observed").is_some()).collect()
    }

    /// What came of those that changed something: their numbers, and how they ended.
    pub(crate) fn outcomes(&self) -> Vec<(u64, String)> {
        let ends = self.lines().into_iter().filter(|line| line.get("of").is_some());
        ends.map(|line| (line["of"].as_u64().unwrap(), line["end"].as_str().unwrap().to_owned())).collect()
    }

    /// Waits for so many decisions more.
    pub(crate) async fn until_decisions(&self, more: usize) -> Vec<Value> {
        let before = self.decisions().len();
        until(&format!("{more} decisions more"), async || self.decisions().len() >= before + more).await;
        self.decisions().split_off(before)
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; how it ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let number = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").arg(&number).status().unwrap().success());
        self.child.wait().await.unwrap()
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.lines().pop().unwrap_or_default();
            eprintln!(
                "--- what an operator of {} said, and wrote last\n{}{last}\n---",
                self.namespace,
                self.log()
            );
        }
    }
}
