//! Who else writes the replicas of a Deployment, and how they give that up. Nobody is fought with.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::Status;
use serde_json::Value;

/// Our name among the managers of fields.
pub(crate) const MANAGER: &str = "splitscale";
/// What the API server calls whatever was there before anybody's fields were kept apart: nobody.
const NOBODY: &str = "before-first-apply";
/// `kubectl apply` without --server-side, and where it notes what was applied.
const KUBECTL: &str = "kubectl-client-side-apply";
pub(crate) const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Another manager of `spec.replicas`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The Deployment.
    pub deployment: String,
    /// The manager's name.
    pub manager: String,
    claim: Claim,
}

/// How it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// By its place among the managers.
    Managed(usize),
    /// By a conflict.
    Conflict,
    /// By an autoscaler that is there, and may not have written yet.
    Autoscaler,
}

impl Owner {
    /// All others that own the replicas, by what the API server keeps of its managers. Whoever applied no number owns none: the API
    /// server filled in a 1, and noted it for kubectl.
    pub fn all(meta: &ObjectMeta) -> Vec<Owner> {
        let entries = meta.managed_fields.iter().flatten().enumerate();
        let owns = entries.filter_map(|(place, entry)| {
            let fields = &entry.fields_v1.as_ref()?.0;
            fields.pointer("/f:spec/f:replicas")?;
            let manager = entry.manager.clone().unwrap_or_default();
            let deployment = meta.name.clone().unwrap_or_default();
            Some(Owner { deployment, manager, claim: Claim::Managed(place) })
        });
        owns.filter(|owner| owner.manager != MANAGER && !owner.is_nobody(meta)).collect()
    }

    /// An autoscaler that writes the replicas of this Deployment, or will.
    pub(crate) fn autoscaler(deployment: &str, hpa: &HorizontalPodAutoscaler) -> Option<Owner> {
        let target = &hpa.spec.as_ref()?.scale_target_ref;
        let manager = format!("HorizontalPodAutoscaler {}", hpa.name_any());
        (target.kind == "Deployment" && target.name == deployment).then(|| Owner {
            deployment: deployment.to_owned(),
            manager,
            claim: Claim::Autoscaler,
        })
    }

    /// Those that a conflict names; empty where it is another conflict.
    pub fn of_conflict(deployment: &str, status: &Status) -> Vec<Owner> {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        // `conflict with "kubectl" with subresource "scale" using apps/v1`
        let managers = causes.filter_map(|cause| cause.message.split('"').nth(1));
        let owner = |manager: &str| Owner {
            deployment: deployment.to_owned(),
            manager: manager.to_owned(),
            claim: Claim::Conflict,
        };
        managers.map(owner).collect()
    }

    /// Whether it is the API server's word for nobody, or kubectl for a number that nobody gave it.
    pub(crate) fn is_nobody(&self, meta: &ObjectMeta) -> bool {
        let applied = || meta.annotations.as_ref()?.get(APPLIED);
        let gave_none = |applied: &String| {
            serde_json::from_str::<Value>(applied).is_ok_and(|it| it.pointer("/spec/replicas").is_none())
        };
        self.manager == NOBODY || self.manager == KUBECTL && applied().is_some_and(gave_none)
    }

    /// Who it is.
    pub fn words(&self) -> String {
        format!("spec.replicas of Deployment {} belong to \"{}\"", self.deployment, self.manager)
    }

    /// Who it is, and how it gives the replicas up.
    pub fn remedy(&self, namespace: &str) -> String {
        let Owner { deployment, manager, claim } = self;
        let who = self.words();
        match claim {
            Claim::Managed(place) if manager == "kube-controller-manager" => format!(
                "{who}, a HorizontalPodAutoscaler (kubectl get hpa --namespace {namespace}): delete it, then give its claim up: {}",
                self.command(namespace, *place)
            ),
            Claim::Managed(place) => format!(
                "{who}; leave the number to splitscale: {}, and take replicas out of what \"{manager}\" applies",
                self.command(namespace, *place)
            ),
            Claim::Autoscaler => format!(
                "{who}; leave the number to splitscale: kubectl delete {} --namespace {namespace}",
                manager.to_lowercase()
            ),
            Claim::Conflict => format!(
                "{who}; see kubectl get deployment {deployment} --namespace {namespace} --show-managed-fields --output yaml"
            ),
        }
    }

    /// What takes the claim away and changes nothing else.
    fn command(&self, namespace: &str, place: usize) -> String {
        let Owner { deployment, manager, .. } = self;
        let entry = format!("/metadata/managedFields/{place}");
        format!(
            "kubectl patch deployment {deployment} --namespace {namespace} --type json --patch \
             '[{{\"op\":\"test\",\"path\":\"{entry}/manager\",\"value\":\"{manager}\"}},\
             {{\"op\":\"remove\",\"path\":\"{entry}/fieldsV1/f:spec/f:replicas\"}}]'"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn managed(manager: &str, applied: Option<Value>) -> ObjectMeta {
        let entries = json!([
            {"manager": MANAGER, "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        ]);
        let annotations = applied.map(|applied| json!({APPLIED: applied.to_string()}));
        let meta = json!({"name": "a", "managedFields": entries, "annotations": annotations});
        serde_json::from_value(meta).unwrap()
    }

    #[test]
    fn a_number_that_the_api_server_filled_in_is_nobodys() {
        for (manager, applied, owned) in [
            (KUBECTL, Some(json!({"spec": {}})), false),
            (KUBECTL, Some(json!({"spec": {"replicas": 1}})), true),
            (KUBECTL, None, true),
            // Whoever else has applied without a number scaled by hand.
            ("kubectl", Some(json!({"spec": {}})), true),
            (NOBODY, None, false),
        ] {
            let all = Owner::all(&managed(manager, applied.clone()));
            let found: Vec<&str> = all.iter().map(|owner| &*owner.manager).collect();
            assert_eq!(found, if owned { vec![manager] } else { vec![] }, "{manager} {applied:?}");
        }
    }

    #[test]
    fn an_autoscaler_owns_what_it_is_going_to_write() {
        let of = |kind: &str, name: &str| {
            let spec = json!({"scaleTargetRef": {"kind": kind, "name": name}, "maxReplicas": 3});
            let hpa = json!({"metadata": {"name": "of-a"}, "spec": spec});
            Owner::autoscaler("a", &serde_json::from_value(hpa).unwrap())
        };
        assert_eq!((of("Deployment", "b"), of("StatefulSet", "a")), (None, None));
        let told = of("Deployment", "a").unwrap().remedy("here");
        assert_eq!(
            told,
            "spec.replicas of Deployment a belong to \"HorizontalPodAutoscaler of-a\"; leave the number to splitscale: \
             kubectl delete horizontalpodautoscaler of-a --namespace here"
        );
    }
}
