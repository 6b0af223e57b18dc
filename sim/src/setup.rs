//! What is simulated.

use splitscale_spec::{Invalid, Laws, Replicas};

use crate::arrivals::Arrivals;

/// A pipeline, its laws and its load.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Pods of both stages.
    pub pods: Replicas,
    /// Transfer slots.
    pub slots: u32,
    /// What durations are drawn from.
    pub laws: Laws,
    /// The load.
    pub arrivals: Arrivals,
    /// Keep every request. Otherwise memory holds those on their way only.
    pub records: bool,
}

impl Setup {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_pods(self.pods)?;
        check_slots(self.slots)?;
        self.laws.validate()?;
        self.arrivals.validate()
    }
}

pub(crate) fn check_pods(pods: Replicas) -> Result<(), Invalid> {
    at_least_one("pods.a", pods.a)?;
    at_least_one("pods.b", pods.b)
}

pub(crate) fn check_slots(slots: u32) -> Result<(), Invalid> {
    at_least_one("slots", slots)
}

fn at_least_one(field: &str, value: u32) -> Result<(), Invalid> {
    if value > 0 {
        return Ok(());
    }
    Err(Invalid::new(field, "zero; it takes at least 1"))
}
