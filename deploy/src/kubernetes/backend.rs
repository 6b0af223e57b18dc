//! The backend of pipelines on Kubernetes: many pods a stage, and a scale that the API server keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::core::Selector;
use reqwest::redirect::Policy;
use splitscale_policy::Decision;
use splitscale_spec::{Replicas, Stage};
use tokio::time::Instant;

use crate::asked::{Answer, Field};
use crate::backend::{Backend, NotApplied, legs};
use crate::merge::{Flocks, Merge, Scraped};
use crate::metrics::{NoMetrics, metrics};
use crate::scrape::{Kept, Round};
use crate::server::Server;

use super::census::{Member, Numbers, Phase, behind, census, cpu_s, members};
use super::client::{CallError, in_time};
use super::cluster::Cluster;
use super::findings::Findings;
use super::lease::Leader;
use super::ledger::Ledger;
use super::owners::Owner;
use super::prometheus::Asking;
use super::readings::Plan;
use super::scale::{self, Unwritten};
use super::signals::{Endpoint, ProxyPods};

/// A pipeline of two Deployments.
pub struct KubernetesBackend {
    cluster: Cluster,
    scales: Api<Deployment>,
    deployments: [String; 2],
    leader: Leader,
    ledger: Arc<Ledger>,
    findings: Findings,
    http: reqwest::Client,
    plan: Plan,
    asking: Option<Asking>,
    merges: [Merge; 3],
    numbers: [Numbers; 2],
    start: Instant,
}

/// What a backend needs of those that are shared.
pub struct Surroundings {
    /// What the cluster holds.
    pub cluster: Cluster,
    /// Where scales are written.
    pub scales: Api<Deployment>,
    /// Whether this process may.
    pub leader: Leader,
    /// Where it is noted before.
    pub ledger: Arc<Ledger>,
}

/// The pods of both stages, and those between.
struct Present {
    a: Option<Vec<Member>>,
    proxy: Vec<Member>,
    b: Option<Vec<Member>>,
}

impl KubernetesBackend {
    /// Of these Deployments, A's first, looked at by this plan. An answer that takes longer than `timeout` counts as none.
    ///
    /// # Errors
    /// In words what of the signals cannot be used.
    pub fn new(
        surroundings: Surroundings,
        deployments: [String; 2],
        plan: Plan,
        timeout: Duration,
    ) -> Result<KubernetesBackend, String> {
        let Surroundings { cluster, scales, leader, ledger } = surroundings;
        let http = reqwest::Client::builder().timeout(timeout).no_proxy().redirect(Policy::none()).build();
        let asking = plan.prometheus.as_ref().filter(|_| !plan.queries.is_empty());
        Ok(KubernetesBackend {
            cluster,
            scales,
            deployments,
            leader,
            findings: ledger.findings(),
            ledger,
            http: http.map_err(|error| format!("cannot make an HTTP client: {error}"))?,
            asking: asking.map(|url| Asking::new(url, plan.queries.clone(), timeout)).transpose()?,
            merges: [plan.a.clone(), plan.proxy.clone(), plan.b.clone()].map(Merge::new),
            plan,
            numbers: Default::default(),
            start: Instant::now(),
        })
    }

    /// The pods that there are now, as far as the cluster was heard.
    fn present(&self) -> Present {
        let (cluster, now) = (&self.cluster, Timestamp::now());
        let pods = cluster.pods();
        let of_stage = |deployment: &str| {
            let selector = cluster.selector(deployment)?;
            Some(members(pods.as_ref()?, &selector, now))
        };
        let between = self.plan.between.as_ref().and_then(|between| {
            let pods = pods.as_ref()?;
            match between {
                ProxyPods { service: Some(service), .. } => {
                    Some(behind(&cluster.slices()?, service, pods, now))
                }
                ProxyPods { selector, .. } => {
                    let labels: Selector = selector.clone()?.into_iter().collect();
                    Some(members(pods, &labels, now))
                }
            }
        });
        let [a, b] = &self.deployments;
        Present { a: of_stage(a), proxy: between.unwrap_or_default(), b: of_stage(b) }
    }

