//! A policy at work: what it wants, whether it may be trusted, what holds it back.

use splitscale_spec::{Invalid, Observation, Replicas, Signal, StagePods};

use crate::bottleneck::bottleneck;
use crate::bounds::Bounds;
use crate::decision::{Decision, Limit, Limiter, Mode, Waits};
use crate::document::Policy;
use crate::freshness::{Believed, Freshness};
use crate::memory::{Memory, RuleMemory};
use crate::proposer::{Proposer, Silence};
use crate::setup::Setup;
use crate::shell::{Asked, ShellConfig, least};

/// A started policy inside its safety shell. `clone` is a snapshot.
///
/// # Guarantees
/// - The same observations at the same times give the same decisions, from the same [`Memory`].
/// - `pods` lie within the bounds, and within what [`ShellConfig`] allows, whatever was observed.
/// - `pods` are no more than each stage says that it takes, where it says so; that alone may be below the bounds.
/// - It holds (`pods` absent, the reason in `why`) while a stage does not answer. What is missing is never taken for zero.
/// - Where what the policy goes by is missing or stale, it holds for a while and then goes by the baseline; where it is no
///   number, or outside of the region that the policy was trained on, it goes by the baseline at once. Without a baseline it
///   holds.
#[derive(Debug, Clone)]
pub struct Controller {
    setup: Setup,
    live: Proposer,
    baseline: Option<Proposer>,
    mode: Mode,
    decided: u64,
    memory: Memory,
}

/// Starts a policy by itself, with bounds and the age of signals for all its shell: to see it as it is.
///
/// # Errors
/// The first field of the policy that is out of range, or a limit on age that is none.
pub fn start(
    policy: &Policy,
    bounds: impl Into<Bounds>,
    freshness: Freshness,
) -> Result<Controller, Invalid> {
    let setup = Setup {
        schema: Setup::SCHEMA,
        policy: policy.clone(),
        baseline: None,
        bounds: bounds.into(),
        useful: None,
        shell: ShellConfig::bare(freshness.max_age_s),
    };
    policy.validate()?;
    setup.shell.validate(&setup.bounds)?;
    Controller::new(setup, Mode::Auto)
}

