//! The servers as child processes of this program. None outlives it: a server ends when its standard
//! input closes, however this program ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cli::Servers;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longest that a server may take to bind its port and say so.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest that a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What every server that is started here is told beside its own words.
pub const OWN_WORDS: [&str; 5] = ["--port", "0", "--exit-with-stdin", "--grace", "5"];

/// One running server.
#[derive(Debug)]
pub struct Server {
    name: String,
    url: String,
    log: PathBuf,
    child: Child,
}

/// The words of a pipeline's three servers, without the stage and without where the others are.
#[derive(Debug, Clone)]
pub struct Local {
    /// Of A.
    pub a: Vec<String>,
    /// Of the proxy.
    pub proxy: Vec<String>,
    /// Of B.
    pub b: Vec<String>,
}

/// Starts a pipeline. The servers are handed out as they start, B first, so that whoever called can stop them
/// however this ends.
pub async fn start(local: &Local, logs: &Path, servers: &mut Vec<Server>) -> Result<Servers> {
    let to = |name: &str, url: &str| {
        let port = url.rsplit(':').next().unwrap_or_default();
        let (host_flag, port_flag) = (format!("--{name}-host"), format!("--{name}-port"));
        [host_flag, "127.0.0.1".into(), port_flag, port.to_string()]
    };
    let words = |name: &str, own: &[String], to: &[String]| -> Vec<String> {
        [name.to_string()].iter().chain(own).chain(to).cloned().collect()
    };
    servers.push(Server::start("b", &words("b", &local.b, &[]), logs).await?);
    let b = servers[0].url().to_string();
    let to_b = to("container-b", &b);
    servers.push(Server::start("proxy", &words("proxy", &local.proxy, &to_b), logs).await?);
    let proxy = servers[1].url().to_string();
    let to_both = [to_b, to("proxy", &proxy)].concat();
    servers.push(Server::start("a", &words("a", &local.a, &to_both), logs).await?);
    Ok(Servers { a: servers[2].url().to_string(), proxy, b })
}

/// Ends with an error as soon as a server has ended.
pub async fn watch(servers: &mut [Server]) -> anyhow::Error {
    loop {
        if let Some(error) = servers.iter_mut().find_map(|server| server.check().err()) {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Stops all, A first so that nothing new enters; tells the first failure.
pub async fn stop_all(servers: Vec<Server>) -> Result<()> {
    let mut outcome = Ok(());
    for server in servers.into_iter().rev() {
        outcome = outcome.and(server.stop().await);
    }
    outcome
}

impl Server {
    /// Starts `splitscale serve ARGS` with a free port and waits until it has bound it. What it logs goes
    /// to `NAME.log` in `logs`.
    pub async fn start(name: &str, args: &[String], logs: &Path) -> Result<Server> {
        let log = logs.join(format!("{name}.log"));
        let log_file = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        let program = std::env::current_exe().context("could not find this program's own file")?;
        let mut child = Command::new(program)
            .arg("serve")
            .args(args)
            .args(OWN_WORDS)
            // What the user's shell exports for servers of his own must not change these.
            .env_remove("MODEL_VERSION")
            .env_remove("GPU_TYPE")
            .env_remove("SLEEP_TIME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // Of its own group, so that Ctrl-C reaches this program alone, which then stops it in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start server {name}"))?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let url = timeout(START_LIMIT, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("listening on ") {
                    return Ok(Some(url.to_string()));
                }
            }
            anyhow::Ok(None)
        });
        match url.await {
            Ok(Ok(Some(url))) => Ok(Server { name: name.into(), url, log, child }),
            _ => bail!("server {name} did not start; the end of {}:\n{}", log.display(), tail(&log)),
        }
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Fails if the server has ended, with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "server {} ended ({status}); the end of {}:\n{}",
                self.name,
                self.log.display(),
                tail(&self.log)
            );
        }
        Ok(())
    }

    /// Closes its standard input, waits for it to finish what it has accepted, and kills it if it takes
    /// too long.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        match timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                bail!(
                    "server {} failed ({status}); the end of {}:\n{}",
                    self.name,
                    self.log.display(),
                    tail(&self.log)
                )
            }
            _ => {
                self.child.kill().await.ok();
                bail!("server {} did not stop within {STOP_LIMIT:?} and was killed", self.name)
            }
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
