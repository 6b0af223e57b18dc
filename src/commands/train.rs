//! `splitscale train`: a training in; policies, learning curves and checkpoints out, beside the exact optimum.

mod report;
mod seeds;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use splitscale_policy::{ActionValues, Policy, Tiles, document_hash, feature_names};
use splitscale_rl::dynamic_programming::{Question, evaluate_for, finite_horizon, value_iteration};
use splitscale_rl::referee::DiscretisedConfig;
use splitscale_rl::{
    Algorithm, Beginning, Classic, Environment, EnvironmentConfig, FittedCurves, Optimum, Origin, QNetwork,
    QTable, Scaling, ScalingProblem, TiledValues, TimeTable, TrainConfig, begin, begin_deep, begin_tabular,
    check_env, play, to_greedy, to_policy,
};
use splitscale_spec::Calibration;
use tokio_util::sync::CancellationToken;

use crate::cli::Train;
use crate::{files, interrupt, measurement};

use seeds::{Learnt, Work};

/// What a training on curves gave.
pub struct Outcome {
    /// The curves it was trained on.
    pub curves: FittedCurves,
    /// Actions of the exported policy, one a level.
    pub greedy: Vec<usize>,
    /// The exact optimum.
    pub optimum: Optimum,
}

/// What was typed, and when to stop.
type Told<'a> = (&'a Train, &'a CancellationToken);

/// `training.json`: what was trained, and what came of every seed.
#[derive(Serialize)]
struct Training<'a> {
    schema: u32,
    splitscale: String,
    hash: &'a str,
    config: &'a TrainConfig,
    /// Return of the optimum, where it is known.
    optimum_return: Option<f64>,
    seeds: Vec<report::Seed>,
}

/// Trains until it is done or told to stop.
pub fn run(args: &Train) -> Result<()> {
    interrupt::run(async |stop| train(args, &stop).map(drop))
}

/// Trains; the outcome of curves is there to be used.
pub fn train(args: &Train, stop: &CancellationToken) -> Result<Option<Outcome>> {
    let (mut config, folder) = read(&args.file)?;
    config.seed = args.seed.unwrap_or(config.seed);
    config.seeds = args.seeds.unwrap_or(config.seeds);
    config.length.episodes = args.episodes.unwrap_or(config.length.episodes);
    let name = args.file.display();
    config.validate().with_context(|| format!("{name} cannot be used"))?;
    match &config.environment {
        EnvironmentConfig::FittedCurves { calibration, reward, noise } => {
            let path = folder.join(calibration);
            let calibration: Calibration = files::read_json(&path, Calibration::SCHEMA)?;
            let times = TimeTable::from_calibration(&calibration);
            let times = times.with_context(|| format!("{} cannot be trained on", path.display()))?;
            let curves =
                FittedCurves::new(times, *reward, *noise).with_context(|| format!("{name}: environment"))?;
            on_curves((args, stop), &config, curves).map(Some)
        }
        EnvironmentConfig::Scaling(problem) => {
            let (world, hash) = build(problem, &args.file, &folder)?;
            on_scaling((args, stop), &config, &document_hash(&(&config, hash)), &world).map(|()| None)
        }
        EnvironmentConfig::Classic(classic) => on_classic((args, stop), &config, *classic).map(|()| None),
    }
}

/// The training and the folder that it names files by. A calibration stands for the training on its curves.
fn read(path: &Path) -> Result<(TrainConfig, PathBuf)> {
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    if path.extension().is_some_and(|extension| extension == "json") {
        let name = path.file_name().context("not the name of a file")?.to_string_lossy();
        return Ok((TrainConfig::of_curves(name), folder));
    }
    Ok((files::read_toml(path)?, folder))
}

/// The problem that a training is on, a hash of all that it is made of, and how it is cut into a table.
pub fn scaling(file: &Path) -> Result<(Scaling, String, Option<DiscretisedConfig>)> {
    let (config, folder) = read(file)?;
    match &config.environment {
        EnvironmentConfig::Scaling(problem) => {
            let (world, hash) = build(problem, file, &folder)?;
            Ok((world, hash, config.table))
        }
        _ => bail!("{}: environment: not scaling, which alone can be played by policies", file.display()),
    }
}

fn build(problem: &ScalingProblem, file: &Path, folder: &Path) -> Result<(Scaling, String)> {
    let text_of = &mut |file: &str| files::read(&folder.join(file));
    problem.build(text_of).with_context(|| format!("{}: environment", file.display()))
}

