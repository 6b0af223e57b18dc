//! A namespace with a pipeline in it: two Deployments of pods that sleep, a policy, and the rights of `deploy/base/rbac.yaml`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::scaler::Scaler;
use crate::until;
use crate::world::{Way, World};

/// What the operator may do.
const RIGHTS: &str = include_str!("../../deploy/base/rbac.yaml");
/// Who gets them; kustomize would add its namespace.
const SUBJECT: &str = "  - kind: ServiceAccount\n    name: splitscale-scaler";

/// A namespace.
pub(crate) struct Place<'a> {
    pub(crate) world: &'a World,
    pub(crate) name: String,
    /// Name of the pipeline.
    pub(crate) pipeline: String,
    /// Of the operator's service account.
    pub(crate) token: String,
    /// Whether others go on with it.
    kept: bool,
}

impl<'a> Place<'a> {
    /// With a pipeline that is to have three pods of A and two of B, and has one each.
    pub(crate) async fn new(world: &'a World, name: &str) -> Place<'a> {
        world.install();
        let place = Place::bare(world, name).await;
        place.create(|_| {}).await;
        place
    }

    /// Without a pipeline.
    pub(crate) async fn bare(world: &'a World, name: &str) -> Place<'a> {
        let name = format!("faults-{name}");
        world.write(Method::POST, "/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
        let rights = RIGHTS.replace(SUBJECT, &format!("{SUBJECT}\n    namespace: {name}"));
        let objects = [rights, deployment("a").to_string(), deployment("b").to_string()];
        let apply = ["kubectl", "apply", "--server-side", "--namespace", &name, "-f", "-"];
        world.bed.feed(&apply, &objects.join("\n---\n"));
        let mut place = Place::kept(world, &name, "demo").await;
        place.kept = false;
        place.policy(&constant(3, 2).to_string()).await;
        place
    }

    /// One that is there, and stays, with the pipeline of this name.
    pub(crate) async fn kept(world: &'a World, name: &str, pipeline: &str) -> Place<'a> {
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/splitscale-scaler/token");
        let asked = json!({"spec": {"expirationSeconds": 3600}});
        let given = world.write(Method::POST, &account, asked).await;
        let token = given["status"]["token"].as_str().unwrap().to_owned();
        Place { world, name: name.to_owned(), pipeline: pipeline.to_owned(), token, kept: true }
    }

    /// An operator whose calls go straight to the API server.
    pub(crate) async fn scaler(&self, identity: &str) -> Scaler {
        Scaler::start(self, identity, &self.world.way).await
    }

    /// An operator whose calls go through a gate.
    pub(crate) async fn scaler_behind(&self, gate: &Gate, identity: &str) -> Scaler {
        let way = Way { server: gate.url.clone(), authority: None };
        Scaler::start(self, identity, &way).await
    }

    /// Makes the pipeline. Nothing holds its policy back: what is decided is what it wants.
    pub(crate) async fn create(&self, change: impl FnOnce(&mut Value)) {
        let stage = |name: &str| json!({"deployment": name, "maxReplicas": 8});
        let free = json!({"pods": 0, "periodSeconds": 1});
        let mut spec = json!({
            "mode": "Auto", "intervalSeconds": 0.5, "windowSeconds": 2,
            "stages": {"a": stage("splitscale-a"), "b": stage("splitscale-b")},
            "policy": {"configMap": {"name": "splitscale-policy", "key": "policy.json"}},
            "shell": {"settleSeconds": 0, "downWindowSeconds": 0, "rateUp": free, "rateDown": free, "reversalsPerHour": 0},
        });
        change(&mut spec);
        let object = json!({"apiVersion": "splitscale.io/v1alpha1", "kind": "SplitPipeline", "metadata": {"name": self.pipeline}, "spec": spec});
        self.world.write(Method::POST, &self.path("splitscale.io/v1alpha1", "splitpipelines"), object).await;
    }

    /// Puts a text where the policy is.
    pub(crate) async fn policy(&self, text: &str) {
        let map = json!({"metadata": {"name": "splitscale-policy"}, "data": {"policy.json": text}});
        let maps = format!("/api/v1/namespaces/{}/configmaps", self.name);
        let (status, _) = self.world.ask(Method::POST, &maps, Some(map.clone())).await;
        if status == 409 {
            self.world.write(Method::PATCH, &format!("{maps}/splitscale-policy"), map).await;
        }
    }

    /// Changes the pipeline.
    pub(crate) async fn edit(&self, spec: Value) {
        self.world.write(Method::PATCH, &self.object(), json!({"spec": spec})).await;
    }

    /// Wants other pods, from the next decision on.
    pub(crate) async fn want(&self, a: u32, b: u32) {
        let of = |pods: u32| json!({"minReplicas": pods, "maxReplicas": pods});
        self.edit(json!({"stages": {"a": of(a), "b": of(b)}})).await;
    }

    /// Pods that both Deployments are told to have.
    pub(crate) async fn pods(&self) -> [u64; 2] {
        let mut pods = [0; 2];
        for (told, stage) in pods.iter_mut().zip(["a", "b"]) {
            let path = self.path("apps/v1", &format!("deployments/splitscale-{stage}/scale"));
            *told = self.world.get(&path).await["spec"]["replicas"].as_u64().unwrap_or(0);
        }
        pods
    }

    /// Waits until both are told so.
    pub(crate) async fn until_pods(&self, pods: [u64; 2]) {
        until(&format!("{}: {pods:?}", self.name), async || self.pods().await == pods).await;
    }

    /// Waits until both are told so, and that this is done is noted.
    pub(crate) async fn until_done(&self, pods: [u64; 2]) {
        self.until_pods(pods).await;
        let [a, b] = pods;
        let done = async || self.status().await["replicas"] == json!({"a": a, "b": b});
        until(&format!("{}: {pods:?} in the status", self.name), done).await;
    }

    /// What the pipeline tells.
    pub(crate) async fn status(&self) -> Value {
        self.world.get(&self.object()).await["status"].clone()
    }

    /// Status, reason and message of a condition.
    pub(crate) async fn condition(&self, kind: &str) -> [String; 3] {
        let status = self.status().await;
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        ["status", "reason", "message"].map(|field| found[field].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a condition has a status and a reason; its message.
    pub(crate) async fn until_condition(&self, kind: &str, status: &str, reason: &str) -> String {
        let what = format!("{}: {kind} is {status}, {reason}", self.name);
        until(&what, async || self.condition(kind).await[..2] == [status, reason]).await;
        let [.., message] = self.condition(kind).await;
        message
    }

    /// Who holds the lease.
    pub(crate) async fn leader(&self) -> String {
        let lease = self.world.get(&self.path("coordination.k8s.io/v1", "leases/splitscale")).await;
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    /// Where the pipeline is.
    fn object(&self) -> String {
        self.path("splitscale.io/v1alpha1", &format!("splitpipelines/{}", self.pipeline))
    }

    /// Where things of this namespace are.
    pub(crate) fn path(&self, group: &str, rest: &str) -> String {
        format!("/apis/{group}/namespaces/{}/{rest}", self.name)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Not waited for: its name is never used again.
        self.world.bed.run(&["kubectl", "delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// Pods that sleep. Nobody says how many: that is the operator's.
fn deployment(stage: &str) -> Value {
    let name = format!("splitscale-{stage}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "sleeper", "image": "registry.local/pause:1"}],
                },
            },
        },
    })
}

/// A policy that always wants so many pods.
pub(crate) fn constant(a: u32, b: u32) -> Value {
    policy(json!({"static": {"a": a, "b": b}}))
}

/// A policy of a kind.
pub(crate) fn policy(kind: Value) -> Value {
    json!({"schema": 2, "name": "of the test", "kind": kind, "region": null, "training": null})
}
