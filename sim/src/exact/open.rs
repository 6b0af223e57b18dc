//! The split pipeline under Poisson arrivals.

use splitscale_spec::Invalid;

use super::levels::solve;
use super::pipeline::{Pipeline, no_solution};
use super::{Mmc, Station, Steady, below_capacity, mean, positive};

/// Means of the open pipeline in its steady state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Open {
    /// Requests in the pipeline: L.
    pub number: f64,
    /// From arrival to answer \[s\]: W.
    pub sojourn_s: f64,
    /// A.
    pub a: Steady,
    /// Wait for a slot, and the transfer.
    pub transfer: Steady,
    /// B.
    pub b: Steady,
    /// The probability that no slot is free.
    pub slots_busy: f64,
}

impl Pipeline {
    /// Under Poisson arrivals. A is an M/M/kA, and what leaves it is Poisson again, independent of what it
    /// holds (Burke 1956). So the slots are a chain of their own: levels n that have or want one, phases b at
    /// B, all levels from n = c on alike. Slots that are free after the transfer make three M/M/c in a row.
    /// With slots held the relative error is about 1e-15 / (1 - rate / throughput)^2.
    ///
    /// # Errors
    /// A field out of range; arrivals that are not below the throughput; A held, which couples the two.
    pub fn open(&self, rate_per_s: f64) -> Result<Open, Invalid> {
        self.validate()?;
        positive("rate_per_s", rate_per_s)?;
        if self.hold_a {
            return Err(Invalid::new(
                "hold_a",
                "A held under Poisson arrivals has no solver; set it to false",
            ));
        }
        below_capacity("rate_per_s", rate_per_s, self.throughput_per_s()?)?;
        let steady = |station| Ok(Mmc::new(Station { rate_per_s, ..station })?.steady());
        let a: Steady = steady(self.a())?;
        let (transfer, b, slots_busy) = if self.hold_slot {
            self.slots_held(rate_per_s)?
        } else {
            // Full with c or more there.
            let transfer = Mmc::new(Station { rate_per_s, ..self.transfer() })?;
            (transfer.steady(), steady(self.b())?, transfer.wait_probability())
        };
        let sojourn_s = a.sojourn_s + transfer.sojourn_s + b.sojourn_s;
        Ok(Open { number: rate_per_s * sojourn_s, sojourn_s, a, transfer, b, slots_busy })
    }

    fn slots_held(&self, rate_per_s: f64) -> Result<(Steady, Steady, f64), Invalid> {
        let slots = self.slots as usize;
        let blocks = |level: usize| {
            let mut blocks = self.slot_blocks(level);
            for b in 0..blocks.local.size() {
                blocks.add_up(b, b, rate_per_s);
            }
            blocks
        };
        let levels = solve(blocks, slots, true).ok_or_else(no_solution)?;
        let phases = levels.below.iter().chain([&levels.top]);
        let queue = |b: usize| b.saturating_sub(self.pods_b as usize) as f64;
        let waiting_b: f64 = phases.map(|phases| mean(phases, queue)).sum();
        let transfer = Steady::of_wait(rate_per_s, self.transfer_s, levels.above_top / rate_per_s);
        let b = Steady::of_wait(rate_per_s, self.b_s, waiting_b / rate_per_s);
        Ok((transfer, b, levels.top.iter().sum()))
    }
}
