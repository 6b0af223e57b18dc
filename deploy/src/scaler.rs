//! The loop that keeps a pipeline at what its policy wants.

use std::time::Duration;

use splitscale_policy::{Controller, Decision, Mode, Shadow};
use splitscale_spec::Replicas;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

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
    /// Time between two decisions.
    pub interval: Duration,
    /// When it begins, on the clock of decisions: later than zero where it goes on after another process \[s\].
    pub begin_s: f64,
}

impl Scaler {
    /// Runs until `stop` is cancelled. Each decision is given to `on_decision` after it was carried out,
    /// with what came of it as its last `why`.
    ///
    /// # Errors
    /// Only what `on_decision` returns: a pipeline that does not answer is an observation, not an error.
    pub async fn run<E>(
        mut self,
        stop: CancellationToken,
        mut on_decision: impl FnMut(&Decision) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = Instant::now();
        let mut ticks = interval(self.interval);
        // A slow scrape must not be followed by a volley of decisions on the same window.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let round = self.backend.scrape().await;
            let now_s = self.begin_s + start.elapsed().as_secs_f64();
            let observation = self.observer.observe(now_s, round);
            let mut decision = self.controller.decide(now_s, &observation);
            decision.shadow = self.shadow.as_mut().map(|shadow| shadow.observe(now_s, &observation));
            self.carry_out(&mut decision).await;
            on_decision(&decision)?;
        }
    }

    async fn carry_out(&self, decision: &mut Decision) {
        let Some(to) = decision.pods else { return };
        // Where nobody knows what there is, which an emergency does not mind, whatever is to be is more than nothing.
        let from = decision.from.unwrap_or(Replicas { a: 0, b: 0 });
        let (carried_out, words) = match decision.mode {
            _ if from == to => return,
            Mode::Auto | Mode::Emergency => self.tell(from, to).await,
            Mode::Recommend | Mode::Paused => (false, "recommended only: nothing was changed".to_string()),
        };
        decision.carried_out = Some(carried_out);
        decision.why.push(words);
    }

    /// Whether the pods were changed in full, and in words.
    async fn tell(&self, from: Replicas, to: Replicas) -> (bool, String) {
        match self.backend.apply(from, to).await {
            Ok(()) => (true, "carried out".to_string()),
            // The next tick sees the pods as they are and asks again.
            Err(error) => (false, format!("not carried out in full: {error}")),
        }
    }
}
