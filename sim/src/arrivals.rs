//! When requests are sent.

use splitscale_spec::Invalid;

use crate::event::MAX_REQUESTS;

/// How the load is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// So many requests at once, at time zero.
    Burst(u32),
    /// Each client sends its next request the moment it has the answer to its last.
    ClosedLoop {
        /// Clients.
        clients: u32,
        /// Requests they send together before they stop.
        requests: u32,
    },
    /// A Poisson stream: independent exponential gaps, the first before the first request.
    Poisson {
        /// Mean arrivals a second \[1/s\].
        rate_per_s: f64,
        /// Requests until it ends.
        requests: u32,
    },
}

impl Arrivals {
    /// Requests of a whole run.
    pub fn requests(&self) -> u32 {
        match *self {
            Arrivals::Burst(requests)
            | Arrivals::ClosedLoop { requests, .. }
            | Arrivals::Poisson { requests, .. } => requests,
        }
    }

    /// Requests that come of their own accord, whatever is answered: all of them, or one a client.
    pub(crate) fn unprompted(&self) -> u32 {
        match *self {
            Arrivals::ClosedLoop { clients, requests } => clients.min(requests),
            _ => self.requests(),
        }
    }

    /// Arrivals a second, where they are random.
    pub(crate) fn rate_per_s(&self) -> Option<f64> {
        match *self {
            Arrivals::Poisson { rate_per_s, .. } => Some(rate_per_s),
            Arrivals::Burst(_) | Arrivals::ClosedLoop { .. } => None,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        let requests = self.requests();
        if requests == 0 {
            return Err(Invalid::new("arrivals.requests", "zero; a run has at least 1 request"));
        }
        if requests > MAX_REQUESTS {
            let problem =
                format!("{requests} is above {MAX_REQUESTS}, the most of one run; use several replications");
            return Err(Invalid::new("arrivals.requests", problem));
        }
        match *self {
            Arrivals::ClosedLoop { clients: 0, .. } => {
                Err(Invalid::new("arrivals.clients", "zero; a closed loop has at least 1 client"))
            }
            Arrivals::Poisson { rate_per_s, .. } if !(rate_per_s.is_finite() && rate_per_s > 0.0) => {
                let problem = format!("{rate_per_s} is not a finite number above zero");
                Err(Invalid::new("arrivals.rate_per_s", problem))
            }
            _ => Ok(()),
        }
    }
}
