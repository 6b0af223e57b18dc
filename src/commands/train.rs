//! `splitscale train`: a training in; policies, learning curves and checkpoints out, beside the exact optimum.

mod report;
mod seeds;
mod whole;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
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
use crate::{files, interrupt};

use seeds::{Learnt, Work};
use whole::Whole;

pub use whole::{join, words};

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

/// Gives the text of a file.
type TextOf<'a> = &'a mut dyn FnMut(&Path) -> Result<String>;

/// What is learnt on, with everything that it is made of.
enum World {
    Curves(Box<FittedCurves>),
    /// And a hash of all that it is made of.
    Scaling(Box<Scaling>, String),
    Classic(Classic),
}

/// Trains until it is done or told to stop.
pub fn run(args: &Train) -> Result<()> {
    interrupt::run(async |stop| train(args, &stop).map(drop))
}

/// Trains; the outcome of curves is there to be used, where all seeds were trained.
pub fn train(args: &Train, stop: &CancellationToken) -> Result<Option<Outcome>> {
    match world(args, &mut files::read)? {
        (config, World::Curves(curves)) => on_curves((args, stop), config, *curves),
        (config, World::Scaling(world, hash)) => {
            let hash = document_hash(&(&config, hash));
            on_scaling((args, stop), config, hash, &world).map(|()| None)
        }
        (config, World::Classic(classic)) => on_classic((args, stop), config, classic).map(|()| None),
    }
}

/// Reads a training with all that it names by `text_of`, and refuses what cannot be trained.
///
/// # Errors
/// A file that is not there, or cannot be used.
pub fn check(args: &Train, text_of: TextOf<'_>) -> Result<TrainConfig> {
    world(args, text_of).map(|(config, _)| config)
}

fn world(args: &Train, text_of: TextOf<'_>) -> Result<(TrainConfig, World)> {
    let (mut config, folder) = read(&args.file, text_of)?;
    config.seed = args.seed.unwrap_or(config.seed);
    config.seeds = args.seeds.unwrap_or(config.seeds);
    config.length.episodes = args.episodes.unwrap_or(config.length.episodes);
    let name = args.file.display();
    config.validate().with_context(|| format!("{name} cannot be used"))?;
    let world = match &config.environment {
        EnvironmentConfig::FittedCurves { calibration, reward, noise } => {
            let path = folder.join(calibration);
            let calibration: Calibration = files::json(&path, &text_of(&path)?, Calibration::SCHEMA)?;
            let times = TimeTable::from_calibration(&calibration);
            let times = times.with_context(|| format!("{} cannot be trained on", path.display()))?;
            let curves = FittedCurves::new(times, *reward, *noise);
            World::Curves(Box::new(curves.with_context(|| format!("{name}: environment"))?))
        }
        EnvironmentConfig::Scaling(problem) => {
            let (world, hash) = build(problem, &args.file, &folder, text_of)?;
            World::Scaling(Box::new(world), hash)
        }
        EnvironmentConfig::Classic(classic) => World::Classic(*classic),
    };
    Ok((config, world))
}

/// The training and the folder that it names files by. A calibration stands for the training on its curves.
fn read(path: &Path, text_of: TextOf<'_>) -> Result<(TrainConfig, PathBuf)> {
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    if path.extension().is_some_and(|extension| extension == "json") {
        let name = path.file_name().context("not the name of a file")?.to_string_lossy();
        return Ok((TrainConfig::of_curves(name), folder));
    }
    Ok((files::toml(path, &text_of(path)?)?, folder))
}

/// The problem that a training is on, a hash of all that it is made of, and how it is cut into a table.
pub fn scaling(file: &Path) -> Result<(Scaling, String, Option<DiscretisedConfig>)> {
    let (config, folder) = read(file, &mut files::read)?;
    match &config.environment {
        EnvironmentConfig::Scaling(problem) => {
            let (world, hash) = build(problem, file, &folder, &mut files::read)?;
            Ok((world, hash, config.table))
        }
        _ => bail!("{}: environment: not scaling, which alone can be played by policies", file.display()),
    }
}

fn build(
    problem: &ScalingProblem,
    file: &Path,
    folder: &Path,
    text_of: TextOf<'_>,
) -> Result<(Scaling, String)> {
    let built = problem.build(&mut |file: &str| text_of(&folder.join(file)));
    built.with_context(|| format!("{}: environment", file.display()))
}

