//! The split pipeline emptied of a burst.

use splitscale_spec::Invalid;

use super::at_least_one;
use super::pipeline::Pipeline;

/// What a burst of requests, all there at time 0, comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Mean time until the last is done \[s\].
    pub makespan_s: f64,
    /// Its standard deviation \[s\].
    pub makespan_sd_s: f64,
    /// Mean time until a request is done, over all of them \[s\].
    pub completion_s: f64,
}

/// Where a state goes from here on: to the end.
#[derive(Clone, Copy, Default)]
struct Rest {
    /// Mean time \[s\].
    mean: f64,
    /// Variance of the time \[s^2\].
    variance: f64,
    /// Mean of the integral of the number left \[s\]: the sum of the completion times.
    completions: f64,
}

impl Pipeline {
    /// `requests` at once, with exponential times.
    ///
    /// The state (a not through A, s past A and before the end of their transfer, b at B) never comes back, so
    /// one sweep from the end does it: with r the sum of the rates out and p = rate / r, over the next states
    ///
    /// E T = 1 / r + sum p E T', Var T = 1 / r^2 + sum p (Var T' + (E T' - sum p E T')^2),
    /// integral = (a + s + b) / r + sum p integral'.
    ///
    /// It takes time in proportion to N^2 c, to N^3 where slots are free after the transfer.
    ///
    /// # Errors
    /// A field out of range; no requests.
    pub fn burst(&self, requests: u32) -> Result<Burst, Invalid> {
        self.validate()?;
        at_least_one("requests", requests)?;
        let n = requests as usize;
        let most_b = if self.hold_slot { n.min(self.slots as usize) } else { n };
        let width = most_b + 1;
        // One layer for each a, of s in rows and b in columns; only the last two are kept.
        let mut before = Vec::new();
        let mut layer = vec![Rest::default(); (n + 2) * width];
        for a in 0..=n {
            std::mem::swap(&mut before, &mut layer);
            layer.clear();
            layer.resize((n + 2) * width, Rest::default());
            for s in 0..=n - a {
                for b in 0..=most_b.min(n - a - s) {
                    let [rate_a, rate_transfer, rate_b] = self.rates(a, s, b);
                    let mut ways = [(0.0, Rest::default()); 3];
                    if rate_a > 0.0 {
                        ways[0] = (rate_a, before[(s + 1) * width + b]);
                    }
                    if rate_transfer > 0.0 {
                        ways[1] = (rate_transfer, layer[(s - 1) * width + b + 1]);
                    }
                    if rate_b > 0.0 {
                        ways[2] = (rate_b, layer[s * width + b - 1]);
                    }
                    layer[s * width + b] = Rest::before(ways, (a + s + b) as f64);
                }
            }
        }
        let Rest { mean, variance, completions } = layer[0];
        Ok(Burst {
            makespan_s: mean,
            makespan_sd_s: variance.sqrt(),
            completion_s: completions / f64::from(requests),
        })
    }

    /// `requests` at once, with constant times. Nobody overtakes, so request i begins a stage when it is
    /// through the one before and request i - servers is out of it.
    ///
    /// # Errors
    /// A field out of range; no requests.
    pub fn burst_constant(&self, requests: u32) -> Result<Burst, Invalid> {
        self.validate()?;
        at_least_one("requests", requests)?;
        // When request i leaves a pod of A, a slot, a pod of B.
        let mut leaves: Vec<[f64; 3]> = Vec::with_capacity(requests as usize);
        let mut sum = 0.0;
        for i in 0..requests as usize {
            let free = |servers: u32, stage: usize| {
                i.checked_sub(servers as usize).map_or(0.0, |previous| leaves[previous][stage])
            };
            let through_a = free(self.pods_a, 0) + self.a_s;
            let has_slot = free(self.slots, 1).max(through_a);
            let transferred = has_slot + self.transfer_s;
            let done = free(self.pods_b, 2).max(transferred) + self.b_s;
            let leaves_a = if self.hold_a { has_slot } else { through_a };
            let leaves_slot = if self.hold_slot { done } else { transferred };
            leaves.push([leaves_a, leaves_slot, done]);
            sum += done;
        }
        let makespan_s = leaves.last().map_or(0.0, |[_, _, done]| *done);
        Ok(Burst { makespan_s, makespan_sd_s: 0.0, completion_s: sum / f64::from(requests) })
    }

    /// The rates at which A, a transfer and B end \[1/s\].
    fn rates(&self, a: usize, s: usize, b: usize) -> [f64; 3] {
        let slots = self.slots as usize;
        let transferring = s.min(if self.hold_slot { slots - b } else { slots });
        let holding = if self.hold_a { s - transferring } else { 0 };
        // Within reach no more than all pods of A are held; the sweep also passes states out of reach.
        let busy_a = a.min((self.pods_a as usize).saturating_sub(holding));
        [busy_a as f64 / self.a_s, transferring as f64 / self.transfer_s, self.b_rate(b)]
    }
}

impl Rest {
    /// Of a state with `left` requests, from the rates and rests of the next ones.
    fn before(ways: [(f64, Rest); 3], left: f64) -> Self {
        let rate: f64 = ways.iter().map(|(rate, _)| rate).sum();
        if rate == 0.0 {
            return Rest::default();
        }
        let expect = |value: &dyn Fn(&Rest) -> f64| -> f64 {
            ways.iter().map(|(way, rest)| way / rate * value(rest)).sum()
        };
        let mean = expect(&|rest| rest.mean);
        Rest {
            mean: rate.recip() + mean,
            variance: rate.powi(-2) + expect(&|rest| rest.variance + (rest.mean - mean).powi(2)),
            completions: left / rate + expect(&|rest| rest.completions),
        }
    }
}
