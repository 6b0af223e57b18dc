//! When requests are sent, as a document.

use serde::Deserialize;
use splitscale_spec::{Invalid, ServiceLaw, not_negative, positive};

use crate::chain::ChainState;
use crate::event::MAX_REQUESTS;
use crate::recorded::{Recorded, TextOf};
use crate::trace::{Counts, Stamps, TraceError, Windows};

/// How the load is made. Open loads that leave `requests` away go on until the horizon.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// So many requests at once, at time zero.
    Burst(u32),
    /// Each client sends, waits for the end of its request, thinks, and sends again.
    ClosedLoop {
        /// Clients.
        clients: u32,
        /// Requests they send together before they stop.
        #[serde(default = "endless")]
        requests: u32,
        /// Think time, before the first request too.
        #[serde(default)]
        think: ServiceLaw,
    },
    /// A Poisson stream: independent exponential gaps, the first before the first request.
    Poisson {
        /// Mean arrivals a second \[1/s\].
        rate_per_s: f64,
        /// Requests until it ends.
        #[serde(default = "endless")]
        requests: u32,
    },
    /// A renewal stream: independent gaps of one law, such as gamma or Weibull with a given CV.
    Renewal {
        /// Gap between arrivals.
        gap: ServiceLaw,
        /// Requests until it ends.
        #[serde(default = "endless")]
        requests: u32,
    },
    /// A Markov-modulated Poisson stream: each state's value is a rate \[1/s\].
    Mmpp {
        /// States; the first is the start.
        states: Vec<ChainState>,
        /// Requests until it ends.
        #[serde(default = "endless")]
        requests: u32,
    },
    /// A Poisson stream with rate `mean * (1 + amplitude * sin(2 pi (t + shift) / period))`, held constant over
    /// each 1/1440 of the period at its value in the middle.
    Diurnal {
        /// Mean rate \[1/s\].
        mean_per_s: f64,
        /// In [0, 1\].
        amplitude: f64,
        /// Length of a day \[s\].
        period_s: f64,
        /// Time of day at the start \[s\].
        #[serde(default)]
        shift_s: f64,
        /// Requests until it ends.
        #[serde(default = "endless")]
        requests: u32,
    },
    /// Recorded time stamps: CSV, or JSON lines where the file is named `.jsonl`.
    Stamps {
        /// The file.
        trace: Recorded<Stamps>,
        /// Column or field; by default the first column, or `timestamp`.
        #[serde(default)]
        column: Option<String>,
        /// Scaling of the rate.
        #[serde(default)]
        scale: Scale,
    },
    /// Recorded arrivals a bin, CSV of time and count. Each count is kept; within its bin the times are
    /// independent and uniform, which is what a Poisson stream with that count is.
    Counts {
        /// The file.
        trace: Recorded<Counts>,
        /// Scaling of the rate.
        #[serde(default)]
        scale: Scale,
    },
    /// Recorded rate windows: CSV of start, rate, CV and family of the gaps, or lines of start and rate where the
    /// file is named `.txt`. Gaps of mean 1 are drawn from the family and CV of the window they begin in, and run
    /// down at the rate of the windows they cross.
    Windows {
        /// The file.
        trace: Recorded<Windows>,
        /// Scaling of the rate.
        #[serde(default)]
        scale: Scale,
    },
}

/// How a recorded load is made denser or thinner.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Time runs so many times as fast: bursts stay bursts, the rate grows by this factor, the trace ends
    /// earlier.
    #[serde(default = "one")]
    pub compress: f64,
    /// Share of the requests that is kept, each by chance: the days keep their length.
    #[serde(default = "one")]
    pub thin: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Scale { compress: 1.0, thin: 1.0 }
    }
}

impl Arrivals {
    /// Most requests of a whole run; a recorded load's, before it is thinned.
    pub fn requests(&self) -> u32 {
        let most = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        match self {
            Arrivals::Burst(requests)
            | Arrivals::ClosedLoop { requests, .. }
            | Arrivals::Poisson { requests, .. }
            | Arrivals::Renewal { requests, .. }
            | Arrivals::Mmpp { requests, .. }
            | Arrivals::Diurnal { requests, .. } => *requests,
            Arrivals::Stamps { trace, .. } => trace.data.as_ref().map_or(0, |t| most(t.offsets_ns.len())),
            Arrivals::Counts { trace, .. } => {
                trace.data.as_ref().map_or(0, |t| most(t.counts.iter().map(|&n| n as usize).sum()))
            }
            Arrivals::Windows { .. } => MAX_REQUESTS,
        }
    }

