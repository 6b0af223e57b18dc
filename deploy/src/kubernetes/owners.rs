//! Who else writes the replicas of a Deployment, and how they give that up. Nobody is fought with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Status;

/// Our name among the managers of fields.
pub(crate) const MANAGER: &str = "splitscale";
/// What the API server calls whatever was there before anybody's fields were kept apart: nobody.
pub(crate) const NOBODY: &str = "before-first-apply";

/// Another manager of `spec.replicas`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The Deployment.
    pub deployment: String,
    /// The manager's name.
    pub manager: String,
    /// Its place among the managers, where that is known.
    place: Option<usize>,
}

impl Owner {
    /// All others that own the replicas, by what the API server keeps of its managers.
    pub fn all(meta: &ObjectMeta) -> Vec<Owner> {
        let entries = meta.managed_fields.iter().flatten().enumerate();
        let owns = entries.filter_map(|(place, entry)| {
            let fields = &entry.fields_v1.as_ref()?.0;
            fields.pointer("/f:spec/f:replicas")?;
            let manager = entry.manager.clone().unwrap_or_default();
            let deployment = meta.name.clone().unwrap_or_default();
            Some(Owner { deployment, manager, place: Some(place) })
        });
        owns.filter(|owner| owner.manager != MANAGER && owner.manager != NOBODY).collect()
    }

    /// Those that a conflict names; empty where it is another conflict.
    pub fn of_conflict(deployment: &str, status: &Status) -> Vec<Owner> {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        // `conflict with "kubectl" with subresource "scale" using apps/v1`
        let managers = causes.filter_map(|cause| cause.message.split('"').nth(1));
        let owner = |manager: &str| Owner {
            deployment: deployment.to_owned(),
            manager: manager.to_owned(),
            place: None,
        };
        managers.map(owner).collect()
    }

    /// Whether it is the API server's word for nobody.
    pub fn is_nobody(&self) -> bool {
        self.manager == NOBODY
    }

    /// Who it is.
    pub fn words(&self) -> String {
        format!("spec.replicas of Deployment {} belong to \"{}\"", self.deployment, self.manager)
    }

    /// Who it is, and how it gives the replicas up.
    pub fn remedy(&self, namespace: &str) -> String {
        let Owner { deployment, manager, place } = self;
        let who = self.words();
        if manager == "kube-controller-manager" {
            return format!(
                "{who}, a HorizontalPodAutoscaler (kubectl get hpa --namespace {namespace}): delete it, then give its claim up: {}",
                self.command(namespace)
            );
        }
        match place {
            Some(_) => format!(
                "{who}; leave the number to splitscale: {}, and take replicas out of what \"{manager}\" applies",
                self.command(namespace)
            ),
            None => format!(
                "{who}; see kubectl get deployment {deployment} --namespace {namespace} --show-managed-fields --output yaml"
            ),
        }
    }

    /// What takes the claim away and changes nothing else.
    fn command(&self, namespace: &str) -> String {
        let Owner { deployment, manager, place } = self;
        let entry = format!("/metadata/managedFields/{}", place.unwrap_or_default());
        format!(
            "kubectl patch deployment {deployment} --namespace {namespace} --type json --patch \
             '[{{\"op\":\"test\",\"path\":\"{entry}/manager\",\"value\":\"{manager}\"}},\
             {{\"op\":\"remove\",\"path\":\"{entry}/fieldsV1/f:spec/f:replicas\"}}]'"
        )
    }
}
