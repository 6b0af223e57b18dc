//! How the API server is asked: never twice by itself, and never for longer than a tick can wait.

use std::error::Error;
use std::time::Duration;

use kube::config::KubeconfigError;
use kube::core::Status;
use kube::{Client, Config};

use super::site::without_roots;

/// Longest that one call may take. A lease is renewed with more than that left, so that a write that was begun by a leader is
/// not still under way when another one leads.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(4);
/// What kube gives as the reason where an answer is no status.
const UNPARSED: &str = "Failed to parse error data";
/// Longest that a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The API server, for calls and for watches.
#[derive(Clone)]
pub struct Clients {
    /// For calls: a socket that hangs is given up.
    pub asking: Client,
    /// For watches, which are silent for long; the watcher ends them itself.
    pub watching: Client,
    /// The namespace that the configuration names.
    pub namespace: String,
}

/// No way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody says where it is.
    #[error(
        "no cluster is configured: run it in a pod with a service account, or name a kubeconfig (KUBECONFIG, or ~/.kube/config)"
    )]
    Nowhere(#[source] kube::config::InferConfigError),
    /// What a kubeconfig says cannot be used.
    #[error("the kubeconfig (KUBECONFIG, or ~/.kube/config) cannot be used")]
    Broken(#[source] kube::config::InferConfigError),
    /// What is said cannot be used.
    #[error("the configuration of the cluster cannot be used")]
    Unusable(#[from] kube::Error),
}

/// A call that gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    Late,
    /// An answer that is a refusal, or no way there.
    #[error("{}", words(.0))]
    Failed(Box<kube::Error>),
}

impl Clients {
    /// The cluster that a kubeconfig names, or whose pod this is.
    ///
    /// # Errors
    /// [`ConnectError`]; that the API server does not answer is none: it may later.
    pub async fn infer() -> Result<Clients, ConnectError> {
        Clients::of(Config::infer().await.map_err(|error| {
            let there = error.source().and_then(|kubeconfig| kubeconfig.downcast_ref::<KubeconfigError>());
            match there {
                None | Some(KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath) => {
                    ConnectError::Nowhere(error)
                }
                Some(_) => ConnectError::Broken(error),
            }
        })?)
    }

    /// The cluster of a configuration.
    ///
    /// # Errors
    /// A certificate or an address that cannot be used.
    pub fn of(mut config: Config) -> Result<Clients, ConnectError> {
        // By itself one call would be made up to 16 times over minutes.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_LIMIT);
        config.write_timeout = Some(CALL_LIMIT);
        config.read_timeout = None;
        without_roots(&mut config);
        let watching = Client::try_from(config.clone())?;
        config.read_timeout = Some(CALL_LIMIT);
        config.reset_reader_on_write = true;
        let namespace = config.default_namespace.clone();
        Ok(Clients { asking: Client::try_from(config)?, watching, namespace })
    }
}

impl CallError {
    /// What the API server said, where it said anything.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            CallError::Failed(error) => match &**error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            CallError::Late => None,
        }
    }

    /// HTTP status of what the API server said, where it said anything.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// Whether what was asked for is not there.
    pub(crate) fn not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }
}

/// What the API server said, once, or why it could not be asked, down to the cause: kube's own words are a structure of Rust, or
/// leave the cause out.
pub(crate) fn words(error: &kube::Error) -> String {
    let mut next: Option<&dyn Error> = match error {
        kube::Error::Api(status) => return refusal(status),
        kube::Error::Service(cause) => Some(&**cause),
        other => Some(other),
    };
    let mut all = String::new();
    while let Some(error) = next {
        let told = error.to_string();
        // Some tell what caused them, some leave that to their cause.
        if !all.contains(&told) {
            all = if all.is_empty() { told } else { format!("{all}: {told}") };
        }
        next = error.source();
    }
    all
}

/// A refusal of the API server, in words.
pub(crate) fn refusal(status: &Status) -> String {
    let message = status.message.trim();
    // What is between may answer in a page of its own.
    if message.is_empty() || status.reason == UNPARSED {
        let begin: String = message.chars().take(200).collect();
        return format!("status {} {begin}", status.code).trim_end().to_owned();
    }
    message.to_owned()
}

/// A call, within its time.
pub(crate) async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(CallError::Failed(Box::new(error))),
        Err(_) => Err(CallError::Late),
    }
}
