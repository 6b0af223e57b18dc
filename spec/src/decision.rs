//! One choice: what was seen, what was wanted, what was allowed, and why.

use serde::{Deserialize, Serialize};

use crate::{Observation, Replicas};

/// What holds the pipeline back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bottleneck {
    /// The link and its slots: more pods are useless.
    Network,
    /// Stage A.
    A,
    /// Stage B.
    B,
    /// Nothing: the load is below what the pipeline carries.
    Load,
    /// What is needed to tell was not observed.
    Unknown,
}

/// A decision of a controller, one line of `decisions.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Schema number, [`Decision::SCHEMA`].
    pub schema: u32,
    /// Number within the run, from 1.
    pub id: u64,
    /// What was seen.
    pub observed: Observation,
    /// What holds the pipeline back, as far as was seen.
    pub bottleneck: Bottleneck,
    /// What the policy wants; absent where it could not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Replicas>,
    /// After the bounds; absent where the pods are left as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capped: Option<Replicas>,
    /// In words, in the order in which it happened.
    pub why: Vec<String>,
    /// Hash of the policy.
    pub policy: String,
    /// Whether the pods were changed in full; absent where there was nothing to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_out: Option<bool>,
}

impl Decision {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;
}
