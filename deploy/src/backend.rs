//! Where a pipeline's pods are: what the loop asks of servers on this machine, and of a cluster.

use splitscale_policy::Decision;
use splitscale_spec::{Replicas, Stage};

use crate::scrape::Round;

/// A pipeline that is looked at and whose pods are changed.
pub trait Backend: Send {
    /// Asks everybody at once. Whoever does not answer is absent.
    fn scrape(&mut self) -> impl Future<Output = Round> + Send;

    /// What each stage was told to have, by itself; absent where one does not say.
    fn desired(&mut self) -> impl Future<Output = (Option<u32>, Option<u32>)> + Send;

    /// Says that this is about to be carried out, wherever it has to be known before it is.
    ///
    /// # Errors
    /// It could not be said: then it must not be done.
    fn announce(&mut self, decision: &Decision) -> impl Future<Output = Result<(), NotApplied>> + Send {
        let _ = decision;
        async { Ok(()) }
    }

    /// Takes both stages from what they were told to what they are told now. Whatever shrinks does so first: where one grows
    /// into what the other gives up, it only does if the other did, and a budget over both is never exceeded. What came of it
    /// the next decision sees.
    ///
    /// # Errors
    /// The first stage's error.
    fn apply(&mut self, from: Replicas, to: Replicas) -> impl Future<Output = Result<(), NotApplied>> + Send;
}

/// A change that was not carried out in full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotApplied {
    /// In words.
    pub why: String,
    /// Whether it is certain that nothing was changed at all.
    pub untouched: bool,
    /// Whether the next tick may try again: nobody has refused anything.
    pub soon: bool,
}

/// What is to be told to which stage, first what shrinks and then what grows.
pub(crate) fn legs(from: Replicas, to: Replicas) -> [Vec<(Stage, u32)>; 2] {
    let stages = [(Stage::A, from.a, to.a), (Stage::B, from.b, to.b)];
    let of = |grows: bool| {
        let moved = stages.iter().filter(|(_, from, to)| from != to && (to > from) == grows);
        moved.map(|&(stage, _, to)| (stage, to)).collect()
    };
    [of(false), of(true)]
}
