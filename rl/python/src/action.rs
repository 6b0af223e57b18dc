//! Spaces as Python has them, and actions as it gives them.

use numpy::{PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use splitscale_rl::Space;

pyo3::import_exception!(gymnasium.error, InvalidAction);
pyo3::import_exception!(gymnasium.error, ResetNeeded);

/// A space in words that Python makes one of Gymnasium's of: `("discrete", n)`, `("multi_discrete", [n, ...])`,
/// `("box", low, high)`.
pub(crate) fn describe<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyAny>> {
    let tuple = match space {
        Space::Discrete(n) => ("discrete", n).into_pyobject(py)?,
        Space::MultiDiscrete(parts) => ("multi_discrete", parts).into_pyobject(py)?,
        Space::Box { low, high } => ("box", low, high).into_pyobject(py)?,
    };
    Ok(tuple.into_any())
}

/// How actions are given: as elements of a space, or, flat, as its elements' numbers.
#[derive(Clone)]
pub(crate) struct Actions {
    space: Space,
    count: usize,
}

impl Actions {
    /// Actions of a space.
    pub(crate) fn new(space: Space, flat: bool) -> Self {
        let count = space.size().unwrap_or(0);
        Actions { space: if flat { Space::Discrete(count) } else { space }, count }
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The number of an action.
    pub(crate) fn number(&self, action: &Bound<'_, PyAny>) -> PyResult<usize> {
        if let Space::Discrete(_) = self.space {
            return self.below(action.extract().map_err(|_| stranger(action))?);
        }
        if let Ok(parts) = action.extract::<PyReadonlyArray1<'_, i64>>() {
            return self.join(&parts.to_vec().map_err(|_| stranger(action))?);
        }
        self.join(&action.extract::<Vec<i64>>().map_err(|_| stranger(action))?)
    }

    /// The numbers of as many actions as there are environments.
    pub(crate) fn numbers(&self, actions: &Bound<'_, PyAny>, count: usize) -> PyResult<Vec<usize>> {
        let parts = match &self.space {
            Space::MultiDiscrete(parts) => parts.len(),
            _ => 1,
        };
        let wrong = || {
            let shape = if parts == 1 { format!("({count},)") } else { format!("({count}, {parts})") };
            PyTypeError::new_err(format!(
                "actions are no array of int64 of shape {shape}, as the action space has them"
            ))
        };
        let numbers: Vec<usize> = if let Ok(given) = actions.extract::<PyReadonlyArray1<'_, i64>>()
            && parts == 1
        {
            given.as_array().iter().map(|&action| self.below(action)).collect::<PyResult<_>>()?
        } else if let Ok(given) = actions.extract::<PyReadonlyArray2<'_, i64>>()
            && given.as_array().ncols() == parts
        {
            given
                .as_array()
                .rows()
                .into_iter()
                .map(|row| self.join(&row.to_vec()))
                .collect::<PyResult<_>>()?
        } else {
            return Err(wrong());
        };
        if numbers.len() == count { Ok(numbers) } else { Err(wrong()) }
    }

    fn below(&self, action: i64) -> PyResult<usize> {
        let number = usize::try_from(action).ok().filter(|&number| number < self.count);
        number.ok_or_else(|| InvalidAction::new_err(format!("action {action} is not in 0..{}", self.count)))
    }

    fn join(&self, parts: &[i64]) -> PyResult<usize> {
        let whole: Option<Vec<usize>> = parts.iter().map(|&part| usize::try_from(part).ok()).collect();
        let number = whole.and_then(|parts| self.space.join(&parts));
        number.ok_or_else(|| InvalidAction::new_err(format!("action {parts:?} is not in {:?}", self.space)))
    }
}

fn stranger(action: &Bound<'_, PyAny>) -> PyErr {
    InvalidAction::new_err(format!(
        "action {action} is no whole number, or no row of them where the space is MultiDiscrete"
    ))
}
