//! A double of the API server: what is asked of it is written down, and what it answers can be chosen.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use futures_util::stream;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{Clients, Cluster};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The namespace of all of it.
pub(crate) const NAMESPACE: &str = "splitscale";

/// A call as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

/// What is answered in place of what would be: a status and a body, nothing ever, or the same a while later.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    Answer(u16, Value),
    Never,
    Later(Duration),
}

/// Chooses what is answered instead, if anything.
type Choice = Box<dyn FnMut(&Call) -> Option<Instead> + Send>;

/// The double. All clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    objects: BTreeMap<String, Value>,
    instead: Option<Choice>,
    watches: Vec<(String, mpsc::UnboundedSender<String>)>,
}

impl Api {
    /// With two Deployments of so many pods.
    pub(crate) fn with_scales(a: u32, b: u32) -> Api {
        let api = Api::default();
        for (name, pods) in [("a", a), ("b", b)] {
            api.put(&format!("{DEPLOYMENTS}/{name}/scale"), scale(name, pods));
            api.put(
                &format!("{DEPLOYMENTS}/{name}"),
                json!({"metadata": {"name": name, "namespace": NAMESPACE}}),
            );
        }
        api
    }

    /// An object at a path.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// From now on this is asked what to answer instead.
    pub(crate) fn instead(&self, choice: impl FnMut(&Call) -> Option<Instead> + Send + 'static) {
        self.0.lock().unwrap().instead = Some(Box::new(choice));
    }

    /// Tells whoever watches a path, and keeps it for whoever lists it.
    pub(crate) fn happens(&self, path: &str, kind: &str, object: &Value) {
        let event = format!("{}\n", json!({"type": kind, "object": object}));
        let mut state = self.0.lock().unwrap();
        state.watches.retain(|(watched, sender)| watched != path || sender.send(event.clone()).is_ok());
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().calls.clone()
    }

    /// Those that write.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method != "GET").collect()
    }

    /// Those that write scales.
    pub(crate) fn scaled(&self) -> Vec<Call> {
        self.writes().into_iter().filter(|call| call.path.ends_with("/scale")).collect()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, NAMESPACE)
    }

    /// The same for calls and for watches.
    pub(crate) fn clients(&self) -> Clients {
        Clients { asking: self.client(), watching: self.client(), namespace: NAMESPACE.to_owned() }
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        let call = Call {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            kind: head.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        };
        let (instead, watch) = {
            let mut state = self.0.lock().unwrap();
            state.calls.push(call.clone());
            let instead = state.instead.as_mut().and_then(|choice| choice(&call));
            let watch = (instead.is_none() && call.query.contains("watch=true")).then(|| {
                let (sender, receiver) = mpsc::unbounded_channel();
                state.watches.push((call.path.clone(), sender));
                receiver
            });
            (instead, watch)
        };
        let (status, value) = match instead {
            Some(Instead::Never) => std::future::pending().await,
            Some(Instead::Answer(status, value)) => (status, value),
            Some(Instead::Later(after)) => {
                tokio::time::sleep(after).await;
                self.ordinary(&call)
            }
            None => {
                if let Some(receiver) = watch {
                    let events = stream::unfold(receiver, |mut receiver| async move {
                        let line = receiver.recv().await?;
                        Some((Ok::<_, Infallible>(line), receiver))
                    });
                    return Response::new(Body::from_stream(events));
                }
                self.ordinary(&call)
            }
        };
        let answer = Response::builder().status(status).header("content-type", "application/json");
        // A log is text, and no JSON.
        let body = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        answer.body(Body::from(body)).unwrap()
    }

    /// What an API server answers: objects as they are, and scales and statuses as they are written.
    fn ordinary(&self, call: &Call) -> (u16, Value) {
        let mut state = self.0.lock().unwrap();
        match call.method.as_str() {
            // A lease is held by whoever the test says, whatever anybody writes.
            "GET" => match state.objects.get(&call.path) {
                Some(object) => (200, object.clone()),
                None => (404, refusal(404, "NotFound", "not found")),
            },
            "PATCH" if call.path.ends_with("/scale") => {
                let Some(found) = state.objects.get_mut(&call.path) else {
                    return (404, refusal(404, "NotFound", "not found"));
                };
                found["spec"] = call.body["spec"].clone();
                (200, found.clone())
            }
            "PATCH" if call.path.ends_with("/status") => {
                let path = call.path.trim_end_matches("/status").to_owned();
                let object = state.objects.entry(path).or_insert_with(|| call.body.clone());
                object["status"] = call.body["status"].clone();
                (200, object.clone())
            }
            _ => (201, call.body.clone()),
        }
    }
}

