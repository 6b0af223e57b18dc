//! What was learnt from measurements: curves of time against pods, and the laws the simulator draws from.

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::{at_least_one, check_schema, ensure, not_negative, positive};
use crate::law::Makespan;
use crate::record::Encoding;

/// A calibration, written by `splitscale calibrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Schema number, [`Calibration::SCHEMA`].
    pub schema: u32,
    /// One curve a traffic level, by rising slots.
    pub levels: Vec<Level>,
    /// What the levels have in common; absent where there are too few of them.
    pub surface: Option<Surface>,
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
    /// y = a * exp(-b * (pods - pods_min)) + c: height above the floor \[s\]. Absent unless status is `EXP` or
    /// `RISING`.
    pub a: Option<f64>,
    /// Rate \[1/pod\]. Absent with a.
    pub b: Option<f64>,
    /// Floor \[s\]. Absent with a.
    pub c: Option<f64>,
    /// Lower end of the interval of b \[1/pod\]; absent where the data give it none.
    pub b_low: Option<f64>,
    /// Upper end of it; absent where the data give it none.
    pub b_high: Option<f64>,
    /// p-value of the F-test of "pods make no difference"; absent where it cannot be made.
    pub p_flat: Option<f64>,
    /// p-value of "the fit misses the means by no more than the repeats scatter"; absent without repeats.
    pub p_lack: Option<f64>,
    /// Root mean square of the residuals of the means \[s\].
    pub rmse_s: f64,
    /// What was measured and what the curve says there. The environments use these values.
    pub points: Vec<FittedPoint>,
}

/// Time over pods and slots, for traffic that was not measured too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// The bottleneck law.
    pub law: Makespan,
    /// Mean of |law / measured - 1| over the levels but the first and the last, each predicted by a law fitted to the
    /// others; absent where there are fewer than four.
    pub mean_error: Option<f64>,
    /// The largest of them all over all cells, by which a prediction may be off; absent where there are fewer than
    /// three levels.
    pub largest_error: Option<f64>,
}

/// What the data of a level allow to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LevelStatus {
    /// A falling exponential with an identified rate.
    Exp,
    /// A straight line: there is a trend, and no curve in it that could be told.
    Line,
    /// Pods make no difference: a constant.
    Flat,
    /// All of the change lies between two neighbouring pod counts: b has a bound on one side alone.
    Step,
    /// A rising exponential with an identified rate: more pods cost time.
    Rising,
    /// There is a trend, but its rate is not identified: use `points`, never a, b, c.
    RateNotIdentified,
    /// Too few pod counts or measurements for a curve: `points` repeat the means.
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
    /// Lower end of the band of that value \[s\]; absent where there is none.
    pub low_s: Option<f64>,
    /// Upper end of it \[s\].
    pub high_s: Option<f64>,
}

/// What the simulator draws from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laws {
    /// How long an A pod is taken by a request, others not slowing it.
    pub service_a: ServiceLaw,
    /// How long a transfer takes, B's wait and service not counted, nor other transfers on a shared link.
    pub transfer: ServiceLaw,
    /// How long a B pod is taken by a request, others not slowing it.
    pub service_b: ServiceLaw,
    /// Everything outside the three: upload, hops, answer.
    pub overhead: ServiceLaw,
    /// Pods of A that work at full speed at once; more of them share that. Absent where none slowed another.
    pub cores_a: Option<f64>,
    /// The same of B.
    pub cores_b: Option<f64>,
    /// What a transfer slot is; absent where it was not measured: each has a link of its own, held until B answers.
    pub slot: Option<SlotLaw>,
    /// From asking for a pod of A until it is ready.
    pub start_up_a: Option<ServiceLaw>,
    /// The same of B.
    pub start_up_b: Option<ServiceLaw>,
    /// Where the network was cut; absent where that was not recorded, or not always the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// What activations travelled as; absent alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// How sure the numbers are, by their names, such as `service_a.mean_s`.
    #[serde(default)]
    pub intervals: std::collections::BTreeMap<String, Interval>,
    /// Cells of the table they were fitted on, as (slots, pods).
    pub fitted_on: Vec<(u32, u32)>,
}

