//! What was learnt from measurements: curves of time against pods, and the laws the simulator draws from.

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::{at_least_one, check_schema, not_negative, positive};

/// A calibration, written by `splitscale calibrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Schema number, [`Calibration::SCHEMA`].
    pub schema: u32,
    /// One curve a traffic level, by rising slots.
    pub levels: Vec<Level>,
    /// Requests of each measured burst; absent where that was not recorded, or not always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// What the simulator draws from; absent where only a table of times was given.
    pub laws: Option<Laws>,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// The curve of one traffic level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Transfer slots; absent in a table that knows only pods.
    pub slots: Option<u32>,
    /// What the data allow to be said.
    pub status: LevelStatus,
    /// Smallest number of pods measured, the origin of the curve.
    pub pods_min: u32,
    /// y = a * exp(-b * (pods - pods_min)) + c: height above the floor \[s\]. Absent unless status is `EXP`.
    pub a: Option<f64>,
    /// Rate \[1/pod\]. Absent unless status is `EXP`.
    pub b: Option<f64>,
    /// Floor \[s\]. Absent unless status is `EXP`.
    pub c: Option<f64>,
    /// p-value of the F-test of "pods make no difference"; absent where it cannot be made.
    pub p_flat: Option<f64>,
    /// Root mean square of the residuals of the means \[s\].
    pub rmse_s: f64,
    /// What was measured and what the curve says there. The environments use these values.
    pub points: Vec<FittedPoint>,
}

/// What the data of a level allow to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LevelStatus {
    /// An exponential with an identified rate.
    Exp,
    /// Pods make no difference: a constant.
    Flat,
    /// There is a trend, but its rate is not identified: use `points`, never a, b, c.
    RateNotIdentified,
    /// Too few pod counts for a curve: `points` repeat the means.
    Insufficient,
}

/// One pod count of a level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedPoint {
    /// Pods.
    pub pods: u32,
    /// Measurements taken.
    pub repeats: u32,
    /// Their mean \[s\].
    pub mean_s: f64,
    /// Their standard deviation \[s\]; absent for one measurement.
    pub sd_s: Option<f64>,
    /// Value of the curve \[s\].
    pub fitted_s: f64,
}

/// What the simulator draws from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laws {
    /// How long an A pod is taken by a request.
    pub service_a: ServiceLaw,
    /// How long a transfer takes, B's wait and service not counted.
    pub transfer: ServiceLaw,
    /// How long a B pod is taken by a request.
    pub service_b: ServiceLaw,
    /// Everything outside the three: upload, hops, answer.
    pub overhead: ServiceLaw,
    /// Cells of the table they were fitted on, as (slots, pods).
    pub fitted_on: Vec<(u32, u32)>,
}

/// The law of a duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServiceLaw {
    /// Always the same \[s\].
    Deterministic {
        /// The value \[s\].
        value_s: f64,
    },
    /// Exponential.
    Exponential {
        /// Mean \[s\].
        mean_s: f64,
    },
    /// Erlang: the sum of so many equal exponentials; its coefficient of variation is 1 / sqrt(stages).
    Erlang {
        /// Exponentials in the sum.
        stages: u32,
        /// Mean of the sum \[s\].
        mean_s: f64,
    },
    /// Gamma, of shape 1 / cv^2.
    Gamma {
        /// Mean \[s\].
        mean_s: f64,
        /// Coefficient of variation: standard deviation over mean.
        cv: f64,
    },
    /// Lognormal: the logarithm is normal with variance ln(1 + cv^2).
    Lognormal {
        /// Mean \[s\].
        mean_s: f64,
        /// Coefficient of variation.
        cv: f64,
    },
    /// Weibull, its shape k the solution of Gamma(1 + 2/k) / Gamma(1 + 1/k)^2 = 1 + cv^2.
    Weibull {
        /// Mean \[s\].
        mean_s: f64,
        /// Coefficient of variation.
        cv: f64,
    },
    /// As measured: drawn by linear interpolation between equally likely quantiles.
    Empirical {
        /// Rising quantiles at probabilities 0, 1/(n-1), ..., 1 \[s\].
        quantiles_s: Vec<f64>,
    },
}