impl Controller {
    /// Starts a policy.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn new(setup: Setup, mode: Mode) -> Result<Controller, Invalid> {
        setup.validate()?;
        Ok(Controller {
            live: Proposer::new(&setup.policy, setup.bounds)?,
            baseline: setup
                .baseline
                .as_ref()
                .map(|baseline| Proposer::new(baseline, setup.bounds))
                .transpose()?,
            setup,
            mode,
            decided: 0,
            memory: Memory::default(),
        })
    }

    /// Goes back to before a decision that was taken: asked again with the same, it takes the same.
    pub fn rewind(&mut self, decision: &Decision) {
        self.mode = decision.mode;
        self.decided = decision.id.saturating_sub(1);
        self.memory = decision.memory.clone();
    }

    /// Starts to lead, after another one did: for a while nothing goes down, as after a start.
    pub fn lead(&mut self) {
        self.memory.shell.began_s = None;
    }

    /// Goes on after a decision that was logged, as another process: with what was remembered then and what came of it,
    /// settling anew. What the stages have now they are to say themselves.
    pub fn resume(&mut self, last: &Decision) {
        let mode = self.mode;
        self.rewind(last);
        (self.mode, self.decided) = (mode, last.id);
        // Whatever came of it: what may have been done counts as done, which only slows down what follows.
        let change = last.from.zip(last.pods).filter(|_| last.acts());
        self.memory.shell.resume(change.map(|(from, to)| (last.now_s, from, to)));
        self.lead();
    }

    /// What was last told did not come to pass in full: so many pods are there, until the stages say otherwise.
    pub fn untold(&mut self, there: Replicas) {
        self.memory.shell.untold(there);
    }

    /// What was last told may have been done in part: nothing is changed before both stages have said what they have.
    pub fn unsure(&mut self) {
        self.memory.shell.unsure();
    }

    /// What is done with decisions from now on. What was not decided about may have changed: it settles anew.
    pub fn set_mode(&mut self, mode: Mode) {
        if mode != self.mode {
            self.lead();
        }
        self.mode = mode;
    }

    /// What is done with decisions.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What it is made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Hash of the policy document, as it stands in every decision.
    pub fn policy_hash(&self) -> &str {
        &self.live.hash
    }

    /// Decides. `now_s` is on the clock of `observation.time_s` and not before it \[s\].
    pub fn decide(&mut self, now_s: f64, observation: &Observation) -> Decision {
        self.decided += 1;
        self.memory.shell.came_to_pass();
        let memory = self.memory.clone();
        let freshness = Freshness { max_age_s: self.setup.shell.max_age_s };
        let mut decision = Decision {
            schema: Decision::SCHEMA,
            id: self.decided,
            now_s,
            mode: self.mode,
            observed: observation.clone(),
            bottleneck: bottleneck(observation, now_s, freshness),
            from: None,
            raw: None,
            cap: None,
            pods: None,
            limits: Vec::new(),
            waits: Waits::default(),
            why: Vec::new(),
            policy: self.live.hash.clone(),
            memory,
            shadow: None,
            agreement: None,
            carried_out: None,
        };
        if let Err(reason) = self.choose(now_s, freshness, &mut decision) {
            decision.why.push(format!("{reason}: hold"));
        }
        decision.waits = self.waits(now_s);
        decision
    }

    /// What waits for its time after a decision at `now_s` \[s\].
    fn waits(&self, now_s: f64) -> Waits {
        let (memory, shell) = (&self.memory.shell, &self.setup.shell);
        let decides = matches!(self.mode, Mode::Recommend | Mode::Auto);
        let baseline_s = memory.unseen_since_s.map(|since_s| since_s + shell.hold_s - now_s);
        Waits {
            down_s: memory.down_left_s(shell, now_s).filter(|_| decides),
            baseline_s: baseline_s.filter(|left_s| decides && self.baseline.is_some() && *left_s > 0.0),
        }
    }

    /// Fills in raw and final pods, or says why to hold.
    fn choose(&mut self, now_s: f64, freshness: Freshness, decision: &mut Decision) -> Result<(), String> {
        if !now_s.is_finite() {
            return Err(format!("{now_s} s is no time"));
        }
        if self.memory.shell.begin(now_s) {
            // Windows that lie in the future would hold for ever.
            decision.why.push("the clock was set back".to_owned());
            self.memory.live = RuleMemory::Nothing;
            self.memory.baseline = RuleMemory::Nothing;
        }
        if self.mode == Mode::Paused {
            return Err("paused".to_owned());
        }
        let mut believed = freshness.believed(now_s, &decision.observed);
        let desired = self.desired(now_s, freshness, &mut believed.seen);
        decision.from = desired.clone().ok();
        if self.mode == Mode::Emergency {
            // Whatever is seen, and if it is nothing.
            decision.why.push("emergency: as many pods as are allowed".to_owned());
            let most = self.setup.shell.most(&self.setup.bounds);
            let pods = least(most, taken(&decision.observed));
            if pods != most {
                let limit = Limit { by: Limiter::Server, from: most, to: pods };
                decision.why.push(limit_words(&limit, &self.setup.bounds));
                decision.limits.push(limit);
            }
            if let Ok(desired) = desired {
                self.memory.shell.told(now_s, desired, pods);
            }
            decision.pods = Some(pods);
            return Ok(());
        }
        let desired = desired?;
        let raw = self.want((now_s, desired), &believed, decision)?;
        decision.raw = Some(raw);
        decision.cap = self
            .setup
            .useful
            .as_ref()
            .and_then(|useful| useful.cap(now_s, &believed.seen, self.setup.bounds.pods_max.b));
        let taken = taken(&decision.observed);
        let asked = Asked { now_s, desired, cap: decision.cap, taken };
        let Setup { shell, bounds, .. } = &self.setup;
        let (pods, limits) = shell.limit(&mut self.memory.shell, bounds, &asked, raw);
        if self.mode == Mode::Auto {
            self.memory.shell.told(now_s, desired, pods);
        }
        decision.why.extend(limits.iter().map(|limit| limit_words(limit, bounds)));
        decision.why.push(change_words(desired, pods));
        decision.limits.extend(limits);
        decision.pods = Some(pods);
        Ok(())
    }

    /// What both stages were told to have: as they say, or as we told them since they last answered. `seen` is put right.
    fn desired(
        &mut self,
        now_s: f64,
        freshness: Freshness,
        seen: &mut Observation,
    ) -> Result<Replicas, String> {
        let says = |stage: &str, pods: &Option<StagePods>| {
            let pods = pods.as_ref().ok_or_else(|| format!("stage {stage} does not answer"))?;
            let age = Some(Signal { value: (), age_s: pods.age_s });
            let heard = freshness.check(now_s, seen, age);
            heard.map_err(|problem| format!("stage {stage} does not answer, its pods are {problem}"))?;
            match pods.desired {
                0 => Err(format!("stage {stage} says that it is to have no pods, which nobody asked for")),
                desired => Ok((seen.time_s - pods.age_s, desired)),
            }
        };
        let (a, b) = (says("a", &seen.a)?, says("b", &seen.b)?);
        if !(self.memory.shell.sure(a.0) && self.memory.shell.sure(b.0)) {
            return Err("the last change failed, and a stage has not said since what it has".to_owned());
        }
        self.memory.shell.heard(Replicas { a: a.1, b: b.1 });
        let desired = self.memory.shell.desired(a, b);
        for (stage, desired) in [(&mut seen.a, desired.a), (&mut seen.b, desired.b)] {
            stage.iter_mut().for_each(|stage| stage.desired = desired);
        }
        Ok(desired)
    }

    /// What the policy wants, or the baseline where the policy is not to be trusted.
    fn want(
        &mut self,
        (now_s, desired): (f64, Replicas),
        believed: &Believed,
        decision: &mut Decision,
    ) -> Result<Replicas, String> {
        let Believed { seen, stale, senseless } = believed;
        let Memory { live, baseline, shell } = &mut self.memory;
        // The baseline is asked always, so that its windows are full on the day it is needed.
        let mut fallback_why = Vec::new();
        let fallback = self
            .baseline
            .as_ref()
            .map(|rule| (rule, rule.propose(baseline, (now_s, desired), seen, &mut fallback_why)));
        let wish = match senseless.as_slice() {
            [] => self.live.propose(live, (now_s, desired), seen, &mut decision.why),
            words => Err(Silence::Outside(words.join(", "))),
        };
        // Who waits for his time has not seen anything yet.
        if !matches!(wish, Err(Silence::Unseen(_) | Silence::Waiting(_))) {
            shell.unseen_since_s = None;
        }
        let silence = match wish {
            Ok(pods) => return Ok(pods),
            Err(silence) => silence,
        };
        let words = silence.words();
        let unseen_since_s = match &silence {
            Silence::Outside(_) => None,
            Silence::Staying(_) => return Err(words.to_owned()),
            Silence::Waiting(_) => match shell.unseen_since_s {
                None => return Err(words.to_owned()),
                since_s => since_s,
            },
            Silence::Unseen(_) => {
                decision.why.extend_from_slice(stale);
                Some(*shell.unseen_since_s.get_or_insert(now_s))
            }
        };
        if let Some(since_s) = unseen_since_s.filter(|_| fallback.is_some()) {
            let left_s = self.setup.shell.hold_s - (now_s - since_s);
            if left_s > 0.0 {
                return Err(format!("{words}, the baseline decides in {left_s:.1} s"));
            }
        }
        let Some((rule, fallback)) = fallback else { return Err(words.to_owned()) };
        decision.why.push(format!("{words}: by the baseline `{}`", rule.name()));
        decision.why.extend(fallback_why);
        // Where it holds it is seen all the same who does.
        let pods = fallback.as_ref().map_or(desired, |pods| *pods);
        decision.limits.push(Limit { by: Limiter::Baseline, from: pods, to: pods });
        fallback.map_err(|silence| silence.words().to_owned())
    }
}

