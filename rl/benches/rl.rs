//! Tabular learning: the original's training and Cliff Walking, each through the public traits, and as a hand-written
//! loop, its limit.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_policy::ActionKind;
use splitscale_rl::classic::cliff_walking;
use splitscale_rl::scaling::{RewardKind, Scaling, ScalingConfig};
use splitscale_rl::{
    Agent, Environment, ExpCurve, FittedCurves, Length, Noise, Optimum, Played, QLearning, QTable,
    RewardConfig, Run, Schedule, Settings, TimeTable,
};
use splitscale_sim::{Arrivals, LinkSetup, MAX_REQUESTS, Payload, Setup, StageSetup, Transfer};
use splitscale_spec::{CostConfig, Laws, Replicas, ServiceLaw};

const LEVELS: usize = 8;
const ACTIONS: usize = 7;
/// 0.1 of the 32-bit words.
const ONE_IN_TEN: u32 = 429_496_729;

/// Published by the original work; see tests/fixtures/published_curves.csv.
const CURVES: [(f64, f64, f64); LEVELS] = [
    (-25.0875, -0.0001, 32.8687),
    (0.3491, 1.6066, 4.9107),
    (0.401, 0.8769, 4.4),
    (0.806, 1.2396, 4.0102),
    (0.8654, 1.2196, 3.6781),
    (0.9379, 0.843, 3.6556),
    (0.9147, 0.4671, 3.4091),
    (0.841, 0.4228, 3.42),
];

fn curves() -> FittedCurves {
    let curve = |(slots, &(a, b, c)): (u32, &(f64, f64, f64))| ExpCurve { slots, a, b, c };
    let curves: Vec<ExpCurve> = (1..).zip(&CURVES).map(curve).collect();
    let times = TimeTable::from_curves(&curves, 2..=8).expect("the curves are fine");
    FittedCurves::new(times, RewardConfig::default(), Noise::None).expect("the reward is fine")
}

/// The same algorithm with every size known to the compiler, and the same chance word by word, so that the
/// tables agree bit for bit; but no trait, no settings, no ends of episodes, no learning curve.
fn bare_loop(rewards: &[[f64; ACTIONS]; LEVELS], seed: u64) -> [[f64; ACTIONS]; LEVELS] {
    let below = |rng: &mut ChaCha8Rng, n: u64| ((u64::from(rng.next_u32()) * n) >> 32) as usize;
    let mut world = ChaCha8Rng::seed_from_u64(seed);
    let mut agent = world.clone();
    agent.set_stream(1);
    let mut q = [[0.0; ACTIONS]; LEVELS];
    for _ in 0..30_000 {
        let level = below(&mut world, LEVELS as u64);
        let row = &mut q[level];
        let action = if agent.next_u32() < ONE_IN_TEN {
            below(&mut agent, ACTIONS as u64)
        } else {
            let (mut best, mut value) = (0, row[0]);
            for (action, &other) in row.iter().enumerate().skip(1) {
                let better = other > value;
                best = if better { action } else { best };
                value = if better { other } else { value };
            }
            best
        };
        row[action] += 0.1 * (rewards[level][action] - row[action]);
    }
    q
}

/// One training through the public traits.
fn train(curves: &FittedCurves, optimum: &Optimum, seed: u64) -> Run<QLearning<QTable>, QTable> {
    let table = QTable::filled(LEVELS, ACTIONS, 0.0);
    let agent = QLearning::new(table, &Settings::default(), seed).expect("the settings are fine");
    let mut run = Run::new(agent, Length::default(), seed).expect("the length is fine");
    run.finish(&mut curves.clone(), |table| Some(optimum.regret(&table.greedy())))
        .expect("it does not diverge");
    run
}

fn original(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train");
    group.throughput(Throughput::Elements(30_000)).measurement_time(Duration::from_secs(5));
    let curves = curves();
    let optimum = Optimum::of(&curves);
    group.bench_function("original_30000", |bencher| {
        let mut seed = 0;
        bencher.iter(|| {
            seed += 1;
            train(&curves, &optimum, seed)
        });
    });
    let rewards: [[f64; ACTIONS]; LEVELS] =
        std::array::from_fn(|level| curves.rewards(level).try_into().expect("seven pod counts"));
    let run = train(&curves, &optimum, 1);
    let (table, tables) = (Agent::<FittedCurves>::values(&run.agent), bare_loop(&rewards, 1));
    assert!((0..LEVELS).all(|level| table.row(level) == tables[level]), "two different trainings");
    group.bench_function("bare_loop", |bencher| {
        let mut seed = 0;
        bencher.iter(|| {
            seed += 1;
            bare_loop(black_box(&rewards), seed)
        });
    });
    group.finish();
}

/// Episodes on the cliff of one measurement.
const EPISODES: u64 = 20_000;

fn on_the_cliff() -> QLearning<QTable> {
    let settings = Settings { step_size: Schedule::Constant(0.5), discount: 1.0, ..Settings::default() };
    QLearning::new(QTable::filled(48, 4, 0.0), &settings, 1).expect("the settings are fine")
}

