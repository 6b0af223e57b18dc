//! A Deployment for whoever measures: told to have so many pods, looked at, and each of its pods asked through the API server,
//! so that nothing but the way to that is needed.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, Selector};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::client::{CallError, Clients, in_time};
use super::resource::SplitPipeline;
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

/// A pipeline whose decisions are carried out on a Deployment: it does not leave the pods to whoever measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaled {
    /// Name of the SplitPipeline.
    pub pipeline: String,
    /// Its mode, Auto or Emergency.
    pub mode: String,
    /// The Deployment.
    pub deployment: String,
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

impl Scaled {
    /// The first that scales one of these Deployments of a namespace, by no more of it than is asked for here: one that this
    /// version cannot read hides no other.
    ///
    /// # Errors
    /// What the API server said; that it does not know the kind is none.
    pub async fn find(
        clients: &Clients,
        namespace: &str,
        deployments: [&str; 2],
    ) -> Result<Option<Scaled>, CallError> {
        let kind = ApiResource::erase::<SplitPipeline>(&());
        let pipelines: Api<DynamicObject> = Api::namespaced_with(clients.asking.clone(), namespace, &kind);
        let found = match in_time(pipelines.list(&ListParams::default())).await {
            // Of a kind that it never heard of the API server says so in plain words and not in a status.
            Err(error) if error.code() == Some(404) => return Ok(None),
            found => found?,
        };
        let of = |pipeline: &DynamicObject| {
            let at = |pointer: &str| pipeline.data.pointer(pointer).and_then(Value::as_str);
            let mode = at("/spec/mode").filter(|mode| ["Auto", "Emergency"].contains(mode))?;
            let mut stages =
                ["/spec/stages/a/deployment", "/spec/stages/b/deployment"].into_iter().filter_map(at);
            Some(Scaled {
                pipeline: pipeline.name_any(),
                mode: mode.to_owned(),
                deployment: stages.find(|stage| deployments.contains(stage))?.to_owned(),
            })
        };
        Ok(found.items.iter().find_map(of))
    }
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
