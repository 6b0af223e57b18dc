//! A number that changes as the episodes go by.

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use splitscale_spec::Invalid;

/// How a step size or an exploration goes, by the number n of episodes before this one; of a deep
/// agent, by the number of steps. Written down it is a plain number, `{ linear = { from, to, episodes } }`, where `steps` may be
/// written for episodes, or `{ power = { from, exponent } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// In a straight line, and then no more.
    Linear {
        /// At the first episode.
        from: f64,
        /// After so many episodes.
        to: f64,
        /// So many.
        episodes: u64,
    },
    /// from / (n + 1)^exponent.
    Power {
        /// At the first episode.
        from: f64,
        /// Above 0; from 0.5 to 1 a step size settles (Robbins and Monro, 1951).
        exponent: f64,
    },
    /// It does not.
    #[serde(untagged)]
    Constant(f64),
}

impl Schedule {
    /// The value before episode `n`, counted from 0.
    #[inline]
    pub fn at(&self, n: u64) -> f64 {
        match *self {
            Schedule::Constant(value) => value,
            Schedule::Linear { from, to, episodes } if n < episodes => {
                from + (to - from) * n as f64 / episodes as f64
            }
            Schedule::Linear { to, .. } => to,
            Schedule::Power { from, exponent } => from * libm::pow(n as f64 + 1.0, -exponent),
        }
    }

    /// Checks that every value lies above `low` and at most at 1, or at `low` too where `low_too`.
    ///
    /// # Errors
    /// Names `field`.
    pub(crate) fn validate(&self, field: &str, low_too: bool) -> Result<(), Invalid> {
        let sound = |name: &str, value: f64| {
            let inside = value <= 1.0 && if low_too { value >= 0.0 } else { value > 0.0 };
            let range = if low_too { "[0, 1]" } else { "(0, 1]" };
            let name = if name.is_empty() { field.to_string() } else { format!("{field}.{name}") };
            if inside { Ok(()) } else { Err(Invalid::new(name, format!("{value} is not in {range}"))) }
        };
        match *self {
            Schedule::Constant(value) => sound("", value),
            Schedule::Linear { from, to, episodes } => {
                sound("linear.from", from)?;
                sound("linear.to", to)?;
                match episodes {
                    0 => Err(Invalid::new(
                        format!("{field}.linear"),
                        "over nothing; it takes at least one episode or step",
                    )),
                    _ => Ok(()),
                }
            }
            Schedule::Power { from, exponent } => {
                sound("power.from", from)?;
                match exponent.is_finite() && exponent > 0.0 {
                    true => Ok(()),
                    false => {
                        let problem = format!("{exponent} is not a finite number above zero");
                        Err(Invalid::new(format!("{field}.power.exponent"), problem))
                    }
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Linear {
    from: f64,
    to: f64,
    #[serde(alias = "steps")]
    episodes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    from: f64,
    exponent: f64,
}

impl<'de> Visitor<'de> for Written {
    type Value = Schedule;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a number, { linear = { from, to, episodes } } or { power = { from, exponent } }")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(value as f64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(value as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schedule, A::Error> {
        let kind: Option<String> = map.next_key()?;
        let schedule = match kind.as_deref() {
            Some("linear") => {
                let Linear { from, to, episodes } = map.next_value()?;
                Schedule::Linear { from, to, episodes }
            }
            Some("power") => {
                let Power { from, exponent } = map.next_value()?;
                Schedule::Power { from, exponent }
            }
            Some(other) => return Err(A::Error::unknown_field(other, &["linear", "power"])),
            None => return Err(A::Error::custom("an empty table; write linear or power")),
        };
        match map.next_key::<String>()? {
            None => Ok(schedule),
            Some(other) => Err(A::Error::custom(format!("`{other}` beside another; write one of the two"))),
        }
    }
}
