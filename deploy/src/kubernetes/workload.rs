//! A Deployment for whoever measures: told to have so many pods, looked at, and each of its pods asked through the API server,
//! so that nothing but the way to that is needed.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client};

use super::client::{CallError, Clients, in_time};
use super::resource::{ModeName, SplitPipeline};
use super::scale::{self, Unwritten};

/// One Deployment.
#[derive(Clone)]
pub struct Workload {
    client: Client,
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    namespace: String,
    name: String,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Pods it was told to have.
    pub desired: u32,
    /// Names of the pods that take requests.
    pub ready: Vec<String>,
    /// Pods that do not yet.
    pub starting: u32,
    /// Pods on their way out.
    pub draining: u32,
}

impl Workload {
    /// The Deployment of this name.
    pub fn new(clients: &Clients, namespace: &str, name: &str) -> Workload {
        let client = clients.asking.clone();
        Workload {
            deployments: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Tells it to have so many pods, in the name of the scaler and without force: replicas that somebody else owns are not taken.
    ///
    /// # Errors
    /// In words, with what to do where they belong to somebody.
    pub async fn scale(&self, pods: u32) -> Result<(), String> {
        match scale::write(&self.deployments, &self.namespace, &self.name, pods).await {
            Ok(()) => Ok(()),
            Err(Unwritten::Failed(error)) => Err(error.to_string()),
            Err(Unwritten::Owned(owners)) => {
                Err(owners.first().map(|owner| owner.remedy(&self.namespace)).unwrap_or_default())
            }
        }
    }

    /// The SplitPipeline whose decisions are carried out on it, if one is: that one does not leave the pods to whoever measures.
    ///
    /// # Errors
    /// What the API server said; that it does not know the kind is none.
    pub async fn scaled_by(&self) -> Result<Option<SplitPipeline>, CallError> {
        let pipelines: Api<SplitPipeline> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = match in_time(pipelines.list(&ListParams::default())).await {
            Err(error) if error.not_found() => return Ok(None),
            found => found?,
        };
        let ours = |pipeline: &SplitPipeline| {
            let stages = &pipeline.spec.stages;
            let names = [&stages.a.deployment, &stages.b.deployment].contains(&&self.name);
            names && matches!(pipeline.spec.mode, ModeName::Auto | ModeName::Emergency)
        };
        Ok(found.items.into_iter().find(ours))
    }

    /// How it stands now.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn standing(&self) -> Result<Standing, CallError> {
        let spec = in_time(self.deployments.get(&self.name)).await?.spec.unwrap_or_default();
        let selector = Selector::try_from(spec.selector).unwrap_or_default();
        let mut standing = Standing {
            desired: u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0),
            ready: Vec::new(),
            starting: 0,
            draining: 0,
        };
        for pod in in_time(self.pods.list(&ListParams::default().labels_from(&selector))).await? {
            let status = pod.status.unwrap_or_default();
            let is_ready = |of: &str| {
                let conditions = status.conditions.iter().flatten();
                conditions
                    .filter(|condition| condition.type_ == of)
                    .any(|condition| condition.status == "True")
            };
            match status.phase.as_deref() {
                Some("Failed" | "Succeeded") => {}
                _ if pod.metadata.deletion_timestamp.is_some() => standing.draining += 1,
                _ if is_ready("Ready") => standing.ready.extend(pod.metadata.name),
                _ => standing.starting += 1,
            }
        }
        standing.ready.sort();
        Ok(standing)
    }

    /// What one of its pods answers at a path, on the first port that it names.
    ///
    /// # Errors
    /// What the API server said, or the pod through it.
    pub async fn ask(&self, pod: &str, path: &str) -> Result<String, CallError> {
        let url = format!("/api/v1/namespaces/{}/pods/{pod}/proxy{path}", self.namespace);
        let request = axum::http::Request::get(url).body(Vec::new()).map_err(|error| {
            CallError::Failed(Box::new(kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(
                error,
            ))))
        })?;
        in_time(self.client.request_text(request)).await
    }
}
