//! `splitscale scale`: a policy watches a running pipeline and changes its pods.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use splitscale_deploy::{Endpoints, LocalBackend, Observer, Scaler};
use splitscale_policy::{
    Bounds, Controller, Decision, Freshness, Policy, Setup, Shadow, ShadowConfig, ShellConfig, UsefulConfig,
};
use splitscale_spec::{Pipeline, PipelineConfig};
use tokio_util::sync::CancellationToken;

use super::explain;
use crate::cli::{Backend, Scale};
use crate::{files, interrupt};

/// The controller of a pipeline, and the policy that is scored beside it, if one is.
pub type Deciders = (Controller, Option<Shadow>);

/// A row of `timeline.csv`: what a decision saw, for the figure. What was not seen is empty.
#[derive(Debug, Serialize)]
struct TimelineRow {
    time_s: f64,
    slots: Option<u32>,
    desired_a: Option<u32>,
    desired_b: Option<u32>,
    ready_a: Option<u32>,
    ready_b: Option<u32>,
    throughput_per_s: Option<f64>,
    latency_p50_s: Option<f64>,
    latency_p95_s: Option<f64>,
}

/// Runs until told to stop, or for `--duration`.
pub fn run(args: &Scale) -> Result<()> {
    interrupt::run(async |stop| {
        let mut held = None;
        let run = scale(args, stop.clone(), |decision| {
            // Why it holds is told once, not every tick.
            let holding = decision.pods.is_none().then(|| decision.why.last().cloned()).flatten();
            if let Some(words) = changed(decision).or_else(|| holding.clone().filter(|_| held.is_none())) {
                println!("{:>7.1} s  {words}", decision.observed.time_s);
            }
            held = holding;
        });
        // Ctrl-C is how a scaler ends: a clean stop, not a failure. So is its time: a decision that is being carried out is.
        let Some(duration) = args.duration.map(Duration::from_secs_f64) else { return run.await };
        let mut run = std::pin::pin!(run);
        tokio::select! {
            done = &mut run => done,
            () = tokio::time::sleep(duration) => {
                stop.cancel();
                run.await
            }
        }
    })
}

/// Scales until `stop`; each decision is on disk before `on_decision` sees it.
pub async fn scale(args: &Scale, stop: CancellationToken, on_decision: impl FnMut(&Decision)) -> Result<()> {
    scale_by(args, deciders(args)?, stop, on_decision).await
}

/// As [`scale`], by whoever was made ready to decide.
pub async fn scale_by(
    args: &Scale,
    (mut controller, shadow): Deciders,
    stop: CancellationToken,
    mut on_decision: impl FnMut(&Decision),
) -> Result<()> {
    let Backend::Local = args.backend;
    let interval = Duration::from_secs_f64(args.interval);
    let endpoints =
        Endpoints { a: args.servers.a.clone(), proxy: args.servers.proxy.clone(), b: args.servers.b.clone() };
    let mut begin_s = 0.0;
    let resumes = args.resume && args.out.exists();
    if let Some(last) = resumes.then(|| explain::last(&args.out)).transpose()?.flatten() {
        controller.resume(&last);
        begin_s = last.now_s;
    }
    let scaler = Scaler {
        backend: LocalBackend::new(endpoints, interval.max(Duration::from_secs(1)))?,
        observer: Observer::new(args.window),
        controller,
        shadow,
        interval,
        begin_s,
    };
    let mut log = match resumes {
        true => files::Log::resume_lines(&args.out)?,
        false => files::Log::create(&args.out)?,
    };
    log.json(scaler.controller.setup())?;
    let begin = if args.resume { files::Log::resume } else { files::Log::create };
    let mut timeline = args.timeline.as_deref().map(begin).transpose()?;
    scaler
        .run(stop, |decision| {
            log.json(decision)?;
            if let Some(timeline) = &mut timeline {
                timeline.csv([TimelineRow::of(decision)])?;
            }
            on_decision(decision);
            Ok(())
        })
        .await
}

/// Who decides, by what the files say.
fn deciders(args: &Scale) -> Result<Deciders> {
    let live = policy(&args.policy)?;
    let pipeline = files::read_toml::<PipelineConfig>(&args.pipeline)?
        .validate()
        .with_context(|| format!("{} cannot be used", args.pipeline.display()))?;
    let shell = shell(args.shell.as_deref(), &Bounds::from(&pipeline))?;
    deciders_of(args, live, &pipeline, shell)
}

/// Who decides for this policy, pipeline and shell; the rest as the files say.
pub fn deciders_of(args: &Scale, live: Policy, pipeline: &Pipeline, shell: ShellConfig) -> Result<Deciders> {
    let bounds = Bounds::from(pipeline);
    let or_hpa = |path: &Option<PathBuf>| path.as_deref().map_or_else(|| Ok(Policy::hpa()), policy);
    let (mut useful, mut shadow) = (None, None);
    if let Some(path) = &args.calibration {
        let (laws, unusable) = (explain::laws(path)?, || format!("{} cannot be used", path.display()));
        useful = Some(UsefulConfig::of_laws(&laws).with_context(unusable)?);
        let law = ShadowConfig::of_laws(&laws, pipeline.slo.latency_s).with_context(unusable)?;
        shadow = Some(
            Shadow::new(&or_hpa(&args.shadow)?, bounds, Freshness { max_age_s: shell.max_age_s }, law)
                .with_context(unusable)?,
        );
    }
    let setup = Setup {
        schema: Setup::SCHEMA,
        policy: live,
        baseline: Some(or_hpa(&args.baseline)?),
        bounds,
        useful,
        shell,
    };
    let controller = Controller::new(setup, args.mode.into())
        .with_context(|| format!("{} cannot be used", args.policy.display()))?;
    Ok((controller, shadow))
}

/// A policy that can be used.
pub fn policy(path: &Path) -> Result<Policy> {
    let policy: Policy = files::read_json(path, Policy::SCHEMA)?;
    policy.validate().with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(policy)
}

/// A shell that can be used; without a file the one that stands in the documentation.
pub fn shell(path: Option<&Path>, bounds: &Bounds) -> Result<ShellConfig> {
    let Some(path) = path else { return Ok(ShellConfig::default()) };
    let shell: ShellConfig = files::read_toml(path)?;
    shell.validate(bounds).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(shell)
}

/// In words what a decision changed; absent where it changed nothing.
pub fn changed(decision: &Decision) -> Option<String> {
    let (from, to) = (decision.from?, decision.pods?);
    (from != to).then(|| decision.why.join("; "))
}

impl TimelineRow {
    fn of(decision: &Decision) -> Self {
        let seen = &decision.observed;
        TimelineRow {
            time_s: seen.time_s,
            slots: seen.slots.map(|s| s.value),
            desired_a: seen.a.as_ref().map(|a| a.desired),
            desired_b: seen.b.as_ref().map(|b| b.desired),
            ready_a: seen.a.as_ref().map(|a| a.ready),
            ready_b: seen.b.as_ref().map(|b| b.ready),
            throughput_per_s: seen.answers_per_s.map(|s| s.value),
            latency_p50_s: seen.latency_p50_s.map(|s| s.value),
            latency_p95_s: seen.latency_p95_s.map(|s| s.value),
        }
    }
}
