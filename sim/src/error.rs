//! What can go wrong.

use splitscale_spec::Invalid;

use crate::time::SimTime;

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimError {
    /// The setup, or a change of it, is out of range.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The clock reached its end.
    #[error(
        "simulated time ran over after 292 years; make the times of the laws shorter or the requests fewer"
    )]
    EndOfTime,
    /// An endless load met the bound on requests before the horizon.
    #[error(
        "the load reached {} requests, the most of one run, before horizon_s; make it shorter",
        crate::MAX_REQUESTS
    )]
    TooMany,
    /// The run was over before anything came.
    #[error("horizon_s: no request arrives before it; make it longer")]
    Nothing,
    /// Every request ended within the warm-up.
    #[error("every request had ended at {end}, before warm_up_s {warm_up}; make it shorter or send more")]
    WarmUp {
        /// When the last ended.
        end: SimTime,
        /// When the statistics were to begin.
        warm_up: SimTime,
    },
    /// An identity that must hold does not: an error of the simulator. Fatal; no number of the run is right.
    #[error("{station}: {identity} does not hold, {left} is not {right}; this is a bug of the simulator")]
    Imbalance {
        /// Where.
        station: &'static str,
        /// Which.
        identity: &'static str,
        /// One side \[ns or requests\].
        left: u128,
        /// The other side.
        right: u128,
    },
}
