//! The simulator behind the trait: pods of both stages are chosen every few seconds, while traffic and load move.
//!
//! ```text
//!  reset ─▶ a scenario and a seed by chance ─▶ simulation, one interval at the setup's pods ─▶ observation
//!  step  ─▶ pods of A and B are asked for ─▶ one interval passes ─▶ observation, minus what the interval cost
//! ```
//!
//! The state is what the live loop would see, an [`Observation`] as numbers ([`features`]): scraped counters over a window,
//! the estimated bandwidth and never the true one, and of each signal whether it is missing. An episode has no end of its
//! own: it is truncated, and what comes after it counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use splitscale_policy::{ActionKind, Actions, Bounds, Controller, FEATURES, features};
use splitscale_sim::{Histogram, Model, Outcome, ScrapeSetup, Setup, SimError, SimTime, Simulation, Totals};
use splitscale_spec::{CostConfig, Invalid, Observation, Replicas, not_negative, positive};

use crate::chance::{Chance, ENVIRONMENT};
use crate::environment::{Environment, Step};
use crate::fitted_curves::RewardConfig;
use crate::space::Space;

/// How the problem is posed; the pipelines and their loads stand beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingConfig {
    /// Fewest pods of each stage.
    pub pods_min: Replicas,
    /// Most.
    pub pods_max: Replicas,
    /// Time between two decisions \[s\].
    pub decide_every_s: f64,
    /// Decisions of an episode.
    pub decisions: u32,
    /// Time between two scrapes \[s\].
    #[serde(default = "one_second")]
    pub scrape_every_s: f64,
    /// Window of an observation \[s\].
    #[serde(default = "five_seconds")]
    pub window_s: f64,
    /// Promised latency \[s\].
    pub slo_s: f64,
    /// What misses and changes cost.
    pub cost: CostConfig,
    /// What an action is.
    #[serde(default)]
    pub actions: ActionKind,
    /// What is paid.
    #[serde(default)]
    pub reward: RewardKind,
}

/// What is paid for an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardKind {
    /// Minus the cost J: pod-seconds of both stages + miss_weight * misses + churn_weight * changes. A request that was not
    /// answered within the promise is a miss once it has ended, or at the end of the episode if it is overdue then.
    #[default]
    Cost,
    /// The original's, with the mean latency of the interval's answers for the time, and the mean of both stages' desired
    /// pods for the pods. An interval without answers counts as long as it was, if anything was under way.
    Original(RewardConfig),
}

/// A pipeline and its load, ready to be simulated.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    pub(crate) model: Model,
}

/// The problem. See the [module](self).
#[derive(Debug, Clone)]
pub struct Scaling {
    config: ScalingConfig,
    scenarios: Arc<[Scenario]>,
    interval_ns: u64,
    simulation: Simulation,
    observation: Observation,
    before: Totals,
    /// Latencies of the first interval, which is everybody's.
    first: Histogram,
    decided: u32,
    chance: Chance,
}

/// What an episode came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bill {
    /// J.
    pub cost: f64,
    /// Pod-seconds of both stages.
    pub pod_seconds: f64,
    /// Requests that were not answered within the promise.
    pub misses: u64,
    /// Changes of pods.
    pub changes: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered within the promise.
    pub within: u64,
    /// Mean of the pods of both stages over the episode so far.
    pub pods: f64,
    /// 95th percentile of the latency of the episode's answers so far \[s\]; who got none has no latency, and is a miss.
    pub p95_s: Option<f64>,
    /// 99th percentile of it \[s\].
    pub p99_s: Option<f64>,
}

fn one_second() -> f64 {
    1.0
}

fn five_seconds() -> f64 {
    5.0
}

// === impl ScalingConfig ===

impl ScalingConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.actions().validate()?;
        positive("decide_every_s", self.decide_every_s)?;
        positive("scrape_every_s", self.scrape_every_s)?;
        positive("window_s", self.window_s)?;
        positive("slo_s", self.slo_s)?;
        not_negative("cost.miss_weight", self.cost.miss_weight)?;
        not_negative("cost.churn_weight", self.cost.churn_weight)?;
        if self.decisions == 0 {
            return Err(Invalid::new("decisions", "zero; it takes at least 1"));
        }
        match self.reward {
            RewardKind::Original(reward) => reward.validate(),
            RewardKind::Cost => Ok(()),
        }
    }

    /// Bounds on the pods.
    pub fn bounds(&self) -> Bounds {
        Bounds { pods_min: self.pods_min, pods_max: self.pods_max }
    }

    /// Among which actions is chosen.
    #[inline]
    pub fn actions(&self) -> Actions {
        Actions { kind: self.actions, pods_min: self.pods_min, pods_max: self.pods_max }
    }
}

