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

use super::client::in_time;
use super::documents::hash;
use super::ledger::event;
use super::resource::SplitPipeline;

/// Our name among the managers of what is declared.
const MANAGER: &str = "splitscale-declared";
/// SHA-256 of the text that an object was applied from: applied again is only what is declared otherwise, so that an edit stays.
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
    pub(super) async fn apply(&mut self, there: &BTreeMap<String, Arc<SplitPipeline>>) {
        let map = match in_time(self.maps.get(&self.map)).await {
            Ok(map) => map,
            // Nothing is declared, or whoever wants to may later.
            Err(error) if error.not_found() => return self.told.clear(),
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
        for (key, text) in &texts {
            let mut about = map.object_ref(&());
            match self.one(text, there, &mut about).await {
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
        text: &str,
        there: &BTreeMap<String, Arc<SplitPipeline>>,
        about: &mut ObjectReference,
    ) -> Result<(), String> {
        let (mut object, namespace) = (read(text)?, &self.namespace);
        let metadata = object["metadata"].as_object_mut().ok_or("metadata.name is missing")?;
        let word = |field: &str| metadata.get(field)?.as_str().map(str::to_owned);
        let name = word("name").ok_or("metadata.name is missing")?;
        if let Some(other) = word("namespace").filter(|other| other != namespace) {
            return Err(format!("metadata.namespace is {other}, and this is namespace {namespace}"));
        }
        let declared = hash(text);
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        let annotations = annotations.as_object_mut().ok_or("metadata.annotations is no map")?;
        annotations.insert(DECLARED.to_owned(), json!(declared));
        if let Some(there) = there.get(&name) {
            *about = there.object_ref(&());
            if there.annotations().get(DECLARED) == Some(&declared) {
                return Ok(());
            }
        }
        let how = PatchParams::apply(MANAGER);
        let applied = in_time(self.pipelines.patch(&name, &how, &Patch::Apply(&object))).await;
        applied.map_err(|error| match error.code() {
            Some(409) => format!(
                "what somebody edited is theirs ({error}); to have it as declared, take the edit back, or kubectl delete splitpipeline {name} --namespace {namespace}, and it is made anew"
            ),
            Some(403) => {
                format!("bind the Role in deploy/base/rbac.yaml, or apply it by yourself ({error})")
            }
            _ => error.to_string(),
        })?;
        tracing::info!(
            "SplitPipeline {name} of namespace {namespace} is applied as ConfigMap {} declares it",
            self.map
        );
        Ok(())
    }

    async fn trouble(&mut self, about: Option<&ObjectReference>, key: &str, why: String) {
        if self.told.get(key) == Some(&why) {
            return;
        }
        tracing::warn!("namespace {}: {why}", self.namespace);
        if let Some(about) = about {
            // Its action tells it from another trouble of the same object.
            let event = event(EventType::Warning, "NotApplied", &why, why.clone());
            if let Err(error) = in_time(self.recorder.publish(&event, about)).await {
                tracing::debug!("{}: event NotApplied was not published: {error}", self.namespace);
            }
        }
        self.told.insert(key.to_owned(), why);
    }
}

/// A SplitPipeline, as far as it says so: what is in it the API server judges.
fn read(text: &str) -> Result<Value, String> {
    let object: Value = serde_saphyr::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
    let (version, kind) = (SplitPipeline::api_version(&()), SplitPipeline::kind(&()));
    if object["apiVersion"] != *version || object["kind"] != *kind {
        return Err(format!(
            "it is {} of {}, and is to be {kind} of {version}",
            object["kind"], object["apiVersion"]
        ));
    }
    Ok(object)
}
