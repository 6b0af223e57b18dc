//! Why a question to the pipeline has no answer.

use std::time::Duration;

use splitscale_spec::Stage;

/// What a server of the pipeline did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No client for these URLs.
    #[error("{0}")]
    Setup(String),
    /// No answer.
    #[error("{url} did not answer: {problem}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why there is no answer.
        problem: String,
    },
    /// A server that was there and no longer answers.
    #[error("{server} at {url} went away: no answer for {after:.1?} ({problem})")]
    Gone {
        /// Which one.
        server: &'static str,
        /// Its base URL.
        url: String,
        /// For how long.
        after: Duration,
        /// Why there was no answer at last.
        problem: String,
    },
    /// An answer that says no, or that is none of ours.
    #[error("{url} answered {status}: {error}")]
    Refused {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        error: String,
    },
    /// Another stage answers at the address of this one.
    #[error("stage {answers:?} answers at the address of stage {asked:?}; are --a and --b swapped?")]
    Swapped {
        /// Who was asked.
        asked: Stage,
        /// Who answered.
        answers: Stage,
    },
    /// Pods were asked for that cannot start.
    #[error("stage {stage:?} has {ready} of {desired} pods: {error}")]
    Pods {
        /// Which stage.
        stage: Stage,
        /// Pods that are ready.
        ready: u32,
        /// Pods asked for.
        desired: u32,
        /// Why a pod could not start.
        error: String,
    },
    /// What was waited for did not come.
    #[error("{what} within {after:?}; last seen: {seen}")]
    TimedOut {
        /// What was waited for, as a sentence that denies it.
        what: String,
        /// How long.
        after: Duration,
        /// How things stood at last.
        seen: String,
    },
}