/// Most pods that the stages say they take, whenever they last did: that does not change while a server lives.
fn taken(observed: &Observation) -> Replicas {
    let of =
        |pods: &Option<StagePods>| pods.as_ref().and_then(|pods| pods.pods_max).unwrap_or(u32::MAX).max(1);
    Replicas { a: of(&observed.a), b: of(&observed.b) }
}

/// What a limit did, in words.
fn limit_words(limit: &Limit, bounds: &Bounds) -> String {
    let Bounds { pods_min, pods_max } = bounds;
    let stages = [
        ("a", limit.from.a, limit.to.a, pods_min.a, pods_max.a),
        ("b", limit.from.b, limit.to.b, pods_min.b, pods_max.b),
    ];
    let changed = stages.iter().filter(|(_, from, to, ..)| from != to);
    let words = changed.map(|(stage, from, to, min, max)| match limit.by {
        Limiter::Bounds => format!("{stage} clamped from {from} to {to} (allowed {min}..{max})"),
        Limiter::Server => {
            format!("{stage} {to} in place of {from} (its server takes no more: --pods-max {to})")
        }
        by => format!("{stage} {to} in place of {from} ({})", by.name()),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// `a 6 -> 2, b 6`, or `no change`.
fn change_words(from: Replicas, to: Replicas) -> String {
    if from == to {
        return "no change".to_owned();
    }
    let stage = |name: &str, from: u32, to: u32| {
        if from == to { format!("{name} {to}") } else { format!("{name} {from} -> {to}") }
    };
    format!("{}, {}", stage("a", from.a, to.a), stage("b", from.b, to.b))
}
