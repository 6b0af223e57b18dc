//! What a backend came across beside its measurements: what is told in conditions, in words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::owners::Owner;

/// How long a conflict is told that nothing else confirms: longer than until the next try.
const CONFLICT_TOLD: Duration = Duration::from_secs(330);

/// What was found. Cheap to clone: all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Findings(Arc<Mutex<Found>>);

/// What was found last.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Why nothing can be looked at; absent where it can.
    pub unusable: Option<String>,
    /// Why a scale could not be read.
    pub scales: Vec<String>,
    /// Ready pods that did not answer.
    pub silent: Vec<String>,
    /// Queries that gave no number.
    pub asked: Vec<String>,
    /// Everybody else who owns replicas.
    pub owners: Vec<Owner>,
    /// Who did when the API server refused a write.
    conflict: Option<(Instant, Vec<Owner>)>,
}

impl Findings {
    /// What was found last.
    pub fn found(&self) -> Found {
        self.all().clone()
    }

    pub(crate) fn unusable(&self, why: Option<String>) {
        self.all().unusable = why;
    }

    pub(crate) fn scales(&self, wrong: Vec<String>) {
        self.all().scales = wrong;
    }

    pub(crate) fn silent(&self, pods: Vec<String>) {
        self.all().silent = pods;
    }

    pub(crate) fn asked(&self, wrong: Vec<String>) {
        self.all().asked = wrong;
    }

    pub(crate) fn owners(&self, owners: Vec<Owner>) {
        self.all().owners = owners;
    }

    /// A write was refused for these.
    pub(crate) fn owned(&self, owners: Vec<Owner>) {
        self.all().conflict = Some((Instant::now(), owners));
    }

    /// A write was not.
    pub(crate) fn wrote(&self) {
        self.all().conflict = None;
    }

    fn all(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// Everybody who owns replicas, by the managers or by a conflict.
    pub fn all_owners(&self) -> &[Owner] {
        match &self.conflict {
            Some((at, owners)) if self.owners.is_empty() && at.elapsed() < CONFLICT_TOLD => owners,
            _ => &self.owners,
        }
    }
}