/// What one transfer slot is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotLaw {
    /// Size of the activations that were measured, their mean \[bytes\].
    pub bytes: f64,
    /// What each byte takes \[s\]; absent where one size and no bandwidth leave it unknown.
    pub seconds_per_byte: Option<f64>,
    /// What a transfer takes besides \[s\]; absent with it.
    pub fixed_s: Option<f64>,
    /// All slots share one link, in place of a link each.
    pub shared: bool,
    /// A slot is held until B has answered, in place of over the transfer alone.
    pub held_until_answer: bool,
}

/// A number and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
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
    /// Another law, later by a constant; the law is neither shifted nor a mixture.
    Shifted {
        /// What every duration takes at least \[s\].
        shift_s: f64,
        /// What comes on top.
        law: Box<ServiceLaw>,
    },
    /// One law or the other, such as of a warm and of a cold start; neither is shifted or a mixture.
    Mixture {
        /// Probability of the first.
        share: f64,
        /// The one.
        first: Box<ServiceLaw>,
        /// The other.
        second: Box<ServiceLaw>,
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
    /// Machine on which it was measured; absent where nobody wrote it down.
    pub host: Option<String>,
    /// Engines of A and of B.
    pub engine: Option<String>,
    /// When the measurement began, in UTC.
    pub date: Option<String>,
}

impl Calibration {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 2;

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_schema("calibration", self.schema, Self::SCHEMA)?;
        ensure(!self.levels.is_empty(), "levels", "empty; a calibration has at least one level")?;
        for (row, level) in self.levels.iter().enumerate() {
            let field = format!("levels[{row}]");
            if let Some(slots) = level.slots {
                at_least_one(&format!("{field}.slots"), slots)?;
            }
            let problem = "empty; a level has at least one point";
            ensure(!level.points.is_empty(), format!("{field}.points"), problem)?;
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
        self.overhead.validate("laws.overhead")?;
        for (field, cores) in [("laws.cores_a", self.cores_a), ("laws.cores_b", self.cores_b)] {
            cores.map_or(Ok(()), |cores| positive(field, cores))?;
        }
        self.slot.as_ref().map_or(Ok(()), SlotLaw::validate)?;
        for (field, law) in [("laws.start_up_a", &self.start_up_a), ("laws.start_up_b", &self.start_up_b)] {
            law.as_ref().map_or(Ok(()), |law| law.validate(field))?;
        }
        self.intervals.iter().try_for_each(|(name, known)| known.validate(&format!("laws.intervals.{name}")))
    }
}

impl SlotLaw {
    fn validate(&self) -> Result<(), Invalid> {
        // Requests that were simulated without a payload have none.
        not_negative("laws.slot.bytes", self.bytes)?;
        let parts =
            [("laws.slot.seconds_per_byte", self.seconds_per_byte), ("laws.slot.fixed_s", self.fixed_s)];
        parts.into_iter().try_for_each(|(field, part)| part.map_or(Ok(()), |part| not_negative(field, part)))
    }
}

impl Interval {
    /// The estimate may lie outside, as of resamples it does; and an end below zero, as of a line's height at zero.
    fn validate(&self, field: &str) -> Result<(), Invalid> {
        for (end, value) in [("value", self.value), ("low", self.low), ("high", self.high)] {
            ensure(value.is_finite(), format!("{field}.{end}"), format!("{value} is not a finite number"))?;
        }
        let problem =
            format!("{} is below the low end, {}; the ends are the other way round", self.high, self.low);
        ensure(self.low <= self.high, format!("{field}.high"), problem)
    }
}

