//! How KEDA is set up; what is left out is as KEDA and Kubernetes have it.

use serde::{Deserialize, Serialize};
use splitscale_spec::{Invalid, Stage, not_negative, positive};

use super::formula::Formula;
use crate::bounds::{Bounds, check_limits};
use crate::features::position;
use crate::hpa::{Behavior, HpaConfig, HpaStage, thousandth};

/// `defaultHPAMaxReplicas`.
const PODS_MAX: u32 = 100;

/// Two ScaledObjects and the flags of the controller that runs their HPAs. Everything may be left out: then each goes by
/// its own queue, 2 requests a pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KedaConfig {
    /// That of stage A.
    pub a: KedaStage,
    /// That of stage B.
    pub b: KedaStage,
    /// Time between two syncs of the HPAs \[s\]; in between nothing is decided. 15 by default.
    pub sync_period_s: f64,
    /// Ratios within 1 - tolerance to 1 + tolerance change nothing. 0.1 by default.
    pub tolerance: f64,
    /// Window of the largest recommendation, where `behavior` does not say one \[s\]. 300 by default.
    pub downscale_stabilization_s: f64,
}

/// The ScaledObject of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KedaStage {
    /// Fewest pods, `minReplicaCount`; absent for the pipeline's, or for 1 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_min: Option<u32>,
    /// Most pods, `maxReplicaCount`; absent for the pipeline's, or for 100 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_max: Option<u32>,
    /// Time between two polls of KEDA's own, `pollingInterval` \[s\]: here it only counts failures. 30 by default.
    pub polling_interval_s: f64,
    /// What is measured: at least one.
    pub triggers: Vec<KedaTrigger>,
    /// Folds all triggers into one metric, `advanced.scalingModifiers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_modifiers: Option<KedaModifiers>,
    /// What stands in for a trigger that fails; absent, its metric fails and the HPA holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<KedaFallback>,
    /// `advanced.horizontalPodAutoscalerConfig.behavior`: how fast the HPA may move. Absent is not the same as the default
    /// one, see [`HpaStage::behavior`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// One trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KedaTrigger {
    /// Which [signal](crate::feature_names); also its name in a formula.
    pub signal: String,
    /// How much of it there should be for each pod; may be left out where a formula has the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

/// A formula and its target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KedaModifiers {
    /// The [formula](Formula) over the triggers.
    pub formula: String,
    /// How much of what it comes to there should be for each pod.
    pub target: f64,
}

/// What stands in for triggers that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KedaFallback {
    /// More failures in a row than this, `failureThreshold`.
    pub failure_threshold: u32,
    /// Pods to have then.
    pub replicas: u32,
    /// What that means. `static` by default.
    #[serde(default)]
    pub behavior: KedaFallbackBehavior,
}

/// What `replicas` of a fallback means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KedaFallbackBehavior {
    /// That many.
    #[default]
    Static,
    /// As many as there are.
    CurrentReplicas,
    /// The larger of both.
    CurrentReplicasIfHigher,
    /// The smaller of both.
    CurrentReplicasIfLower,
    /// The trigger is nil in the formula, and that many where the formula is nil.
    ScalingModifiers,
}

impl Default for KedaConfig {
    fn default() -> Self {
        KedaConfig::queue(2.0)
    }
}

impl Default for KedaStage {
    fn default() -> Self {
        KedaStage {
            pods_min: None,
            pods_max: None,
            polling_interval_s: 30.0,
            triggers: Vec::new(),
            scaling_modifiers: None,
            fallback: None,
            behavior: None,
        }
    }
}

impl KedaConfig {
    /// Of these two.
    pub fn of(a: KedaStage, b: KedaStage) -> Self {
        KedaConfig { a, b, sync_period_s: 15.0, tolerance: 0.1, downscale_stabilization_s: 300.0 }
    }

    /// Each stage by its own queue: so many waiting requests a pod.
    pub fn queue(target: f64) -> Self {
        let of = |signal: &str| {
            let trigger = KedaTrigger { signal: signal.to_owned(), target: Some(target) };
            KedaStage { triggers: vec![trigger], ..KedaStage::default() }
        };
        KedaConfig::of(of("queue_a"), of("queue_b"))
    }

