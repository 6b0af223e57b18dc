//! How Numaflow's autoscaler is set up; what is left out is as Numaflow has it.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, at_least_one, not_negative, positive};

use crate::bounds::{Bounds, check_limits};

/// `DefaultMaxReplicas`.
const PODS_MAX: u32 = 50;

/// Two vertices, the edge between them, and the options of the autoscaler. Everything may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumaflowConfig {
    /// Stage A, a source.
    pub a: NumaflowStage,
    /// Stage B, a sink that reads from the edge.
    pub b: NumaflowStage,
    /// The edge from A to B: what waits for a transfer slot and what holds one.
    pub edge: NumaflowBuffer,
    /// The queue in front of B's pods, where it is to count as an edge further down; absent by default, as nothing comes
    /// after a sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub further: Option<NumaflowBuffer>,
    /// Time between two looks at a vertex, `taskInterval` \[s\]. 30 by default.
    pub task_interval_s: f64,
    /// Share of the usable length from which an edge is full, `backPressureThreshold`. 0.9 by default.
    pub back_pressure_threshold: f64,
}

/// The buffer of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumaflowBuffer {
    /// `bufferMaxLength` \[requests\]. 30000 by default.
    pub length: u32,
    /// Share of it that may be used, `bufferUsageLimit`. 0.8 by default.
    pub usage_limit: f64,
}

/// `scale` of one vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumaflowStage {
    /// Fewest pods, `min`; absent for the pipeline's, or for 1 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_min: Option<u32>,
    /// Most pods, `max`; absent for the pipeline's, or for 50 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_max: Option<u32>,
    /// Over which pending and rate are averaged, `lookbackSeconds`, at most 600 \[s\]. 120 by default.
    pub lookback_s: f64,
    /// After scaling no scaling up for so long, `scaleUpCooldownSeconds` \[s\]. 90 by default.
    pub scale_up_cooldown_s: f64,
    /// After scaling no scaling down for so long, `scaleDownCooldownSeconds` \[s\]. 90 by default.
    pub scale_down_cooldown_s: f64,
    /// In which what is pending should be done, `targetProcessingSeconds` \[s\]. 20 by default.
    pub target_processing_s: f64,
    /// Share of the buffer's length that should be free, `targetBufferAvailability`; a source has no buffer to read \[%\].
    /// 50 by default.
    pub target_buffer_availability_percent: f64,
    /// Most pods more in one step, `replicasPerScaleUp`. 2 by default.
    pub replicas_per_scale_up: u32,
    /// Most pods fewer in one step, `replicasPerScaleDown`. 2 by default.
    pub replicas_per_scale_down: u32,
}

impl Default for NumaflowConfig {
    fn default() -> Self {
        NumaflowConfig {
            a: NumaflowStage::default(),
            b: NumaflowStage::default(),
            edge: NumaflowBuffer::default(),
            further: None,
            task_interval_s: 30.0,
            back_pressure_threshold: 0.9,
        }
    }
}

impl Default for NumaflowBuffer {
    fn default() -> Self {
        NumaflowBuffer { length: 30_000, usage_limit: 0.8 }
    }
}

impl Default for NumaflowStage {
    fn default() -> Self {
        NumaflowStage {
            pods_min: None,
            pods_max: None,
            lookback_s: 120.0,
            scale_up_cooldown_s: 90.0,
            scale_down_cooldown_s: 90.0,
            target_processing_s: 20.0,
            target_buffer_availability_percent: 50.0,
            replicas_per_scale_up: 2,
            replicas_per_scale_down: 2,
        }
    }
}

impl NumaflowConfig {
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
        let within = |name: &'static str| {
            move |wrong: Invalid| Invalid::new(format!("{name}.{}", wrong.field), wrong.problem)
        };
        self.a.validate().map_err(within("a"))?;
        self.b.validate().map_err(within("b"))?;
        self.edge.validate().map_err(within("edge"))?;
        self.further.map_or(Ok(()), |buffer| buffer.validate().map_err(within("further")))?;
        positive("task_interval_s", self.task_interval_s)?;
        positive("back_pressure_threshold", self.back_pressure_threshold)
    }
}

impl NumaflowBuffer {
    /// The part of the length that may be used, in whole requests.
    pub(super) fn limit(&self) -> i64 {
        (f64::from(self.length) * self.usage_limit) as i64
    }

    /// A part of the length, in whole requests: 70 % of 90 are 63, and 0.7 of 90 would be 62.
    pub(super) fn percent(&self, percent: f64) -> i64 {
        (f64::from(self.length) * percent / 100.0) as i64
    }

    fn validate(&self) -> Result<(), Invalid> {
        positive("usage_limit", self.usage_limit)?;
        if self.usage_limit > 1.0 {
            return Err(Invalid::new("usage_limit", format!("{} is above 1", self.usage_limit)));
        }
        if self.limit() < 1 {
            let problem = format!("{} of {} is less than one request", self.usage_limit, self.length);
            return Err(Invalid::new("length", problem));
        }
        Ok(())
    }
}

impl NumaflowStage {
    /// Fewest and most pods.
    pub(super) fn limits(&self) -> (u32, u32) {
        let min = self.pods_min.unwrap_or(1);
        (min, self.pods_max.unwrap_or(PODS_MAX.max(min)))
    }

    fn validate(&self) -> Result<(), Invalid> {
        check_limits(self.pods_min, self.pods_max)?;
        if !(10.0..=600.0).contains(&self.lookback_s) {
            let problem =
                format!("{} is not in 10..=600: two samples at least, ten minutes at most", self.lookback_s);
            return Err(Invalid::new("lookback_s", problem));
        }
        not_negative("scale_up_cooldown_s", self.scale_up_cooldown_s)?;
        not_negative("scale_down_cooldown_s", self.scale_down_cooldown_s)?;
        positive("target_processing_s", self.target_processing_s)?;
        let percent = self.target_buffer_availability_percent;
        positive("target_buffer_availability_percent", percent)?;
        if percent > 100.0 {
            return Err(Invalid::new(
                "target_buffer_availability_percent",
                format!("{percent} is above 100"),
            ));
        }
        at_least_one("replicas_per_scale_up", self.replicas_per_scale_up)?;
        at_least_one("replicas_per_scale_down", self.replicas_per_scale_down)
    }
}
