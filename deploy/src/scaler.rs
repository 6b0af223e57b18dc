//! The loop that keeps a pipeline at what its policy wants.
//!
//! ```text
//!  tick ─▶ finish or take back what is half done ─▶ scrape ─▶ decide ─▶ write ─▶ carry out ─▶ write what came of it
//! ```

use splitscale_policy::{Controller, Decision, End, Line, Mode, Outcome, Residuals, Shadow};
use splitscale_spec::Replicas;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::desk::Desk;
use crate::local::LocalBackend;
use crate::scrape::Observer;

/// Watches a pipeline and changes its pods.
#[derive(Debug)]
pub struct Scaler<B = LocalBackend> {
    /// Where the pipeline is.
    pub backend: B,
    /// What was seen so far.
    pub observer: Observer,
    /// Who decides.
    pub controller: Controller,
    /// Another policy on the same inputs, for comparison; absent for none.
    pub shadow: Option<Shadow>,
    /// Whether the calibration still holds; absent without one.
    pub residuals: Option<Residuals>,
    /// Where it is looked at, and told its mode.
    pub desk: Desk,
    /// When it begins, on the clock of decisions: later than zero where it goes on after another process \[s\].
    pub begin_s: f64,
    /// What another process may have left half done.
    pub half: Option<Half>,
    /// Since the last change failed, and was taken back or given up.
    pub refused: Refused,
    /// What it last changed the pods to; absent where it has changed nothing, or it was told that they are others.
    pub asked: Option<Replicas>,
}

/// How long nothing is changed after a change failed: a stage that refuses for good must not make the other go to and fro.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refused {
    /// On the clock of decisions \[s\].
    until_s: f64,
    /// For how long it was the last time \[s\].
    wait_s: f64,
}

/// The first wait after a change failed, which doubles with each \[s\].
const WAIT_MIN_S: f64 = 15.0;
/// The longest \[s\].
const WAIT_MAX_S: f64 = 300.0;

/// A decision of which one stage may have been told and the other not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// Its number.
    pub decision: u64,
    /// What there was before.
    pub from: Replicas,
    /// What is to be.
    pub to: Replicas,
}

impl Half {
    /// What is left of a decision that may not have been carried out in full; absent where nothing was known before, as then
    /// there is nothing to go back to.
    pub fn of(decision: &Decision) -> Option<Half> {
        let (from, to) = decision.from.zip(decision.pods).filter(|_| decision.acts())?;
        Some(Half { decision: decision.id, from, to })
    }
}

impl Refused {
    fn again(&mut self, now_s: f64) {
        self.wait_s = (2.0 * self.wait_s).clamp(WAIT_MIN_S, WAIT_MAX_S);
        self.until_s = now_s + self.wait_s;
    }
}

