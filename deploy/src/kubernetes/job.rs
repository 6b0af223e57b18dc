//! An Indexed Job for whoever wants what its pods have printed: nothing but the API server is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};

use super::client::{CallError, Clients, in_time};

/// Longest that a log may take: a kubelet keeps 10 MB of it by default.
const LOG_LIMIT: Duration = Duration::from_secs(60);
/// Where a pod has its index.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// One Job.
pub struct IndexedJob {
    jobs: Api<Job>,
    pods: Api<Pod>,
    name: String,
}

/// How an index stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// This pod has done it.
    Done {
        /// Its name.
        pod: String,
    },
    /// It is not done, or what did it is gone; in words.
    Missing(String),
}

/// A Job that has no indexes to tell of.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The API server was asked in vain.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It is a Job, and of another kind.
    #[error("its completionMode is {0}, not Indexed; `splitscale sweep` writes Jobs that are")]
    NotIndexed(String),
    /// A log that does not come.
    #[error("it did not come within {} s", LOG_LIMIT.as_secs())]
    Late,
}

/// Pods that are asked for at once: thousands do not come within the time of one call.
const PAGE: u32 = 500;

impl IndexedJob {
    /// The Job of this name.
    pub fn new(clients: &Clients, namespace: &str, name: &str) -> IndexedJob {
        let client = clients.asking.clone();
        IndexedJob {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// How each of its indexes stands, from 0.
    ///
    /// # Errors
    /// What the API server said, or that the Job is no such Job.
    pub async fn indexes(&self) -> Result<Vec<Index>, JobError> {
        let job = in_time(self.jobs.get(&self.name)).await?;
        let (spec, status) = (job.spec.unwrap_or_default(), job.status.unwrap_or_default());
        match spec.completion_mode.as_deref() {
            Some("Indexed") => {}
            mode => return Err(JobError::NotIndexed(mode.unwrap_or("NonIndexed").to_owned())),
        }
        let count = usize::try_from(spec.completions.unwrap_or(0)).unwrap_or(0);
        let listed = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", self.name));
        let mut done = BTreeMap::new();
        let mut listed = listed.limit(PAGE);
        loop {
            let page = in_time(self.pods.list(&listed)).await?;
            for pod in page.items {
                let index =
                    pod.metadata.annotations.as_ref().and_then(|all| all.get(INDEX)?.parse::<usize>().ok());
                let succeeded = pod.status.is_some_and(|status| status.phase.as_deref() == Some("Succeeded"));
                if let (Some(index), true, Some(name)) = (index, succeeded, pod.metadata.name) {
                    done.insert(index, name);
                }
            }
            match page.metadata.continue_.filter(|rest| !rest.is_empty()) {
                Some(rest) => listed = listed.continue_token(&rest),
                None => break,
            }
        }
        let (completed, failed) =
            (status.completed_indexes.unwrap_or_default(), status.failed_indexes.unwrap_or_default());
        let ended = status.conditions.iter().flatten().find(|condition| {
            condition.status == "True" && ["Failed", "Complete"].contains(&condition.type_.as_str())
        });
        let standing = |index: usize| match done.remove(&index) {
            Some(pod) => Index::Done { pod },
            None if holds(&completed, index) => {
                Index::Missing("is done, but its pod is gone, and with it its log".into())
            }
            None if holds(&failed, index) => Index::Missing("has failed as often as it may".into()),
            None => Index::Missing(match ended {
                Some(how) => {
                    format!(
                        "is not done, and the Job has ended: {}",
                        how.reason.as_deref().unwrap_or("no reason told")
                    )
                }
                None => "is not done yet".into(),
            }),
        };
        Ok((0..count).map(standing).collect())
    }

    /// What the container of a pod has printed, as far as its node has it still.
    ///
    /// # Errors
    /// What the API server said, or the node through it.
    pub async fn log(&self, pod: &str) -> Result<String, JobError> {
        let whole = LogParams::default();
        let log = self.pods.logs(pod, &whole);
        let log = tokio::time::timeout(LOG_LIMIT, log).await.map_err(|_| JobError::Late)?;
        log.map_err(|error| CallError::Failed(Box::new(error)).into())
    }
}

/// Whether a list such as `1,3-5` has a number.
fn holds(list: &str, index: usize) -> bool {
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&index),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_indexes_has_ranges() {
        let found: Vec<usize> = (0..8).filter(|index| holds("0,2-4,7", *index)).collect();
        assert_eq!(found, [0, 2, 3, 4, 7]);
        assert!((0..8).all(|index| !holds("", index)));
    }
}