    /// Asks each pod for its metrics; of those that take requests and have none, in words why.
    async fn ask(&self, server: &str, members: &[Member], at: &Endpoint) -> (Vec<Scraped>, Vec<String>) {
        let now_s = self.start.elapsed().as_secs_f64();
        let one = async |member: &Member| {
            let (host, ready) = (member.host.as_deref(), member.phase == Phase::Ready);
            let answer = match host.zip(at.port.or(member.port)) {
                Some((host, port)) => {
                    let told = metrics(&self.http, &format!("http://{host}:{port}{}", at.path)).await;
                    told.map_err(|why| match why {
                        NoMetrics::Silent => format!("{host}:{port} of {server}"),
                        NoMetrics::Down(why) | NoMetrics::Wrong(why) => {
                            format!("{host}:{port} of {server} ({why})")
                        }
                    })
                }
                None => Err(format!("{} of {server} (no port is known)", host.unwrap_or("a pod"))),
            };
            let wrong = answer.as_ref().err().filter(|_| ready).cloned();
            let started_s = member.age_s.map(|age_s| now_s - age_s);
            (Scraped { pod: member.uid.clone(), ready, started_s, answer: answer.ok() }, wrong)
        };
        let (scraped, wrong): (Vec<_>, Vec<_>) = join_all(members.iter().map(one)).await.into_iter().unzip();
        (scraped, wrong.into_iter().flatten().collect())
    }

    /// What a Deployment was told to have.
    async fn scale(&self, deployment: &str) -> Result<u32, CallError> {
        let scale = in_time(self.scales.get_scale(deployment)).await?;
        // A scale without a number is of one that is told to have none.
        Ok(u32::try_from(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0)).unwrap_or(0))
    }

    /// What both were told to have, by themselves; what went wrong is noted.
    async fn scales(&self) -> [Option<u32>; 2] {
        let [a, b] = &self.deployments;
        let (a, b) = tokio::join!(self.scale(a), self.scale(b));
        let wrong = self.deployments.iter().zip([&a, &b]).filter_map(|(deployment, scale)| {
            let error = scale.as_ref().err()?;
            Some(match error.not_found() {
                true => {
                    format!("there is no Deployment {deployment} in namespace {}", self.cluster.namespace)
                }
                false => format!("the scale of Deployment {deployment}: {error}"),
            })
        });
        self.findings.scales(wrong.collect());
        [a.ok(), b.ok()]
    }

    /// Everybody else who owns the replicas of either.
    fn owners(&self) -> Vec<Owner> {
        self.deployments.iter().flat_map(|deployment| self.cluster.owners(deployment)).collect()
    }

    /// Whether pods may be changed now: this process leads, and nobody else owns the replicas.
    async fn may(&self) -> Result<(), NotApplied> {
        let refused = |why| NotApplied { why, untouched: true, soon: false };
        self.ledger.led(self.leader.check().await.map_err(refused)?);
        if !self.cluster.autoscalers_known() {
            let why = "whether an autoscaler writes the replicas too is not known yet".to_owned();
            return Err(NotApplied { why, untouched: true, soon: true });
        }
        match self.owners().first() {
            Some(owner) => Err(refused(owner.remedy(&self.cluster.namespace))),
            None => Ok(()),
        }
    }

    /// Writes the scale of a stage, and nothing else: by server-side apply and without force, so that whoever owns it is asked
    /// to give it up and not fought with.
    async fn tell(&self, stage: Stage, pods: u32) -> Result<(), (bool, String)> {
        let deployment = match stage {
            Stage::A => &self.deployments[0],
            Stage::B => &self.deployments[1],
        };
        match scale::write(&self.scales, &self.cluster.namespace, deployment, pods).await {
            Ok(()) => {
                self.findings.wrote();
                Ok(())
            }
            Err(Unwritten::Failed(error)) => Err(refusal(deployment, pods, &error)),
            Err(Unwritten::Owned(owners)) => {
                let told =
                    owners.first().map(|owner| owner.remedy(&self.cluster.namespace)).unwrap_or_default();
                self.findings.owned(owners);
                Err((true, told))
            }
        }
    }

    /// The signals that somebody else is asked for.
    async fn answers(&self) -> Vec<(Field, Answer)> {
        let Some(asking) = &self.asking else { return Vec::new() };
        let (answers, wrong) = asking.ask().await;
        self.findings.asked(wrong);
        answers
    }
}

