//! What a policy wants, by itself: no bounds on top, nothing that holds it back.

use splitscale_spec::{Invalid, Observation, Replicas};

use crate::bounds::Bounds;
use crate::document::{Policy, PolicyKind};
use crate::features::features;
use crate::hash::document_hash;
use crate::memory::RuleMemory;
use crate::rule;

/// A policy that was checked, ready to be asked. What it remembers is not in it.
#[derive(Debug, Clone)]
pub(crate) struct Proposer {
    policy: Policy,
    pub(crate) hash: String,
}

/// Why a policy wants nothing, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// It is not its time: it has not looked.
    Waiting(String),
    /// It has looked, and what there is stays.
    Staying(String),
    /// What it goes by is missing or too old.
    Unseen(String),
    /// What was seen is outside of what it was made for.
    Outside(String),
}

/// What nobody told is unseen.
impl From<String> for Silence {
    fn from(words: String) -> Self {
        Silence::Unseen(words)
    }
}

impl From<&str> for Silence {
    fn from(words: &str) -> Self {
        Silence::Unseen(words.to_owned())
    }
}

impl Silence {
    /// The words alone.
    pub fn words(&self) -> &str {
        match self {
            Silence::Waiting(words)
            | Silence::Staying(words)
            | Silence::Unseen(words)
            | Silence::Outside(words) => words,
        }
    }
}

impl Proposer {
    /// Checks a policy.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub(crate) fn new(policy: &Policy, bounds: Bounds) -> Result<Self, Invalid> {
        policy.validate()?;
        let hash = document_hash(policy);
        let mut policy = policy.clone();
        // One without bounds of its own would want more and more for as long as it is held back.
        match &mut policy.kind {
            PolicyKind::Hpa(hpa) => **hpa = std::mem::take(&mut **hpa).within(bounds),
            PolicyKind::Keda(keda) => **keda = std::mem::take(&mut **keda).within(bounds),
            PolicyKind::Kpa(kpa) => **kpa = std::mem::take(&mut **kpa).within(bounds),
            PolicyKind::Numaflow(numaflow) => **numaflow = std::mem::take(&mut **numaflow).within(bounds),
            PolicyKind::Static(_)
            | PolicyKind::SlotsTable(_)
            | PolicyKind::Greedy(_)
            | PolicyKind::Useful(_) => {}
        }
        Ok(Proposer { policy, hash })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.policy.name
    }

    /// What it wants, by signals that are all to be believed; in `why` how it came to that. Both stages must have answered:
    /// `desired` is what they were told.
    ///
    /// # Errors
    /// Why it wants nothing.
    pub(crate) fn propose(
        &self,
        memory: &mut RuleMemory,
        (now_s, desired): (f64, Replicas),
        observation: &Observation,
        why: &mut Vec<String>,
    ) -> Result<Replicas, Silence> {
        let features = features(observation);
        if let (PolicyKind::SlotsTable(_), Some(slots)) = (&self.policy.kind, observation.slots) {
            why.push(format!("slots {}, age {:.1} s", slots.value, slots.age_s));
        }
        if let Some(left) = self.policy.region.as_ref().and_then(|region| region.left_by(&features)) {
            return Err(left);
        }
        let (pods, words) = match &self.policy.kind {
            PolicyKind::Static(pods) => rule::constant(*pods),
            PolicyKind::SlotsTable(bins) => {
                let slots = observation.slots.ok_or("slots missing")?;
                rule::table(bins, slots.value).map_err(Silence::Outside)?
            }
            PolicyKind::Greedy(greedy) => {
                let pods = greedy.actions.pods(greedy.best(&features, desired), desired);
                (pods, format!("best of {} actions: {}", greedy.actions.count(), rule::words(pods)))
            }
            PolicyKind::Hpa(hpa) => hpa.decide(memory.hpa(), now_s, observation)?,
            PolicyKind::Keda(keda) => keda.decide(memory.keda(), now_s, observation)?,
            PolicyKind::Kpa(kpa) => kpa.decide(memory.kpa(), now_s, observation)?,
            PolicyKind::Numaflow(numaflow) => numaflow.decide(memory.numaflow(), now_s, observation)?,
            PolicyKind::Useful(useful) => useful.decide(now_s, observation)?,
        };
        why.push(words);
        Ok(pods)
    }
}
