//! One environment.

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use splitscale_rl::Environment;

use crate::action::{Actions, ResetNeeded, describe};
use crate::problem;
use crate::world::{Seen, World};

/// One environment. `splitscale.FittedCurvesEnv` and `splitscale.ScalingEnv` are made of it.
#[pyclass(module = "splitscale._native")]
#[derive(Clone)]
pub(crate) struct Env {
    pub(crate) world: World,
    pub(crate) actions: Actions,
    /// Of the problem and all that it was made of.
    pub(crate) hash: String,
    /// Whether a step may come: there was a reset, and the episode is not over.
    open: bool,
}

/// An observation, its reward \[cost\], whether the episode ended and whether it was cut.
type Stepped<'py> = (Bound<'py, PyAny>, f64, bool, bool);

impl Env {
    fn new(world: World, hash: String, flat: bool) -> Self {
        Env { actions: Actions::new(world.action_space(), flat), world, hash, open: false }
    }
}

#[pymethods]
impl Env {
    /// The curves of a calibration document (JSON), or the published ones; `reward` is alpha, k_time and k_pods, `noise` a
    /// coefficient of variation, or negative for that of the repeats.
    #[staticmethod]
    #[pyo3(signature = (calibration, reward, noise))]
    fn fitted_curves(
        calibration: Option<&str>,
        reward: (f64, f64, f64),
        noise: Option<f64>,
    ) -> PyResult<Self> {
        let (curves, hash) = problem::curves(calibration, reward, noise)?;
        Ok(Env::new(World::Curves(Box::new(curves)), hash, false))
    }

    /// A problem of scaling (TOML or JSON), or that which is compiled in; `settings` (JSON) stand in place of what its table
    /// `problem` says. Files that it names lie in `folder`. `flat`: actions are numbers.
    #[staticmethod]
    fn scaling(problem: Option<&str>, settings: &str, folder: PathBuf, flat: bool) -> PyResult<Self> {
        let (scaling, hash) = problem::scaling(problem, settings, &folder)?;
        Ok(Env::new(World::Scaling(Box::new(scaling)), hash, flat))
    }

    #[getter]
    fn observation_space<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        describe(py, &self.world.observation_space())
    }

    #[getter]
    fn action_space<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        describe(py, self.actions.space())
    }

    #[getter]
    fn masked(&self) -> bool {
        self.world.masked()
    }

    /// Begins an episode, on a new stream of chance where a seed is given.
    #[pyo3(signature = (seed=None))]
    fn reset<'py>(&mut self, py: Python<'py>, seed: Option<u64>) -> PyResult<Bound<'py, PyAny>> {
        self.open = true;
        shown(py, self.world.reset(seed))
    }

    fn step<'py>(&mut self, action: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
        let number = self.actions.number(action)?;
        if !self.open {
            return Err(ResetNeeded::new_err("the episode is over or was never begun; call reset() first"));
        }
        let step = self.world.step(number);
        self.open = !step.over();
        let seen = shown(action.py(), step.observation)?;
        Ok((seen, step.reward, step.terminated, step.truncated))
    }

    /// Of every action's number, whether it may be taken: int8 of shape (actions,).
    fn mask<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i8>> {
        let allowed = (0..self.actions.count()).map(|action| i8::from(self.world.allows(action)));
        allowed.collect::<Vec<_>>().into_pyarray(py)
    }

    /// A copy that goes on alike, chance included.
    fn copy(&self) -> Self {
        self.clone()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        self.clone()
    }

    /// Becomes a copy of another of the same problem.
    fn assign(&mut self, other: PyRef<'_, Env>) -> PyResult<()> {
        if other.hash != self.hash || other.actions.space() != self.actions.space() {
            return Err(PyValueError::new_err("the snapshot is of another problem; take one of this"));
        }
        *self = other.clone();
        Ok(())
    }
}

pub(crate) fn shown(py: Python<'_>, seen: Seen) -> PyResult<Bound<'_, PyAny>> {
    Ok(match seen {
        Seen::Level(level) => level.into_pyobject(py)?.into_any(),
        Seen::Features(features) => PyArray1::from_slice(py, &features).into_any(),
    })
}
