//! `splitscale contest`: policies side by side on real servers, under the same arrivals and the same traffic.
//!
//! ```text
//!  plan ─▶ arrivals, phases ─┬─▶ pipeline, scaled by policy 1 ─▶ NAME/records.csv, decisions.jsonl ─┬─▶ contest.csv
//!                            └─▶ pipeline, scaled by policy 2 ─▶ NAME/ ...       ─▶ contest-timeline.csv ─▶ figure
//! ```
//!
//! In place of policies, pipelines that run on Kubernetes may play: who scales them there is nothing to this program.
//!
//! All pipelines have one clock: every request is due, and the slots move, at the same time after the start in each.

mod deployed;
mod plan;
mod score;
mod table;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::{join_all, try_join_all};
use splitscale_policy::{Bounds, Decision};
use splitscale_serving::client::PipelineClient;
use splitscale_serving::load::{Halt, OpenSpec, Patience, open_loop};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::scale::{self, Deciders};
use super::{collect, figures};
use crate::cli::{Backend, Contest, Deployed, Figures, Kept, Scale, ScaleMode, Servers};
use crate::files;
use crate::images::{self, Image};
use crate::interrupt::{self, Interrupted};
use crate::servers::{self, Server};

use deployed::{Busy, Watch, Window};
use plan::Plan;
use score::{Look, Played, Score};

/// Most requests under way: more than any patience lets come together.
const UNDER_WAY_MAX: usize = 16_384;
/// Longest that what is under way may take to end after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);
/// Name of the table that the figure is drawn from.
const TIMELINE: &str = "contest-timeline.csv";

/// One that plays.
struct Contestant {
    name: String,
    folder: PathBuf,
    how: How,
}

/// How a pipeline comes to be scaled.
enum How {
    /// Here, by a policy: all but where its servers are, and who decides.
    Here(Box<(Scale, Deciders)>),
    /// There, by somebody.
    There(Deployed),
}

/// What all that play have in common.
struct Game<'a> {
    plan: &'a Plan,
    images: &'a [Image],
    timeline: RefCell<files::Log>,
    busy: RefCell<Busy>,
    stop: CancellationToken,
}

/// Plays, and says what each policy came to.
pub fn run(args: &Contest) -> Result<()> {
    let plan = Plan::read(&args.file, args.policies.len())?;
    let together = plan.together || !args.deployed.is_empty();
    let images = images::load(args.images.as_deref())?;
    let contestants = contestants(args, &plan)?;
    let out = &args.out;
    files::empty_folder(out)?;
    files::write(&out.join("contest.toml"), files::read(&args.file)?.as_bytes())?;
    files::write(&out.join("pipeline.toml"), toml::to_string(&*plan.pipeline)?.as_bytes())?;
    let timeline = RefCell::new(files::Log::create(&out.join(TIMELINE))?);

    let length_s = plan.length().as_secs_f64();
    let (requests, count) = (plan.times.len(), contestants.len());
    let order = if together { "all at once" } else { "one after the other" };
    println!("{requests} requests in {length_s} s, to {count} pipelines, {order}");
    let played = interrupt::run(async |stop| {
        let busy = RefCell::new(Busy::new(args.busy_file.as_deref()));
        let game = Game { plan: &plan, images: &images, timeline, busy, stop };
        let at_once = if together { count } else { 1 };
        let (mut waiting, mut played) = (contestants.into_iter(), Vec::new());
        while played.len() < count {
            let round: Vec<_> = waiting.by_ref().take(at_once).collect();
            played.extend(game.round(round, out).await?);
        }
        anyhow::Ok(played)
    })?;

    // It grew in the order of time; whole, it stands in the order of the policies.
    files::write_csv(&out.join(TIMELINE), played.iter().flat_map(|played| &played.looks))?;
    let scores: Vec<Score> =
        played.iter().flat_map(|played| played.scores(&plan.phases, &plan.pipeline)).collect();
    files::write_csv(&out.join("contest.csv"), &scores)?;
    print!("{}", table::of(&scores, &plan.pipeline));
    figures::run(&Figures { folder: out.clone(), out: None })?;
    println!("{}", out.display());
    Ok(())
}

