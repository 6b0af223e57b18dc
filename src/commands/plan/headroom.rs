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
    /// What the throughput law lets through at most \[1/s\].
    pub carried_per_s: f64,
    /// What stops there.
    pub bottleneck: Bottleneck,
}

/// Halvings of the interval: what is left of it is a thousandth of it.
const HALVINGS: u32 = 10;
/// Where the search begins: a seed may do worse than all of them together.
const LOWEST: f64 = 0.5;

impl Trial<'_> {
    /// By bisection in each seed, under the arrivals and demands that the search met, closer together: from half of the
    /// load up to what the throughput law says is carried at all.
    ///
    /// # Errors
    /// [`Stopped`]; as [`Trial::judge`].
    pub fn headroom(&self, variant: &Variant, pods: Replicas) -> Result<Headroom> {
        let (carried_per_s, bottleneck) = variant.carries(pods);
        let most = (carried_per_s / self.traffic.mean_per_s).max(1.0);
        let of = |replication| {
            let (mut keeps, mut breaks) = (LOWEST, most);
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(keeps, breaks);
                match self.keeps((variant, pods), middle, replication)? {
                    Some(true) => keeps = middle,
                    Some(false) => breaks = middle,
                    None => return Ok(None),
                }
            }
            Ok(Some(f64::midpoint(keeps, breaks)))
        };
        let factors = self.pool.each(0..u64::from(self.seeds), of)?.ok_or(Stopped)?;
        let factor = Spread::of(&factors)?;
        let rate_per_s = Spread {
            value: factor.value * self.traffic.mean_per_s,
            low: factor.low * self.traffic.mean_per_s,
            high: factor.high * self.traffic.mean_per_s,
        };
        Ok(Headroom { factor, rate_per_s, carried_per_s, bottleneck })
    }
}
