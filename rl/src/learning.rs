//! A run of any algorithm, behind one face.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use splitscale_spec::Invalid;

use crate::agent::dqn::{DqnSettings, QNetwork};
use crate::agent::{
    Agent, DoubleQ, DynaQ, ExpectedSarsa, MonteCarlo, NStepSarsa, QLearning, Sarsa, SarsaLambda, Settings,
};
use crate::bandit::Bandit;
use crate::environment::Environment;
use crate::q_table::QTable;
use crate::train::{Best, Diverged, LearningPoint, Length, Run};
use crate::values::{Greedy, Values};

/// An algorithm that learns action values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Algorithm {
    /// [`QLearning`].
    QLearning,
    /// [`Sarsa`].
    Sarsa,
    /// [`ExpectedSarsa`].
    ExpectedSarsa,
    /// [`DoubleQ`].
    DoubleQ,
    /// [`NStepSarsa`].
    NStepSarsa {
        /// Steps it looks ahead, 1 or more.
        n: usize,
    },
    /// [`SarsaLambda`].
    SarsaLambda {
        /// How far errors reach back, in [0, 1].
        lambda: f64,
    },
    /// [`DynaQ`]; it takes numbered states.
    DynaQ {
        /// Remembered steps that are gone over after each.
        planning: usize,
    },
    /// [`MonteCarlo`].
    MonteCarlo,
    /// A deep Q-network, see [`DqnSettings`]; it takes vectors.
    Dqn(DqnSettings),
    /// Means of one-step rewards, see [`play`](crate::play); the episodes are the budget of pulls.
    Bandit(Bandit),
}

/// A run, whatever its algorithm. See [`Run`].
pub trait Learning<E, V> {
    /// See [`Run::go_on`].
    ///
    /// # Errors
    /// Rewards or values that are not finite any more.
    fn go_on(
        &mut self,
        environment: &mut E,
        regret: &dyn Fn(&V) -> Option<f64>,
    ) -> Result<Option<LearningPoint>, Diverged>;

    /// One point every so many episodes.
    fn curve(&self) -> &[LearningPoint];

    /// What it knows now.
    fn values(&self) -> &V;

    /// What it knew when it knew best.
    fn best(&self) -> Option<&Best<V>>;

    /// All of it, as JSON.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    fn checkpoint(&self) -> Result<String, serde_json::Error>;
}