// === impl Scenario ===

impl Scenario {
    /// What is simulated.
    pub fn setup(&self) -> &Setup {
        self.model.setup()
    }
}

// === impl Scaling ===

impl Scaling {
    /// The problem on these pipelines and loads, by name; every episode takes one of them. Their horizon, promise and scrapes
    /// are set here, whatever they say.
    ///
    /// # Errors
    /// No scenario, a field out of range, a setup that cannot be simulated.
    pub fn new(config: ScalingConfig, setups: Vec<(String, Setup)>) -> Result<Self, SimError> {
        config.validate()?;
        let interval_ns = SimTime::from_secs_f64(config.decide_every_s).as_nanos().max(1);
        let horizon = SimTime::ZERO.after(interval_ns.saturating_mul(u64::from(config.decisions) + 1));
        let scenario = |(name, setup): (String, Setup)| -> Result<Scenario, SimError> {
            let pods = Replicas { a: setup.a.pods, b: setup.b.pods };
            if config.bounds().clamp(pods) != pods {
                let problem = format!("{name} begins with {pods:?}, outside of the bounds");
                return Err(Invalid::new("a.pods, b.pods", problem).into());
            }
            let setup = Setup {
                slo_s: Some(config.slo_s),
                horizon_s: Some(horizon.as_secs_f64()),
                warm_up_s: 0.0,
                scrape: Some(ScrapeSetup { every_s: config.scrape_every_s, window_s: config.window_s }),
                records: false,
                ..setup
            };
            Ok(Scenario { model: Model::of(&setup)?, name })
        };
        let scenarios = setups.into_iter().map(scenario).collect::<Result<Arc<[_]>, _>>()?;
        let Some(first) = scenarios.first() else {
            return Err(Invalid::new("scenarios", "empty; it takes at least one").into());
        };
        let mut scaling = Scaling {
            simulation: Simulation::of(&first.model, 0, 0),
            config,
            scenarios,
            interval_ns,
            observation: Observation::default(),
            before: Totals::default(),
            first: Histogram::default(),
            decided: 0,
            chance: Chance::new(0, ENVIRONMENT),
        };
        scaling.begin_in(0, 0);
        Ok(scaling)
    }

    /// How it is posed.
    pub fn config(&self) -> &ScalingConfig {
        &self.config
    }

    /// What episodes are taken from.
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// Begins an episode in a scenario of one's choice, under a seed of its own: two policies under one seed face the same
    /// arrivals, demands and network.
    ///
    /// # Panics
    /// If there is no such scenario.
    pub fn begin_in(&mut self, scenario: usize, seed: u64) -> &Observation {
        self.simulation = Simulation::of(&self.scenarios[scenario].model, seed, 0);
        self.decided = 0;
        self.simulation.advance(SimTime::from_nanos(self.interval_ns));
        self.before = self.simulation.totals();
        self.first = self.simulation.latencies().clone();
        self.look()
    }

    /// What a controller would have now; what it leaves open stays as it is.
    pub fn ask(&self, controller: &mut Controller) -> Replicas {
        let decision = controller.decide(self.simulation.now().as_secs_f64(), &self.observation);
        decision.pods.unwrap_or_else(|| self.desired())
    }

    /// What would be seen now.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// Pods asked for now.
    pub fn desired(&self) -> Replicas {
        self.simulation.desired()
    }

    /// The simulation as it stands.
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// Time between two decisions \[ns\].
    pub(crate) fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Decisions of this episode so far.
    pub fn decided(&self) -> u32 {
        self.decided
    }

    /// The pods that an action asks for.
    pub fn pods(&self, action: usize) -> Replicas {
        self.config.actions().pods(action, self.desired())
    }

    /// One interval with these pods, forced into the bounds: what a controller that knows no actions does.
    pub fn decide(&mut self, pods: Replicas) -> Step<[f64; FEATURES]> {
        let pods = self.config.bounds().clamp(pods);
        // Within the bounds there is nothing to refuse.
        let applied = self.simulation.apply(pods);
        debug_assert!(applied.is_ok());
        self.decided += 1;
        let until = self.simulation.now().after(self.interval_ns);
        self.simulation.advance(until);
        let truncated = self.decided >= self.config.decisions;
        let (before, now) = (self.before, self.simulation.totals());
        self.before = now;
        let reward = match self.config.reward {
            RewardKind::Cost => {
                let overdue = if truncated { self.simulation.overdue() } else { 0 };
                -self.cost(&before, &now, overdue)
            }
            RewardKind::Original(reward) => {
                let answers = (now.answered - before.answered) as f64;
                let under_way = now.sent > now.answered + now.unanswered;
                let time_s = match answers > 0.0 {
                    true => (now.latency_s - before.latency_s) / answers,
                    false => self.config.decide_every_s * f64::from(u8::from(under_way)),
                };
                reward.of(time_s, f64::from(pods.a + pods.b) / 2.0)
            }
        };
        self.look();
        Step { observation: features(&self.observation), reward, terminated: false, truncated }
    }

