//! How the autoscalers are set up; what is left out is as Kubernetes has it.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, at_least_one, not_negative, positive};

use super::behavior::Behavior;
use crate::bounds::{Bounds, check_limits};

/// Two HPAs and the flags of the controller that runs them. Everything may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HpaConfig {
    /// That of stage A.
    pub a: HpaStage,
    /// That of stage B.
    pub b: HpaStage,
    /// Time between two syncs \[s\]; in between nothing is decided. 15 by default.
    pub sync_period_s: f64,
    /// Ratios within 1 - tolerance to 1 + tolerance change nothing. 0.1 by default.
    pub tolerance: f64,
    /// Window of the largest recommendation, where `behavior` does not say one \[s\]. 300 by default.
    pub downscale_stabilization_s: f64,
    /// For so long after a pod was started its CPU is not believed before one window has passed since it became
    /// ready \[s\]. 300 by default.
    pub cpu_initialization_period_s: f64,
    /// A pod that stopped being ready within so long after it was started was never ready \[s\]. 30 by default.
    pub initial_readiness_delay_s: f64,
}

/// The HPA of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HpaStage {
    /// Fewest pods; absent for the pipeline's, or for 1 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_min: Option<u32>,
    /// Most pods; absent for the pipeline's, or for no bound where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_max: Option<u32>,
    /// What it goes by: the largest count that any of them wants. 80 % of the CPU request by default.
    pub metrics: Vec<HpaMetric>,
    /// How fast it may move. Absent is not the same as the default one: without it a scale-up goes to twice
    /// the pods or to 4 at once, whichever is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// A metric and its target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HpaMetric {
    /// Resource metric, `averageUtilization`: CPU used over CPU requested \[%\].
    CpuPercent(u32),
    /// Resource metric, `averageValue`: CPU used by a pod \[cores\].
    CpuCores(f64),
    /// External metric, `averageValue`: requests that wait for the stage, a pod.
    QueuePerPod(f64),
    /// External metric, `averageValue`: requests that arrive at the pipeline, a pod \[1/s\].
    ArrivalsPerPod(f64),
    /// External metric, `value`: 95th percentile of the latency \[s\].
    LatencyP95(f64),
}

impl Default for HpaConfig {
    fn default() -> Self {
        HpaConfig {
            a: HpaStage::default(),
            b: HpaStage::default(),
            sync_period_s: 15.0,
            tolerance: 0.1,
            downscale_stabilization_s: 300.0,
            cpu_initialization_period_s: 300.0,
            initial_readiness_delay_s: 30.0,
        }
    }
}

impl Default for HpaStage {
    fn default() -> Self {
        HpaStage { pods_min: None, pods_max: None, metrics: vec![HpaMetric::CpuPercent(80)], behavior: None }
    }
}

impl HpaConfig {
    /// The same HPA for both stages.
    pub fn of_both(stage: HpaStage) -> Self {
        HpaConfig { a: stage.clone(), b: stage, ..HpaConfig::default() }
    }

    /// The same with these bounds where none are given.
    pub fn within(mut self, bounds: Bounds) -> Self {
        let (a, b) = (&mut self.a, &mut self.b);
        bounds.fill([&mut a.pods_min, &mut a.pods_max], [&mut b.pods_min, &mut b.pods_max]);
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range, by its path.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (name, stage) in [("a", &self.a), ("b", &self.b)] {
            stage
                .validate()
                .map_err(|Invalid { field, problem }| Invalid::new(format!("{name}.{field}"), problem))?;
        }
        positive("sync_period_s", self.sync_period_s)?;
        not_negative("tolerance", self.tolerance)?;
        not_negative("downscale_stabilization_s", self.downscale_stabilization_s)?;
        not_negative("cpu_initialization_period_s", self.cpu_initialization_period_s)?;
        not_negative("initial_readiness_delay_s", self.initial_readiness_delay_s)
    }
}

impl HpaStage {
    fn validate(&self) -> Result<(), Invalid> {
        check_limits(self.pods_min, self.pods_max)?;
        if self.metrics.is_empty() {
            let problem = "empty; name at least one, such as { cpu_percent = 80 }";
            return Err(Invalid::new("metrics", problem));
        }
        for (row, metric) in self.metrics.iter().enumerate() {
            let field = |name: &str| format!("metrics[{row}].{name}");
            match *metric {
                HpaMetric::CpuPercent(percent) => at_least_one(&field("cpu_percent"), percent)?,
                HpaMetric::CpuCores(cores) => thousandth(&field("cpu_cores"), cores)?,
                HpaMetric::QueuePerPod(queue) => thousandth(&field("queue_per_pod"), queue)?,
                HpaMetric::ArrivalsPerPod(rate) => thousandth(&field("arrivals_per_pod"), rate)?,
                HpaMetric::LatencyP95(latency_s) => thousandth(&field("latency_p95"), latency_s)?,
            }
        }
        self.behavior.as_ref().map_or(Ok(()), Behavior::validate)
    }
}

/// Kubernetes counts such quantities in whole thousandths.
pub(crate) fn thousandth(field: &str, value: f64) -> Result<(), Invalid> {
    positive(field, value)?;
    if !(0.001..=1e9).contains(&value) {
        return Err(Invalid::new(field, format!("{value} is not in 0.001..=1e9")));
    }
    Ok(())
}
