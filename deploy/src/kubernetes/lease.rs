//! Who leads. Of several operators one writes; the others watch and take over when its lease runs out.
//!
//! ```text
//!  kube-lease-manager ─▶ leads? (as last heard) ─▶ loops run, or end
//!  right before a write:  GET lease ─▶ still ours, and for longer than a write may take? ─▶ write
//! ```
//!
//! The second is the fence: what was last heard may be older than the lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{CALL_LIMIT, in_time, words};

/// How long a lease holds without being renewed \[s\].
const DURATION_S: u64 = 15;
/// How long before its end it is renewed \[s\]: more than [`CALL_LIMIT`].
const GRACE_S: u64 = 6;
/// Longest that the lease may take to be given up at the end.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);
/// Pause after the lease could not be had.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether this process leads.
#[derive(Clone)]
pub struct Leader {
    leads: watch::Receiver<bool>,
    /// The lease; absent where nobody else is there to lead.
    lease: Option<Held>,
}

/// A lease, and who this process is.
#[derive(Clone)]
struct Held {
    leases: Api<Lease>,
    name: String,
    identity: String,
}

/// What a leader is elected by.
#[derive(Debug, Clone)]
pub struct Election {
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub lease: String,
    /// Name of this process, different from all others'.
    pub identity: String,
}

impl Leader {
    /// A process that is alone.
    pub fn alone() -> Leader {
        Leader { leads: watch::Sender::new(true).subscribe(), lease: None }
    }

    /// Takes part in an election until `stop`; the task ends when the lease is given up.
    pub fn elect(client: Client, election: Election, stop: CancellationToken) -> (Leader, JoinHandle<()>) {
        let (told, leads) = watch::channel(false);
        let Election { namespace, lease: name, identity } = election.clone();
        let leases = Api::namespaced(client.clone(), &namespace);
        let task = tokio::spawn(take_part(client, election, told, stop));
        (Leader { leads, lease: Some(Held { leases, name, identity }) }, task)
    }

    /// Whether it leads, as last heard.
    pub fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// Returns when whether it leads has changed.
    pub async fn changed(&mut self) {
        if self.leads.changed().await.is_err() {
            // Nobody is left who could say: what was last heard stays.
            std::future::pending::<()>().await;
        }
    }

    /// Makes sure that it leads, and will for longer than a write may take; gives how often the lead has changed.
    ///
    /// # Errors
    /// In words why nothing may be written.
    pub async fn check(&self) -> Result<u32, String> {
        let Some(Held { leases, name, identity }) = &self.lease else { return Ok(0) };
        if !self.leads() {
            return Err("this replica does not lead any more".to_owned());
        }
        let lease = in_time(leases.get(name)).await.map_err(|error| {
            format!("whether this replica still leads cannot be told: lease {name}: {error}")
        })?;
        let spec = lease.spec.unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(identity) {
            let other = spec.holder_identity.as_deref().unwrap_or("nobody");
            return Err(format!("{other} holds lease {name}, not this replica"));
        }
        // Renewed by this process: its own clock on both sides.
        let until = spec.renew_time.zip(spec.lease_duration_seconds).and_then(|(renewed, seconds)| {
            renewed.0.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
        });
        let left = until.map_or(SignedDuration::ZERO, |until| until.duration_since(Timestamp::now()));
        if left <= SignedDuration::try_from(CALL_LIMIT).unwrap_or(SignedDuration::MAX) {
            return Err(format!("lease {name} ends in {:.1} s and is not renewed yet", left.as_secs_f64()));
        }
        Ok(u32::try_from(spec.lease_transitions.unwrap_or(0)).unwrap_or(0))
    }
}

/// Takes part until `stop`, and tells how it stands.
async fn take_part(client: Client, election: Election, told: watch::Sender<bool>, stop: CancellationToken) {
    let Election { namespace, lease, identity } = election;
    let mut told_why = String::new();
    let manager = loop {
        let built = LeaseManagerBuilder::new(client.clone(), &lease)
            .with_namespace(&namespace)
            .with_identity(&identity)
            .with_field_manager(format!("splitscale-lease-{identity}"))
            .with_duration(DURATION_S)
            .with_grace(GRACE_S)
            .build();
        match built.await {
            Ok(manager) => break manager,
            Err(error) => {
                let said = match &error {
                    LeaseManagerError::KubeError(error) => words(error),
                    other => other.to_string(),
                };
                if told_why != said {
                    tracing::warn!("lease {namespace}/{lease} cannot be had, and is tried again: {said}");
                }
                told_why = said;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    };
    let (mut leads, manager) = manager.watch().await;
    loop {
        tokio::select! {
            changed = leads.changed() => if changed.is_err() { break },
            () = stop.cancelled() => break,
        }
        let now = *leads.borrow_and_update();
        tracing::info!(
            "{identity} {} by lease {namespace}/{lease}",
            if now { "leads" } else { "does not lead" }
        );
        told.send_replace(now);
    }
    told.send_replace(false);
    // Given up, so that the next one need not wait for its end.
    drop(leads);
    let _ = tokio::time::timeout(RELEASE_LIMIT, manager).await;
}
