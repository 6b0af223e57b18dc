//! `splitscale evaluate`: policies side by side under the same requests, beside constant pods and the HPA at their best, and
//! how far each is from what was possible.

mod regret;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use splitscale_policy::hpa::{HpaMetric, HpaStage};
use splitscale_policy::{
    Controller, Freshness, HpaConfig, Mode, Policy, PolicyKind, Setup, ShellConfig, document_hash,
};
use splitscale_rl::evaluate::{
    Contender, HpaGrid, Judging, Quantity, Row, Workers, Yardstick, best_hpa, best_static, judge, play, seeds,
};
use splitscale_rl::referee::{Discretised, Errors};
use splitscale_rl::scaling::Bill;
use splitscale_rl::{Scaling, ScalingConfig};

use super::scale::policy;
use crate::cli::Evaluate;
use crate::files::{self, Log};
use crate::interrupt::{self, Interrupted};
use crate::{measurement, progress};

/// Streams of seeds: what is tuned never meets what is judged.
const JUDGED: u32 = 0;
const TUNED: u32 = 1;
/// Names of those that everybody is judged beside.
const BASELINES: [&str; 4] = ["hpa tuned", "hpa default", "static tuned", "static best here"];
/// Episodes a scenario that constant pods and HPAs are tuned on.
const TUNING_SEEDS: usize = 5;

/// `evaluation.json`: what was judged, on what, and how the baselines were set.
#[derive(Serialize)]
struct Evaluation<'a> {
    schema: u32,
    splitscale: String,
    /// Of the problem and all files that it is made of.
    problem: &'a str,
    /// The same of what the baselines were tuned on.
    tuned_on: &'a str,
    seed: u64,
    seeds: u32,
    scenarios: Vec<&'a str>,
    /// J* of each scenario.
    yardsticks: &'a [Yardstick],
    /// How good a model the table of regret by states is.
    table: Option<Errors>,
    /// Who differences are taken from.
    against: &'a str,
    /// Episodes a scenario in which was found what was possible.
    referee: u32,
    /// Name and hash of who decides where a learnt policy is not to be trusted; absent for nobody.
    baseline: Option<(&'a str, String)>,
    /// Name and hash of each policy; the baselines are written out in `baselines/`.
    policies: Vec<(String, String)>,
}

/// A row of `episodes.csv`.
#[derive(Serialize)]
struct Episode<'a> {
    policy: &'a str,
    scenario: &'a str,
    seed: u64,
    cost: f64,
    pod_seconds: f64,
    misses: u64,
    changes: u64,
    sent: u64,
    attainment: Option<f64>,
    p95_s: Option<f64>,
    p99_s: Option<f64>,
}

/// Judges until it is done or told to stop.
pub fn run(args: &Evaluate) -> Result<()> {
    interrupt::run(async |stop| {
        let go_on = || !stop.is_cancelled();
        evaluate(args, &go_on)
    })
}

