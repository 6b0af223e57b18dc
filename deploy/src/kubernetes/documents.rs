//! The documents of a pipeline: its policies and its calibration, out of ConfigMaps or from an address.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde::de::DeserializeOwned;
use serde_json::Value;
use splitscale_policy::Policy;
use splitscale_spec::{Calibration, Invalid, check_schema};

use crate::manifests::checksum;

use super::client::{CALL_LIMIT, in_time};
use super::resource::{Document, SplitPipelineSpec};
use super::site::Site;

/// Everything that decides, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Documents {
    /// The policy that decides.
    pub policy: Policy,
    /// SHA-256 of its text.
    pub sha256: String,
    /// The policy that decides in its place.
    pub baseline: Policy,
    /// The policy that is scored beside.
    pub shadow: Policy,
    /// What was measured.
    pub calibration: Option<Calibration>,
}

/// A document that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unloaded {
    /// Why, as a reason of a condition.
    pub reason: &'static str,
    /// In words, with a remedy.
    pub message: String,
}

/// Reads documents in a namespace.
#[derive(Clone)]
pub struct Library {
    /// Where ConfigMaps are.
    pub maps: Api<ConfigMap>,
    /// Theirs, for what is to be typed.
    pub namespace: String,
}

impl Library {
    /// All documents of a pipeline.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub async fn read(&self, spec: &SplitPipelineSpec) -> Result<Documents, Unloaded> {
        let (policy, sha256) = self.policy("policy", &spec.policy).await?;
        let or_hpa = async |name, document: &Option<Document>| match document {
            Some(document) => self.policy(name, document).await.map(|(policy, _)| policy),
            None => Ok(Policy::hpa()),
        };
        let baseline = or_hpa("baseline", &spec.baseline).await?;
        let shadow = or_hpa("shadow", &spec.shadow).await?;
        let calibration = match &spec.calibration {
            Some(document) => Some(self.calibration(document).await?),
            None => None,
        };
        Ok(Documents { policy, sha256, baseline, shadow, calibration })
    }

    async fn policy(&self, field: &'static str, document: &Document) -> Result<(Policy, String), Unloaded> {
        let text = self.text(field, document).await?;
        let policy: Policy = parse(field, document, &text, Policy::SCHEMA)?;
        policy.validate().map_err(|wrong| invalid(field, document, &wrong))?;
        Ok((policy, checksum(&text)))
    }

    async fn calibration(&self, document: &Document) -> Result<Calibration, Unloaded> {
        let text = self.text("calibration", document).await?;
        let calibration: Calibration = parse("calibration", document, &text, Calibration::SCHEMA)?;
        calibration.validate().map_err(|wrong| invalid("calibration", document, &wrong))?;
        if calibration.laws.is_none() {
            let message = format!(
                "{} has no laws; calibrate a folder with the records of its requests",
                place("calibration", document)
            );
            return Err(Unloaded { reason: "Invalid", message });
        }
        Ok(calibration)
    }

    /// The text of a document, which is the one that was meant where that is said.
    async fn text(&self, field: &'static str, document: &Document) -> Result<String, Unloaded> {
        let (at, namespace) = (|| place(field, document), &self.namespace);
        let text = match (&document.config_map, &document.url) {
            (Some(map), _) => {
                let found = in_time(self.maps.get(&map.name)).await.map_err(|error| {
                    let (reason, remedy) = match error.status() {
                        Some(status) if status.is_not_found() => (
                            "NotFound",
                            format!(
                                ": kubectl create configmap {} --namespace {namespace} --from-file={}=FILE",
                                map.name, map.key
                            ),
                        ),
                        Some(status) if status.is_forbidden() => (
                            "Forbidden",
                            format!(
                                ": name ConfigMap {} in the operator's Role of namespace {namespace} (resourceNames)",
                                map.name
                            ),
                        ),
                        _ => ("Unreachable", ", and is tried again".to_owned()),
                    };
                    Unloaded { reason, message: format!("{} cannot be read ({error}){remedy}", at()) }
                })?;
                let mut data = found.data.unwrap_or_default();
                data.remove(&map.key).ok_or_else(|| {
                    let keys: Vec<String> = data.into_keys().collect();
                    let has = match keys.is_empty() {
                        true => "nor any other".to_owned(),
                        false => {
                            format!("it has {}; name one in spec.{field}.configMap.key", keys.join(", "))
                        }
                    };
                    let message = format!(
                        "{} has no such key, {has}, or put it into its data: kubectl edit configmap {} --namespace {namespace}",
                        at(),
                        map.name
                    );
                    Unloaded { reason: "NotFound", message }
                })?
            }
            (None, Some(url)) => fetch(url).await.map_err(|why| Unloaded {
                reason: "Unreachable",
                message: format!("{} cannot be read, and is tried again: {why}", at()),
            })?,
            (None, None) => {
                let message = format!("spec.{field} names neither a configMap nor a url");
                return Err(Unloaded { reason: "Invalid", message });
            }
        };
        match &document.sha256 {
            Some(meant) if *meant != checksum(&text) => Err(Unloaded {
                reason: "ChecksumMismatch",
                message: format!(
                    "{} has SHA-256 {}, and spec.{field}.sha256 is {meant}: put the document there that was meant, or its hash here",
                    at(),
                    checksum(&text)
                ),
            }),
            _ => Ok(text),
        }
    }
}

/// Where a document is, in words.
fn place(field: &str, document: &Document) -> String {
    match (&document.config_map, &document.url) {
        (Some(map), _) => format!("spec.{field}: ConfigMap {}, key {}", map.name, map.key),
        (None, Some(url)) => format!("spec.{field}: {url}"),
        (None, None) => format!("spec.{field}"),
    }
}

/// A document of another schema is told as such, before its unknown keys are.
fn parse<T: DeserializeOwned>(
    field: &str,
    document: &Document,
    text: &str,
    schema: u32,
) -> Result<T, Unloaded> {
    let corrupt = |error: serde_json::Error| Unloaded {
        reason: "Corrupt",
        message: format!("{} is not the expected document: {error}", place(field, document)),
    };
    let value: Value = serde_json::from_str(text).map_err(corrupt)?;
    if let Some(found) = value.get("schema").and_then(Value::as_u64) {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        check_schema("document", found, schema).map_err(|wrong| Unloaded {
            reason: "OtherSchema",
            message: format!("{}: {wrong}", place(field, document)),
        })?;
    }
    serde_json::from_str(text).map_err(corrupt)
}

fn invalid(field: &str, document: &Document, wrong: &Invalid) -> Unloaded {
    Unloaded { reason: "Invalid", message: format!("{} cannot be used: {wrong}", place(field, document)) }
}

/// What an address answers, or in words why it does not.
async fn fetch(url: &str) -> Result<String, String> {
    let (base, path) = split(url).ok_or_else(|| "no http or https address".to_owned())?;
    match Site::new(&base, CALL_LIMIT)?.get(&path).await? {
        (200, text) => Ok(text),
        (status, _) => Err(format!("status {status}")),
    }
}

/// An address without its path, and the path.
fn split(url: &str) -> Option<(String, String)> {
    let parsed = reqwest::Url::parse(url).ok()?;
    let base = parsed.origin().ascii_serialization();
    let path = parsed.as_str().strip_prefix(&base)?;
    Some((base, path.to_owned()))
}
