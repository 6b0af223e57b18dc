//! The servers as child processes of this program. None outlives it: a server ends when its standard
//! input closes, however this program ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longest that a server may take to bind its port and say so.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest that a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// One running server.
#[derive(Debug)]
pub struct Server {
    name: String,
    url: String,
    log: PathBuf,
    child: Child,
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
            .args(["--port", "0", "--exit-with-stdin", "--grace", "5"])
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
