//! What the cluster holds, kept up to date: the Deployments, pods, addresses and autoscalers of a namespace.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::Selector;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{refusal, words};
use super::owners::{APPLIED, Owner};

/// How long one watch lasts \[s\]: a connection that died silently is noticed a few seconds after.
pub(crate) const WATCH_S: u32 = 60;

/// For so long nothing is written where autoscalers are not known.
const AUTOSCALERS_UNKNOWN: Duration = Duration::from_secs(15);

/// A namespace as it is now. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    /// Its Deployments.
    pub deployments: Store<Deployment>,
    /// Its pods.
    pub pods: Store<Pod>,
    /// Addresses behind its Services.
    pub slices: Store<EndpointSlice>,
    /// Its autoscalers.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// Since when it is watched.
    pub since: Instant,
    /// Its name.
    pub namespace: String,
}

impl Cluster {
    /// Watches a namespace until `stop`.
    pub fn watch(client: &Client, namespace: &str, stop: &CancellationToken) -> Cluster {
        Cluster {
            deployments: keep(client, namespace, stop, |deployment: &mut Deployment| {
                // The managers of its fields stay, and what kubectl applied: they tell who owns the replicas.
                if let Some(annotations) = &mut deployment.metadata.annotations {
                    annotations.retain(|name, _| name == APPLIED);
                }
                if let Some(spec) = &mut deployment.spec {
                    spec.template = Default::default();
                }
            }),
            pods: keep(client, namespace, stop, |pod: &mut Pod| {
                (pod.metadata.managed_fields, pod.metadata.annotations) = (None, None);
                if let Some(spec) = &mut pod.spec {
                    spec.volumes = None;
                    for container in &mut spec.containers {
                        (container.env, container.volume_mounts) = (None, None);
                    }
                }
            }),
            slices: keep(client, namespace, stop, |slice: &mut EndpointSlice| {
                slice.metadata.managed_fields = None;
            }),
            autoscalers: keep(client, namespace, stop, |hpa: &mut HorizontalPodAutoscaler| {
                (hpa.metadata.managed_fields, hpa.status) = (None, None);
            }),
            since: Instant::now(),
            namespace: namespace.to_owned(),
        }
    }

    /// Whether all autoscalers are known; or never will be, as with the Role of an earlier version, which does not have that right.
    pub(crate) fn autoscalers_known(&self) -> bool {
        complete(&self.autoscalers) || self.since.elapsed() > AUTOSCALERS_UNKNOWN
    }

    /// Which pods a Deployment has; absent while it is not known.
    pub(crate) fn selector(&self, deployment: &str) -> Option<Selector> {
        let found = self.deployment(deployment)?;
        Selector::try_from(found.spec.as_ref()?.selector.clone()).ok()
    }

    /// Who else owns the replicas of a Deployment, and who will: until an autoscaler writes, it is no manager.
    pub(crate) fn owners(&self, deployment: &str) -> Vec<Owner> {
        let found = self.deployment(deployment);
        let managers = found.map(|found| Owner::all(&found.metadata)).unwrap_or_default();
        Owner::with_autoscalers(deployment, managers, &self.autoscalers.state())
    }

    /// Pods, where all of them are known.
    pub(crate) fn pods(&self) -> Option<Vec<Arc<Pod>>> {
        complete(&self.pods).then(|| self.pods.state())
    }

    /// Addresses, where all of them are known.
    pub(crate) fn slices(&self) -> Option<Vec<Arc<EndpointSlice>>> {
        complete(&self.slices).then(|| self.slices.state())
    }

    fn deployment(&self, name: &str) -> Option<Arc<Deployment>> {
        self.deployments.get(&ObjectRef::new(name).within(&self.namespace))
    }
}

/// Whether the first list has come.
fn complete<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>) -> bool {
    matches!(store.wait_until_ready().now_or_never(), Some(Ok(())))
}

/// What is told as SplitPipelines are watched.
pub(crate) const SPLIT_PIPELINES: &str = "SplitPipelines";

/// Why objects cannot be watched, and what to do.
pub(crate) fn trouble(what: &str, namespace: &str, error: &watcher::Error) -> String {
    let said = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => words(error),
        watcher::Error::WatchError(status) => refusal(status),
        watcher::Error::NoResourceVersion => error.to_string(),
    };
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    let remedy = match status {
        // Of a kind that it never heard of the API server says so in plain words and not in a status.
        Some(status) if status.code == 404 && what == SPLIT_PIPELINES => {
            "the cluster does not know the kind SplitPipeline; apply its definition: splitscale operator --crd | kubectl apply --server-side -f -"
        }
        Some(status) if status.is_forbidden() => {
            "it may not: bind the Role in deploy/base/rbac.yaml to its service account in that namespace"
        }
        _ => "the API server does not answer as it should",
    };
    format!("{what} of namespace {namespace} cannot be watched, and are tried again: {remedy} ({said})")
}

/// Keeps the objects of a kind until `stop`, less what nobody asks for.
fn keep<K>(client: &Client, namespace: &str, stop: &CancellationToken, prune: fn(&mut K)) -> Store<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    K::DynamicType: Hash + Eq,
{
    let (reader, writer) = store();
    let watched =
        watcher(Api::<K>::namespaced(client.clone(), namespace), watcher::Config::default().timeout(WATCH_S));
    let mut events = Box::pin(watched.default_backoff().modify(prune).reflect(writer));
    let (stop, namespace, mut well) = (stop.clone(), namespace.to_owned(), true);
    tokio::spawn(async move {
        let what = K::plural(&());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = stop.cancelled() => return,
            };
            match event {
                // That a list begins does not say that it comes.
                Some(Ok(event)) if !well && !matches!(event, watcher::Event::Init) => {
                    well = true;
                    tracing::info!("{what} of namespace {namespace} are watched again");
                }
                Some(Err(error)) if well => {
                    well = false;
                    tracing::warn!("{}", trouble(&what, &namespace, &error));
                }
                Some(_) => {}
                None => return,
            }
        }
    });
    reader
}