    /// Requests that come of their own accord, whatever is answered: all of them, or one a client.
    pub(crate) fn unprompted(&self) -> u32 {
        match self {
            Arrivals::ClosedLoop { clients, requests, .. } => *clients.min(requests),
            _ => self.requests(),
        }
    }

    /// Long-run arrivals a second, where it does not depend on the answers; absent for a burst, a closed loop,
    /// and a trace that was not loaded.
    pub fn rate_per_s(&self) -> Option<f64> {
        let scaled = |count: f64, span_ns: f64, scale: &Scale| {
            (span_ns > 0.0).then(|| count / (span_ns * 1e-9) * scale.compress * scale.thin)
        };
        match self {
            Arrivals::Burst(_) | Arrivals::ClosedLoop { .. } => None,
            Arrivals::Poisson { rate_per_s, .. } => Some(*rate_per_s),
            Arrivals::Renewal { gap, .. } => Some(1.0 / gap.mean_s()),
            Arrivals::Mmpp { states, .. } => Some(ChainState::mean(states)),
            Arrivals::Diurnal { mean_per_s, .. } => Some(*mean_per_s),
            Arrivals::Stamps { trace, scale, .. } => {
                let offsets_ns = &trace.data.as_ref()?.offsets_ns;
                scaled(offsets_ns.len() as f64, *offsets_ns.last()? as f64, scale)
            }
            Arrivals::Counts { trace, scale } => {
                let data = trace.data.as_ref()?;
                let count: f64 = data.counts.iter().map(|&n| f64::from(n)).sum();
                scaled(count, data.bin_ns as f64 * data.counts.len() as f64, scale)
            }
            Arrivals::Windows { trace, scale } => {
                let windows = &trace.data.as_ref()?.windows;
                let count: f64 = windows.iter().map(|w| w.rate_per_s * w.duration_ns as f64 * 1e-9).sum();
                scaled(count, windows.iter().map(|w| w.duration_ns as f64).sum(), scale)
            }
        }
    }

    /// What is replayed and how it was scaled, for the output; absent where nothing was recorded.
    pub fn notes(&self) -> Option<String> {
        let (file, from_s, notes, scale) = match self {
            Arrivals::Stamps { trace, scale, .. } => {
                (&trace.file, trace.from_s, &trace.data.as_ref()?.notes, scale)
            }
            Arrivals::Counts { trace, scale } => {
                (&trace.file, trace.from_s, &trace.data.as_ref()?.notes, scale)
            }
            Arrivals::Windows { trace, scale } => {
                (&trace.file, trace.from_s, &trace.data.as_ref()?.notes, scale)
            }
            _ => return None,
        };
        let from = if from_s > 0.0 { format!(", from {from_s} s on") } else { String::new() };
        let scaled = match (scale.compress, scale.thin) {
            (1.0, 1.0) => "at the recorded rate".to_string(),
            (compress, 1.0) => format!("time compressed {compress} times"),
            (1.0, thin) => format!("thinned to {} %", thin * 100.0),
            (compress, thin) => {
                format!("time compressed {compress} times and thinned to {} %", thin * 100.0)
            }
        };
        Some(format!("{file}: {notes}{from}; {scaled}"))
    }

    /// Reads the file that it names, if it names one that was not read yet.
    ///
    /// # Errors
    /// What `text_of` says, or the first thing that is wrong with the text.
    pub fn load<E: From<TraceError>>(&mut self, text_of: TextOf<E>) -> Result<(), E> {
        match self {
            Arrivals::Stamps { trace, column, .. } => {
                let json = trace.file.ends_with(".jsonl");
                let column = column.as_deref();
                trace.load(text_of, |file, text| match json {
                    true => Stamps::from_jsonl(file, text, column.unwrap_or("timestamp")),
                    false => Stamps::from_csv(file, text, column),
                })
            }
            Arrivals::Counts { trace, .. } => trace.load(text_of, Counts::from_csv),
            Arrivals::Windows { trace, .. } => {
                let lines = trace.file.ends_with(".txt");
                trace.load(text_of, if lines { Windows::from_text } else { Windows::from_csv })
            }
            _ => Ok(()),
        }
    }

