//! What the HPA of a ScaledObject is told: `GetScaledObjectMetrics`.

use splitscale_spec::Observation;

use super::config::{KedaFallback, KedaFallbackBehavior, KedaModifiers, KedaStage};
use super::formula::Formula;
use crate::features::read;
use crate::hpa::External;

impl KedaStage {
    /// The value of every trigger, absent where it failed; counts the failures in a row where there is a fallback.
    pub(super) fn ask(&self, failures: &mut Vec<u32>, observation: &Observation) -> Vec<Option<f64>> {
        failures.resize(if self.fallback.is_some() { self.triggers.len() } else { 0 }, 0);
        let values = self.triggers.iter().map(|trigger| read(&trigger.signal, observation));
        // Scalers give whole thousandths, cut off.
        let values: Vec<Option<f64>> = values.map(|value| Some((value? * 1000.0).trunc() / 1000.0)).collect();
        for (failures, value) in failures.iter_mut().zip(&values) {
            *failures = if value.is_some() { 0 } else { failures.saturating_add(1) };
        }
        values
    }

    /// The metrics at a sync, with so many pods asked for.
    pub(super) fn metrics(
        &self,
        failures: &mut Vec<u32>,
        current: u32,
        observation: &Observation,
    ) -> Vec<External> {
        let values = self.ask(failures, observation);
        let fallen = |at: usize| {
            let fallback = self.fallback.filter(|fallback| failures[at] > fallback.failure_threshold);
            fallback.filter(|_| values[at].is_none())
        };
        if let Some(modifiers) = &self.scaling_modifiers {
            let fallen: Vec<Option<KedaFallback>> = (0..values.len()).map(fallen).collect();
            return vec![self.composite(modifiers, &values, &fallen, current)];
        }
        let metric = |(at, trigger): (usize, &super::KedaTrigger)| {
            let target = trigger.target.unwrap_or(1.0);
            let (mut name, mut milli) =
                (trigger.signal.clone(), Err(format!("{} is missing", trigger.signal)));
            if let Some(value) = values[at] {
                milli = thousandths(value);
            } else if let Some(fallback) = fallen(at) {
                name.push_str(" (fallback)");
                milli = thousandths(target * f64::from(fallback.pods(current)));
            }
            External { name, milli, target }
        };
        self.triggers.iter().enumerate().map(metric).collect()
    }

    /// All triggers in one, by the formula.
    fn composite(
        &self,
        modifiers: &KedaModifiers,
        values: &[Option<f64>],
        fallen: &[Option<KedaFallback>],
        current: u32,
    ) -> External {
        let target = modifiers.target;
        let told = |name: &str, milli| External { name: name.to_owned(), milli, target };
        let instead = |pods: u32| told("composite (fallback)", thousandths(target * f64::from(pods)));
        let by_formula =
            |fallback: &KedaFallback| fallback.behavior == KedaFallbackBehavior::ScalingModifiers;
        // One that has fallen back stands for all of them, whatever the formula is.
        if let Some(fallback) = fallen.iter().flatten().find(|fallback| !by_formula(fallback)) {
            return instead(fallback.pods(current));
        }
        // One that fails and has not is an error to the HPA; only one that has may be nil.
        let fails = (0..values.len()).find(|&at| values[at].is_none() && fallen[at].is_none());
        if let Some(at) = fails {
            return told("composite", Err(format!("{} is missing", self.triggers[at].signal)));
        }
        let names: Vec<&str> = self.triggers.iter().map(|trigger| trigger.signal.as_str()).collect();
        let value = Formula::parse(&modifiers.formula, &names).and_then(|formula| formula.value(values));
        match (value, self.fallback) {
            (Ok(Some(value)), _) => told("composite", thousandths(value)),
            (Ok(None), Some(fallback)) => instead(fallback.replicas),
            (Ok(None), None) => told("composite", Err("the formula is nil".to_owned())),
            (Err(problem), _) => told("composite", Err(format!("the formula fails: {problem}"))),
        }
    }
}

impl KedaFallback {
    /// Pods to fall back to, where there are so many.
    fn pods(self, current: u32) -> u32 {
        match self.behavior {
            KedaFallbackBehavior::Static | KedaFallbackBehavior::ScalingModifiers => self.replicas,
            KedaFallbackBehavior::CurrentReplicas => current,
            KedaFallbackBehavior::CurrentReplicasIfHigher => current.max(self.replicas),
            KedaFallbackBehavior::CurrentReplicasIfLower => current.min(self.replicas),
        }
    }
}

/// Cut off, as `resource.NewMilliQuantity(int64(value * 1000))` is.
fn thousandths(value: f64) -> Result<i64, String> {
    let milli = (value * 1000.0).trunc();
    (milli.abs() < 1e15).then_some(milli as i64).ok_or_else(|| format!("{value} is no quantity"))
}