impl<E, A, V> Learning<E, V> for Run<A, V>
where
    E: Environment,
    A: Agent<E, Values = V> + Serialize,
    V: Greedy<Observation = E::Observation>,
{
    fn go_on(
        &mut self,
        environment: &mut E,
        regret: &dyn Fn(&V) -> Option<f64>,
    ) -> Result<Option<LearningPoint>, Diverged> {
        Run::go_on(self, environment, regret)
    }

    fn curve(&self) -> &[LearningPoint] {
        &self.curve
    }

    fn values(&self) -> &V {
        self.agent.values()
    }

    fn best(&self) -> Option<&Best<V>> {
        self.best.as_ref()
    }

    fn checkpoint(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// What a run begins with.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// Who learns.
    pub algorithm: &'a Algorithm,
    /// How.
    pub settings: &'a Settings,
    /// How long.
    pub length: Length,
    /// Seed of environment and agent.
    pub seed: u64,
    /// A run of the same beginning that is gone on with, as JSON.
    pub checkpoint: Option<&'a str>,
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// A setting that is out of range.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A checkpoint that is none.
    #[error("the checkpoint cannot be read: {0}")]
    Checkpoint(#[from] serde_json::Error),
}

/// Any algorithm, on a table.
///
/// # Errors
/// See [`BeginError`].
pub fn begin_tabular<E>(values: QTable, of: Beginning<'_>) -> Result<Box<dyn Learning<E, QTable>>, BeginError>
where
    E: Environment<Observation = usize> + 'static,
{
    match *of.algorithm {
        Algorithm::DynaQ { planning } => boxed(DynaQ::new(values, planning, of.settings, of.seed)?, of),
        _ => begin(values, of),
    }
}

/// Any algorithm but Dyna-Q, on any values.
///
/// # Errors
/// See [`BeginError`].
pub fn begin<E, V>(values: V, of: Beginning<'_>) -> Result<Box<dyn Learning<E, V>>, BeginError>
where
    E: Environment + 'static,
    V: Values<Observation = E::Observation> + 'static,
{
    let (settings, seed) = (of.settings, of.seed);
    match *of.algorithm {
        Algorithm::QLearning => boxed(QLearning::new(values, settings, seed)?, of),
        Algorithm::Sarsa => boxed(Sarsa::new(values, settings, seed)?, of),
        Algorithm::ExpectedSarsa => boxed(ExpectedSarsa::new(values, settings, seed)?, of),
        Algorithm::DoubleQ => boxed(DoubleQ::new(values, settings, seed)?, of),
        Algorithm::NStepSarsa { n } => boxed(NStepSarsa::new(values, n, settings, seed)?, of),
        Algorithm::SarsaLambda { lambda } => boxed(SarsaLambda::new(values, lambda, settings, seed)?, of),
        Algorithm::MonteCarlo => boxed(MonteCarlo::new(values, settings, seed)?, of),
        Algorithm::DynaQ { .. } => {
            let problem = "dyna_q remembers numbered states; take another where states are vectors";
            Err(Invalid::new("algorithm", problem).into())
        }
        Algorithm::Dqn(_) => {
            let problem = "dqn learns a network over vectors; take another where states are numbers";
            Err(Invalid::new("algorithm", problem).into())
        }
        Algorithm::Bandit(_) => {
            let problem =
                "a bandit takes one-step problems with numbered states, and learns no values beyond them";
            Err(Invalid::new("algorithm", problem).into())
        }
    }
}

/// A deep Q-network, over an environment's vectors.
///
/// # Errors
/// See [`BeginError`]; without the feature `torch`, always.
pub fn begin_deep<const N: usize, E>(
    environment: &E,
    of: Beginning<'_>,
) -> Result<Box<dyn Learning<E, QNetwork<N>>>, BeginError>
where
    E: Environment<Observation = [f64; N]> + 'static,
{
    let Algorithm::Dqn(settings) = of.algorithm else {
        return Err(Invalid::new("algorithm", "none that learns a network; take dqn").into());
    };
    #[cfg(feature = "torch")]
    return boxed(crate::Dqn::<N>::new(environment, settings, of.seed)?, of);
    #[cfg(not(feature = "torch"))]
    {
        let _ = environment;
        settings.validate()?;
        settings.inputs(&[], N)?;
        let problem = "dqn learns by libtorch, and this was built without; `cargo xtask setup`, then build with --features torch";
        Err(Invalid::new("algorithm", problem).into())
    }
}

fn boxed<E, A, V>(agent: A, of: Beginning<'_>) -> Result<Box<dyn Learning<E, V>>, BeginError>
where
    E: Environment + 'static,
    A: Agent<E, Values = V> + Serialize + DeserializeOwned + 'static,
    V: Greedy<Observation = E::Observation> + 'static,
{
    let fresh = Run::new(agent, of.length, of.seed)?;
    let run = match of.checkpoint {
        Some(text) => serde_json::from_str(text)?,
        None => fresh,
    };
    Ok(Box::new(run))
}

// === impl Algorithm ===

impl Algorithm {
    /// Its name for people.
    pub fn name(&self) -> String {
        match self {
            Algorithm::QLearning => "q-learning".into(),
            Algorithm::Sarsa => "sarsa".into(),
            Algorithm::ExpectedSarsa => "expected sarsa".into(),
            Algorithm::DoubleQ => "double q-learning".into(),
            Algorithm::NStepSarsa { n } => format!("{n}-step sarsa"),
            Algorithm::SarsaLambda { lambda } => format!("sarsa({lambda})"),
            Algorithm::DynaQ { planning } => format!("dyna-q, {planning} planning steps"),
            Algorithm::MonteCarlo => "monte carlo".into(),
            Algorithm::Dqn(settings) => settings.name(),
            Algorithm::Bandit(Bandit::EpsilonGreedy { epsilon }) => format!("epsilon-greedy({epsilon})"),
            Algorithm::Bandit(Bandit::Ucb { width }) => format!("ucb({width})"),
            Algorithm::Bandit(Bandit::Thompson) => "thompson".into(),
            Algorithm::Bandit(Bandit::SuccessiveElimination { risk }) => {
                format!("successive elimination({risk})")
            }
        }
    }
}
