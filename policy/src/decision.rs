//! One choice: what was seen, what was wanted, what held it back, and why. A line of `decisions.jsonl`.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Bottleneck, Observation, Replicas};

use crate::memory::Memory;
use crate::residuals::Agreement;
use crate::shadow::Score;

/// A decision of a controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Schema number, [`Decision::SCHEMA`].
    pub schema: u32,
    /// Number within the run, from 1.
    pub id: u64,
    /// When it was taken, on the clock of `observed.time_s` \[s\].
    pub now_s: f64,
    /// What was to be done with it.
    pub mode: Mode,
    /// What was seen.
    pub observed: Observation,
    /// What holds the pipeline back, as far as was seen.
    pub bottleneck: Bottleneck,
    /// What both stages were told to have before, by themselves or by us since; absent where one of them does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Replicas>,
    /// What the policy wants, or the baseline in its place; absent where neither could tell, and in an emergency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Replicas>,
    /// More pods than these would be useless; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<Replicas>,
    /// What is to be; absent where the pods are left as they are.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub pods: Option<Replicas>,
    /// What stood between the two, in the order in which it happened.
    pub limits: Vec<Limit>,
    /// What waits for its time now.
    #[serde(default, skip_serializing_if = "Waits::is_nothing")]
    pub waits: Waits,
    /// In words, in the order in which it happened.
    pub why: Vec<String>,
    /// Hash of the policy.
    pub policy: String,
    /// What was remembered before: with it the decision can be taken again.
    pub memory: Memory,
    /// Beside it, what another policy would have come to by now; absent where none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Score>,
    /// How the pipeline agrees with its calibration; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Whether the pods were changed in full; absent where there was nothing to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_out: Option<bool>,
}

impl Decision {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 3;

    /// Whether something is to be changed by it.
    pub fn acts(&self) -> bool {
        let acting = matches!(self.mode, Mode::Auto | Mode::Emergency);
        acting && self.pods.is_some() && self.pods != self.from
    }
}

/// What waits for its time after a decision, and how long yet; absent where nothing does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// Until pods may be taken away, as far as settling and stabilisation go \[s\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_s: Option<f64>,
    /// Until the baseline decides in the place of a policy that sees too little \[s\].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_s: Option<f64>,
}

impl Waits {
    fn is_nothing(&self) -> bool {
        *self == Waits::default()
    }

    /// By the name of what waits: `down`, `baseline`.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, f64)> {
        [("down", self.down_s), ("baseline", self.baseline_s)]
            .into_iter()
            .filter_map(|(name, left_s)| Some((name, left_s?)))
    }
}

/// What is done with a decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is written down and changes nothing.
    #[default]
    Recommend,
    /// It is carried out.
    Auto,
    /// Nothing is decided: the pods stay.
    Paused,
    /// As many pods as are allowed, and nothing else counts.
    Emergency,
}

/// One limit that made a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Which.
    pub by: Limiter,
    /// What came to it.
    pub from: Replicas,
    /// What it let through.
    pub to: Replicas,
}

/// What may stand between what is wanted and what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limiter {
    /// The policy is not to be trusted on what was seen: the baseline decided, or held. From and to are alike.
    Baseline,
    /// More pods would be useless: the link, or the other stage, carries no more.
    Useful,
    /// Fewest and most pods of a stage.
    Bounds,
    /// Most pods that a stage itself takes.
    Server,
    /// Most pods of both stages together.
    Budget,
    /// What was wanted within the stabilisation window.
    Stabilisation,
    /// The first window after a start: nothing goes down yet.
    Settling,
    /// Reversals of direction within an hour.
    Flapping,
    /// How far pods may move in one decision and in a time.
    Rate,
}

impl Limiter {
    /// All of them, in their order.
    pub const ALL: [Limiter; 9] = [
        Limiter::Baseline,
        Limiter::Useful,
        Limiter::Bounds,
        Limiter::Server,
        Limiter::Budget,
        Limiter::Stabilisation,
        Limiter::Settling,
        Limiter::Flapping,
        Limiter::Rate,
    ];

    /// Its name, as in documents and labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Limiter::Baseline => "baseline",
            Limiter::Useful => "useful",
            Limiter::Bounds => "bounds",
            Limiter::Server => "server",
            Limiter::Budget => "budget",
            Limiter::Stabilisation => "stabilisation",
            Limiter::Settling => "settling",
            Limiter::Flapping => "flapping",
            Limiter::Rate => "rate",
        }
    }
}
