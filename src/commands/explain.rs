//! `splitscale explain` and `splitscale replay`: decisions in sentences, taken again, and by another policy.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use splitscale_policy::{
    Controller, Decision, Freshness, Line, Mode, Policy, Setup, Shadow, ShadowConfig, Tally,
};
use splitscale_spec::{Calibration, Replicas, check_schema};

use crate::cli::{Explain, Replay};
use crate::{files, journal};

/// A decision and who was deciding then.
struct Logged {
    setup: usize,
    decision: Decision,
}

/// A row of the table of a replay: pods at the time, and what both policies made of it; empty where one holds.
#[derive(Debug, Serialize)]
struct Row {
    id: u64,
    now_s: f64,
    desired_a: Option<u32>,
    desired_b: Option<u32>,
    logged_a: Option<u32>,
    logged_b: Option<u32>,
    replayed_a: Option<u32>,
    replayed_b: Option<u32>,
    why: String,
    /// It wishes, and there would be other pods; who held has those that there were.
    #[serde(skip)]
    differs: bool,
}

/// Tells one decision and takes it again.
pub fn explain(args: &Explain) -> Result<()> {
    let (setups, decisions) = read(&args.file)?;
    let found = decisions.iter().rev().find(|logged| logged.decision.id == args.id);
    let Some(Logged { setup, decision }) = found else {
        let ids = decisions.first().zip(decisions.last());
        let range = ids.map_or("none".to_owned(), |(first, last)| {
            format!("{} to {}", first.decision.id, last.decision.id)
        });
        let older = journal::older(&args.file, 1);
        let older = match older.exists() {
            true => format!(", and those before are in {} and on", older.display()),
            false => String::new(),
        };
        bail!("{} has no decision {}; it has {range}{older}", args.file.display(), args.id);
    };
    let setup = &setups[*setup];
    for line in decision.explained(setup) {
        println!("{line}");
    }
    let again = again(&args.file, setup, decision)?;
    if again.is_empty() {
        println!("Taken again from what was seen and remembered it is the same.");
        return Ok(());
    }
    bail!("taken again, decision {} is another: {}", args.id, again.join(", "));
}

/// Takes all decisions again, or lets another policy take them.
pub fn replay(args: &Replay) -> Result<()> {
    let (setups, decisions) = read(&args.file)?;
    let Some(path) = &args.policy else { return same(&args.file, &setups, &decisions) };
    let policy: Policy = files::read_json(path, Policy::SCHEMA)?;
    let mut shadow = match (&args.calibration, args.slo) {
        (Some(file), Some(slo_s)) => Some(shadow(&policy, &setups[0], file, slo_s)?),
        _ => None,
    };
    let (mut other, mut last, mut rows, mut score) = (None, usize::MAX, Vec::new(), None);
    let (mut differing, mut alike, mut without) = (0, 0, 0);
    for Logged { setup, decision } in &decisions {
        if last != *setup {
            last = *setup;
            let setup = setups[last].clone().with_policy(policy.clone());
            let started = Controller::new(setup, decision.mode);
            other = Some(started.with_context(|| format!("{} cannot be used", path.display()))?);
        }
        let Some(other) = &mut other else { continue };
        // Its wishes are not carried out: the pods are those that the other policy had.
        other.set_mode(if decision.mode == Mode::Auto { Mode::Recommend } else { decision.mode });
        let replayed = other.decide(decision.now_s, &decision.observed);
        score = shadow.as_mut().map(|shadow| shadow.observe(decision.now_s, &decision.observed)).or(score);
        let mut row = Row::of(decision, &replayed);
        row.differs &= replayed.raw.is_some();
        match (replayed.raw, row.differs) {
            (None, _) => without += 1,
            (_, true) => differing += 1,
            (_, false) => alike += 1,
        }
        rows.push(row);
    }
    println!(
        "{} decisions, asked of `{}` on what was seen then, with the pods there were: other pods {differing} times, the same \
         pods {alike} times, no wish {without} times (it waits for its next look, or holds: the pods stay).",
        decisions.len(),
        policy.name
    );
    for row in rows.iter().filter(|row| row.differs).take(10) {
        println!("{:>8.1} s  logged {}, replayed {}  {}", row.now_s, row.logged(), row.replayed(), row.why);
    }
    if let Some(score) = score {
        println!("By the law, over {:.0} s and {:.0} arrivals:", score.scored_s, score.arrivals);
        let tell = |name: &str, Tally { pod_seconds, misses, .. }: Tally| {
            println!(
                "  {name}: {pod_seconds:.0} pod-seconds, {:.0} late ({:.0} to {:.0})",
                misses.value, misses.low, misses.high
            );
        };
        tell("as it was", score.live);
        tell(&format!("`{}`", policy.name), score.shadow);
    }
    if let Some(out) = &args.out {
        files::write_csv(out, rows)?;
        println!("Both decisions of every line: {}", out.display());
    }
    Ok(())
}

