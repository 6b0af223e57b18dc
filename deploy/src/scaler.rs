//! The loop that keeps a pipeline at what its policy wants.
//!
//! ```text
//!  tick ─▶ finish or take back what is half done ─▶ scrape ─▶ decide ─▶ write ─▶ carry out ─▶ write what came of it
//! ```

use splitscale_policy::{Controller, Decision, End, Line, Mode, Outcome, Residuals, Shadow};
use splitscale_spec::Replicas;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::local::LocalBackend;
use crate::scrape::Observer;

/// Watches a pipeline and changes its pods.
#[derive(Debug)]
pub struct Scaler {
    /// Where the pipeline is.
    pub backend: LocalBackend,
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
}

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

impl Scaler {
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
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            self.controller.set_mode(self.desk.mode());
            if let Some(half) = self.half.take() {
                let outcome = self.repair(half).await;
                if !outcome.end.carried_out() {
                    self.controller.untold(half.from);
                }
                self.desk.ended(&outcome);
                write(Line::Outcome(outcome))?;
            }
            let round = self.backend.scrape().await;
            let now_s = self.begin_s + start.elapsed().as_secs_f64();
            let observation = self.observer.observe(now_s, round);
            let mut decision = self.controller.decide(now_s, &observation);
            decision.shadow = self.shadow.as_mut().map(|shadow| shadow.observe(now_s, &observation));
            decision.agreement = self.residuals.as_mut().map(|laws| laws.observe(now_s, &observation));
            if !decision.acts() && decision.pods.is_some() && decision.pods != decision.from {
                decision.carried_out = Some(false);
                decision.why.push("recommended only: nothing was changed".to_owned());
            }
            self.desk.show(&decision);
            write(Line::Decision(Box::new(decision.clone())))?;
            if decision.acts() {
                let outcome = self.carry_out(&decision).await;
                self.desk.ended(&outcome);
                write(Line::Outcome(outcome))?;
            }
        }
    }

    async fn carry_out(&mut self, decision: &Decision) -> Outcome {
        // Where nobody knows what there is, which an emergency does not mind, whatever is to be is more than nothing.
        let from = decision.from.unwrap_or(Replicas { a: 0, b: 0 });
        let to = decision.pods.unwrap_or(from);
        let of = decision.id;
        match self.backend.apply(from, to).await {
            Ok(()) => Outcome { of, end: End::Done, why: "carried out".to_owned() },
            Err(error) => {
                self.half = Half::of(decision);
                Outcome { of, end: End::Half, why: format!("not carried out in full: {error}") }
            }
        }
    }

    /// Finishes what is half done, or takes it back: one try each, as the next decision is waiting.
    async fn repair(&self, half: Half) -> Outcome {
        let Half { decision: of, from, to } = half;
        let outcome = |end, why: String| Outcome { of, end, why };
        if self.controller.mode() != Mode::Auto {
            let mode = self.controller.mode().name();
            return outcome(End::GivenUp, format!("left as it was, as the mode became {mode}"));
        }
        let Err(finish) = self.backend.apply(from, to).await else {
            return outcome(End::Finished, "finished at the next tick".to_owned());
        };
        match self.backend.apply(to, from).await {
            Ok(()) => outcome(End::RolledBack, format!("taken back at the next tick: {finish}")),
            Err(back) => {
                outcome(End::GivenUp, format!("neither finished ({finish}) nor taken back ({back})"))
            }
        }
    }
}