fn on_curves((args, stop): Told<'_>, config: &TrainConfig, curves: FittedCurves) -> Result<Outcome> {
    fit(args, &curves)?;
    numbered(args, config)?;
    let optimum = Optimum::of(&curves);
    let hash = document_hash(&(config, curves.times()));
    let work = Work::begin((args, stop), config, &hash)?;
    let judge = |table: &QTable| Some(optimum.regret(&table.greedy()));
    let learnt = match config.algorithm {
        Algorithm::Bandit(bandit) => work.each(|seed| {
            let budget = (config.length.episodes, seed);
            Ok(match play(&mut curves.clone(), bandit, budget, &|| work.goes_on()) {
                Ok(found) => found.map(|found| {
                    let regret = optimum.regret(&found.greedy);
                    Learnt::found(seed, found, regret)
                }),
                Err(invalid) if invalid.field == "reward" => Some(Learnt::lost(seed, invalid.to_string())),
                Err(invalid) => return Err(invalid).with_context(|| args.file.display().to_string()),
            })
        })?,
        _ => work.all(&curves, |of| begin_tabular(table(&curves, config), of), judge)?,
    };
    let optimum_return = Some(-optimum.cost);
    write(args, config, &hash, (&learnt, optimum_return))?;
    let origin = |seed| Origin { algorithm: config.algorithm.name(), seed, settings: &hash };
    for seed in &learnt {
        for (which, values) in [("last", seed.last.as_ref()), ("best", seed.best.as_ref())] {
            let Some(values) = values else { continue };
            let policy = to_policy(&curves, &values.greedy(), &origin(seed.seed));
            files::write_json(&args.out.join(format!("policies/seed-{}-{which}.json", seed.seed)), &policy)?;
        }
    }
    let best = report::best(&learnt)?;
    let greedy = best.best.as_ref().context("no seed learnt anything")?.greedy();
    files::write_json(&args.out.join("policy.json"), &to_policy(&curves, &greedy, &origin(best.seed)))?;
    report::summary(config, &learnt, optimum_return);
    println!("policy.json, from seed {} after {} episodes:", best.seed, best.best_episode);
    report::levels(&curves, &greedy, &optimum);
    println!("{}", args.out.join("policy.json").display());
    Ok(Outcome { curves, greedy, optimum })
}

fn on_classic((args, stop): Told<'_>, config: &TrainConfig, classic: Classic) -> Result<()> {
    let hash = document_hash(config);
    if let Some((mdp, world, limit)) = classic.tabular() {
        fit(args, &world)?;
        numbered(args, config)?;
        // Regret counts what an episode brings, whatever the discount of the learner; but where nothing is paid before the
        // goal, later must be worse.
        let whole = Question::of(if classic == Classic::DynaMaze { 0.95 } else { 1.0 });
        let best = match limit {
            Some(limit) => finite_horizon(&mdp, whole, limit as usize)?.pop().map(|answer| answer.values),
            None => Some(value_iteration(&mdp, whole, 1e-12)?.values),
        };
        let best = mdp.from_start(&best.context("a time limit of zero")?);
        let horizon = limit.unwrap_or(1_000) as usize;
        let judge = |table: &QTable| {
            let values = evaluate_for(&mdp, &table.greedy(), whole, horizon).ok()?;
            Some((best - mdp.from_start(&values)) / best.abs())
        };
        let work = Work::begin((args, stop), config, &hash)?;
        let learnt = work.all(&world, |of| begin_tabular(table(&world, config), of), judge)?;
        return finish(args, config, &hash, (&learnt, (whole.discount == 1.0).then_some(best)));
    }
    if let Some(world) = classic.mountain_car() {
        return on_vectors((args, stop), config, &hash, (&world, &[], None));
    }
    let world = classic.cart_pole().context("a problem without an environment")?;
    on_vectors((args, stop), config, &hash, (&world, &[], None))
}

fn on_scaling(told: Told<'_>, config: &TrainConfig, hash: &str, world: &Scaling) -> Result<()> {
    let names = feature_names();
    on_vectors(told, config, hash, (world, &names, Some(&|values, from| to_greedy(world, values, from))))
}

/// What learnt values are as a document.
type Export<'a> = &'a dyn Fn(ActionValues, &Origin) -> Policy;

