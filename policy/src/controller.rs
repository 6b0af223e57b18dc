//! A started policy inside its safety shell.

use splitscale_spec::{Decision, Invalid, Observation, Replicas, Signal, StagePods};

use crate::bottleneck::bottleneck;
use crate::bounds::Bounds;
use crate::document::{Policy, PolicyKind};
use crate::features::features;
use crate::freshness::Freshness;
use crate::greedy::Greedy;
use crate::hash::document_hash;
use crate::hpa::HpaMemory;
use crate::rule;

/// A started policy inside its safety shell. `clone` is a snapshot.
///
/// # Guarantees
/// - The same observations at the same times give the same decisions.
/// - `capped` lies within the bounds, whatever was observed.
/// - It holds (`raw` and `capped` absent, the reason in `why`) while a stage does not answer, while what the policy goes by
///   lies outside the region it was trained on, and, where that is the transfer slots, while these are missing or stale.
///   What is missing is never taken for zero: to a learnt policy it is missing, as it was in training, or outside.
#[derive(Debug, Clone)]
pub struct Controller {
    policy: Policy,
    hash: String,
    bounds: Bounds,
    freshness: Freshness,
    decided: u64,
    memory: HpaMemory,
}

/// Starts a policy for a pipeline, or for whatever else has bounds.
///
/// # Errors
/// The first field of the policy that is out of range, or a limit on age that is none.
pub fn start(
    policy: &Policy,
    bounds: impl Into<Bounds>,
    freshness: Freshness,
) -> Result<Controller, Invalid> {
    let bounds = bounds.into();
    policy.validate()?;
    if freshness.max_age_s.is_nan() || freshness.max_age_s <= 0.0 {
        let problem = format!("{} is not above zero; no signal would ever be believed", freshness.max_age_s);
        return Err(Invalid::new("max_age_s", problem));
    }
    let mut bounded = policy.clone();
    if let PolicyKind::Hpa(hpa) = &mut bounded.kind {
        **hpa = std::mem::take(&mut **hpa).within(bounds);
    }
    Ok(Controller {
        hash: document_hash(policy),
        policy: bounded,
        bounds,
        freshness,
        decided: 0,
        memory: HpaMemory::default(),
    })
}

impl Controller {
    /// Decides. `now_s` is on the clock of `observation.time_s` and not before it \[s\].
    pub fn decide(&mut self, now_s: f64, observation: &Observation) -> Decision {
        self.decided += 1;
        let mut why = Vec::new();
        let chosen = self.choose(now_s, observation, &mut why);
        if let Err(reason) = &chosen {
            why.push(format!("{reason}: hold"));
        }
        let (raw, capped) = chosen.ok().unzip();
        Decision {
            schema: Decision::SCHEMA,
            id: self.decided,
            observed: observation.clone(),
            bottleneck: bottleneck(observation, now_s, self.freshness),
            raw,
            capped,
            why,
            policy: self.hash.clone(),
            carried_out: None,
        }
    }

    /// Hash of the policy document, as it stands in every decision.
    pub fn policy_hash(&self) -> &str {
        &self.hash
    }

    /// Raw and capped pods, or in words why to hold.
    fn choose(
        &mut self,
        now_s: f64,
        observation: &Observation,
        why: &mut Vec<String>,
    ) -> Result<(Replicas, Replicas), String> {
        // What a table goes by comes first: it is what the reader of a decision asks for.
        let slots = match &self.policy.kind {
            PolicyKind::SlotsTable(_) => Some(self.trusted_slots(now_s, observation, why)?),
            PolicyKind::Static(_) | PolicyKind::Greedy(_) | PolicyKind::Hpa(_) => None,
        };
        let answers = |stage: &str, pods: &Option<StagePods>| {
            let pods = pods.as_ref().ok_or_else(|| format!("stage {stage} does not answer"))?;
            let age = Some(Signal { value: (), age_s: pods.age_s });
            let heard = self.freshness.check(now_s, observation, age);
            heard.map_err(|problem| format!("stage {stage} does not answer, its pods are {problem}"))?;
            Ok::<_, String>(pods.desired)
        };
        let desired = Replicas { a: answers("a", &observation.a)?, b: answers("b", &observation.b)? };
        let (raw, reason) = match &self.policy.kind {
            PolicyKind::Static(pods) => rule::constant(*pods),
            PolicyKind::SlotsTable(bins) => rule::table(bins, slots.unwrap_or(0))?,
            PolicyKind::Greedy(greedy) => self.greedy(greedy, now_s, observation, desired)?,
            PolicyKind::Hpa(hpa) => {
                hpa.decide(&mut self.memory, now_s, &self.freshness.believed(now_s, observation))?
            }
        };
        why.push(reason);
        let capped = self.bounds.clamp(raw);
        if capped != raw {
            why.push(self.clamp_words(raw, capped));
        }
        if let (Some(a), Some(b)) = (&observation.a, &observation.b) {
            why.push(change_words(a, b, capped));
        }
        Ok((raw, capped))
    }

    /// The transfer slots, if they are there, fresh, and of the kind the policy was trained on.
    fn trusted_slots(
        &self,
        now_s: f64,
        observation: &Observation,
        why: &mut Vec<String>,
    ) -> Result<u32, String> {
        let (slots, age_s) = self
            .freshness
            .check(now_s, observation, observation.slots)
            .map_err(|problem| format!("slots {problem}"))?;
        why.push(format!("slots {slots}, age {age_s:.1} s"));
        match self.policy.region.as_ref().and_then(|region| region.left_by(&features(observation))) {
            Some(outside) => Err(outside),
            None => Ok(slots),
        }
    }

    /// What a learnt policy takes for best, where it may be trusted.
    fn greedy(
        &self,
        greedy: &Greedy,
        now_s: f64,
        observation: &Observation,
        desired: Replicas,
    ) -> Result<(Replicas, String), String> {
        let features = features(&self.freshness.believed(now_s, observation));
        if let Some(outside) = self.policy.region.as_ref().and_then(|region| region.left_by(&features)) {
            return Err(outside);
        }
        let pods = greedy.actions.pods(greedy.best(&features, desired), desired);
        Ok((pods, format!("best of {} actions: {}", greedy.actions.count(), rule::words(pods))))
    }

    fn clamp_words(&self, raw: Replicas, capped: Replicas) -> String {
        let stages = [
            ("a", raw.a, capped.a, self.bounds.pods_min.a, self.bounds.pods_max.a),
            ("b", raw.b, capped.b, self.bounds.pods_min.b, self.bounds.pods_max.b),
        ];
        let clamped = stages.iter().filter(|(_, raw, capped, ..)| raw != capped);
        let words = clamped.map(|(stage, raw, capped, min, max)| {
            format!("{stage} clamped from {raw} to {capped} (allowed {min}..{max})")
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// `a 6 -> 2, b 6`, or `no change`.
fn change_words(a: &StagePods, b: &StagePods, to: Replicas) -> String {
    if a.desired == to.a && b.desired == to.b {
        return "no change".to_owned();
    }
    let stage = |name: &str, from: u32, to: u32| {
        if from == to { format!("{name} {to}") } else { format!("{name} {from} -> {to}") }
    };
    format!("{}, {}", stage("a", a.desired, to.a), stage("b", b.desired, to.b))
}
