//! Watches SplitPipelines, and runs a loop for each while it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::client::Clients;
use super::cluster::{Cluster, SPLIT_PIPELINES, WATCH_S, trouble};
use super::declared::Declared;
use super::journal::Journals;
use super::lease::{Election, Leader};
use super::pipeline::{self, Shared};
use super::resource::SplitPipeline;

/// How often it is looked whether what is declared is there.
const DECLARE_AGAIN: Duration = Duration::from_secs(30);

/// An operator.
pub struct Operator {
    /// The API server.
    pub clients: Clients,
    /// The namespaces whose pipelines it scales.
    pub namespaces: Vec<String>,
    /// The ConfigMap of each namespace that declares pipelines, if any does.
    pub declared: Option<String>,
    /// How it is elected; absent where it is alone.
    pub election: Option<Election>,
    /// Its name in events.
    pub identity: String,
    /// Where it is looked at.
    pub board: Board,
    /// Where decisions are written.
    pub journals: Journals,
}

/// The pipelines of a namespace: those that there are, and the loops that run.
struct Namespace {
    shared: Shared,
    declared: Option<Declared>,
    objects: BTreeMap<String, Arc<SplitPipeline>>,
    loops: BTreeMap<String, Loop>,
}

/// A pipeline that is scaled.
struct Loop {
    uid: Option<String>,
    object: watch::Sender<Arc<SplitPipeline>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Operator {
    /// Runs until `stop`. The pods stay as they are.
    pub async fn run(self, stop: CancellationToken) {
        let Operator { clients, namespaces, declared, election, identity, board, journals } = self;
        // The lead is given up last: nobody else begins while something is under way.
        let electing = CancellationToken::new();
        let (leader, elected) = match election {
            Some(election) => {
                let (leader, task) = Leader::elect(clients.asking.clone(), election, electing.clone());
                (leader, Some(task))
            }
            None => (Leader::alone(), None),
        };
        board.led_by(leader.clone());
        let reporter = Reporter { controller: "splitscale".to_owned(), instance: Some(identity) };
        let recorder = Recorder::new(clients.asking.clone(), reporter);
        let tasks = TaskTracker::new();
        for namespace in namespaces {
            let shared = Shared {
                client: clients.asking.clone(),
                cluster: Cluster::watch(&clients.watching, &namespace, &stop),
                leader: leader.clone(),
                recorder: recorder.clone(),
                board: board.clone(),
                journals: journals.clone(),
            };
            let pipelines = Api::namespaced(clients.watching.clone(), &namespace);
            let declared = declared.as_ref();
            let declared =
                declared.map(|map| Declared::new(&clients.asking, &namespace, map, recorder.clone()));
            let namespace = Namespace { shared, declared, objects: BTreeMap::new(), loops: BTreeMap::new() };
            tasks.spawn(namespace.run(pipelines, stop.clone()));
        }
        tasks.close();
        tasks.wait().await;
        electing.cancel();
        if let Some(elected) = elected {
            let _ = elected.await;
        }
    }
}

impl Namespace {
    /// Follows the objects and the lead.
    async fn run(mut self, pipelines: Api<SplitPipeline>, stop: CancellationToken) {
        let name = self.shared.cluster.namespace.clone();
        let watched = watcher(pipelines, watcher::Config::default().timeout(WATCH_S)).default_backoff();
        let (mut events, mut leader) = (Box::pin(watched), self.shared.leader.clone());
        let (mut listed, mut well) = (BTreeMap::new(), true);
        let (mut declare, mut known) = (tokio::time::interval(DECLARE_AGAIN), false);
        declare.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = leader.changed() => {
                    self.settle().await;
                    declare.reset_immediately();
                    continue;
                }
                // What is there has to be known first.
                _ = declare.tick(), if known => {
                    if let Some(declared) = &mut self.declared {
                        declared.apply(&self.objects, &self.shared.leader, &stop).await;
                    }
                    continue;
                }
                () = stop.cancelled() => break,
            };
            match event {
                Some(Ok(event)) => {
                    // That a list begins does not say that it comes.
                    if !well && !matches!(event, Event::Init) {
                        (well, _) =
                            (true, tracing::info!("SplitPipelines of namespace {name} are watched again"));
                    }
                    match event {
                        Event::Init => listed.clear(),
                        Event::InitApply(object) => drop(listed.insert(object.name_any(), Arc::new(object))),
                        Event::InitDone => {
                            self.objects = std::mem::take(&mut listed);
                            self.shared.board.watched(&name);
                            known = true;
                        }
                        Event::Apply(object) => {
                            drop(self.objects.insert(object.name_any(), Arc::new(object)))
                        }
                        Event::Delete(object) => drop(self.objects.remove(&object.name_any())),
                    }
                    if listed.is_empty() {
                        self.settle().await;
                    }
                }
                Some(Err(error)) => {
                    if well {
                        tracing::warn!("{}", trouble(SPLIT_PIPELINES, &name, &error));
                    }
                    well = false;
                }
                None => break,
            }
        }
        self.objects.clear();
        self.settle().await;
    }

    /// Runs a loop for each object, and no other; none at all while another process leads.
    async fn settle(&mut self) {
        let leads = self.shared.leader.leads();
        let gone: Vec<String> = self
            .loops
            .iter()
            .filter(|(name, running)| {
                let object = self.objects.get(*name);
                !leads
                    || object.is_none_or(|object| object.uid() != running.uid)
                    || running.task.is_finished()
            })
            .map(|(name, _)| name.clone())
            .collect();
        let ended: Vec<Loop> = gone.iter().filter_map(|name| self.loops.remove(name)).collect();
        // All of them are told before any is waited for: a lead that is lost is lost for all.
        ended.iter().for_each(|running| running.stop.cancel());
        for running in ended {
            let _ = running.task.await;
        }
        if !leads {
            return;
        }
        for (name, object) in &self.objects {
            match self.loops.get(name) {
                Some(running) => {
                    running.object.send_if_modified(|known| {
                        // A status that was written is no news.
                        let news = known.metadata.generation != object.metadata.generation
                            || known.spec != object.spec;
                        if news {
                            *known = object.clone();
                        }
                        news
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(object.clone());
                    let stop = CancellationToken::new();
                    let task = tokio::spawn(pipeline::run(self.shared.clone(), receiver, stop.clone()));
                    let running = Loop { uid: object.uid(), object: sender, stop, task };
                    self.loops.insert(name.clone(), running);
                }
            }
        }
    }
}
