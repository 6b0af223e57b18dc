//! The backend of pipelines on this machine: the stage servers start and drain their own pods.

use std::time::Duration;

use futures_util::future::join_all;
use splitscale_spec::{Replicas, Stage};

use crate::backend::{Backend, NotApplied, legs};
use crate::exposition::Exposition;
use crate::metrics::{NoMetrics, metrics};
use crate::scrape::{PODS_MAX, Round, desired};
use crate::server::Server;

/// Base URLs of the three servers, such as `http://127.0.0.1:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Stage A.
    pub a: String,
    /// The proxy.
    pub proxy: String,
    /// Stage B.
    pub b: String,
}

/// Scrapes and changes a local pipeline over HTTP.
#[derive(Debug, Clone)]
pub struct LocalBackend {
    endpoints: Endpoints,
    http: reqwest::Client,
    /// What was last said of each server's answer, so that it is said once.
    said: [Option<String>; 3],
}

/// Most pods that the stages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Most pods that A takes; absent where it does not tell, or does not answer.
    pub a: Option<u32>,
    /// Most pods that B takes.
    pub b: Option<u32>,
}

/// An address at which somebody else answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {url}: {why}", .server.flag())]
pub struct Somebody {
    /// Who was looked for.
    pub server: Server,
    /// Where.
    pub url: String,
    /// What answers.
    pub why: String,
}

/// A backend that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not where a server could be.
    #[error("{0:?} is not a base URL such as http://127.0.0.1:5000")]
    Url(String),
    /// No HTTP client.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A stage that did not take its new number of pods.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No answer.
    #[error("stage {stage:?} at {url} did not take {pods} pods")]
    Unreachable {
        /// Which stage.
        stage: Stage,
        /// Where.
        url: String,
        /// How many pods it was asked to have.
        pods: u32,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer that is a refusal.
    #[error("stage {stage:?} at {url} refused {pods} pods: {status} {body}")]
    Refused {
        /// Which stage.
        stage: Stage,
        /// Where.
        url: String,
        /// How many pods it was asked to have.
        pods: u32,
        /// HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
}

impl LocalBackend {
    /// A backend for these servers. An answer that takes longer than `timeout` counts as none.
    ///
    /// # Errors
    /// A URL that is none, or an HTTP client that cannot be made.
    pub fn new(endpoints: Endpoints, timeout: Duration) -> Result<Self, SetupError> {
        for url in [&endpoints.a, &endpoints.proxy, &endpoints.b] {
            if reqwest::Url::parse(url).is_err() || !url.starts_with("http://") {
                return Err(SetupError::Url(url.clone()));
            }
        }
        let http = reqwest::Client::builder().timeout(timeout).no_proxy().build()?;
        Ok(LocalBackend { endpoints, http, said: Default::default() })
    }

    /// Asks a stage to have `pods` pods. Asking twice for the same is harmless.
    ///
    /// # Errors
    /// [`ApplyError`] with what the stage said; the other stage is not touched.
    pub async fn set_pods(&self, stage: Stage, pods: u32) -> Result<(), ApplyError> {
        let url = match stage {
            Stage::A => self.endpoints.a.clone(),
            Stage::B => self.endpoints.b.clone(),
        };
        let body = format!("{{\"pod_count\":{pods}}}");
        let request = self.http.post(format!("{url}/set_pods")).header("content-type", "application/json");
        let answer = match request.body(body).send().await {
            Ok(answer) => answer,
            Err(source) => return Err(ApplyError::Unreachable { stage, url, pods, source }),
        };
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap_or_default();
        Err(ApplyError::Refused { stage, url, pods, status, body })
    }

    /// Asks all three who they are, before anything is begun. Whoever does not answer may come yet.
    ///
    /// # Errors
    /// The first address at which another server answers, or another program.
    pub async fn check(&self) -> Result<Taken, Somebody> {
        let asked = join_all(Server::ALL.map(|server| self.metrics(server))).await;
        let mut pods_max = [None; 3];
        for ((server, answer), most) in Server::ALL.into_iter().zip(asked).zip(&mut pods_max) {
            match answer {
                Ok(metrics) => *most = metrics.sum(PODS_MAX, &[]).map(|pods| pods as u32),
                Err(NoMetrics::Silent | NoMetrics::Down(_)) => {}
                Err(NoMetrics::Wrong(why)) => {
                    return Err(Somebody { server, url: self.url(server).to_owned(), why });
                }
            }
        }
        let [a, _, b] = pods_max;
        Ok(Taken { a, b })
    }

    fn url(&self, server: Server) -> &str {
        match server {
            Server::A => &self.endpoints.a,
            Server::Proxy => &self.endpoints.proxy,
            Server::B => &self.endpoints.b,
        }
    }

    /// The metrics of this server, and of no other.
    async fn metrics(&self, server: Server) -> Result<Exposition, NoMetrics> {
        let wrong = |why: String| NoMetrics::Wrong(format!("no metrics of {server} are there: {why}"));
        let metrics =
            metrics(&self.http, &format!("{}/metrics", self.url(server))).await.map_err(|no| match no {
                NoMetrics::Wrong(why) => wrong(why),
                other => other,
            })?;
        match Server::of(&metrics) {
            Some(answers) if answers != server => Err(NoMetrics::Wrong(server.swapped(answers))),
            None if !metrics.any("split_") => Err(wrong("another program answers".to_owned())),
            _ => Ok(metrics),
        }
    }
}

impl Backend for LocalBackend {
    async fn scrape(&mut self) -> Round {
        let asked = join_all(Server::ALL.map(|server| self.metrics(server))).await;
        let mut round = [None, None, None];
        for (((server, answer), said), of) in
            Server::ALL.into_iter().zip(asked).zip(&mut self.said).zip(&mut round)
        {
            let why = match answer {
                Ok(metrics) => {
                    (*said, *of) = (None, Some(metrics));
                    continue;
                }
                // Silence is seen in the decisions.
                Err(NoMetrics::Silent) => continue,
                Err(NoMetrics::Down(why) | NoMetrics::Wrong(why)) => why,
            };
            if said.as_ref() != Some(&why) {
                tracing::warn!("{}: {why}", server.flag());
                *said = Some(why);
            }
        }
        let [a, proxy, b] = round;
        Round { a, proxy, b, ..Round::default() }
    }

    async fn desired(&mut self) -> (Option<u32>, Option<u32>) {
        let (a, b) = tokio::join!(self.metrics(Server::A), self.metrics(Server::B));
        let of = |scrape: Result<Exposition, NoMetrics>, stage: &str| desired(&scrape.ok()?, stage);
        (of(a, "a"), of(b, "b"))
    }

    async fn apply(&mut self, from: Replicas, to: Replicas) -> Result<(), NotApplied> {
        for leg in legs(from, to) {
            let told = join_all(leg.into_iter().map(|(stage, pods)| self.set_pods(stage, pods))).await;
            let told: Result<(), ApplyError> = told.into_iter().collect();
            told.map_err(|error| NotApplied { why: error.to_string(), untouched: false })?;
        }
        Ok(())
    }
}
