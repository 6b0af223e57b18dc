//! An exported policy: immutable, self-contained, with the region it was trained on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Replicas, at_least_one, check_schema};

use crate::features::position;
use crate::greedy::Greedy;
use crate::hpa::HpaConfig;
use crate::keda::KedaConfig;
use crate::kpa::KpaConfig;
use crate::numaflow::NumaflowConfig;
use crate::proposer::Silence;
use crate::useful::UsefulConfig;

/// A policy as it is written down; [`start`](crate::start) makes a controller of it.
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
    /// Pods by the number of transfer slots: the bin that holds it.
    SlotsTable(Vec<Bin>),
    /// The action of the greatest learnt value.
    Greedy(Greedy),
    /// Kubernetes' own autoscaler, one for each stage. Its bounds are the pipeline's where it has none.
    Hpa(Box<HpaConfig>),
    /// KEDA's queue trigger, or a formula of several, and the HPA that KEDA makes; one for each stage.
    Keda(Box<KedaConfig>),
    /// Knative's autoscaler by concurrency, one for each stage.
    Kpa(Box<KpaConfig>),
    /// Numaflow's autoscaler of vertices, with its back-pressure.
    Numaflow(Box<NumaflowConfig>),
    /// As many as the traffic needs and the link lets be useful.
    Useful(UsefulConfig),
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

/// The observations a policy was trained on: the least and the greatest of each [feature](crate::feature_names) that it
/// goes by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(pub BTreeMap<String, (f64, f64)>);

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Algorithm, such as `q-learning`.
    pub algorithm: String,
    /// Seed of the training run.
    pub seed: u64,
    /// Hash of everything the training read: its configuration and its calibration, or its experiments.
    pub hash: String,
    /// (J - J*) / |J*|; absent where J* is not known.
    pub regret: Option<f64>,
    /// What J* is, such as the exact optimum on the curves it was trained on; absent with the regret.
    pub optimum: Option<String>,
}

impl Policy {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 2;

    /// Kubernetes' autoscaler as it is without any setting: 80 % of the CPU request.
    pub fn hpa() -> Self {
        Policy {
            schema: Self::SCHEMA,
            name: "hpa".to_owned(),
            kind: PolicyKind::Hpa(Box::default()),
            region: None,
            training: None,
        }
    }

    /// What it knows of useful pods, where it is a rule by them.
    pub fn useful(&self) -> Option<&UsefulConfig> {
        match &self.kind {
            PolicyKind::Useful(useful) => Some(useful),
            _ => None,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_schema("policy", self.schema, Self::SCHEMA)?;
        if self.name.trim().is_empty() {
            return Err(Invalid::new("name", "empty; it is what tables and decisions call it"));
        }
        let within = |kind: &'static str| {
            move |wrong: Invalid| Invalid::new(format!("kind.{kind}.{}", wrong.field), wrong.problem)
        };
        match &self.kind {
            PolicyKind::Static(pods) => check_pods("kind.static", *pods)?,
            PolicyKind::SlotsTable(bins) => {
                if bins.is_empty() {
                    return Err(Invalid::new("kind.slots_table", "empty; a table has at least one bin"));
                }
                for (row, bin) in bins.iter().enumerate() {
                    let field = format!("kind.slots_table[{row}]");
                    let Bin { slots_min, slots_max, .. } = *bin;
                    at_least_one(&format!("{field}.slots_min"), slots_min)?;
                    if slots_max < slots_min {
                        let problem = format!("{slots_max} is below slots_min {slots_min}");
                        return Err(Invalid::new(format!("{field}.slots_max"), problem));
                    }
                    check_pods(&format!("{field}.pods"), bin.pods)?;
                }
                check_bins(bins)?;
            }
            PolicyKind::Greedy(greedy) => greedy.validate().map_err(within("greedy"))?,
            PolicyKind::Hpa(hpa) => hpa.validate().map_err(within("hpa"))?,
            PolicyKind::Keda(keda) => keda.validate().map_err(within("keda"))?,
            PolicyKind::Kpa(kpa) => kpa.validate().map_err(within("kpa"))?,
            PolicyKind::Numaflow(numaflow) => numaflow.validate().map_err(within("numaflow"))?,
            PolicyKind::Useful(useful) => useful.validate().map_err(within("useful"))?,
        }
        self.region.as_ref().map_or(Ok(()), Region::validate)
    }
}

impl Region {
    /// Of slots alone.
    pub fn of_slots(min: u32, max: u32) -> Self {
        Region([("slots".to_string(), (f64::from(min), f64::from(max)))].into())
    }

    fn validate(&self) -> Result<(), Invalid> {
        for (name, (low, high)) in &self.0 {
            let field = format!("region.{name}");
            if position(name).is_none() {
                return Err(Invalid::new(field, "no feature of an observation"));
            }
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return Err(Invalid::new(field, format!("{low} to {high} is no range")));
            }
        }
        Ok(())
    }

    /// What lies outside, the first of it; what is missing and never was in training before all else.
    pub(crate) fn left_by(&self, features: &[f64]) -> Option<Silence> {
        let of = |name: &str| position(name).map_or(0.0, |at| features[at]);
        let outside = |(name, &(low, high)): (&'_ String, &(f64, f64))| {
            let value = of(name);
            let silence = match name.strip_prefix("no_") {
                Some(name) if value > high => {
                    Silence::Unseen(format!("{name} missing, as it never was in training"))
                }
                None if of(&format!("no_{name}")) > 0.0 => Silence::Unseen(format!("{name} missing")),
                _ => Silence::Outside(format!(
                    "{name} {value} outside the trained region, {name} {low}..{high}"
                )),
            };
            (!(low..=high).contains(&value)).then_some(silence)
        };
        let missing = |name: &str| name.starts_with("no_");
        let all = || self.0.iter();
        let first = all().filter(|(name, _)| missing(name)).chain(all().filter(|(name, _)| !missing(name)));
        first.into_iter().find_map(outside)
    }
}

/// Every number of slots from the fewest to the most of a table stands in one bin: of two, the second would never be asked, and
/// in a hole the policy would be taken for one that is not to be trusted.
fn check_bins(bins: &[Bin]) -> Result<(), Invalid> {
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by_key(|&row| bins[row].slots_min);
    for pair in order.windows(2) {
        let (before, row) = (&bins[pair[0]], &bins[pair[1]]);
        let problem = match before.slots_max.checked_add(1) {
            Some(next) if row.slots_min == next => continue,
            Some(next) if row.slots_min > next => {
                let hole = format!("{next}..{}", row.slots_min - 1);
                format!("{} leaves slots {hole} to no bin; begin at {next}", row.slots_min)
            }
            _ => {
                let (name, min, max) = (&before.name, before.slots_min, before.slots_max);
                format!(
                    "{} stands in bin [{}] `{name}` too, {min}..{max}; a number of slots stands in one bin",
                    row.slots_min, pair[0]
                )
            }
        };
        return Err(Invalid::new(format!("kind.slots_table[{}].slots_min", pair[1]), problem));
    }
    Ok(())
}

fn check_pods(field: &str, pods: Replicas) -> Result<(), Invalid> {
    at_least_one(&format!("{field}.a"), pods.a)?;
    at_least_one(&format!("{field}.b"), pods.b)
}