/// Q-learning on the cliff with everything known to the compiler, and the same chance word by word.
fn bare_cliff(seed: u64) -> ([[f64; 4]; 48], u64) {
    let mut agent = ChaCha8Rng::seed_from_u64(seed);
    agent.set_stream(1);
    let (mut q, mut steps) = ([[0.0f64; 4]; 48], 0);
    for _ in 0..EPISODES {
        let mut cell = 36;
        loop {
            let row = &q[cell];
            let action = if agent.next_u32() < ONE_IN_TEN {
                ((u64::from(agent.next_u32()) * 4) >> 32) as usize
            } else {
                (1..4).fold(0, |best, action| if row[action] > row[best] { action } else { best })
            };
            let (y, x) = (cell / 12, cell % 12);
            let to = match action {
                0 => y.saturating_sub(1) * 12 + x,
                1 => y * 12 + (x + 1).min(11),
                2 => (y + 1).min(3) * 12 + x,
                _ => y * 12 + x.saturating_sub(1),
            };
            let (to, reward, over) = match to {
                47 => (47, -1.0, true),
                37..47 => (36, -100.0, false),
                to => (to, -1.0, false),
            };
            let future = if over { 0.0 } else { q[to].iter().copied().fold(f64::NEG_INFINITY, f64::max) };
            q[cell][action] += 0.5 * (reward + future - q[cell][action]);
            steps += 1;
            if over {
                break;
            }
            cell = to;
        }
    }
    (q, steps)
}

fn cliff(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cliff");
    let mut agent = on_the_cliff();
    let mut world = Played::new(cliff_walking());
    let steps: u64 = (0..EPISODES).map(|_| agent.episode(&mut world).steps).sum();
    let (bare, bare_steps) = bare_cliff(1);
    assert_eq!(steps, bare_steps, "two different trainings");
    let q = Agent::<Played>::values(&agent);
    assert!((0..48).all(|state| q.row(state) == bare[state]), "two different trainings");
    group.throughput(Throughput::Elements(steps)).measurement_time(Duration::from_secs(5));
    group.bench_function("q_learning", |bencher| {
        bencher.iter_batched(
            on_the_cliff,
            |mut agent| {
                for _ in 0..EPISODES {
                    agent.episode(&mut world);
                }
                agent
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.bench_function("bare_loop", |bencher| bencher.iter(|| bare_cliff(black_box(1))));
    group.finish();
    println!("cliff: {steps} steps an iteration");
}

/// Scaling with 50 requests between two decisions: choose, simulate, observe, pay.
fn scaling(criterion: &mut Criterion) {
    let pods = |pods| Replicas { a: pods, b: pods };
    let stage = || StageSetup::new(4, ServiceLaw::Exponential { mean_s: 0.2 });
    let link = LinkSetup {
        slots: 8,
        slots_change: None,
        transfer: Transfer::Law(ServiceLaw::Exponential { mean_s: 0.08 }),
        payload: Some(Payload::Bytes(1_000_000)),
        queue_limit: None,
        release_after_transfer: false,
        hold_a: false,
    };
    let arrivals = Arrivals::Poisson { rate_per_s: 10.0, requests: MAX_REQUESTS };
    let mut setup = Setup::new(pods(4), 8, &Laws::default(), arrivals);
    (setup.a, setup.b, setup.link) = (stage(), stage(), link);
    const DECISIONS: u32 = 1_000;
    let config = ScalingConfig {
        pods_min: pods(3),
        pods_max: pods(8),
        decide_every_s: 5.0,
        decisions: DECISIONS,
        scrape_every_s: 1.0,
        window_s: 5.0,
        slo_s: 1.5,
        cost: CostConfig { miss_weight: 2.0, churn_weight: 1.0 },
        actions: ActionKind::Absolute,
        reward: RewardKind::Cost,
    };
    let mut world = Scaling::new(config, vec![("steady".into(), setup)]).expect("the setup is fine");
    let mut group = criterion.benchmark_group("scaling");
    group.throughput(Throughput::Elements(DECISIONS.into()));
    group.bench_function("decisions", |bencher| {
        bencher.iter(|| {
            world.reset(Some(1));
            (0..DECISIONS as usize).map(|n| world.step(n * 7 % 36).reward).sum::<f64>()
        });
    });
    group.finish();
}

/// A deep Q-network on Cart Pole as Stable-Baselines3's is measured: 64 x 64, batches of 32, an update every four steps.
fn dqn(criterion: &mut Criterion) {
    #[cfg(not(feature = "torch"))]
    let _ = criterion;
    #[cfg(feature = "torch")]
    {
        use splitscale_rl::{Dqn, DqnSettings, TimeLimit, classic::CartPole};
        const STEPS: u64 = 10_000;
        let settings = DqnSettings {
            hidden: vec![64, 64],
            dueling: false,
            n: 1,
            batch: 32,
            train_every: 4,
            updates: 1,
            warm_up: 100,
            target_every: 250,
            target_rate: 1.0,
            ..DqnSettings::default()
        };
        let mut world = TimeLimit::new(CartPole::default(), 500);
        let fresh = Dqn::new(&world, &settings, 1).expect("the settings are fine");
        let mut group = criterion.benchmark_group("dqn");
        group.throughput(Throughput::Elements(STEPS)).sample_size(10);
        group.bench_function("cart_pole", |bencher| {
            let step = |(mut agent, mut steps): (Dqn<4>, u64)| {
                while steps < STEPS {
                    steps += agent.episode(&mut world).steps;
                }
                agent
            };
            bencher.iter_batched(|| (fresh.clone(), 0), step, criterion::BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group!(benches, original, cliff, scaling, dqn);
criterion_main!(benches);
