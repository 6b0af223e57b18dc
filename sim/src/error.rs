//! What can go wrong.

use splitscale_spec::Invalid;

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