/// Where a calibration comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the table.
    pub table: String,
    /// FNV-1a hash of its bytes, hexadecimal.
    pub hash: String,
    /// Rows used.
    pub rows: u32,
    /// Rows dropped, each with line and reason.
    pub dropped: Vec<String>,
}

impl Calibration {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_schema("calibration", self.schema, Self::SCHEMA)?;
        if self.levels.is_empty() {
            return Err(Invalid::new("levels", "empty; a calibration has at least one level"));
        }
        for (row, level) in self.levels.iter().enumerate() {
            let field = format!("levels[{row}]");
            if let Some(slots) = level.slots {
                at_least_one(&format!("{field}.slots"), slots)?;
            }
            if level.points.is_empty() {
                return Err(Invalid::new(format!("{field}.points"), "empty; a level has at least one point"));
            }
            for point in &level.points {
                at_least_one(&format!("{field}.points.pods"), point.pods)?;
                positive(&format!("{field}.points.fitted_s"), point.fitted_s)?;
            }
        }
        self.laws.as_ref().map_or(Ok(()), Laws::validate)
    }
}

impl Laws {
    /// Checks every law.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.service_a.validate("laws.service_a")?;
        self.transfer.validate("laws.transfer")?;
        self.service_b.validate("laws.service_b")?;
        self.overhead.validate("laws.overhead")
    }
}

impl ServiceLaw {
    /// Mean \[s\].
    pub fn mean_s(&self) -> f64 {
        match self {
            ServiceLaw::Deterministic { value_s } => *value_s,
            ServiceLaw::Exponential { mean_s }
            | ServiceLaw::Erlang { mean_s, .. }
            | ServiceLaw::Gamma { mean_s, .. }
            | ServiceLaw::Lognormal { mean_s, .. }
            | ServiceLaw::Weibull { mean_s, .. } => *mean_s,
            // Trapezoidal: the quantile function is linear between its support points.
            ServiceLaw::Empirical { quantiles_s } => match quantiles_s.as_slice() {
                [only] => *only,
                all => all.windows(2).map(|w| (w[0] + w[1]) / 2.0).sum::<f64>() / (all.len() - 1) as f64,
            },
        }
    }

    /// Checks the law; `field` is its path.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self, field: &str) -> Result<(), Invalid> {
        match self {
            ServiceLaw::Deterministic { value_s } => not_negative(&format!("{field}.value_s"), *value_s),
            ServiceLaw::Exponential { mean_s } => positive(&format!("{field}.mean_s"), *mean_s),
            ServiceLaw::Erlang { stages, mean_s } => {
                at_least_one(&format!("{field}.stages"), *stages)?;
                positive(&format!("{field}.mean_s"), *mean_s)
            }
            ServiceLaw::Gamma { mean_s, cv }
            | ServiceLaw::Lognormal { mean_s, cv }
            | ServiceLaw::Weibull { mean_s, cv } => {
                positive(&format!("{field}.mean_s"), *mean_s)?;
                if (0.01..=100.0).contains(cv) {
                    return Ok(());
                }
                let problem = format!("{cv} is not in 0.01 to 100; for a constant use the deterministic law");
                Err(Invalid::new(format!("{field}.cv"), problem))
            }
            ServiceLaw::Empirical { quantiles_s } => {
                let field = format!("{field}.quantiles_s");
                if quantiles_s.is_empty() {
                    return Err(Invalid::new(field, "empty; it takes at least one quantile"));
                }
                quantiles_s.iter().try_for_each(|&q| not_negative(&field, q))?;
                if quantiles_s.windows(2).any(|w| w[1] < w[0]) {
                    return Err(Invalid::new(field, "not rising; sort the quantiles"));
                }
                Ok(())
            }
        }
    }
}
