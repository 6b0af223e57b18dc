//! The backend of pipelines on this machine: the stage servers start and drain their own pods.

use std::time::Duration;

use futures_util::future::join_all;
use splitscale_spec::{Replicas, Stage};

use crate::backend::{Backend, NotApplied, legs};
use crate::exposition::Exposition;
use crate::metrics::{NoMetrics, metrics};
use crate::scrape::{Round, desired};

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
        Ok(LocalBackend { endpoints, http })
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

    async fn metrics(&self, url: &str) -> Option<Exposition> {
        match metrics(&self.http, &format!("{url}/metrics")).await {
            Ok(exposition) => Some(exposition),
            Err(NoMetrics::Silent) => None,
            Err(NoMetrics::Wrong(why)) => {
                tracing::warn!("{url}/metrics: {why}");
                None
            }
        }
    }
}

impl Backend for LocalBackend {
    async fn scrape(&mut self) -> Round {
        let (a, proxy, b) = tokio::join!(
            self.metrics(&self.endpoints.a),
            self.metrics(&self.endpoints.proxy),
            self.metrics(&self.endpoints.b)
        );
        Round { a, proxy, b, ..Round::default() }
    }

    async fn desired(&mut self) -> (Option<u32>, Option<u32>) {
        let (a, b) = tokio::join!(self.metrics(&self.endpoints.a), self.metrics(&self.endpoints.b));
        let of = |scrape: Option<Exposition>, stage: &str| desired(&scrape?, stage);
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