/// Where Deployments are.
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/splitscale/deployments";
/// Where pipelines are.
pub(crate) const PIPELINES: &str = "/apis/splitscale.io/v1alpha1/namespaces/splitscale/splitpipelines";
/// Where ConfigMaps are.
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/splitscale/configmaps";
/// The lease.
pub(crate) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/splitscale/leases/splitscale";

fn scale(name: &str, pods: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": "7"},
        "spec": {"replicas": pods}, "status": {"replicas": pods, "selector": format!("app={name}")},
    })
}

/// A lease that somebody holds for so long from now \[s\]; the lead has changed twice.
pub(crate) fn lease(holder: &str, seconds: u32) -> Value {
    let renewed = k8s_openapi::jiff::Timestamp::now();
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "splitscale", "namespace": NAMESPACE},
        "spec": {"holderIdentity": holder, "renewTime": renewed.to_string(), "leaseDurationSeconds": seconds, "leaseTransitions": 2},
    })
}

/// A refusal of the API server.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// A conflict with another manager of the replicas, in the API server's words.
pub(crate) fn conflict(manager: &str) -> Value {
    let mut told = refusal(
        409,
        "Conflict",
        &format!("Apply failed with 1 conflict: conflict with \"{manager}\" using apps/v1: .spec.replicas"),
    );
    told["details"] = json!({"causes": [{
        "reason": "FieldManagerConflict",
        "message": format!("conflict with \"{manager}\" with subresource \"scale\" using apps/v1"),
        "field": ".spec.replicas",
    }]});
    told
}

/// What the cluster holds, fed by hand.
pub(crate) struct Held {
    pub(crate) cluster: Cluster,
    deployments: Writer<Deployment>,
    pods: Writer<Pod>,
    slices: Writer<EndpointSlice>,
}

impl Held {
    /// The Deployments `a` and `b`, managed so, and nothing else yet.
    pub(crate) fn new(managed: &Value) -> Held {
        let ((deployments, writer), (pods, pods_writer), (slices, slices_writer)) =
            (reflector::store(), reflector::store(), reflector::store());
        let (autoscalers, mut autoscalers_writer) = reflector::store();
        feed::<HorizontalPodAutoscaler>(&mut autoscalers_writer, &[]);
        let (since, namespace) = (Instant::now(), NAMESPACE.to_owned());
        let cluster = Cluster { deployments, pods, slices, autoscalers, since, namespace };
        let mut held = Held { cluster, deployments: writer, pods: pods_writer, slices: slices_writer };
        held.deploy(managed);
        held.pods(&[]);
        held.slices(&[]);
        held
    }

    /// Who manages the Deployments from now on.
    pub(crate) fn deploy(&mut self, managed: &Value) {
        let deployments = ["a", "b"].map(|name| {
            json!({
                "metadata": {"name": name, "namespace": NAMESPACE, "managedFields": managed},
                "spec": {"selector": {"matchLabels": {"app": name}}, "template": {}},
            })
        });
        feed(&mut self.deployments, &deployments);
    }

    /// These pods from now on.
    pub(crate) fn pods(&mut self, pods: &[Value]) {
        feed(&mut self.pods, pods);
    }

    /// These addresses from now on.
    pub(crate) fn slices(&mut self, slices: &[Value]) {
        feed(&mut self.slices, slices);
    }
}

fn feed<K>(writer: &mut Writer<K>, objects: &[Value])
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    writer.apply_watcher_event(&watcher::Event::Init);
    for object in objects {
        let object = serde_json::from_value(object.clone()).unwrap();
        writer.apply_watcher_event(&watcher::Event::InitApply(object));
    }
    writer.apply_watcher_event(&watcher::Event::InitDone);
}
