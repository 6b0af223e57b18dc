//! Who else writes the replicas of a Deployment, and how they give that up. Nobody is fought with.

use std::sync::Arc;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::Value;

/// Our name among the managers of fields.
pub(crate) const MANAGER: &str = "splitscale";
/// Whose name autoscalers write in.
const CONTROLLER: &str = "kube-controller-manager";
/// What the API server calls whatever was there before anybody's fields were kept apart: nobody.
const NOBODY: &str = "before-first-apply";
/// Where whoever applies without server-side apply (kubectl, Argo CD) notes what.
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
    /// By an autoscaler that is there, and by its place among the managers where it has written.
    Autoscaler(Option<usize>),
}

impl Owner {
    /// All others that own the replicas, by what the API server keeps of its managers. Whoever applied no number owns none: the API
    /// server filled in a 1, and noted it for them.
    pub fn all(meta: &ObjectMeta) -> Vec<Owner> {
        let applied = meta.annotations.as_ref().and_then(|annotations| annotations.get(APPLIED));
        let no_number = applied.is_some_and(|applied| {
            let number = |it: Value| it.pointer("/spec/replicas").is_some_and(|replicas| !replicas.is_null());
            serde_json::from_str(applied).is_ok_and(|it| !number(it))
        });
        let note = format!("/f:metadata/f:annotations/f:{}", APPLIED.replace('/', "~1"));
        let entries = meta.managed_fields.iter().flatten().enumerate();
        let owns = entries.filter_map(|(place, entry)| {
            let fields = &entry.fields_v1.as_ref()?.0;
            fields.pointer("/f:spec/f:replicas")?;
            if no_number && fields.pointer(&note).is_some() {
                return None;
            }
            let manager = entry.manager.clone().unwrap_or_default();
            let deployment = meta.name.clone().unwrap_or_default();
            Some(Owner { deployment, manager, claim: Claim::Managed(place) })
        });
        owns.filter(|owner| owner.manager != MANAGER && owner.manager != NOBODY).collect()
    }

    /// The same where these autoscalers are there: who has one that writes the replicas of this Deployment, or will, is told of that,
    /// and not of the claim alone, which would come back.
    pub(crate) fn with_autoscalers(
        deployment: &str,
        managers: Vec<Owner>,
        autoscalers: &[Arc<HorizontalPodAutoscaler>],
    ) -> Vec<Owner> {
        let of_deployment = |hpa: &&Arc<HorizontalPodAutoscaler>| {
            let target = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
            target.is_some_and(|target| target.kind == "Deployment" && target.name == deployment)
        };
        let Some(hpa) = autoscalers.iter().filter(of_deployment).min_by_key(|hpa| hpa.name_any()) else {
            return managers;
        };
        let (written, mut others): (Vec<Owner>, Vec<Owner>) =
            managers.into_iter().partition(|owner| owner.manager == CONTROLLER);
        let place = written.first().and_then(|owner| match owner.claim {
            Claim::Managed(place) => Some(place),
            Claim::Autoscaler(place) => place,
        });
        let (deployment, manager) =
            (deployment.to_owned(), format!("HorizontalPodAutoscaler {}", hpa.name_any()));
        others.push(Owner { deployment, manager, claim: Claim::Autoscaler(place) });
        others
    }

    /// Who it is.
    pub fn words(&self) -> String {
        format!("spec.replicas of Deployment {} belong to \"{}\"", self.deployment, self.manager)
    }

