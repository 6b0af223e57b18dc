//! What the Python package `splitscale` is made of: the environments of splitscale-rl as classes of the module
//! `splitscale._native`. The layer above it, in `python/splitscale`, gives them Gymnasium's interface.
//!
//! ```text
//!  FittedCurves ─┐            ┌─▶ Env  ─▶ gymnasium.Env
//!       Scaling ─┴─▶ World ─▶ ┤
//!                             └─▶ Envs ─▶ gymnasium.vector.VectorEnv
//! ```

mod action;
mod env;
mod envs;
mod policy;
mod problem;
mod world;

/// The module as Python sees it.
#[pyo3::pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::env::Env;
    #[pymodule_export]
    use crate::envs::Envs;
    #[pymodule_export]
    use crate::policy::{decide, export};

    use pyo3::pyfunction;

    /// Names of the features of an observation, in their order; `no_x` is 1 where x is missing.
    #[pyfunction]
    fn feature_names() -> Vec<String> {
        splitscale_policy::feature_names().into()
    }
}
