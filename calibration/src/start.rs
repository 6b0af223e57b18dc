//! How long pods take to start and to go.

use serde::{Deserialize, Serialize};

/// One pod that came or went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRow {
    /// `a` or `b`.
    pub stage: String,
    /// `start`: from asking for it until it is ready. `drain`: from asking for one fewer until it is gone.
    pub event: String,
    /// Pods of the stage afterwards.
    pub pods: u32,
    /// How long \[s\].
    pub seconds: f64,
}

impl StartRow {
    /// The times of one event of one stage.
    pub(crate) fn seconds(rows: &[StartRow], stage: &str, event: &str) -> Vec<f64> {
        rows.iter().filter(|row| row.stage == stage && row.event == event).map(|row| row.seconds).collect()
    }
}