fn evaluate(args: &Evaluate, go_on: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    let (world, problem, table) = super::train::scaling(&args.file)?;
    let (of_tuning, tuned_on) = match &args.tuned_on {
        Some(file) => super::train::scaling(file).map(|(world, hash, _)| (world, hash))?,
        None => (world.clone(), problem.clone()),
    };
    ensure!(
        ScalingConfig { decisions: world.config().decisions, ..of_tuning.config().clone() }
            == *world.config(),
        "{} and the file it is tuned on ask for different things; give both the same [environment.scaling.problem]",
        args.file.display()
    );
    let threads = args.threads.map_or_else(|| available_parallelism().map_or(1, usize::from), |n| n as usize);
    let workers = Workers { threads, go_on };
    let mut policies = read(args)?;
    let baseline = args.baseline.as_deref().map(policy).transpose()?;
    if !BASELINES.contains(&args.against.as_str()) && !policies.iter().any(|(name, _)| *name == args.against)
    {
        let known = policies.iter().map(|(name, _)| name.as_str()).chain(BASELINES);
        bail!(
            "--against {}: nobody is called so; there are {}",
            args.against,
            known.collect::<Vec<_>>().join(", ")
        );
    }
    files::empty_folder(&args.out)?;
    let seeds_of_referee = seeds(args.seed, JUDGED, args.seeds.min(args.referee) as usize);
    let table = table.filter(|_| args.referee > 0);
    let turning = progress::spinner("solving the table");
    let table = table.map(|table| Discretised::of(&world, &table)).transpose();
    let table = table.with_context(|| format!("{}: table", args.file.display()))?;
    turning.finish_and_clear();

    let turning = progress::spinner("tuning constant pods and the HPA");
    let tuning = seeds(args.seed, TUNED, TUNING_SEEDS);
    let judged = seeds(args.seed, JUDGED, args.seeds as usize);
    let tuned = || {
        let constant = best_static(&of_tuning, &tuning, workers)?.into_iter().next()?.0;
        let here = best_static(&world, &judged, workers)?.into_iter().next()?.0;
        let hpa = best_hpa(&of_tuning, &HpaGrid::default(), &tuning, workers)?.into_iter().next()?.0;
        Some((constant, here, hpa))
    };
    let Some((constant, here, hpa)) = tuned() else { return Err(stopped(&args.out)) };
    turning.finish_and_clear();
    let default = HpaStage { metrics: vec![HpaMetric::CpuPercent(80)], ..HpaStage::default() };
    let kinds = [
        PolicyKind::Hpa(Box::new(hpa)),
        PolicyKind::Hpa(Box::new(HpaConfig::of_both(default))),
        PolicyKind::Static(constant),
        PolicyKind::Static(here),
    ];
    for (name, kind) in BASELINES.into_iter().zip(kinds) {
        let policy = Policy { schema: Policy::SCHEMA, name: name.into(), kind, region: None, training: None };
        files::write_json(&args.out.join(format!("baselines/{}.json", name.replace(' ', "-"))), &policy)?;
        policies.push((name.into(), policy));
    }

    let bar = progress::bar("playing", policies.len() as u64, "policies");
    let mut log = Log::create(&args.out.join("episodes.csv"))?;
    let mut played = Vec::new();
    for (name, policy) in &policies {
        let controller = at_work(policy, baseline.as_ref(), &world)?;
        let contender = [Contender::controller(name, controller)];
        let Some(episodes) = play(&world, &contender, &judged, workers) else {
            return Err(stopped(&args.out));
        };
        log.csv(episodes.iter().map(Episode::of))?;
        played.extend(episodes);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let judging = Judging { seed: args.seed, ..Judging::against(&args.against) };
    let (rows, yardsticks) = judge(&played, &judging).context("--against")?;
    files::write_csv(&args.out.join("judgement.csv"), &rows)?;
    let evaluation = Evaluation {
        schema: 1,
        splitscale: measurement::version(),
        problem: &problem,
        tuned_on: &tuned_on,
        seed: args.seed,
        seeds: args.seeds,
        scenarios: world.scenarios().iter().map(|scenario| scenario.name.as_str()).collect(),
        yardsticks: &yardsticks,
        table: table.as_ref().map(Discretised::errors),
        against: &args.against,
        referee: args.referee,
        baseline: baseline.as_ref().map(|baseline| (&*baseline.name, document_hash(baseline))),
        policies: policies.iter().map(|(name, policy)| (name.clone(), document_hash(policy))).collect(),
    };
    files::write_json(&args.out.join("evaluation.json"), &evaluation)?;
    tell(args, &world, &rows);
    // Last, as it takes longest: what was judged stands.
    let regrets =
        regret::judge(&world, (table.as_ref(), &seeds_of_referee), (&policies, baseline.as_ref()), workers)?;
    let Some(regrets) = regrets else { return Err(stopped(&args.out)) };
    if !regrets.is_empty() {
        regret::write(&args.out, &regrets)?;
        regret::tell(&regrets);
    }
    println!("{}", args.out.display());
    Ok(())
}

/// A policy as it is, with a baseline for where it is not to be trusted.
pub fn at_work(policy: &Policy, baseline: Option<&Policy>, world: &Scaling) -> Result<Controller> {
    let setup = Setup {
        schema: Setup::SCHEMA,
        policy: policy.clone(),
        baseline: baseline.cloned(),
        bounds: world.config().bounds(),
        useful: None,
        shell: ShellConfig::bare(freshness(world).max_age_s),
    };
    Ok(Controller::new(setup, Mode::Auto)?)
}

/// Signals are believed for as long as one is due, and by default at least.
fn freshness(world: &Scaling) -> Freshness {
    let due_s = world.config().scrape_every_s + world.config().decide_every_s;
    Freshness { max_age_s: Freshness::default().max_age_s.max(due_s) }
}

/// It was told to stop; what it leaves.
fn stopped(out: &Path) -> anyhow::Error {
    let left = [("episodes.csv", "what was played"), ("baselines", "what was tuned")];
    let left: Vec<String> = left
        .into_iter()
        .filter(|(name, _)| out.join(name).exists())
        .map(|(name, what)| format!("{what} is in {}", out.join(name).display()))
        .collect();
    let words = if left.is_empty() { "nothing was played yet".to_owned() } else { left.join(", ") };
    Interrupted(words).into()
}

/// The policies by their names; the file's where two have the same.
fn read(args: &Evaluate) -> Result<Vec<(String, Policy)>> {
    let mut named: Vec<(String, Policy)> = Vec::new();
    for path in &args.policies {
        let policy = policy(path)?;
        named.push((policy.name.clone(), policy));
    }
    let mut seen: BTreeSet<String> = BASELINES.map(String::from).into();
    for ((name, _), path) in named.iter_mut().zip(&args.policies) {
        if !seen.insert(name.clone()) {
            *name = format!("{name} ({})", path.display());
            if !seen.insert(name.clone()) {
                bail!("{} is named twice; name each policy once", path.display());
            }
        }
    }
    Ok(named)
}

impl<'a> Episode<'a> {
    fn of((case, bill): &'a (splitscale_rl::evaluate::Case, Bill)) -> Self {
        Episode {
            policy: &case.policy,
            scenario: &case.scenario,
            seed: case.seed,
            cost: bill.cost,
            pod_seconds: bill.pod_seconds,
            misses: bill.misses,
            changes: bill.changes,
            sent: bill.sent,
            attainment: bill.attainment(),
            p95_s: bill.p95_s,
            p99_s: bill.p99_s,
        }
    }
}

/// The table, and whether each difference is one.
fn tell(args: &Evaluate, world: &Scaling, rows: &[Row]) {
    let of = |policy: &str, quantity: Quantity| {
        rows.iter().find(|row| row.policy == policy && row.quantity == quantity)
    };
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.quantity == Quantity::Cost) {
        names.push(&row.policy);
    }
    let wide = names.iter().map(|name| name.len()).max().unwrap_or(0);
    println!(
        "{} scenarios x {} seeds; 95 % bootstrap intervals; J = pod-seconds + {} a miss + {} a change of pods",
        world.scenarios().len(),
        args.seeds,
        world.config().cost.miss_weight,
        world.config().cost.churn_weight,
    );
    println!(
        "{:wide$} {:>9} {:>19} {:>9} {:>8} {:>7} {:>7} {:>6} {:>8}",
        "", "mean J", "", "IQM", "in SLO", "p95 s", "p99 s", "pods", "changes"
    );
    for &name in &names {
        let value = |quantity| of(name, quantity).map_or(f64::NAN, |row| row.value);
        let ends = of(name, Quantity::Cost)
            .map_or(String::new(), |row| format!("[{:.1}, {:.1}]", row.low, row.high));
        println!(
            "{name:wide$} {:>9.1} {ends:>19} {:>9.1} {:>7.2}% {:>7.2} {:>7.2} {:>6.2} {:>8.1}",
            value(Quantity::Cost),
            value(Quantity::CostIqm),
            100.0 * value(Quantity::Attainment),
            value(Quantity::P95S),
            value(Quantity::P99S),
            value(Quantity::Pods),
            value(Quantity::Changes),
        );
    }
    let Some(base) = of(&args.against, Quantity::Cost) else { return };
    println!("against {}:", args.against);
    for &name in names.iter().filter(|name| **name != args.against) {
        let Some(row) = of(name, Quantity::Difference) else { continue };
        let percent = |j: f64| 100.0 * j / base.value;
        let verdict = match (row.low, row.high) {
            (_, high) if high < 0.0 => "wins",
            (low, _) if low > 0.0 => "loses",
            _ => "not settled",
        };
        let better = rows.iter().find(|row| {
            row.policy == name && row.quantity == Quantity::Improvement && row.against == args.against
        });
        println!(
            "  {name:wide$} {:+9.1} [{:+.1}, {:+.1}] J, {:+.1} %: {verdict}; better in {:.0} % of episodes",
            row.value,
            row.low,
            row.high,
            percent(row.value),
            100.0 * better.map_or(f64::NAN, |row| row.value),
        );
    }
}