    /// Who it is, and how it gives the replicas up.
    pub fn remedy(&self, namespace: &str) -> String {
        let Owner { deployment, manager, claim } = self;
        let who = self.words();
        let give_up = |place: usize, manager: &str| {
            let entry = format!("/metadata/managedFields/{place}");
            format!(
                "kubectl patch deployment {deployment} --namespace {namespace} --type json --patch \
                 '[{{\"op\":\"test\",\"path\":\"{entry}/manager\",\"value\":\"{manager}\"}},\
                 {{\"op\":\"remove\",\"path\":\"{entry}/fieldsV1/f:spec/f:replicas\"}}]'"
            )
        };
        match *claim {
            Claim::Managed(place) if manager == CONTROLLER => format!(
                "{who}, a HorizontalPodAutoscaler: delete it where it is still there (kubectl get hpa --namespace {namespace}), then \
                 give its claim up: {}",
                give_up(place, manager)
            ),
            Claim::Managed(place) => format!(
                "{who}; leave the number to splitscale: {}, and take replicas out of what \"{manager}\" applies",
                give_up(place, manager)
            ),
            Claim::Autoscaler(place) => {
                let then =
                    place.map(|place| format!(", then give its claim up: {}", give_up(place, CONTROLLER)));
                format!(
                    "{who}; leave the number to splitscale: kubectl delete {} --namespace {namespace}{}",
                    manager.to_lowercase(),
                    then.unwrap_or_default()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// With our claim, and that of another, who noted what was applied where there is such a note.
    fn managed(manager: &str, applied: Option<&Value>) -> ObjectMeta {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let mut theirs = replicas.clone();
        if applied.is_some() {
            theirs["f:metadata"] = json!({"f:annotations": {".": {}, format!("f:{APPLIED}"): {}}});
        }
        let entries =
            json!([{"manager": MANAGER, "fieldsV1": replicas}, {"manager": manager, "fieldsV1": theirs}]);
        let annotations = applied.map(|applied| json!({APPLIED: applied.to_string()}));
        let meta = json!({"name": "a", "managedFields": entries, "annotations": annotations});
        serde_json::from_value(meta).unwrap()
    }

    #[test]
    fn a_number_that_the_api_server_filled_in_is_nobodys() {
        let (with, without) = (json!({"spec": {"replicas": 1}}), json!({"spec": {}}));
        for (manager, applied, owned) in [
            ("kubectl-client-side-apply", Some(&without), false),
            ("kubectl-client-side-apply", Some(&with), true),
            ("argocd-controller", Some(&without), false),
            // `kubectl create`, and Helm, leave no note.
            ("helm", None, true),
            (NOBODY, None, false),
        ] {
            let all = Owner::all(&managed(manager, applied));
            let found: Vec<&str> = all.iter().map(|owner| &*owner.manager).collect();
            assert_eq!(found, if owned { vec![manager] } else { vec![] }, "{manager} {applied:?}");
        }
        // Somebody else than who applied scaled by hand.
        let mut meta = managed("kubectl-client-side-apply", Some(&without));
        meta.managed_fields.as_mut().unwrap()[0].manager = Some("kubectl".to_owned());
        assert_eq!(Owner::all(&meta)[0].manager, "kubectl");
    }

    #[test]
    fn an_autoscaler_owns_what_it_is_going_to_write() {
        let of = |managers: Vec<Owner>, kind: &str, name: &str| {
            let spec = json!({"scaleTargetRef": {"kind": kind, "name": name}, "maxReplicas": 3});
            let hpa = json!({"metadata": {"name": "of-a"}, "spec": spec});
            Owner::with_autoscalers("a", managers, &[Arc::new(serde_json::from_value(hpa).unwrap())])
        };
        assert_eq!((of(vec![], "Deployment", "b"), of(vec![], "StatefulSet", "a")), (vec![], vec![]));
        let told = of(vec![], "Deployment", "a")[0].remedy("here");
        let first = "spec.replicas of Deployment a belong to \"HorizontalPodAutoscaler of-a\"; leave the number to splitscale: \
                     kubectl delete horizontalpodautoscaler of-a --namespace here";
        assert_eq!(told, first);
        // It has written: its claim is told with it, once.
        let all = of(Owner::all(&managed(CONTROLLER, None)), "Deployment", "a");
        assert_eq!(all.len(), 1, "{all:?}");
        let told = all[0].remedy("here");
        assert!(
            told.starts_with(&format!("{first}, then give its claim up: kubectl patch deployment a ")),
            "{told}"
        );
        assert!(told.contains("managedFields/1/manager\",\"value\":\"kube-controller-manager\""), "{told}");
        // It is gone, and its claim is not.
        let told = Owner::all(&managed(CONTROLLER, None))[0].remedy("here");
        assert!(
            told.contains("still there (kubectl get hpa --namespace here), then give its claim up: "),
            "{told}"
        );
    }
}