impl<B: Backend> Scaler<B> {
    /// Runs until `stop` is cancelled. `write` gets each decision before it is carried out, and then what came of it: what it
    /// keeps tells whoever goes on after this process was killed what may be half done.
    ///
    /// # Errors
    /// Only what `write` returns: a pipeline that does not answer is an observation, not an error.
    pub async fn run<E>(
        mut self,
        stop: CancellationToken,
        mut write: impl FnMut(Line) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = Instant::now();
        let mut ticks = interval(self.desk.interval());
        // A slow scrape must not be followed by a volley of decisions on the same window.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            self.controller.set_mode(self.desk.mode());
            let begun_s = self.begin_s + start.elapsed().as_secs_f64();
            if let Some(outcome) = self.finish_half(begun_s).await {
                write(Line::Outcome(outcome))?;
            }
            let round = self.backend.scrape().await;
            let now_s = self.begin_s + start.elapsed().as_secs_f64();
            let observation = self.observer.observe(now_s, round);
            let mut decision = self.controller.decide(now_s, &observation);
            decision.shadow = self.shadow.as_mut().map(|shadow| shadow.observe(now_s, &observation));
            decision.agreement = self.residuals.as_mut().map(|laws| laws.observe(now_s, &observation));
            let changes = decision.pods.is_some() && decision.pods != decision.from;
            self.tell_of_others(&decision);
            let left_s = self.refused.until_s - now_s;
            let acts = decision.acts() && (left_s <= 0.0 || decision.mode == Mode::Emergency);
            if changes && !acts {
                decision.carried_out = Some(false);
                decision.why.push(match decision.acts() {
                    true => {
                        format!("not carried out: the last change failed, the next is tried in {left_s:.0} s")
                    }
                    false => "recommended only: nothing was changed".to_owned(),
                });
                if let (true, Some(from)) = (decision.acts(), decision.from) {
                    self.controller.untold(from);
                }
            }
            self.desk.show(&decision);
            write(Line::Decision(Box::new(decision.clone())))?;
            if acts {
                let outcome = self.carry_out(&decision).await;
                self.desk.ended(&outcome);
                write(Line::Outcome(outcome))?;
            }
        }
        // Nobody comes after it who would.
        let end_s = self.begin_s + start.elapsed().as_secs_f64();
        if let Some(outcome) = self.finish_half(end_s).await {
            write(Line::Outcome(outcome))?;
        }
        Ok(())
    }

    /// Two scalers of one pipeline undo each other's changes for ever: whoever changes its pods beside this one is told of, once a
    /// change of its own.
    fn tell_of_others(&mut self, decision: &Decision) {
        let (Some(asked), Some(there)) = (self.asked, decision.from) else { return };
        if asked != there {
            self.asked = None;
            tracing::warn!(
                "somebody else changes the pods, or a stage was started anew: this scaler left a {} and b {}, and they are to be a {} and b {} now",
                asked.a,
                asked.b,
                there.a,
                there.b
            );
        }
    }

    /// Finishes or takes back what is half done, if anything is.
    async fn finish_half(&mut self, now_s: f64) -> Option<Outcome> {
        let half = self.half.take()?;
        let outcome = self.repair(half).await;
        match outcome.end {
            End::RolledBack => self.controller.untold(half.from),
            End::GivenUp => self.controller.unsure(),
            _ => self.refused = Refused::default(),
        }
        self.asked = outcome.end.carried_out().then_some(half.to);
        if !outcome.end.carried_out() {
            self.refused.again(now_s);
        }
        self.desk.ended(&outcome);
        Some(outcome)
    }

    async fn carry_out(&mut self, decision: &Decision) -> Outcome {
        // Where nobody knows what there is, which an emergency does not mind, whatever is to be is more than nothing.
        let from = decision.from.unwrap_or(Replicas { a: 0, b: 0 });
        let to = decision.pods.unwrap_or(from);
        let outcome = |end, why: String| Outcome { of: decision.id, end, why };
        let applied = match self.backend.announce(decision).await {
            Ok(()) => self.backend.apply(from, to).await,
            Err(error) => Err(error),
        };
        match applied {
            Ok(()) => {
                (self.refused, self.asked) = (Refused::default(), Some(to));
                outcome(End::Done, "carried out".to_owned())
            }
            Err(error) if decision.mode == Mode::Emergency => {
                self.asked = None;
                outcome(
                    End::GivenUp,
                    format!("not carried out in full, and asked for again at the next tick: {error}"),
                )
            }
            Err(error) if error.untouched => {
                self.controller.untold(from);
                if !error.soon {
                    self.refused.again(decision.now_s);
                }
                outcome(End::GivenUp, format!("not carried out: {error}"))
            }
            Err(error) => {
                self.asked = None;
                self.half = Half::of(decision);
                outcome(End::Half, format!("not carried out in full: {error}"))
            }
        }
    }

    /// Finishes what is half done, or takes it back: one try each, as the next decision is waiting. What was not decided by this
    /// process, or in another world, is only finished where it still may be.
    async fn repair(&mut self, half: Half) -> Outcome {
        let Half { decision: of, from, to } = half;
        let outcome = |end, why: String| Outcome { of, end, why };
        let left = |why: &str| outcome(End::GivenUp, format!("left as it was: {why}"));
        if self.controller.mode() != Mode::Auto {
            return left(&format!("the mode is {}", self.controller.mode().name()));
        }
        if !self.controller.setup().allows(to) {
            return left("bounds or budget are others now");
        }
        let (a, b) = self.backend.desired().await;
        let others = |now: Option<u32>, from: u32, to: u32| now.is_some_and(|now| now != from && now != to);
        if others(a, from.a, to.a) || others(b, from.b, to.b) {
            return left("somebody else changed the pods since");
        }
        let Err(finish) = self.backend.apply(from, to).await else {
            return outcome(End::Finished, "finished at the next tick".to_owned());
        };
        // Only who took it is asked to go back.
        let (a, b) = self.backend.desired().await;
        let now = Replicas { a: a.unwrap_or(to.a), b: b.unwrap_or(to.b) };
        match self.backend.apply(now, from).await {
            Ok(()) => outcome(End::RolledBack, format!("taken back at the next tick: {finish}")),
            Err(back) => {
                outcome(End::GivenUp, format!("neither finished ({finish}) nor taken back ({back})"))
            }
        }
    }
}