/// Every decision again by the policy that took it.
fn same(file: &Path, setups: &[Setup], decisions: &[Logged]) -> Result<()> {
    if decisions.is_empty() {
        bail!("{} has no decisions", file.display());
    }
    let begin = |setup: &Setup| Controller::new(setup.clone(), Mode::Recommend);
    let unusable = || format!("{} cannot be used", file.display());
    let mut controllers = setups.iter().map(begin).collect::<Result<Vec<_>, _>>().with_context(unusable)?;
    for Logged { setup, decision } in decisions {
        let differs = decision.differs(&controllers[*setup].again(decision).with_context(unusable)?);
        if !differs.is_empty() {
            bail!("taken again, decision {} is another: {}", decision.id, differs.join(", "));
        }
    }
    println!("{} decisions taken again: all the same.", decisions.len());
    Ok(())
}

/// Another policy that lives through the same arrivals by itself.
fn shadow(policy: &Policy, setup: &Setup, file: &Path, slo_s: f64) -> Result<Shadow> {
    let law = ShadowConfig::of_laws(&laws(file)?, slo_s);
    let freshness = Freshness { max_age_s: setup.shell.max_age_s };
    law.and_then(|law| Shadow::new(policy, setup.bounds, freshness, law))
        .with_context(|| format!("{} cannot be used", file.display()))
}

/// The laws of a calibration.
pub fn laws(file: &Path) -> Result<splitscale_spec::Laws> {
    let calibration: Calibration = files::read_json(file, Calibration::SCHEMA)?;
    calibration.validate().with_context(|| format!("{} cannot be used", file.display()))?;
    calibration.laws.with_context(|| {
        format!("{} has no laws; calibrate a folder with the records of its requests", file.display())
    })
}

/// Where the same decision, taken again, differs.
fn again(file: &Path, setup: &Setup, decision: &Decision) -> Result<Vec<String>> {
    let again =
        Controller::new(setup.clone(), decision.mode).and_then(|mut controller| controller.again(decision));
    let again = again.with_context(|| format!("{}, decision {}", file.display(), decision.id))?;
    Ok(decision.differs(&again))
}

/// Everything in a file of decisions.
fn read(file: &Path) -> Result<(Vec<Setup>, Vec<Logged>)> {
    let text = files::read(file)?;
    let (mut setups, mut decisions) = (Vec::new(), Vec::new());
    let whole = text.ends_with('\n');
    let count = text.lines().count();
    for (index, line) in text.lines().enumerate() {
        let at = || format!("{}, line {}", file.display(), index + 1);
        match Line::parse(line) {
            Ok(Line::Setup(setup)) => setups.push(*setup),
            Ok(Line::Decision(decision)) if decision.schema != Decision::SCHEMA => {
                check_schema("decision", decision.schema, Decision::SCHEMA).with_context(at)?;
            }
            Ok(Line::Decision(decision)) => match setups.len() {
                0 => bail!("{}: a decision before the line that says who decides", at()),
                n => decisions.push(Logged { setup: n - 1, decision: *decision }),
            },
            Ok(Line::Outcome(outcome)) => {
                let of =
                    decisions.iter_mut().rev().find(|logged: &&mut Logged| logged.decision.id == outcome.of);
                let Some(logged) = of else {
                    bail!("{}: what came of decision {}, which is not there", at(), outcome.of)
                };
                logged.decision.ended(&outcome);
            }
            // A scaler that was killed may have been writing.
            Err(_) if index + 1 == count && !whole => {}
            Err(problem) => return Err(problem).with_context(|| format!("{} is no decision", at())),
        }
    }
    if setups.is_empty() {
        bail!(
            "{} has no line that says who decides; it is not what `splitscale scale` writes",
            file.display()
        );
    }
    Ok((setups, decisions))
}

impl Row {
    fn of(decision: &Decision, replayed: &Decision) -> Self {
        let desired = |stage: &Option<splitscale_spec::StagePods>| stage.as_ref().map(|stage| stage.desired);
        let (a, b) = (
            |pods: Option<Replicas>| pods.map(|pods| pods.a),
            |pods: Option<Replicas>| pods.map(|pods| pods.b),
        );
        Row {
            id: decision.id,
            now_s: decision.now_s,
            desired_a: desired(&decision.observed.a),
            desired_b: desired(&decision.observed.b),
            logged_a: a(decision.pods),
            logged_b: b(decision.pods),
            replayed_a: a(replayed.pods),
            replayed_b: b(replayed.pods),
            why: replayed.why.join("; "),
            differs: decision.pods.or(decision.from) != replayed.pods.or(replayed.from),
        }
    }

    fn logged(&self) -> String {
        words(self.logged_a, self.logged_b)
    }

    fn replayed(&self) -> String {
        words(self.replayed_a, self.replayed_b)
    }
}

fn words(a: Option<u32>, b: Option<u32>) -> String {
    a.zip(b).map_or("hold".to_owned(), |(a, b)| format!("a {a}, b {b}"))
}
