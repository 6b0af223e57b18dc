//! Stages that are Deployments of Kubernetes, for whoever measures: every pod is a server with one pod of the pipeline.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, try_join_all};
use splitscale_deploy::kubernetes::{CallError, Clients, Scaled, Standing, Workload};
use splitscale_serving::client::{ClientError, Stages};
use splitscale_serving::wire::PodsState;
use splitscale_spec::{Replicas, Stage};

/// How often the cluster is asked for what is waited for.
const POLL: Duration = Duration::from_millis(200);
/// Longest that pods may take to come and to go, the draining of what they have included.
const CHANGED: Duration = Duration::from_secs(180);
/// How long after the last pod came or went the nodes are taken to have heard of it: until then, connections go where no pod is.
const HEARD: Duration = Duration::from_secs(2);

/// Two Deployments.
pub struct Cluster {
    a: Workload,
    b: Workload,
}

impl Cluster {
    /// The same to be measured: refused where an operator scales them meanwhile.
    ///
    /// # Errors
    /// As [`Cluster::connect`], or in words what scales them, with the command that pauses it.
    pub async fn to_measure(namespace: &str, deployments: [&str; 2]) -> anyhow::Result<Cluster> {
        let clients = Clients::infer().await?;
        match Scaled::find(&clients, namespace, deployments).await {
            Ok(None) => {}
            Ok(Some(Scaled { pipeline, mode, deployment })) => anyhow::bail!(
                "SplitPipeline {pipeline} scales Deployment {deployment} (mode {mode}), and would change the pods that are to be \
                 measured; pause it until then: kubectl patch splitpipeline {pipeline} --namespace {namespace} --type merge --patch \
                 '{{\"spec\": {{\"mode\": \"Paused\"}}}}'"
            ),
            Err(error) => {
                tracing::warn!(
                    "whether a SplitPipeline scales the Deployments meanwhile cannot be told: {error}"
                );
            }
        }
        Ok(Cluster::of(&clients, namespace, deployments))
    }

    /// These Deployments of a namespace, where the kubeconfig says.
    ///
    /// # Errors
    /// No cluster is configured.
    pub async fn connect(namespace: &str, deployments: [&str; 2]) -> anyhow::Result<Cluster> {
        Ok(Cluster::of(&Clients::infer().await?, namespace, deployments))
    }

    fn of(clients: &Clients, namespace: &str, [a, b]: [&str; 2]) -> Cluster {
        Cluster { a: Workload::new(clients, namespace, a), b: Workload::new(clients, namespace, b) }
    }

    async fn change(&self, pods: Replicas) -> Result<(), ClientError> {
        for (workload, pods) in [(&self.a, pods.a), (&self.b, pods.b)] {
            let untold = |problem| {
                ClientError::Setup(format!(
                    "Deployment {} was not told to have {pods} pods: {problem}",
                    workload.name()
                ))
            };
            workload.scale(pods).await.map_err(untold)?;
        }
        Ok(())
    }

    /// Until both have what they were told, nothing else, and the nodes know.
    async fn changed(&self) -> Result<(), ClientError> {
        let (deadline, mut waited) = (Instant::now() + CHANGED, false);
        for workload in [&self.a, &self.b] {
            loop {
                let standing = workload.standing().await.map_err(|error| unreachable(workload, &error))?;
                let Standing { desired, ready, starting, draining } = &standing;
                if *desired as usize == ready.len() && starting + draining == 0 {
                    break;
                }
                if Instant::now() >= deadline {
                    let what = format!("Deployment {} does not have its pods", workload.name());
                    return Err(ClientError::TimedOut {
                        what,
                        after: CHANGED,
                        seen: format!("{standing:?}"),
                    });
                }
                waited = true;
                tokio::time::sleep(POLL).await;
            }
        }
        if waited {
            tokio::time::sleep(HEARD).await;
        }
        Ok(())
    }
}

impl Stages for Cluster {
    fn a(&self) -> BoxFuture<'_, Result<PodsState, ClientError>> {
        Box::pin(state(&self.a, Stage::A))
    }

    fn b(&self) -> BoxFuture<'_, Result<PodsState, ClientError>> {
        Box::pin(state(&self.b, Stage::B))
    }

    fn set_pods(&self, pods: Replicas) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(self.change(pods))
    }

    fn use_pods(&self, pods: Replicas) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(async move {
            self.change(pods).await?;
            self.changed().await
        })
    }
}

/// How all servers of a stage stand together.
async fn state(workload: &Workload, stage: Stage) -> Result<PodsState, ClientError> {
    let standing = workload.standing().await.map_err(|error| refused(workload, &error))?;
    let asked = standing.ready.iter().map(async |pod| {
        let text = workload.ask(pod, "/pods").await.map_err(|error| unreachable(workload, &error))?;
        serde_json::from_str::<PodsState>(&text).map_err(|error| ClientError::Refused {
            url: format!("pod {pod}"),
            status: 200,
            error: format!("no stage of ours: {error}"),
        })
    });
    let mut told = try_join_all(asked).await?.into_iter();
    let Some(mut all) = told.next() else {
        let problem = format!("none of its pods is ready: {standing:?}");
        return Err(ClientError::Unreachable { url: format!("Deployment {}", workload.name()), problem });
    };
    if all.stage != stage {
        return Err(ClientError::Swapped { asked: stage, answers: all.stage });
    }
    for one in told {
        all.queued += one.queued;
        all.busy += one.busy;
        all.forwarding += one.forwarding;
        all.last_error = all.last_error.or(one.last_error);
        all.pods.extend(one.pods);
    }
    all.desired = standing.desired;
    all.ready = standing.ready.len() as u32;
    all.in_use = all.ready;
    (all.starting, all.draining) = (standing.starting, standing.draining);
    Ok(all)
}

fn unreachable(workload: &Workload, error: &CallError) -> ClientError {
    ClientError::Unreachable { url: format!("Deployment {}", workload.name()), problem: error.to_string() }
}

/// What is not there, or may not be looked at, will not be in a minute either.
fn refused(workload: &Workload, error: &CallError) -> ClientError {
    match error.code() {
        Some(status @ (401 | 403 | 404)) => ClientError::Refused {
            url: format!("Deployment {}", workload.name()),
            status,
            error: error.to_string(),
        },
        _ => unreachable(workload, error),
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deployments {} and {}", self.a.name(), self.b.name())
    }
}
