//! From documents to whoever decides by them.

use splitscale_policy::{
    Controller, Freshness, Policy, Residuals, Setup, Shadow, ShadowConfig, UsefulConfig,
};
use splitscale_spec::Invalid;

use super::documents::Documents;
use super::resource::SplitPipelineSpec;

/// Who decides about a pipeline, and what is said beside it.
pub(super) struct Deciders {
    /// Who decides.
    pub controller: Controller,
    /// The policy that is scored beside it, if one is.
    pub shadow: Option<Shadow>,
    /// Whether the calibration still holds, if there is one.
    pub residuals: Option<Residuals>,
}

impl Deciders {
    /// By these documents, within what the object allows.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub(super) fn new(spec: &SplitPipelineSpec, documents: &Documents) -> Result<Deciders, Invalid> {
        let (bounds, shell) = (spec.bounds(), spec.shell());
        let freshness = Freshness { max_age_s: shell.max_age_s };
        let laws = documents.calibration.as_ref().and_then(|calibration| calibration.laws.as_ref());
        // What was measured knows better than what was written down.
        let mut useful = documents.policy.useful().cloned();
        let (mut shadow, mut residuals) = (None, None);
        if let Some((laws, slo)) = laws.zip(spec.slo.as_ref()) {
            useful = Some(UsefulConfig::of_laws(laws)?);
            let law = ShadowConfig::of_laws(laws, slo.latency_seconds)?;
            residuals = Some(Residuals::new(laws, freshness)?);
            shadow = Some(Shadow::new(&documents.shadow, bounds, freshness, law)?);
        }
        let setup = Setup {
            schema: Setup::SCHEMA,
            policy: documents.policy.clone(),
            baseline: Some(documents.baseline.clone()),
            bounds,
            useful,
            shell,
        };
        Ok(Deciders { controller: Controller::new(setup, spec.mode.into())?, shadow, residuals })
    }

    /// Without any document: somebody who looks on, and in an emergency acts.
    ///
    /// # Errors
    /// As [`Deciders::new`].
    pub(super) fn without(spec: &SplitPipelineSpec) -> Result<Deciders, Invalid> {
        let hpa = Policy::hpa;
        let none = Documents {
            policy: hpa(),
            sha256: String::new(),
            baseline: hpa(),
            shadow: hpa(),
            calibration: None,
        };
        Deciders::new(spec, &none)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_by_useful_pods_caps_what_decides_in_its_place() {
        let stage = |name: &str| json!({"deployment": name, "maxReplicas": 8});
        let spec: SplitPipelineSpec = serde_json::from_value(json!({
            "stages": {"a": stage("a"), "b": stage("b")}, "policy": {"configMap": {"name": "p", "key": "p"}},
        }))
        .unwrap();
        let policy: Policy = serde_json::from_value(json!({
            "schema": 2, "name": "rule", "region": null, "training": null,
            "kind": {"useful": {"service_a_s": 0.66, "service_b_s": 0.23, "payload_bytes": 802_816}},
        }))
        .unwrap();
        let documents = Documents {
            policy: policy.clone(),
            sha256: String::new(),
            baseline: Policy::hpa(),
            shadow: Policy::hpa(),
            calibration: None,
        };
        let capped = |documents: &Documents| {
            Deciders::new(&spec, documents).unwrap().controller.setup().useful.clone()
        };
        assert_eq!(capped(&documents).as_ref(), policy.useful());
        assert_eq!(capped(&Documents { policy: Policy::hpa(), ..documents }), None);
    }
}