fn on_curves((args, stop): Told<'_>, config: TrainConfig, curves: FittedCurves) -> Result<Option<Outcome>> {
    fit(args, &curves)?;
    numbered(args, &config)?;
    let optimum = Optimum::of(&curves);
    let hash = document_hash(&(&config, curves.times()));
    let work = Work::begin((args, stop), &config, &hash)?;
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
        _ => work.all(&curves, |of| begin_tabular(table(&curves, &config), of), judge)?,
    };
    let optimum_return = Some(-optimum.cost);
    let policies =
        policies(&learnt, &config, &hash, |table: &QTable, from| to_policy(&curves, &table.greedy(), from));
    if !(Whole { config, hash, optimum_return }).finish(args, policies)? {
        return Ok(None);
    }
    let greedy = report::best(&learnt)?.best.as_ref().context("no seed learnt anything")?.greedy();
    report::levels(&curves, &greedy, &optimum);
    Ok(Some(Outcome { curves, greedy, optimum }))
}

fn on_classic((args, stop): Told<'_>, config: TrainConfig, classic: Classic) -> Result<()> {
    let hash = document_hash(&config);
    if let Some((mdp, world, limit)) = classic.tabular() {
        fit(args, &world)?;
        numbered(args, &config)?;
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
        let work = Work::begin((args, stop), &config, &hash)?;
        let learnt = work.all(&world, |of| begin_tabular(table(&world, &config), of), judge)?;
        let optimum_return = (whole.discount == 1.0).then_some(best);
        let learnt = learnt.iter().map(|seed| seed.map(|_| None)).collect();
        return Whole { config, hash, optimum_return }.finish(args, learnt).map(drop);
    }
    if let Some(world) = classic.mountain_car() {
        return on_vectors((args, stop), config, hash, (&world, &[], None));
    }
    let world = classic.cart_pole().context("a problem without an environment")?;
    on_vectors((args, stop), config, hash, (&world, &[], None))
}

fn on_scaling(told: Told<'_>, config: TrainConfig, hash: String, world: &Scaling) -> Result<()> {
    let names = feature_names();
    on_vectors(told, config, hash, (world, &names, Some(&|values, from| to_greedy(world, values, from))))
}

/// What learnt values are as a document.
type Export<'a> = &'a dyn Fn(ActionValues, &Origin) -> Policy;

/// Tile coding or a deep network, where states are vectors whose components have these names or none.
fn on_vectors<const N: usize, E>(
    told: Told<'_>,
    config: TrainConfig,
    hash: String,
    (world, names, export): (&E, &[String], Option<Export<'_>>),
) -> Result<()>
where
    E: Environment<Observation = [f64; N]> + Sync + 'static,
{
    let (args, _) = told;
    fit(args, world)?;
    let name = args.file.display();
    let learnt = if let Algorithm::Dqn(settings) = &config.algorithm {
        let problem = "tiles: dqn learns on vectors as they are; leave the table away";
        ensure!(config.tiles.is_none(), "{name}: {problem}");
        let numbered = settings.numbered(names, N).with_context(|| format!("{name}: algorithm.dqn"))?;
        let algorithm = &Algorithm::Dqn(numbered);
        let work = Work::begin(told, &config, &hash)?;
        let learnt = work.all(world, |of| begin_deep(world, Beginning { algorithm, ..of }), |_| None)?;
        exported(&learnt, &config, &hash, (export, QNetwork::values))
    } else {
        let tiles = config.tiles.as_ref().with_context(|| {
            format!("{name}: tiles: missing; these states are vectors, say how they are cut")
        })?;
        let values = tiles
            .axes(names, N)
            .and_then(|axes| Tiles::filled(axes, tiles.tilings, world.actions(), config.settings.initial_q));
        let values = TiledValues::<N>(values.with_context(|| format!("{name}: tiles"))?);
        let work = Work::begin(told, &config, &hash)?;
        let learnt = work.all(world, |of| begin(values.clone(), of), |_| None)?;
        let of = |values: &TiledValues<N>| ActionValues::Tiles(values.0.clone());
        exported(&learnt, &config, &hash, (export, of))
    };
    Whole { config, hash, optimum_return: None }.finish(args, learnt).map(drop)
}

/// What was learnt as policies, where it is one for a pipeline.
fn exported<V>(
    learnt: &[Learnt<V>],
    config: &TrainConfig,
    hash: &str,
    (export, of): (Option<Export<'_>>, impl Fn(&V) -> ActionValues),
) -> Vec<Learnt<Policy>> {
    match export {
        Some(export) => policies(learnt, config, hash, |values, from| export(of(values), from)),
        None => learnt.iter().map(|seed| seed.map(|_| None)).collect(),
    }
}

/// What was learnt as policies that say where they come from.
fn policies<V>(
    learnt: &[Learnt<V>],
    config: &TrainConfig,
    hash: &str,
    export: impl Fn(&V, &Origin) -> Policy,
) -> Vec<Learnt<Policy>> {
    let of = |seed: &Learnt<V>| {
        let from = Origin { algorithm: config.algorithm.name(), seed: seed.seed, settings: hash };
        seed.map(|values| Some(export(values, &from)))
    };
    learnt.iter().map(of).collect()
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
