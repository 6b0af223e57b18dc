//! What an open load will bring, known in advance: for whoever judges decisions in hindsight.

use splitscale_spec::Invalid;

use crate::arrivals::Arrivals;
use crate::chance::Chance;
use crate::law::unit;
use crate::model::Model;
use crate::source::Source;
use crate::time::SimTime;

/// A request and all that it will ever ask for, whatever becomes of it on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// When it is sent.
    pub sent: SimTime,
    /// With an A pod, at its full CPU share \[ns\].
    pub service_a_ns: u64,
    /// The transfer \[ns\]; over a link that is shared or changes, the least it can take.
    pub transfer_ns: u64,
    /// With a B pod, at its full CPU share \[ns\].
    pub service_b_ns: u64,
    /// Everything outside the stations \[ns\].
    pub overhead_ns: u64,
}

impl Model {
    /// The requests that replication 0 under `seed` meets, by number, up to the horizon or the load's end: the very ones,
    /// under any pods.
    ///
    /// # Errors
    /// A closed loop, whose requests depend on the answers.
    pub fn demands(&self, seed: u64) -> Result<Vec<Demand>, Invalid> {
        let ready = self.ready();
        if matches!(ready.setup.arrivals, Arrivals::ClosedLoop { .. }) {
            let problem = "a closed loop; its requests depend on the answers, take an open load";
            return Err(Invalid::new("arrivals", problem));
        }
        let horizon = ready.horizon.unwrap_or(SimTime::MAX);
        let mut source = Source::new(&ready.load, ready.setup.arrivals.unprompted(), seed, 0);
        let mut chance = Chance::new(seed, 0);
        let least_ns = ready.rates.as_ref().map(|rates| {
            rates.least_ns(ready.payload_bytes.unwrap_or(0).saturating_mul(8)).saturating_add(ready.rtt_ns)
        });
        let mut demands = Vec::new();
        loop {
            let drawn = chance.draw(&ready.laws);
            let Some(sent) = source.next(&ready.load, &drawn).filter(|&sent| sent <= horizon) else {
                return Ok(demands);
            };
            if ready.thin.is_some_and(|share| unit(drawn.thin) >= share) {
                continue;
            }
            demands.push(Demand {
                sent,
                service_a_ns: drawn.service_a,
                transfer_ns: least_ns.unwrap_or(drawn.transfer),
                service_b_ns: drawn.service_b,
                overhead_ns: drawn.overhead,
            });
        }
    }
}
