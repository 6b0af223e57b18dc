//! `splitscale scale`: a policy watches a running pipeline and changes its pods.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use splitscale_deploy::{Desk, Endpoints, LocalBackend, Observer, Refused, Scaler, Taken};
use splitscale_policy::{
    Agreement, Bounds, Controller, Decision, Freshness, Line, Mode, Policy, Residuals, Setup, Shadow,
    ShadowConfig, ShellConfig, UsefulConfig,
};
use splitscale_spec::{Pipeline, PipelineConfig};
use tokio_util::sync::CancellationToken;

use super::explain;
use crate::cli::{Backend, Scale, Servers};
use crate::journal::Journal;
use crate::page::Page;
use crate::{files, interrupt};

/// Who decides about a pipeline, and what is said beside it.
pub struct Deciders {
    /// Who decides.
    controller: Controller,
    /// The policy that is scored beside it, if one is.
    shadow: Option<Shadow>,
    /// Whether the calibration still holds, if there is one.
    residuals: Option<Residuals>,
}

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
        let page = match &args.listen {
            Some(listen) => Some(Page::bind(listen, args.token_file.as_deref()).await?),
            None => None,
        };
        let (mut held, mut was_stale, mut mode) = (None, None, Mode::from(args.mode));
        let run = scale(args, page, stop.clone(), |decision| {
            if decision.mode != mode {
                mode = decision.mode;
                say(&format!("{:>7.1} s  the mode is {} from here on", decision.now_s, mode.name()));
            }
            let stale = decision.agreement.as_ref().and_then(Agreement::stale);
            let count = |stale: &Option<String>| stale.as_ref().map(|words| words.matches(',').count());
            if count(&stale) != count(&was_stale) {
                say(&format!("{:>7.1} s  {}", decision.now_s, calibration_words(args, stale.as_deref())));
            }
            was_stale = stale;
            // Why it holds is told once, not every tick.
            let holding = decision.pods.is_none().then(|| decision.why.last().cloned()).flatten();
            if let Some(words) = changed(decision).or_else(|| holding.clone().filter(|_| held.is_none())) {
                say(&format!("{:>7.1} s  {words}", decision.observed.time_s));
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

/// A scaler goes on whether or not anybody reads what it says: all of it is in its file.
fn say(words: &str) {
    let _ = writeln!(std::io::stdout(), "{words}");
}

/// Scales until `stop`, and shows it on the page; each decision is on disk before it is carried out, and `on_decision` sees it
/// when what came of it is too.
pub async fn scale(
    args: &Scale,
    page: Option<Page>,
    stop: CancellationToken,
    on_decision: impl FnMut(&Decision),
) -> Result<()> {
    scale_by(args, deciders(args)?, page, stop, on_decision).await
}

/// As [`scale`], by whoever was made ready to decide.
pub async fn scale_by(
    args: &Scale,
    Deciders { mut controller, shadow, residuals }: Deciders,
    page: Option<Page>,
    stop: CancellationToken,
    mut on_decision: impl FnMut(&Decision),
) -> Result<()> {
    let Backend::Local = args.backend;
    let interval = Duration::from_secs_f64(args.interval);
    let endpoints =
        Endpoints { a: args.servers.a.clone(), proxy: args.servers.proxy.clone(), b: args.servers.b.clone() };
    let backend = LocalBackend::new(endpoints, interval.max(Duration::from_secs(1)))?;
    let taken = backend.check().await?;
    let otherwise = cut_otherwise(args, taken.cut.as_deref());
    for words in held_by_servers(&controller.setup().bounds, taken, args)?.into_iter().chain(otherwise) {
        eprintln!("warning: {words}");
    }
    let (mut log, stopped) = match args.resume {
        true => Journal::resume(&args.out, args.kept)?,
        false => (Journal::create(&args.out, args.kept)?, None),
    };
    let begin = if args.resume { files::Log::resume } else { files::Log::create };
    let mut timeline = match args.timeline.as_deref().map(begin).transpose() {
        Ok(timeline) => timeline,
        Err(error) => {
            log.discard();
            return Err(error);
        }
    };
    let (mut begin_s, mut half) = (0.0, None);
    if let Some((last, open)) = stopped {
        controller.resume(&last);
        (begin_s, half) = (last.now_s, open);
    }
    let desk = Desk::new(controller.setup().clone(), interval, controller.mode());
    let scaler = Scaler {
        backend,
        observer: Observer::new(args.window),
        controller,
        shadow,
        residuals,
        desk: desk.clone(),
        begin_s,
        half,
        refused: Refused::default(),
        asked: None,
    };
    log.begin(desk.setup())?;
    let mut decided = None;
    let watching = CancellationToken::new();
    let watched = page.map(|page| {
        say(&format!("page at {}", page.url()));
        tokio::spawn(page.show(desk.clone(), watching.clone()))
    });
    let scaled = scaler
        .run(stop, |line| {
            log.write(&line)?;
            match line {
                Line::Decision(decision) => {
                    if let Some(timeline) = &mut timeline {
                        timeline.csv([TimelineRow::of(&decision)])?;
                    }
                    match decision.acts() && decision.carried_out.is_none() {
                        true => decided = Some(decision),
                        false => on_decision(&decision),
                    }
                }
                Line::Outcome(outcome) => match decided.take() {
                    Some(mut decision) => {
                        decision.ended(&outcome);
                        on_decision(&decision);
                    }
                    None => say(&format!("          decision {}: {}", outcome.of, outcome.why)),
                },
                Line::Setup(_) => {}
            }
            Ok(())
        })
        .await;
    watching.cancel();
    let watched = match watched {
        Some(watched) => watched.await.context("the page failed"),
        None => Ok(()),
    };
    scaled.and(watched)
}

/// What is to be said of stages that do not take as many pods as they may have.
///
/// # Errors
/// A stage that does not take as many as it has to have.
fn held_by_servers(bounds: &Bounds, taken: Taken, args: &Scale) -> Result<Vec<String>> {
    let Bounds { pods_min, pods_max } = bounds;
    let (pipeline, Servers { a, b, .. }) = (args.pipeline.display(), &args.servers);
    let mut said = Vec::new();
    for (stage, url, taken, min, max) in
        [("a", a, taken.a, pods_min.a, pods_max.a), ("b", b, taken.b, pods_min.b, pods_max.b)]
    {
        let Some(taken) = taken.filter(|taken| *taken < max) else { continue };
        let remedy = |least: u32, field: &str| {
            format!(
                "start it with --pods-max {least} or more, or write {taken} or less as {stage}.{field} in {pipeline}"
            )
        };
        if taken < min {
            bail!(
                "stage {stage} at {url} takes {taken} pods at most, and is to have {min} at least; {}",
                remedy(min, "pods_min")
            );
        }
        said.push(format!(
            "stage {stage} at {url} takes {taken} pods at most, and may have {max}: it is asked for {taken}, whatever is wanted; {}",
            remedy(max, "pods_max")
        ));
    }
    Ok(said)
}

/// What is to be said where the network is not cut where the documents say: then useful pods, law and residuals are of another.
fn cut_otherwise(args: &Scale, cut: Option<&str>) -> Vec<String> {
    let Some(cut) = cut else { return Vec::new() };
    let pipeline = files::read_toml::<PipelineConfig>(&args.pipeline).ok();
    let pipeline = pipeline.map(|pipeline| (args.pipeline.as_path(), "cut.name", pipeline.cut.name));
    let laws =
        args.calibration.as_deref().and_then(|path| Some((path, "laws.cut", explain::laws(path).ok()?.cut?)));
    let others = pipeline.into_iter().chain(laws).filter(|(.., says)| says != cut);
    others
        .map(|(path, field, says)| {
            format!("the servers cut at {cut}, and {} says {says} ({field})", path.display())
        })
        .collect()
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
    // What was measured knows better than what was written down.
    let mut useful = live.useful().cloned();
    let (mut shadow, mut residuals) = (None, None);
    if let Some(path) = &args.calibration {
        let (laws, unusable) = (explain::laws(path)?, || format!("{} cannot be used", path.display()));
        useful = Some(UsefulConfig::of_laws(&laws).with_context(unusable)?);
        let law = ShadowConfig::of_laws(&laws, pipeline.slo.latency_s).with_context(unusable)?;
        let freshness = Freshness { max_age_s: shell.max_age_s };
        residuals = Some(Residuals::new(&laws, freshness).with_context(unusable)?);
        let policy = or_hpa(&args.shadow)?;
        shadow = Some(Shadow::new(&policy, bounds, freshness, law).with_context(unusable)?);
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
    Ok(Deciders { controller, shadow, residuals })
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

/// What is to be said of a calibration that no longer holds, or holds again.
fn calibration_words(args: &Scale, stale: Option<&str>) -> String {
    let file = args.calibration.as_deref().unwrap_or_else(|| "calibration.json".as_ref()).display();
    let Some(stale) = stale else { return format!("the calibration {file} holds again") };
    let Servers { a, proxy, b } = &args.servers;
    let out = (1..).map(|n| format!("out/recalibrated-{n}")).find(|out| !Path::new(out).exists());
    let (out, pods) = (out.unwrap_or_default(), measured_pods(&args.pipeline).unwrap_or_default());
    format!(
        "CalibrationStale: {stale}; when the pipeline is free, stop this scaler and measure again: splitscale collect --a {a} \
         --proxy {proxy} --b {b}{pods} --out {out} && splitscale calibrate {out} --out {file}"
    )
}

/// Numbers of pods to measure with, within the bounds of both stages, as a flag.
fn measured_pods(pipeline: &Path) -> Option<String> {
    let Bounds { pods_min, pods_max } =
        Bounds::from(&files::read_toml::<PipelineConfig>(pipeline).ok()?.validate().ok()?);
    let (low, high) = (pods_min.a.max(pods_min.b), pods_max.a.min(pods_max.b));
    let span = high.checked_sub(low)?;
    let mut pods: Vec<u32> = (0..=3).map(|third| low + span * third / 3).collect();
    pods.dedup();
    let pods: Vec<String> = pods.iter().map(u32::to_string).collect();
    Some(format!(" --pods {}", pods.join(",")))
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