impl Default for ServiceLaw {
    fn default() -> Self {
        ServiceLaw::Deterministic { value_s: 0.0 }
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
            ServiceLaw::Shifted { shift_s, law } => shift_s + law.mean_s(),
            ServiceLaw::Mixture { share, first, second } => {
                share * first.mean_s() + (1.0 - share) * second.mean_s()
            }
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
                let problem = format!("{cv} is not in 0.01 to 100; for a constant use the deterministic law");
                ensure((0.01..=100.0).contains(cv), format!("{field}.cv"), problem)
            }
            ServiceLaw::Empirical { quantiles_s } => {
                let field = format!("{field}.quantiles_s");
                ensure(!quantiles_s.is_empty(), &field, "empty; it takes at least one quantile")?;
                quantiles_s.iter().try_for_each(|&q| not_negative(&field, q))?;
                ensure(quantiles_s.is_sorted(), &field, "not rising; sort the quantiles")
            }
            ServiceLaw::Shifted { shift_s, law } => {
                not_negative(&format!("{field}.shift_s"), *shift_s)?;
                law.validate_part(&format!("{field}.law"))
            }
            ServiceLaw::Mixture { share, first, second } => {
                let problem = format!("{share} is not between 0 and 1");
                ensure(*share > 0.0 && *share < 1.0, format!("{field}.share"), problem)?;
                first.validate_part(&format!("{field}.first"))?;
                second.validate_part(&format!("{field}.second"))
            }
        }
    }

    fn validate_part(&self, field: &str) -> Result<(), Invalid> {
        let plain = !matches!(self, ServiceLaw::Shifted { .. } | ServiceLaw::Mixture { .. });
        ensure(plain, field, "a law in parts within another; only plain laws are parts")?;
        self.validate(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut Laws)) -> String {
        let slot = SlotLaw {
            bytes: 1e6,
            seconds_per_byte: Some(1e-7),
            fixed_s: Some(0.0),
            shared: false,
            held_until_answer: true,
        };
        let known = Interval { value: 0.01, low: -0.01, high: 0.03 };
        let mut laws = Laws {
            cores_a: Some(2.5),
            slot: Some(slot),
            start_up_b: Some(ServiceLaw::Exponential { mean_s: 3.0 }),
            intervals: [("slot.fixed_s".to_owned(), known)].into(),
            ..Laws::default()
        };
        assert_eq!(laws.validate(), Ok(()));
        change(&mut laws);
        laws.validate().unwrap_err().to_string()
    }

    fn slot(laws: &mut Laws) -> &mut SlotLaw {
        laws.slot.as_mut().unwrap()
    }

    fn known(laws: &mut Laws) -> &mut Interval {
        laws.intervals.get_mut("slot.fixed_s").unwrap()
    }

    #[test]
    fn what_no_law_can_be_is_refused_by_the_name_it_has_in_the_file() {
        let above_zero = |value| format!("{value} is not a finite number above zero");
        let not_below = |value| format!("{value} is not a finite number of zero or more");
        let starts =
            |problem: String, field: &str, why: String| assert_eq!(problem, format!("{field}: {why}"));
        starts(refused(|laws| laws.cores_a = Some(0.0)), "laws.cores_a", above_zero("0"));
        starts(refused(|laws| laws.cores_b = Some(-1.0)), "laws.cores_b", above_zero("-1"));
        starts(refused(|laws| slot(laws).bytes = -1.0), "laws.slot.bytes", not_below("-1"));
        let per_byte = refused(|laws| slot(laws).seconds_per_byte = Some(-1e-7));
        starts(per_byte, "laws.slot.seconds_per_byte", not_below("-0.0000001"));
        starts(refused(|laws| slot(laws).fixed_s = Some(-0.5)), "laws.slot.fixed_s", not_below("-0.5"));
        let law = |mean_s| Some(ServiceLaw::Exponential { mean_s });
        starts(refused(|laws| laws.start_up_a = law(-3.0)), "laws.start_up_a.mean_s", above_zero("-3"));
        starts(refused(|laws| laws.start_up_b = law(0.0)), "laws.start_up_b.mean_s", above_zero("0"));
        let endless = refused(|laws| known(laws).high = f64::INFINITY);
        starts(endless, "laws.intervals.slot.fixed_s.high", "inf is not a finite number".into());
        let turned = refused(|laws| known(laws).low = 0.5);
        let why = "0.03 is below the low end, 0.5; the ends are the other way round";
        starts(turned, "laws.intervals.slot.fixed_s.high", why.into());
    }
}