    /// J of a stretch.
    fn cost(&self, from: &Totals, to: &Totals, overdue: u64) -> f64 {
        let CostConfig { miss_weight, churn_weight } = self.config.cost;
        let misses = misses(to) - misses(from) + overdue;
        to.pod_seconds - from.pod_seconds
            + miss_weight * misses as f64
            + churn_weight * (to.changes - from.changes) as f64
    }

    fn look(&mut self) -> &Observation {
        self.simulation.observe_into(self.config.window_s, &mut self.observation);
        &self.observation
    }
}

fn misses(totals: &Totals) -> u64 {
    totals.answered + totals.unanswered - totals.within_slo
}

impl Environment for Scaling {
    type Observation = [f64; FEATURES];

    fn observation_space(&self) -> Space {
        Space::Box { low: vec![0.0; FEATURES], high: vec![f64::MAX; FEATURES] }
    }

    fn action_space(&self) -> Space {
        let (a, b) = self.config.actions().choices();
        Space::MultiDiscrete(vec![a, b])
    }

    #[inline]
    fn actions(&self) -> usize {
        self.config.actions().count()
    }

    fn masked(&self) -> bool {
        self.config.actions == ActionKind::Step
    }

    fn allows(&self, action: usize) -> bool {
        self.config.actions().allows(action, self.desired())
    }

    fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    fn begin(&mut self) -> [f64; FEATURES] {
        let scenario = self.chance.below(self.scenarios.len());
        let seed = self.chance.bits();
        features(self.begin_in(scenario, seed))
    }

    fn step(&mut self, action: usize) -> Step<[f64; FEATURES]> {
        assert!(action < self.actions(), "there are {} actions", self.actions());
        self.decide(self.pods(action))
    }
}

/// A controller that plays: what it remembers is cloned with the simulation.
#[derive(Debug, Clone)]
pub struct Controlled {
    /// What is played.
    pub scaling: Scaling,
    /// Who plays.
    pub controller: Controller,
}

impl Controlled {
    /// One decision: what the controller leaves open stays as it is.
    pub fn step(&mut self) -> Step<[f64; FEATURES]> {
        let pods = self.scaling.ask(&mut self.controller);
        self.scaling.decide(pods)
    }
}

impl Bill {
    /// SLO attainment: answered within the promise, of all whose promise was kept or broken by the end; absent where
    /// there was none.
    pub fn attainment(&self) -> Option<f64> {
        let judged = self.within + self.misses;
        (judged > 0).then(|| self.within as f64 / judged as f64)
    }
}

impl Scaling {
    /// Plays an episode to its end by whatever `choose` says, and what it came to; from its second interval on, the first
    /// being everybody's.
    pub fn episode(&mut self, mut choose: impl FnMut(&Scaling) -> Replicas) -> Bill {
        let begin = self.before;
        loop {
            let pods = choose(self);
            if self.decide(pods).truncated {
                return self.bill(&begin);
            }
        }
    }

    /// What was spent since.
    pub fn bill(&self, begin: &Totals) -> Bill {
        let (now, overdue) = (self.simulation.totals(), self.simulation.overdue());
        let pod_seconds = now.pod_seconds - begin.pod_seconds;
        let latencies = self.simulation.latencies().since(&self.first);
        Bill {
            cost: self.cost(begin, &now, overdue),
            pod_seconds,
            misses: misses(&now) - misses(begin) + overdue,
            changes: now.changes - begin.changes,
            sent: now.sent - begin.sent,
            within: now.within_slo - begin.within_slo,
            pods: pod_seconds / (f64::from(self.decided) * self.config.decide_every_s),
            p95_s: latencies.quantile_s(0.95),
            p99_s: latencies.quantile_s(0.99),
        }
    }

    /// The whole episode as the simulator sums it up, once it is over.
    ///
    /// # Errors
    /// As [`Simulation::run_to_end`].
    pub fn outcome(&self) -> Result<Outcome, SimError> {
        self.simulation.clone().run_to_end()
    }
}
