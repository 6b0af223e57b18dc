//! Several environments side by side, stepped in one call.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use splitscale_policy::FEATURES;
use splitscale_rl::{Autoreset, Batch, Environment, Step};

use crate::action::{Actions, ResetNeeded};
use crate::env::Env;
use crate::world::{Seen, World};

/// Several environments side by side. `splitscale.FittedCurvesVectorEnv` and `splitscale.ScalingVectorEnv` are made of it.
#[pyclass(module = "splitscale._native")]
#[derive(Clone)]
pub(crate) struct Envs {
    batch: Batch<World>,
    actions: Actions,
    hash: String,
    mode: Autoreset,
}

/// Observations, rewards \[cost\], which episodes ended and which were cut.
type Stepped<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<bool>>, Bound<'py, PyArray1<bool>>);

#[pymethods]
impl Envs {
    /// Copies of an environment; `mode` is a value of Gymnasium's `AutoresetMode`.
    #[new]
    fn new(env: PyRef<'_, Env>, count: usize, mode: &str) -> PyResult<Self> {
        let mode = match mode {
            "NextStep" => Autoreset::NextStep,
            "SameStep" => Autoreset::SameStep,
            "Disabled" => Autoreset::Disabled,
            _ => {
                let problem = format!("autoreset_mode: `{mode}` is none of NextStep, SameStep, Disabled");
                return Err(PyValueError::new_err(problem));
            }
        };
        if count == 0 {
            return Err(PyValueError::new_err("num_envs: zero; it takes at least 1"));
        }
        let batch = Batch::new(&env.world, count, mode);
        Ok(Envs { batch, actions: env.actions.clone(), hash: env.hash.clone(), mode })
    }

    /// The seed that `reset(seed)` gives an environment.
    #[staticmethod]
    fn seed_of(seed: u64, index: usize) -> u64 {
        Batch::<World>::seed_of(seed, index)
    }

    /// Begins an episode everywhere, or, with a mask, where it says so; with one seed for all, or one each.
    #[pyo3(signature = (seed=None, seeds=None, mask=None))]
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seed: Option<u64>,
        seeds: Option<Vec<Option<u64>>>,
        mask: Option<PyReadonlyArray1<'py, bool>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let count = self.batch.environments().len();
        if let Some(seeds) = &seeds
            && seeds.len() != count
        {
            let problem = format!("seed: {} seeds for {count} environments; give one each", seeds.len());
            return Err(PyValueError::new_err(problem));
        }
        let of = |index: usize| match &seeds {
            Some(seeds) => seeds[index],
            None => seed.map(|seed| Batch::<World>::seed_of(seed, index)),
        };
        match mask {
            None => {
                self.batch.reset_each(of);
            }
            Some(_) if self.batch.steps().is_empty() => {
                return Err(ResetNeeded::new_err("a reset of all comes before a reset of some"));
            }
            Some(mask) => {
                let mask = mask.as_array();
                if mask.len() != count {
                    let problem = format!("reset_mask: {} values for {count} environments", mask.len());
                    return Err(PyValueError::new_err(problem));
                }
                for index in (0..count).filter(|&index| mask[index]) {
                    self.batch.begin(index, of(index));
                }
            }
        }
        self.observations(py)
    }

    /// One step everywhere.
    fn step<'py>(&mut self, actions: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
        let py = actions.py();
        let numbers = self.actions.numbers(actions, self.batch.environments().len())?;
        if self.batch.steps().is_empty() {
            return Err(ResetNeeded::new_err("reset() comes before the first step"));
        }
        if self.mode == Autoreset::Disabled
            && let Some(index) = self.batch.steps().iter().position(Step::over)
        {
            let problem = format!("the episode of environment {index} is over; reset it by a reset_mask");
            return Err(ResetNeeded::new_err(problem));
        }
        py.detach(|| {
            self.batch.step(&numbers);
        });
        let flags = |of: fn(&Step<Seen>) -> bool| {
            self.batch.steps().iter().map(of).collect::<Vec<_>>().into_pyarray(py)
        };
        let rewards: Vec<f64> = self.batch.steps().iter().map(|step| step.reward).collect();
        let (terminated, truncated) = (flags(|step| step.terminated), flags(|step| step.truncated));
        Ok((self.observations(py)?, rewards.into_pyarray(py), terminated, truncated))
    }

    /// With `SameStep`, the last observation of the last episode of an environment that ended.
    fn last<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let last = self.batch.environments().get(index).and_then(|_| self.batch.last(index));
        last.map_or_else(|| Ok(py.None().into_bound(py)), |seen| crate::env::shown(py, seen.clone()))
    }

    /// Of every action's number, whether it may be taken: int8 of shape (count, actions).
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<i8>>> {
        let (environments, count) = (self.batch.environments(), self.actions.count());
        let allowed =
            environments.iter().flat_map(|world| (0..count).map(|action| i8::from(world.allows(action))));
        allowed.collect::<Vec<_>>().into_pyarray(py).reshape([environments.len(), count])
    }

    /// A copy that goes on alike, chance included.
    fn copy(&self) -> Self {
        self.clone()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        self.clone()
    }

    /// Becomes a copy of others of the same problem, as many.
    fn assign(&mut self, other: PyRef<'_, Envs>) -> PyResult<()> {
        if other.hash != self.hash || other.actions.space() != self.actions.space() {
            return Err(PyValueError::new_err("the snapshot is of another problem; take one of this"));
        }
        let (theirs, ours) = (other.batch.environments().len(), self.batch.environments().len());
        if theirs != ours {
            let problem = format!("the snapshot is of {theirs} environments, and these are {ours}");
            return Err(PyValueError::new_err(problem));
        }
        *self = other.clone();
        Ok(())
    }
}

impl Envs {
    fn observations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let steps = self.batch.steps();
        if let Some(Step { observation: Seen::Level(_), .. }) = steps.first() {
            let level = |step: &Step<Seen>| match step.observation {
                Seen::Level(level) => level as i64,
                Seen::Features(_) => -1,
            };
            return Ok(steps.iter().map(level).collect::<Vec<_>>().into_pyarray(py).into_any());
        }
        let mut features = Vec::with_capacity(steps.len() * FEATURES);
        for step in steps {
            if let Seen::Features(seen) = &step.observation {
                features.extend_from_slice(seen);
            }
        }
        Ok(features.into_pyarray(py).reshape([steps.len(), FEATURES])?.into_any())
    }
}
