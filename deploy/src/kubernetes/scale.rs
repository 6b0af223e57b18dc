//! Writing how many pods a Deployment is to have: its scale and nothing else.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};

use super::client::{CallError, in_time};
use super::owners::{MANAGER, Owner};

/// Why the replicas are not what they were to be.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// They belong to others.
    Owned(Vec<Owner>),
    /// What the API server said, if it said anything.
    Failed(CallError),
}

/// By server-side apply and without force, so that whoever owns the number is asked to give it up and not fought with. What is
/// nobody's is taken, as long as nothing has changed since it was looked.
pub(super) async fn write(
    scales: &Api<Deployment>,
    namespace: &str,
    deployment: &str,
    pods: u32,
) -> Result<(), Unwritten> {
    let Err(error) = apply(scales, namespace, deployment, pods, None).await else { return Ok(()) };
    // Of another conflict there is no cause of this kind.
    let causes =
        error.status().into_iter().flat_map(|status| status.details.iter().flat_map(|it| &it.causes));
    if !causes.map(|cause| cause.reason.as_str()).any(|reason| reason == "FieldManagerConflict") {
        return Err(Unwritten::Failed(error));
    }
    // The managers say whether it is anybody's; what they are of this version is forced on no other.
    let Ok(found) = in_time(scales.get_metadata(deployment)).await else {
        return Err(Unwritten::Failed(error));
    };
    let meta = found.metadata;
    let known = Owner::all(&meta);
    match known.is_empty() {
        true => {
            let version = meta.resource_version;
            apply(scales, namespace, deployment, pods, version).await.map_err(Unwritten::Failed)
        }
        // Their places among the managers make a remedy that can be typed.
        false => Err(Unwritten::Owned(known)),
    }
}

async fn apply(
    scales: &Api<Deployment>,
    namespace: &str,
    deployment: &str,
    pods: u32,
    version: Option<String>,
) -> Result<(), CallError> {
    let mut how = PatchParams::apply(MANAGER);
    how.force = version.is_some();
    let scale = Scale {
        metadata: ObjectMeta {
            name: Some(deployment.to_owned()),
            namespace: Some(namespace.to_owned()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        spec: Some(ScaleSpec { replicas: Some(i32::try_from(pods).unwrap_or(i32::MAX)) }),
        status: None,
    };
    in_time(scales.patch_scale(deployment, &how, &Patch::Apply(&scale))).await.map(drop)
}
