//! `splitscale operator` as it is typed, without a cluster.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::cli::{must, refused};

/// A kubeconfig of a server that nobody runs.
fn kubeconfig(folder: &Path) {
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n\
                  clusters: [{name: nowhere, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
                  users: [{name: nobody, user: {}}]\n\
                  contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody, namespace: far}}]\n";
    fs::write(folder.join("kubeconfig"), config).unwrap();
}

fn operator(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitscale"));
    command.arg("operator").args(words.split_whitespace()).current_dir(folder);
    for name in ["NAMESPACE", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"] {
        command.env_remove(name);
    }
    command.env("HOME", folder).env("KUBECONFIG", folder.join("kubeconfig"));
    command
}

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_definition_is_printed_as_it_is_committed() {
    let folder = TempDir::new().unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/crd.yaml");
    assert_eq!(must(folder.path(), "operator --crd"), fs::read_to_string(committed).unwrap());
}

#[test]
fn help_tells_each_flag_and_what_cannot_be_is_told_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let help = must(folder.path(), "operator --help");
    for flag in
        ["--namespace", "--listen", "--decisions", "--identity", "--lease", "--no-leader-election", "--crd"]
    {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    let said = refused(folder.path(), "operator --no-leader-election --lease other", 2);
    assert!(said.contains("cannot be used with"), "{said}");
    let said = operator(folder.path(), "--listen 127.0.0.1:0").output().unwrap();
    let words = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{words}");
    assert!(words.contains("no cluster is configured") && words.contains("KUBECONFIG"), "{words}");
    kubeconfig(folder.path());
    let said = operator(folder.path(), "--listen 127.0.0.1:99999").output().unwrap();
    let words = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.status.code() == Some(1) && words.contains("--listen 127.0.0.1:99999 cannot be had"),
        "{words}"
    );
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_waited_for_and_a_signal_ends_it() {
    let folder = TempDir::new().unwrap();
    kubeconfig(folder.path());
    let mut command = operator(folder.path(), "--listen 127.0.0.1:0 --decisions decisions --identity one");
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let url = said.next().unwrap().unwrap();
    let url = url.strip_prefix("pages at ").unwrap_or_else(|| panic!("{url}")).to_owned();
    assert_eq!(said.next().unwrap().unwrap(), "scaling the SplitPipelines of namespace far");
    let mut told = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let trouble = told.find(|line| {
        line.as_ref().is_ok_and(|line| line.contains("SplitPipelines of namespace far cannot be watched"))
    });
    assert!(trouble.is_some(), "it says what is wrong");
    std::thread::spawn(move || told.count());
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/livez").await.0, 200);
    assert_eq!(get("/readyz").await, (503, "SplitPipelines are not known yet in far".to_owned()));
    assert!(get("/metrics").await.1.contains("split_operator_leads 0"));
    assert!(get("/").await.1.contains("This replica does not lead"));
    assert!(folder.path().join("decisions").is_dir());
    assert!(Command::new("kill").arg(running.0.id().to_string()).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}