/// Tile coding or a deep network, where states are vectors whose components have these names or none.
fn on_vectors<const N: usize, E>(
    told: Told<'_>,
    config: &TrainConfig,
    hash: &str,
    (world, names, export): (&E, &[String], Option<Export<'_>>),
) -> Result<()>
where
    E: Environment<Observation = [f64; N]> + Sync + 'static,
{
    let (args, _) = told;
    fit(args, world)?;
    let name = args.file.display();
    if let Algorithm::Dqn(settings) = &config.algorithm {
        let problem = "tiles: dqn learns on vectors as they are; leave the table away";
        ensure!(config.tiles.is_none(), "{name}: {problem}");
        let numbered = settings.numbered(names, N).with_context(|| format!("{name}: algorithm.dqn"))?;
        let algorithm = &Algorithm::Dqn(numbered);
        let work = Work::begin(told, config, hash)?;
        let learnt = work.all(world, |of| begin_deep(world, Beginning { algorithm, ..of }), |_| None)?;
        finish(args, config, hash, (&learnt, None))?;
        return policies(args, config, hash, (&learnt, export), QNetwork::values);
    }
    let tiles = config
        .tiles
        .as_ref()
        .with_context(|| format!("{name}: tiles: missing; these states are vectors, say how they are cut"))?;
    let values = tiles
        .axes(names, N)
        .and_then(|axes| Tiles::filled(axes, tiles.tilings, world.actions(), config.settings.initial_q));
    let values = TiledValues::<N>(values.with_context(|| format!("{name}: tiles"))?);
    let work = Work::begin(told, config, hash)?;
    let learnt = work.all(world, |of| begin(values.clone(), of), |_| None)?;
    finish(args, config, hash, (&learnt, None))?;
    let of = |values: &TiledValues<N>| ActionValues::Tiles(values.0.clone());
    policies(args, config, hash, (&learnt, export), of)
}

/// Last and best of every seed, and the best of all, where what was learnt is a policy for a pipeline.
fn policies<V>(
    args: &Train,
    config: &TrainConfig,
    hash: &str,
    (learnt, export): (&[Learnt<V>], Option<Export<'_>>),
    of: impl Fn(&V) -> ActionValues,
) -> Result<()> {
    let Some(export) = export else { return Ok(()) };
    let write = |file: &str, seed: u64, values: &V| {
        let from = Origin { algorithm: config.algorithm.name(), seed, settings: hash };
        files::write_json(&args.out.join(file), &export(of(values), &from))
    };
    for seed in learnt {
        for (which, values) in [("last", &seed.last), ("best", &seed.best)] {
            let Some(values) = values else { continue };
            write(&format!("policies/seed-{}-{which}.json", seed.seed), seed.seed, values)?;
        }
    }
    let best = report::best(learnt)?;
    write("policy.json", best.seed, best.best.as_ref().context("no seed learnt anything")?)?;
    println!("{}, from seed {}", args.out.join("policy.json").display(), best.seed);
    Ok(())
}

/// A training that leaves no policy for a pipeline.
fn finish<V>(
    args: &Train,
    config: &TrainConfig,
    hash: &str,
    (learnt, optimum_return): (&[Learnt<V>], Option<f64>),
) -> Result<()> {
    write(args, config, hash, (learnt, optimum_return))?;
    report::best(learnt)?;
    report::summary(config, learnt, optimum_return);
    println!("{}", args.out.display());
    Ok(())
}

fn write<V>(
    args: &Train,
    config: &TrainConfig,
    hash: &str,
    (learnt, optimum_return): (&[Learnt<V>], Option<f64>),
) -> Result<()> {
    files::write_csv(&args.out.join("seeds.csv"), learnt.iter().flat_map(report::rows))?;
    files::write_csv(&args.out.join("learning.csv"), report::curve(learnt, optimum_return))?;
    let training = Training {
        schema: 1,
        splitscale: measurement::version(),
        hash,
        config,
        optimum_return,
        seeds: learnt.iter().map(report::Seed::of).collect(),
    };
    files::write_json(&args.out.join("training.json"), &training)
}

fn table<E: Environment<Observation = usize>>(environment: &E, config: &TrainConfig) -> QTable {
    let states = environment.observation_space().size().unwrap_or(0);
    QTable::filled(states, environment.actions(), config.settings.initial_q)
}

/// Refuses an environment that does not keep its contract.
fn fit<E: Environment>(args: &Train, environment: &E) -> Result<()> {
    let checked = check_env(environment);
    checked.with_context(|| format!("{}: the environment cannot be trained on", args.file.display()))
}

/// Refuses tiles where states are numbers.
fn numbered(args: &Train, config: &TrainConfig) -> Result<()> {
    let problem = "tiles: these states are numbers, which are not cut; leave the table away";
    ensure!(config.tiles.is_none(), "{}: {problem}", args.file.display());
    Ok(())
}