    /// The veto: each stage by its own queue, but not up while the link is full, that is while at least the share `full`
    /// of its transfer slots is held.
    ///
    /// It is what KEDA has for who does not want to scale into a full backend (keda#4823): while that is full the formula says
    /// no more than what the pods there are would take, so that the HPA keeps them, and it may still say less. With
    /// `behavior`: without it an HPA goes by the largest recommendation of the last 300 s, those before the veto among
    /// them, and would go up all the same.
    pub fn veto(target: f64, full: f64) -> Self {
        let of = |stage: Stage| {
            let stage = match stage {
                Stage::A => 'a',
                Stage::B => 'b',
            };
            let signals = [
                "busy_slots".to_owned(),
                format!("queue_{stage}"),
                format!("ready_{stage}"),
                format!("starting_{stage}"),
            ];
            let [slots, queue, ready, starting] = &signals;
            let formula =
                format!("{slots} < {full} ? {queue} : min({queue}, {target} * ({ready} + {starting}))");
            KedaStage {
                triggers: signals.map(|signal| KedaTrigger { signal, target: None }).into(),
                scaling_modifiers: Some(KedaModifiers { formula, target }),
                behavior: Some(Behavior::default()),
                ..KedaStage::default()
            }
        };
        KedaConfig::of(of(Stage::A), of(Stage::B))
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
    /// The first field that is out of range, by its path; of a formula also the column.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (name, stage) in [("a", &self.a), ("b", &self.b)] {
            stage
                .validate()
                .map_err(|Invalid { field, problem }| Invalid::new(format!("{name}.{field}"), problem))?;
        }
        positive("sync_period_s", self.sync_period_s)?;
        not_negative("tolerance", self.tolerance)?;
        not_negative("downscale_stabilization_s", self.downscale_stabilization_s)
    }

    /// The HPAs that KEDA creates.
    pub(super) fn hpa(&self) -> HpaConfig {
        let of = |stage: &KedaStage| HpaStage {
            pods_min: stage.pods_min,
            pods_max: stage.pods_max.or(Some(PODS_MAX)),
            metrics: Vec::new(),
            behavior: stage.behavior.clone(),
        };
        HpaConfig {
            a: of(&self.a),
            b: of(&self.b),
            sync_period_s: self.sync_period_s,
            tolerance: self.tolerance,
            downscale_stabilization_s: self.downscale_stabilization_s,
            ..HpaConfig::default()
        }
    }
}

impl KedaStage {
    fn validate(&self) -> Result<(), Invalid> {
        check_limits(self.pods_min, self.pods_max.or(Some(PODS_MAX)))?;
        positive("polling_interval_s", self.polling_interval_s)?;
        if self.triggers.is_empty() {
            let problem = "empty; name at least one, such as { signal = \"queue_a\", target = 2 }";
            return Err(Invalid::new("triggers", problem));
        }
        for (row, KedaTrigger { signal, target }) in self.triggers.iter().enumerate() {
            let field = |name: &str| format!("triggers[{row}].{name}");
            if position(signal).is_none() {
                return Err(Invalid::new(
                    field("signal"),
                    format!("`{signal}` is no signal of an observation"),
                ));
            }
            if self.triggers[..row].iter().any(|before| before.signal == *signal) {
                return Err(Invalid::new(field("signal"), format!("`{signal}` is named twice")));
            }
            match target {
                Some(target) => thousandth(&field("target"), *target)?,
                None if self.scaling_modifiers.is_some() => {}
                None => return Err(Invalid::new(field("target"), "missing; only a formula can do without")),
            }
        }
        if let Some(KedaModifiers { formula, target }) = &self.scaling_modifiers {
            thousandth("scaling_modifiers.target", *target)?;
            let names: Vec<&str> = self.triggers.iter().map(|trigger| trigger.signal.as_str()).collect();
            let wrong = |problem| Invalid::new("scaling_modifiers.formula", problem);
            let formula = Formula::parse(formula, &names).map_err(wrong)?;
            let tried = formula.value(&vec![Some(-1.0); names.len()]);
            tried.map_err(|why| wrong(format!("{why}, with every trigger at -1, by which KEDA tries it")))?;
        }
        match (self.fallback, &self.scaling_modifiers) {
            (Some(fallback), None) if fallback.behavior == KedaFallbackBehavior::ScalingModifiers => {
                let problem = "scaling_modifiers needs a formula; name one, or another behavior";
                return Err(Invalid::new("fallback.behavior", problem));
            }
            (Some(_), Some(modifiers)) if modifiers.target.fract() != 0.0 => {
                let problem =
                    format!("{} is no whole number, and KEDA has no fallback then", modifiers.target);
                return Err(Invalid::new("scaling_modifiers.target", problem));
            }
            _ => {}
        }
        self.behavior.as_ref().map_or(Ok(()), Behavior::validate)
    }
}
