//! SplitPipelines that a ConfigMap declares, applied by the operator. kubectl looks up all kinds before it applies anything, so that it
//! cannot bring a kind and an object of it in one go.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::events::{EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::manifests::checksum;

use super::client::in_time;
use super::lease::Leader;
use super::ledger::event;
use super::resource::SplitPipeline;

/// Our name among the managers of what is declared.
const MANAGER: &str = "splitscale-declared";
/// SHA-256 of what an object was applied from: applied again is only what is declared otherwise, so that an edit stays.
const DECLARED: &str = "splitscale.io/declared";

/// What is declared in a namespace.
pub(super) struct Declared {
    maps: Api<ConfigMap>,
    pipelines: Api<DynamicObject>,
    recorder: Recorder,
    namespace: String,
    map: String,
    /// What was told last of each key, the empty one for the map itself: a trouble is told once.
    told: BTreeMap<String, String>,
}

impl Declared {
    /// By the ConfigMap of this name.
    pub(super) fn new(client: &Client, namespace: &str, map: &str, recorder: Recorder) -> Declared {
        let kind = ApiResource::erase::<SplitPipeline>(&());
        Declared {
            maps: Api::namespaced(client.clone(), namespace),
            pipelines: Api::namespaced_with(client.clone(), namespace, &kind),
            recorder,
            namespace: namespace.to_owned(),
            map: map.to_owned(),
            told: BTreeMap::new(),
        }
    }

    /// Applies what is not there, or is declared otherwise than when it was applied. Without force: what somebody edited is theirs.
    /// By the leader, until `stop`, which waits for what is under way.
    pub(super) async fn apply(
        &mut self,
        there: &BTreeMap<String, Arc<SplitPipeline>>,
        leader: &Leader,
        stop: &CancellationToken,
    ) {
        if !leader.leads() {
            return;
        }
        let map = match in_time(self.maps.get(&self.map)).await {
            Ok(map) => map,
            // Nothing is declared; whoever wants to may later.
            Err(error) if error.not_found() => {
                let words = format!("there is no ConfigMap {}: no pipeline is declared", self.map);
                if self.told.get("") != Some(&words) {
                    tracing::info!("namespace {}: {words}", self.namespace);
                }
                return self.told = [(String::new(), words)].into();
            }
            Err(error) => {
                let remedy = match error.code() {
                    Some(403) => "name it in the operator's Role of that namespace (resourceNames)",
                    _ => "it is tried again",
                };
                let why = format!("ConfigMap {} cannot be read: {remedy} ({error})", self.map);
                return self.trouble(None, "", why).await;
            }
        };
        self.told.remove("");
        let texts = map.data.clone().unwrap_or_default();
        self.told.retain(|key, _| texts.contains_key(key));
        let mut names = BTreeMap::new();
        for (key, text) in &texts {
            if stop.is_cancelled() || leader.check().await.is_err() {
                return;
            }
            let mut about = map.object_ref(&());
            let read = read(text, &self.namespace).and_then(|read| {
                let first = *names.entry(read.0.clone()).or_insert(key);
                match first == key {
                    true => Ok(read),
                    false => Err(format!("key {first} declares SplitPipeline {} already", read.0)),
                }
            });
            let applied = match read {
                Ok((name, object)) => self.one(&name, object, there, &mut about).await,
                Err(why) => Err(why),
            };
            match applied {
                Ok(()) => drop(self.told.remove(key)),
                Err(why) => {
                    let why = format!("key {key} of ConfigMap {} is not applied: {why}", self.map);
                    self.trouble(Some(&about), key, why).await;
                }
            }
        }
    }

    /// One of them; `about` becomes the object where there is one, for that is where it is looked for.
    async fn one(
        &self,
        name: &str,
        mut object: Value,
        there: &BTreeMap<String, Arc<SplitPipeline>>,
        about: &mut ObjectReference,
    ) -> Result<(), String> {
        let namespace = &self.namespace;
        let declared = checksum(&object.to_string());
        object["metadata"]["annotations"][DECLARED] = json!(declared);
        if let Some(there) = there.get(name) {
            *about = there.object_ref(&());
            if there.annotations().get(DECLARED) == Some(&declared) {
                return Ok(());
            }
        }
        let how = PatchParams::apply(MANAGER);
        let applied = in_time(self.pipelines.patch(name, &how, &Patch::Apply(&object))).await;
        applied.map_err(|error| match error.code() {
            Some(409) => format!(
                "what somebody else edited or applied is theirs ({error}); to have it as declared: kubectl delete splitpipeline {name} --namespace {namespace}, and it is made anew"
            ),
            Some(403) => {
                format!("may it create and patch splitpipelines, as in deploy/base/rbac.yaml? ({error})")
            }
            _ => error.to_string(),
        })?;
        tracing::info!(
            "SplitPipeline {name} of namespace {namespace} is applied as ConfigMap {} declares it",
            self.map
        );
        Ok(())
    }

    /// Logged once, and an event each time, which is counted and so does not end while the trouble lasts.
    async fn trouble(&mut self, about: Option<&ObjectReference>, key: &str, why: String) {
        if self.told.get(key) != Some(&why) {
            tracing::warn!("namespace {}: {why}", self.namespace);
        }
        if let Some(about) = about {
            // By its action one trouble is told from another of the same object: events of one action keep the first one's words.
            let event = event(EventType::Warning, "NotApplied", &checksum(&why), why.clone());
            if let Err(error) = in_time(self.recorder.publish(&event, about)).await {
                tracing::debug!("{}: event NotApplied was not published: {error}", self.namespace);
            }
        }
        self.told.insert(key.to_owned(), why);
    }
}

/// A SplitPipeline of a namespace and its name, as far as it says so: what else is in it the API server judges.
fn read(text: &str, namespace: &str) -> Result<(String, Value), String> {
    let object: Value = serde_saphyr::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
    let (version, kind) = (SplitPipeline::api_version(&()), SplitPipeline::kind(&()));
    if object["apiVersion"] != *version || object["kind"] != *kind {
        return Err(format!(
            "it is {} of {}, and is to be {kind} of {version}",
            object["kind"], object["apiVersion"]
        ));
    }
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().ok_or("metadata.name is missing")?.to_owned();
    if let Some(other) = metadata["namespace"].as_str().filter(|other| *other != namespace) {
        return Err(format!("metadata.namespace is {other}, and this is namespace {namespace}"));
    }
    match metadata["annotations"].is_null() || metadata["annotations"].is_object() {
        true => Ok((name, object)),
        false => Err("metadata.annotations is no map".to_owned()),
    }
}
