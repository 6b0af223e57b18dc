//! The backend of pipelines on this machine: the stage servers start and drain their own pods.

use std::time::Duration;

use futures_util::future::join_all;
use splitscale_policy::{Decision, Mode};
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
    /// What was last said of each server's answer, so that it is said once; absent where it answered.
    said: [Option<String>; 3],
}

/// Most pods that the stages take, and where the network is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Most pods that A takes; absent where it does not tell, or does not answer.
    pub a: Option<u32>,
    /// Most pods that B takes.
    pub b: Option<u32>,
    /// Where the network is cut, by A or else by B; absent alike.
    pub cut: Option<String>,
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

/// What a server says of itself.
const BUILD: &str = "split_build_info";

impl Endpoints {
    fn of(&self, server: Server) -> &str {
        match server {
            Server::A => &self.a,
            Server::Proxy => &self.proxy,
            Server::B => &self.b,
        }
    }
}

impl LocalBackend {
    /// A backend for these servers. An answer that takes longer than `timeout` counts as none.
    ///
    /// # Errors
    /// A URL that is none, or an HTTP client that cannot be made.
    pub fn new(mut endpoints: Endpoints, timeout: Duration) -> Result<Self, SetupError> {
        for url in [&mut endpoints.a, &mut endpoints.proxy, &mut endpoints.b] {
            if reqwest::Url::parse(url).is_err() || !url.starts_with("http://") {
                return Err(SetupError::Url(url.clone()));
            }
            url.truncate(url.trim_end_matches('/').len());
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
        let (mut pods_max, mut cut) = ([None; 3], None);
        for ((server, answer), most) in Server::ALL.into_iter().zip(asked).zip(&mut pods_max) {
            match answer {
                Ok(metrics) => {
                    *most = metrics.sum(PODS_MAX, &[]).map(|pods| pods as u32);
                    cut =
                        cut.or_else(|| metrics.by_label(BUILD, "cut").next().map(|(cut, _)| cut.to_owned()));
                }
                Err(NoMetrics::Silent | NoMetrics::Down(_)) => {}
                Err(NoMetrics::Wrong(why)) => {
                    return Err(Somebody { server, url: self.endpoints.of(server).to_owned(), why });
                }
            }
        }
        let [a, _, b] = pods_max;
        Ok(Taken { a, b, cut })
    }

    /// The metrics of this server, and of no other.
    async fn metrics(&self, server: Server) -> Result<Exposition, NoMetrics> {
        let wrong = |why: String| NoMetrics::Wrong(format!("no metrics of {server} are there: {why}"));
        let metrics =
            metrics(&self.http, &format!("{}/metrics", self.endpoints.of(server))).await.map_err(|no| {
                match no {
                    NoMetrics::Wrong(why) => wrong(why),
                    other => other,
                }
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
                Err(NoMetrics::Silent) => "no answer".to_owned(),
                Err(NoMetrics::Down(why) | NoMetrics::Wrong(why)) => why,
            };
            if said.as_ref() != Some(&why) {
                tracing::warn!("{} {}: {why}", server.flag(), self.endpoints.of(server));
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

    /// A stage that did not answer a moment ago would leave the other alone with its half. An emergency takes what it can get.
    async fn announce(&mut self, decision: &Decision) -> Result<(), NotApplied> {
        let (Some(from), Some(to), false) = (decision.from, decision.pods, decision.mode == Mode::Emergency)
        else {
            return Ok(());
        };
        let [a, _, b] = &self.said;
        let stages =
            [("A", &self.endpoints.a, a, from.a != to.a), ("B", &self.endpoints.b, b, from.b != to.b)];
        for (stage, url, silent, changes) in stages {
            if let Some(why) = silent.as_ref().filter(|_| changes) {
                return Err(NotApplied {
                    soon: true,
                    why: format!("stage {stage} at {url}: {why}"),
                    untouched: true,
                });
            }
        }
        Ok(())
    }

    async fn apply(&mut self, from: Replicas, to: Replicas) -> Result<(), NotApplied> {
        for leg in legs(from, to) {
            let told = join_all(leg.into_iter().map(|(stage, pods)| self.set_pods(stage, pods))).await;
            let told: Result<(), ApplyError> = told.into_iter().collect();
            told.map_err(|error| NotApplied { why: error.to_string(), untouched: false, soon: false })?;
        }
        Ok(())
    }
}
