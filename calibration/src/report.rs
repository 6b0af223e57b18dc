//! What stands beside a calibration, for whoever judges it: the same data fitted in other ways.

use serde::Serialize;
use splitscale_spec::LevelStatus;

use crate::LawFit;

/// How a table was fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitReport {
    /// Other fits of its levels.
    pub others: Vec<OtherFit>,
    /// Ways to say time over pods and slots, by rising error; the first is the one to trust. Empty where there are too
    /// few levels.
    pub tiers: Vec<TierError>,
    /// One rate for all levels \[1/pod\]; absent where fewer than two levels have three pod counts.
    pub shared_rate: Option<f64>,
    /// How far the bottleneck law, fitted to the other levels, is from each; empty where there are fewer than three.
    pub held_out: Vec<HeldOutLevel>,
    /// How each law of the simulator was found; empty where there are no records.
    pub laws: Vec<LawFit>,
}

/// A level fitted in another way than the one that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherFit {
    /// Transfer slots of the level; absent in a table that knows only pods.
    pub slots: Option<u32>,
    /// In which way.
    pub method: FitMethod,
    /// What the data so allow to be said.
    pub status: LevelStatus,
    /// As in a level \[s\].
    pub a: Option<f64>,
    /// As in a level \[1/pod\].
    pub b: Option<f64>,
    /// As in a level \[s\].
    pub c: Option<f64>,
    /// Its values at the level's points \[s\].
    pub fitted_s: Vec<f64>,
    /// Measurements that the robust fit gives less than half of their weight.
    pub set_aside: Vec<SetAside>,
}

/// How measurements count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FitMethod {
    /// By the scatter of their repeats, where there are any.
    Plain,
    /// All alike.
    Unweighted,
    /// By how far they are from where the others say they should be.
    Robust,
}

/// A measurement that a robust fit does not believe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SetAside {
    /// Pods.
    pub pods: u32,
    /// The time \[s\].
    pub y_s: f64,
    /// Which part of its weight is left to it, 0 to 1/2.
    pub weight: f64,
}

/// A way to say time over pods and slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A curve a level.
    PerLevel,
    /// A curve a level, all of one rate.
    SharedRate,
    /// The bottleneck law.
    Law,
}

/// How well a tier predicts a cell that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TierError {
    /// Which.
    pub tier: Tier,
    /// Mean of |predicted / measured - 1| over inner cells, each left out in turn.
    pub mean_error: f64,
}

/// How well the law predicts a level that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOutLevel {
    /// Transfer slots of the level.
    pub slots: u32,
    /// Mean of |predicted / measured - 1| over its cells.
    pub mean_error: f64,
    /// The largest of them.
    pub largest_error: f64,
}