/// Everybody who plays, and who decides for each. Nothing is started or written before all of it can be used.
fn contestants(args: &Contest, plan: &Plan) -> Result<Vec<Contestant>> {
    let shell = scale::shell(args.shell.as_deref(), &Bounds::from(&plan.pipeline))?;
    let mut files_by_name = BTreeMap::new();
    let mut contestants = Vec::new();
    for path in &args.policies {
        let policy = scale::policy(path)?;
        let name = policy.name.clone();
        let folder = folder_name(&name).with_context(|| format!("{}: name", path.display()))?;
        if let Some(other) = files_by_name.insert(folder.clone(), path) {
            bail!(
                "{}: name: `{name}` is as good as that of {}; give one of them another",
                path.display(),
                other.display()
            );
        }
        let folder = args.out.join(folder);
        let scale = Scale {
            policy: path.clone(),
            baseline: args.baseline.clone(),
            shell: args.shell.clone(),
            calibration: args.calibration.clone(),
            shadow: None,
            backend: Backend::Local,
            mode: ScaleMode::Auto,
            servers: Servers { a: String::new(), proxy: String::new(), b: String::new() },
            pipeline: args.out.join("pipeline.toml"),
            interval: plan.interval_s,
            window: plan.window_s,
            duration: None,
            out: folder.join("decisions.jsonl"),
            resume: false,
            kept: Kept::ALL,
            timeline: Some(folder.join("timeline.csv")),
            listen: None,
            token_file: None,
        };
        let shell = plan.shells.get(&name).unwrap_or(&shell).clone();
        let deciders = scale::deciders_of(&scale, policy, &plan.pipeline, shell)?;
        contestants.push(Contestant { name, folder, how: How::Here(Box::new((scale, deciders))) });
    }
    let mut namespaces = BTreeSet::new();
    for of in &args.deployed {
        let folder = args.out.join(folder_name(&of.name).context("--deployed")?);
        let known = contestants.iter().any(|one: &Contestant| one.folder == folder);
        if known || !namespaces.insert(&of.namespace) {
            bail!("--deployed {}: a name and a namespace play once each", of.name);
        }
        contestants.push(Contestant { name: of.name.clone(), folder, how: How::There(of.clone()) });
    }
    let nobodys = plan.shells.keys().filter(|name| !contestants.iter().any(|one| one.name == **name));
    for name in nobodys {
        eprintln!("warning: {}: shells.{name} is nobody's; no policy here is called so", args.file.display());
    }
    Ok(contestants)
}

/// What the folder of a policy is called.
fn folder_name(name: &str) -> Result<String> {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let folder: String = name.chars().map(plain).collect();
    let ours = ["figures", "contest.csv", "contest.toml", "contest-timeline.csv", "pipeline.toml"];
    if folder.is_empty() || folder.starts_with('.') || folder.ends_with(".part") || ours.contains(&&*folder) {
        bail!("`{name}` cannot be the name of a folder of results; give the policy another");
    }
    Ok(folder)
}

