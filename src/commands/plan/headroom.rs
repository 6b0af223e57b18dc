//! How much denser the load may get before the promise breaks.

use anyhow::Result;
use serde::Serialize;
use splitscale_spec::{Bottleneck, Replicas};

use super::candidate::{Spread, Stopped, Trial};
use super::variant::Variant;

/// How many times as dense the load may get.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Headroom {
    /// The factor at which so many requests as were promised are still answered in time, one value a seed.
    pub factor: Spread,
    /// The same as a rate \[1/s\]; of a recorded load its mean.
    pub rate_per_s: Spread,
    /// A seed kept the promise at the densest that was tried, so that the factor is not below this.
    pub at_least: bool,
    /// What the throughput law lets through at most \[1/s\]: beyond it a queue grows as long as such a load lasts.
    pub carried_per_s: f64,
    /// What stops there.
    pub bottleneck: Bottleneck,
}

/// Halvings of the interval: what is left of it is a thousandth of it.
const HALVINGS: u32 = 10;
/// Where the search begins: a seed may do worse than all of them together.
const LOWEST: f64 = 0.5;
/// Doublings of the upper end of a load that ends, where it is kept beyond what the throughput law carries.
const DOUBLINGS: u32 = 6;

/// Where a seed is looked at: kept below, broken above; `open` where nothing that was tried broke it.
#[derive(Debug, Clone, Copy)]
struct Bracket {
    keeps: f64,
    breaks: f64,
    open: bool,
}

impl Trial<'_> {
    /// By bisection in each seed, under the arrivals and demands that the search met, closer together: from half of the
    /// load up to what the throughput law says is carried at all. A recorded load ends, and what carries less than comes may answer
    /// all of it in time: of it the upper end is doubled until the promise breaks.
    ///
    /// # Errors
    /// [`Stopped`]; as [`Trial::judge`].
    pub fn headroom(&self, variant: &Variant, pods: Replicas) -> Result<Headroom> {
        let (carried_per_s, bottleneck) = variant.carries(pods);
        let most = (carried_per_s / self.traffic.mean_per_s).max(1.0);
        let of = |replication| {
            let keeps = |factor| self.keeps((variant, pods), factor, replication);
            let doublings = if self.traffic.span_s.is_some() { DOUBLINGS } else { 0 };
            let Some(bracket) = Bracket::of(most, doublings, &keeps)? else { return Ok(None) };
            bracket.narrowed(&keeps)
        };
        let found = self.pool.each(0..u64::from(self.seeds), of)?.ok_or(Stopped)?;
        let factor = Spread::of(&found.iter().map(|of| of.middle()).collect::<Vec<_>>())?;
        let at_least = found.iter().any(|of| of.open);
        let rate_per_s = Spread {
            value: factor.value * self.traffic.mean_per_s,
            low: factor.low * self.traffic.mean_per_s,
            high: factor.high * self.traffic.mean_per_s,
        };
        Ok(Headroom { factor, rate_per_s, at_least, carried_per_s, bottleneck })
    }
}

// === impl Bracket ===

impl Bracket {
    /// From half of the load to `most`, which is doubled at most so often while it is kept; with no doublings it is taken to
    /// break. Absent where it was stopped.
    fn of(most: f64, doublings: u32, kept: &impl Fn(f64) -> Result<Option<bool>>) -> Result<Option<Bracket>> {
        let (mut keeps, mut breaks) = (LOWEST, most);
        for doubling in 0..doublings {
            match kept(breaks)? {
                Some(true) if doubling + 1 == doublings => {
                    return Ok(Some(Bracket { keeps: breaks, breaks, open: true }));
                }
                Some(true) => (keeps, breaks) = (breaks, 2.0 * breaks),
                Some(false) => break,
                None => return Ok(None),
            }
        }
        Ok(Some(Bracket { keeps, breaks, open: false }))
    }

    /// By halves; absent where it was stopped.
    fn narrowed(mut self, kept: &impl Fn(f64) -> Result<Option<bool>>) -> Result<Option<Bracket>> {
        for _ in 0..if self.open { 0 } else { HALVINGS } {
            let middle = self.middle();
            match kept(middle)? {
                Some(true) => self.keeps = middle,
                Some(false) => self.breaks = middle,
                None => return Ok(None),
            }
        }
        Ok(Some(self))
    }

    fn middle(&self) -> f64 {
        f64::midpoint(self.keeps, self.breaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_end_of_a_load_that_ends_is_doubled_until_it_breaks() {
        let found = |most: f64, doublings: u32, limit: f64| {
            let kept = |factor: f64| Ok(Some(factor <= limit));
            Bracket::of(most, doublings, &kept).unwrap().unwrap().narrowed(&kept).unwrap().unwrap()
        };
        let of = found(1.0, DOUBLINGS, 5.3);
        assert!((of.middle() - 5.3).abs() < 0.01 && !of.open, "{of:?}");
        let of = found(1.0, DOUBLINGS, f64::INFINITY);
        assert!(of.open && of.middle() == 32.0, "five doublings: {of:?}");
        // A steady load is not carried beyond the law, however long it takes to show.
        let of = found(1.5, 0, f64::INFINITY);
        assert!(!of.open && (1.499..=1.5).contains(&of.middle()), "{of:?}");
        let of = found(1.5, DOUBLINGS, 0.8);
        assert!((of.middle() - 0.8).abs() < 0.001, "{of:?}");
    }
}
