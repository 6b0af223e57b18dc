//! A Markov chain in continuous time: traffic on the link, or the rate of arrivals.

use serde::Deserialize;
use splitscale_spec::{Invalid, ServiceLaw, positive};

use crate::chance::{Purpose, Stream};
use crate::law::{Sampler, unit};

/// One state. A chain begins in the first and stays an exponential time in each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainState {
    /// What the state stands for: slots, or arrivals a second.
    pub value: f64,
    /// Mean time in it \[s\].
    pub mean_dwell_s: f64,
    /// Weight of each state to come next, its own zero; by default the others are equally likely.
    #[serde(default)]
    pub next: Option<Vec<f64>>,
}

/// A chain under way: block i of its stream is the dwell in its i-th state and the choice of the one after.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    stream: Stream,
    state: usize,
}

impl ChainState {
    pub(crate) fn validate(field: &str, states: &[ChainState]) -> Result<(), Invalid> {
        if states.len() < 2 {
            return Err(Invalid::new(field, format!("{} states; a chain has at least 2", states.len())));
        }
        for (row, state) in states.iter().enumerate() {
            let field = format!("{field}[{row}]");
            positive(&format!("{field}.mean_dwell_s"), state.mean_dwell_s)?;
            let Some(next) = &state.next else { continue };
            let sound = next.len() == states.len()
                && next.iter().all(|w| w.is_finite() && *w >= 0.0)
                && next[row] == 0.0
                && next.iter().sum::<f64>() > 0.0;
            if !sound {
                let problem =
                    format!("it takes {} weights of zero or more, not all zero, its own zero", states.len());
                return Err(Invalid::new(format!("{field}.next"), problem));
            }
        }
        Ok(())
    }

    /// Long-run mean of the values: each weighted by its mean dwell times how often its state is entered.
    pub(crate) fn mean(states: &[ChainState]) -> f64 {
        // Powers of the jump chain, lazy (half a step at a time) so that it cannot oscillate.
        let mut visits = vec![1.0 / states.len() as f64; states.len()];
        for _ in 0..4096 {
            let mut after: Vec<f64> = visits.iter().map(|v| v / 2.0).collect();
            for (row, state) in states.iter().enumerate() {
                let weights = state.weights(row, states.len());
                let total: f64 = weights.iter().sum();
                for (to, weight) in after.iter_mut().zip(weights) {
                    *to += visits[row] / 2.0 * weight / total;
                }
            }
            visits = after;
        }
        let time = |state: &ChainState, visits: &f64| state.mean_dwell_s * visits;
        let total: f64 = states.iter().zip(&visits).map(|(s, v)| time(s, v)).sum();
        states.iter().zip(&visits).map(|(s, v)| s.value * time(s, v)).sum::<f64>() / total
    }

    fn weights(&self, row: usize, states: usize) -> Vec<f64> {
        self.next.clone().unwrap_or_else(|| (0..states).map(|i| f64::from(u8::from(i != row))).collect())
    }
}

impl Chain {
    pub(crate) fn new(seed: u64, replication: u64, purpose: Purpose) -> Self {
        Chain { stream: Stream::new(seed, replication, purpose), state: 0 }
    }

    /// Value of the state it is in and the time it stays there \[ns\]; it is then in the one after.
    pub(crate) fn step(&mut self, states: &[ChainState]) -> (f64, u64) {
        let [dwell, choice, ..] = self.stream.block();
        let state = &states[self.state];
        let [dwell_ns] =
            Sampler::of(&ServiceLaw::Exponential { mean_s: state.mean_dwell_s }).sample(|_| dwell);
        let weights = state.weights(self.state, states.len());
        let mut height = unit(choice) * weights.iter().sum::<f64>();
        let next = weights.iter().position(|weight| {
            height -= weight;
            height < 0.0
        });
        // Rounding may leave a hair: the last state with a weight then.
        self.state = next.or_else(|| weights.iter().rposition(|w| *w > 0.0)).unwrap_or(0);
        (state.value, dwell_ns.max(1))
    }
}
