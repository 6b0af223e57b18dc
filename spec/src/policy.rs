//! An exported policy: immutable, self-contained, with the region it was trained on.

use serde::{Deserialize, Serialize};

use crate::invalid::{at_least_one, check_schema, ensure};
use crate::{Invalid, Replicas};

/// A policy as it is written down; the policy crate starts a controller from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Schema number, [`Policy::SCHEMA`].
    pub schema: u32,
    /// Name for people.
    pub name: String,
    /// How it decides.
    pub kind: PolicyKind,
    /// Where it may be trusted; absent for a policy that was not learnt.
    pub region: Option<Region>,
    /// Where it comes from; absent for a policy that was not learnt.
    pub training: Option<Training>,
}

/// How a policy decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicyKind {
    /// Always the same pods.
    Static(Replicas),
    /// Pods by the number of transfer slots: the first bin that holds it.
    SlotsTable(Vec<Bin>),
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Name for people.
    pub name: String,
    /// Fewest slots of the bin.
    pub slots_min: u32,
    /// Most slots of the bin.
    pub slots_max: u32,
    /// Pods to have there.
    pub pods: Replicas,
}

/// The observations a policy was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Fewest slots.
    pub slots_min: u32,
    /// Most slots.
    pub slots_max: u32,
}

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Algorithm, such as `q-learning`.
    pub algorithm: String,
    /// Seed of the training run.
    pub seed: u64,
    /// Hash of everything the training read: its configuration and its calibration.
    pub hash: String,
    /// (J - J*) / |J*|, J* the exact optimum on the curves it was trained on.
    pub regret: f64,
}

impl Policy {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_schema("policy", self.schema, Self::SCHEMA)?;
        match &self.kind {
            PolicyKind::Static(pods) => check_pods("kind.static", *pods)?,
            PolicyKind::SlotsTable(bins) => {
                ensure(!bins.is_empty(), "kind.slots_table", "empty; a table has at least one bin")?;
                for (row, bin) in bins.iter().enumerate() {
                    let field = format!("kind.slots_table[{row}]");
                    check_range(&field, bin.slots_min, bin.slots_max)?;
                    check_pods(&format!("{field}.pods"), bin.pods)?;
                }
            }
        }
        if let Some(region) = &self.region {
            check_range("region", region.slots_min, region.slots_max)?;
        }
        Ok(())
    }
}

fn check_pods(field: &str, pods: Replicas) -> Result<(), Invalid> {
    at_least_one(&format!("{field}.a"), pods.a)?;
    at_least_one(&format!("{field}.b"), pods.b)
}

fn check_range(field: &str, min: u32, max: u32) -> Result<(), Invalid> {
    at_least_one(&format!("{field}.slots_min"), min)?;
    ensure(max >= min, format!("{field}.slots_max"), format!("{max} is below slots_min {min}"))
}