    /// Where the first arrival is known before the run \[s\].
    pub(crate) fn first_s(&self) -> Option<f64> {
        match self {
            Arrivals::Burst(_) => Some(0.0),
            Arrivals::Stamps { trace, scale, .. } => {
                let first_ns = trace.data.as_ref().and_then(|stamps| stamps.offsets_ns.first());
                first_ns.map(|&ns| ns as f64 * 1e-9 / scale.compress)
            }
            _ => None,
        }
    }

    pub(crate) fn scale(&self) -> Scale {
        match self {
            Arrivals::Stamps { scale, .. }
            | Arrivals::Counts { scale, .. }
            | Arrivals::Windows { scale, .. } => *scale,
            _ => Scale::default(),
        }
    }

    pub(crate) fn validate(&self, ends: bool) -> Result<(), Invalid> {
        match self {
            Arrivals::Burst(_) => {}
            Arrivals::ClosedLoop { clients, think, .. } => {
                if *clients == 0 {
                    let problem = "zero; a closed loop has at least 1 client";
                    return Err(Invalid::new("arrivals.closed_loop.clients", problem));
                }
                think.validate("arrivals.closed_loop.think")?;
            }
            Arrivals::Poisson { rate_per_s, .. } => positive("arrivals.poisson.rate_per_s", *rate_per_s)?,
            Arrivals::Renewal { gap, .. } => {
                gap.validate("arrivals.renewal.gap")?;
                positive("arrivals.renewal.gap", gap.mean_s())?;
            }
            Arrivals::Mmpp { states, .. } => {
                const FIELD: &str = "arrivals.mmpp.states";
                ChainState::validate(FIELD, states)?;
                states.iter().try_for_each(|s| not_negative(&format!("{FIELD}.value"), s.value))?;
                positive(&format!("{FIELD}.value"), ChainState::mean(states))?;
            }
            Arrivals::Diurnal { mean_per_s, amplitude, period_s, shift_s, .. } => {
                positive("arrivals.diurnal.mean_per_s", *mean_per_s)?;
                positive("arrivals.diurnal.period_s", *period_s)?;
                not_negative("arrivals.diurnal.shift_s", *shift_s)?;
                if !(0.0..=1.0).contains(amplitude) {
                    let problem = format!("{amplitude} is not in [0, 1]");
                    return Err(Invalid::new("arrivals.diurnal.amplitude", problem));
                }
            }
            Arrivals::Stamps { trace, .. } => drop(trace.loaded("arrivals.stamps.trace")?),
            Arrivals::Counts { trace, .. } => drop(trace.loaded("arrivals.counts.trace")?),
            Arrivals::Windows { trace, .. } => drop(trace.loaded("arrivals.windows.trace")?),
        }
        let Scale { compress, thin } = self.scale();
        positive("arrivals.scale.compress", compress)?;
        if !(thin > 0.0 && thin <= 1.0) {
            return Err(Invalid::new("arrivals.scale.thin", format!("{thin} is not in (0, 1]")));
        }
        if self.endless() && !ends {
            let problem = "missing, and so is horizon_s; say with either when the load ends";
            return Err(Invalid::new("arrivals.requests", problem));
        }
        match self.requests() {
            0 => Err(Invalid::new("arrivals.requests", "zero; a run has at least 1 request")),
            requests if requests > MAX_REQUESTS => {
                let problem = format!(
                    "{requests} is above {MAX_REQUESTS}, the most of one run; use several replications"
                );
                Err(Invalid::new("arrivals.requests", problem))
            }
            _ => Ok(()),
        }
    }

    /// Goes on until the horizon.
    pub fn endless(&self) -> bool {
        let recorded = matches!(
            self,
            Arrivals::Windows { .. } | Arrivals::Stamps { .. } | Arrivals::Counts { .. } | Arrivals::Burst(_)
        );
        !recorded && self.requests() == MAX_REQUESTS
    }
}

fn endless() -> u32 {
    MAX_REQUESTS
}

fn one() -> f64 {
    1.0
}