/// Why a write was refused, and whether it is certain that it was: what the API server refuses it has not done; what came of a
/// write that it did not answer nobody knows.
fn refusal(deployment: &str, pods: u32, error: &CallError) -> (bool, String) {
    let refused = error.status().is_some_and(|status| (400..500).contains(&status.code));
    (refused, format!("Deployment {deployment} did not take {pods} pods: {error}"))
}

impl Backend for KubernetesBackend {
    async fn scrape(&mut self) -> Round {
        let Present { a, proxy, b } = self.present();
        let between = self.plan.between.as_ref();
        let at_proxy = between
            .map(|between| Endpoint { port: between.port, path: between.path.clone() })
            .unwrap_or_default();
        let ([desired_a, desired_b], asked, (a_told, a_wrong), (proxy_told, proxy_wrong), (b_told, b_wrong)) = tokio::join!(
            self.scales(),
            self.answers(),
            self.ask("a", a.as_deref().unwrap_or_default(), &self.plan.at_a),
            self.ask("proxy", &proxy, &at_proxy),
            self.ask("b", b.as_deref().unwrap_or_default(), &self.plan.at_b),
        );
        self.findings.owners(self.owners());
        // Where nothing is read, as where all is asked of Prometheus, nothing is missed.
        let wrong = [(Server::A, a_wrong), (Server::Proxy, proxy_wrong), (Server::B, b_wrong)];
        let missed = wrong.into_iter().filter(|(server, _)| self.plan.reads(*server));
        self.findings.silent(missed.flat_map(|(_, wrong)| wrong).collect());
        let flocks = Flocks { a: a_told, proxy: proxy_told, b: b_told };
        let [numbers_a, numbers_b] = &mut self.numbers;
        let tell = |stage, desired: Option<u32>, members: Option<Vec<Member>>, flock: &[Scraped], numbers| {
            let used = flock.iter().filter_map(|pod| Some((pod.pod.clone(), cpu_s(pod.answer.as_ref()?)?)));
            let used: BTreeMap<String, f64> = used.collect();
            Some(census(stage, desired?, &members?, (numbers, &used)))
        };
        let kept = Kept {
            a: tell("a", desired_a, a, &flocks.a, numbers_a),
            b: tell("b", desired_b, b, &flocks.b, numbers_b),
        };
        let now_s = self.start.elapsed().as_secs_f64();
        let [merge_a, merge_proxy, merge_b] = &mut self.merges;
        Round {
            a: merge_a.round(now_s, &flocks),
            proxy: merge_proxy.round(now_s, &flocks),
            b: merge_b.round(now_s, &flocks),
            kept: Some(kept),
            asked,
        }
    }

    async fn desired(&mut self) -> (Option<u32>, Option<u32>) {
        self.scales().await.into()
    }

    async fn announce(&mut self, decision: &Decision) -> Result<(), NotApplied> {
        // Whoever may not carry it out does not say that it will.
        self.may().await?;
        let noted = self.ledger.announce(decision).await;
        noted.map_err(|why| NotApplied {
            why: format!(
                "its status cannot be written first, so that whoever leads next would not know of it: {why}"
            ),
            untouched: true,
            soon: false,
        })
    }

    async fn apply(&mut self, from: Replicas, to: Replicas) -> Result<(), NotApplied> {
        let mut untouched = true;
        for (stage, pods) in legs(from, to).into_iter().flatten() {
            // Before each write: the lead may have been lost during the last.
            self.may().await.map_err(|refusal| NotApplied { untouched, ..refusal })?;
            match self.tell(stage, pods).await {
                Ok(()) => untouched = false,
                Err((refused, why)) => {
                    return Err(NotApplied { why, untouched: untouched && refused, soon: false });
                }
            }
        }
        Ok(())
    }
}