impl Game<'_> {
    /// Plays these at the same time, from starting their servers to stopping them.
    async fn round(&self, round: Vec<Contestant>, out: &Path) -> Result<Vec<Played>> {
        let mut started: Vec<Vec<Server>> = round.iter().map(|_| Vec::new()).collect();
        let interrupted = || {
            let words = format!("what was played is in {}, a folder a policy", out.display());
            anyhow::Error::from(Interrupted(words))
        };
        let work = async {
            let mut ready = Vec::new();
            let starting = async {
                for (contestant, started) in round.iter().zip(&mut started) {
                    ready.push(self.start(contestant, started).await.with_context(|| of(&contestant.name))?);
                }
                anyhow::Ok(())
            };
            tokio::select! {
                done = starting => done?,
                () = self.stop.cancelled() => return Err(interrupted()),
            }
            let begin = Instant::now();
            let games = round.into_iter().zip(ready).zip(&mut started);
            let games = games.map(|((contestant, (client, servers)), started)| async move {
                let name = contestant.name.clone();
                tokio::select! {
                    played = self.play(contestant, (client, servers), begin) => played,
                    ended = servers::watch(started) => Err(ended),
                }
                .with_context(|| of(&name))
            });
            try_join_all(games).await
        };
        let over = async {
            self.stop.cancelled().await;
            sleep(GRACE).await;
        };
        let played = tokio::select! {
            played = work => played.and_then(|played| match self.stop.is_cancelled() {
                true => Err(interrupted()),
                false => Ok(played),
            }),
            () = over => Err(interrupted()),
        };
        let stopped = join_all(started.into_iter().map(servers::stop_all)).await;
        let played = played?;
        stopped.into_iter().collect::<Result<()>>()?;
        Ok(played)
    }

    /// A pipeline of its own, as the first phase has it.
    async fn start(
        &self,
        contestant: &Contestant,
        started: &mut Vec<Server>,
    ) -> Result<(PipelineClient, Option<Servers>)> {
        let logs = contestant.folder.join("logs");
        std::fs::create_dir_all(&logs)
            .with_context(|| format!("could not make the folder {}", logs.display()))?;
        let (client, urls) = match &contestant.how {
            How::Here(_) => {
                let urls = servers::start(&self.plan.servers, &logs, started).await?;
                (collect::client(&urls)?, Some(urls))
            }
            How::There(of) => (deployed::client(of).await?, None),
        };
        tokio::select! {
            ready = client.wait_ready(collect::READY_LIMIT) => ready?,
            ended = servers::watch(started) => return Err(ended),
        }
        Ok((client, urls))
    }

    /// Sends, moves the slots and scales, from `begin` to the end of the last phase; then waits for what is under way.
    async fn play(
        &self,
        Contestant { name, folder, how }: Contestant,
        (client, servers): (PipelineClient, Option<Servers>),
        begin: Instant,
    ) -> Result<Played> {
        let plan = self.plan;
        let servers_are_ours = servers.is_some();
        // Ctrl-C leaves nothing under way: what was not answered by then is on record as lost.
        let halt = Halt { stop: self.stop.child_token(), abandon: self.stop.child_token() };
        let over = self.stop.child_token();
        let mut log = files::Log::create(&folder.join("records.csv"))?;
        let (mut records, mut looks, answered) = (Vec::new(), Vec::new(), RefCell::new(Window::default()));
        let (mut kept, mut drawn) = (Ok(()), Ok(()));

        let patience = Patience { timeout: plan.timeout, retries: 0 };
        let spec = OpenSpec { run_id: 0, under_way_max: UNDER_WAY_MAX, patience };
        let times = plan.times.clone().into_iter();
        let load = async {
            open_loop(&client, self.images, (&spec, times), halt.clone(), |ended| {
                if kept.is_ok() {
                    kept = log.csv([&ended.record]);
                }
                // Rows that cannot be kept are not worth more requests.
                if kept.is_err() {
                    halt.stop.cancel();
                }
                answered.borrow_mut().ended(&ended.record);
                records.push(ended.record);
            })
            .await?;
            anyhow::Ok(())
        };
        let mut look = |look: Look| {
            let look = look.after(&looks);
            if drawn.is_ok() {
                drawn = self.timeline.borrow_mut().csv([&look]);
            }
            looks.push(look);
        };
        let scaling = async {
            match how {
                How::Here(here) => {
                    let (scale, deciders) = *here;
                    let scale =
                        servers.map_or_else(|| scale.clone(), |servers| Scale { servers, ..scale.clone() });
                    scale::scale_by(&scale, deciders, None, over.clone(), |decision: &Decision| {
                        if let Some(words) = scale::changed(decision) {
                            println!("{:>7.1} s  {name}: {words}", decision.observed.time_s);
                        }
                        look(Look::of(&name, decision, plan.pipeline.slo.latency_s));
                    })
                    .await
                }
                How::There(of) => {
                    let (every, window) = (plan.interval_s, plan.window_s);
                    let [every, window] = [every, window].map(Duration::from_secs_f64);
                    let watch = Watch { of: &of, begin, every, window, slo_s: plan.pipeline.slo.latency_s };
                    watch.run(&client, &over, (&answered, &self.busy), &mut look).await
                }
            }
        };
        let traffic = async {
            let mut at = begin;
            for phase in &plan.phases {
                client.set_threads(phase.slots).await?;
                at += Duration::from_secs_f64(phase.seconds);
                tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.stop.cancelled() => break,
                }
            }
            over.cancel();
            anyhow::Ok(())
        };
        let before = if servers_are_ours { None } else { Some(client.state().await?.proxy.slots) };
        let played = async { tokio::try_join!(load, scaling, traffic) }.await;
        // A pipeline that others go on using has the slots that it had.
        if let Some(slots) = before {
            timeout(GRACE, client.set_threads(slots)).await.unwrap_or(Ok(()))?;
        }
        played?;
        kept?;
        drawn?;
        Ok(Played { policy: name, records, looks })
    }
}

fn of(name: &str) -> String {
    format!("the pipeline of {name}")
}
