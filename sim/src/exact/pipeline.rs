//! The split pipeline with exponential times, and its throughput under endless demand.

use splitscale_spec::Invalid;

use super::levels::{Blocks, solve};
use super::{Station, at_least_one, birth_death, mean, positive};

/// The split pipeline: A, then a slot over the transfer, then B; each first come first served.
///
/// ```text
///  queue ─▶ A pods ──▶ queue ─▶ slots: transfer ──▶ queue ─▶ B pods ─▶
///           └ hold_a: until a  ┘└─ hold_slot: until B is done ──────┘
///             slot is free
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pipeline {
    /// Mean time at A \[s\].
    pub a_s: f64,
    /// Mean time of a transfer \[s\].
    pub transfer_s: f64,
    /// Mean time at B \[s\].
    pub b_s: f64,
    /// Pods of A.
    pub pods_a: u32,
    /// Transfer slots.
    pub slots: u32,
    /// Pods of B.
    pub pods_b: u32,
    /// A slot is held over the transfer and until B is done. Otherwise it is free after the transfer.
    pub hold_slot: bool,
    /// A pod of A is held until its request has a slot. Otherwise it takes the next one at once.
    pub hold_a: bool,
}

impl Pipeline {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        positive("a_s", self.a_s)?;
        positive("transfer_s", self.transfer_s)?;
        positive("b_s", self.b_s)?;
        at_least_one("pods_a", self.pods_a)?;
        at_least_one("slots", self.slots)?;
        at_least_one("pods_b", self.pods_b)
    }

    /// What no law of these means can exceed \[1/s\]: min(kA / tA, c / (tX + tB), kB / tB), with c / tX for
    /// slots that are free after the transfer.
    ///
    /// # Errors
    /// A field out of range.
    pub fn bound_per_s(&self) -> Result<f64, Invalid> {
        self.validate()?;
        let held_s = if self.hold_slot { self.transfer_s + self.b_s } else { self.transfer_s };
        Ok(self.a().capacity_per_s().min(f64::from(self.slots) / held_s).min(self.b().capacity_per_s()))
    }

    /// The throughput if requests wait for slots without end \[1/s\]. The b that are at B follow a birth and
    /// death process, up (c - b) / tX, down min(b, kB) / tB. With c of at most kB nobody waits at B, and the
    /// bound is reached, by any laws of these means.
    ///
    /// # Errors
    /// A field out of range.
    pub fn slots_throughput_per_s(&self) -> Result<f64, Invalid> {
        self.validate()?;
        if !self.hold_slot {
            return Ok((f64::from(self.slots) / self.transfer_s).min(self.b().capacity_per_s()));
        }
        let up = |b: usize| f64::from(self.slots - b as u32) / self.transfer_s;
        let at_b = birth_death(self.slots as usize, up, |b| self.b_rate(b));
        Ok(mean(&at_b, |b| self.b_rate(b)))
    }

    /// The throughput if requests wait for A without end \[1/s\]. Where A is not held it feeds the slots with a
    /// Poisson stream, and the slower of the two decides; where it is held a finite chain does.
    ///
    /// # Errors
    /// A field out of range.
    pub fn throughput_per_s(&self) -> Result<f64, Invalid> {
        self.validate()?;
        let a = self.a().capacity_per_s();
        if !self.hold_a {
            return Ok(a.min(self.slots_throughput_per_s()?));
        }
        if self.hold_slot {
            return self.held_throughput_per_s();
        }
        // Requests that are transferred or wait for that, each of the latter on a pod of A.
        let top = (self.slots + self.pods_a) as usize;
        let sent_per_s = |n: usize| n.min(self.slots as usize) as f64 / self.transfer_s;
        let past_a = birth_death(top, |n| self.a_rate(n), sent_per_s);
        Ok(mean(&past_a, sent_per_s).min(self.b().capacity_per_s()))
    }

    /// A as a station without arrivals.
    pub(super) fn a(&self) -> Station {
        Station { rate_per_s: 0.0, service_s: self.a_s, servers: self.pods_a }
    }

    pub(super) fn transfer(&self) -> Station {
        Station { rate_per_s: 0.0, service_s: self.transfer_s, servers: self.slots }
    }

    pub(super) fn b(&self) -> Station {
        Station { rate_per_s: 0.0, service_s: self.b_s, servers: self.pods_b }
    }

    /// Services of B with `b` requests there \[1/s\].
    pub(super) fn b_rate(&self, b: usize) -> f64 {
        b.min(self.pods_b as usize) as f64 / self.b_s
    }

    /// Services of a held and busy A with `n` past it that have or want a slot \[1/s\].
    fn a_rate(&self, n: usize) -> f64 {
        let holding = n.saturating_sub(self.slots as usize);
        (self.pods_a as usize - holding) as f64 / self.a_s
    }

    /// Levels: requests that have a slot or hold A while they want one. Phases: how many of them are at B.
    fn held_throughput_per_s(&self) -> Result<f64, Invalid> {
        let top = (self.slots + self.pods_a) as usize;
        let blocks = |level: usize| {
            let mut blocks = self.slot_blocks(level);
            if level < top {
                (0..blocks.local.size()).for_each(|b| blocks.add_up(b, b, self.a_rate(level)));
            }
            blocks
        };
        let levels = solve(blocks, top, false).ok_or_else(no_solution)?;
        let phases = levels.below.iter().chain([&levels.top]);
        Ok(phases.map(|phases| mean(phases, |b| self.b_rate(b))).sum())
    }

    /// Of `level` requests that have or want a slot, b at B: transfers end and B's services do; nothing enters.
    pub(super) fn slot_blocks(&self, level: usize) -> Blocks {
        let phases = |level: usize| level.min(self.slots as usize) + 1;
        let here = phases(level);
        let mut blocks = Blocks::new(phases(level.saturating_sub(1)), here, phases(level + 1));
        for b in 0..here {
            if b + 1 < here {
                blocks.add_local(b, b + 1, (here - 1 - b) as f64 / self.transfer_s);
            }
            if b > 0 {
                blocks.add_down(b, b - 1, self.b_rate(b));
            }
        }
        blocks
    }
}

/// No positive rates lead here.
pub(super) fn no_solution() -> Invalid {
    Invalid::new("pipeline", "its times are too far apart to be solved in double precision")
}
