//! Where arrivals come from: a load under way.

use std::sync::Arc;

use splitscale_spec::{Invalid, ServiceLaw};

use crate::arrivals::Arrivals;
use crate::chain::{Chain, ChainState};
use crate::chance::{Chance, Demands, Purpose, Samplers};
use crate::law::{Sampler, unit};
use crate::time::{SimTime, rounded};
use crate::trace::{Family, Windows};

/// The parts of a load that do not change during a run.
#[derive(Debug)]
pub(crate) enum Load {
    /// All at time zero, or each client's first after its think time.
    AtOnce,
    /// One gap after the other.
    Gaps,
    /// Gaps of mean 1 that run down at a rate, which changes in steps.
    Steps { steps: Vec<RateStep>, period: bool },
    /// The same, the steps made by a chain.
    Modulated(Vec<ChainState>),
    /// At given times \[ns\].
    Stamps(Vec<u64>),
    /// So many in each bin, the bins one after the other \[ns\].
    Bins { bin_ns: f64, counts: Vec<u32> },
}

/// A stretch of time with one rate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RateStep {
    duration_ns: f64,
    /// Arrivals a nanosecond.
    rate: f64,
    /// Of the gaps that begin in it, in 1e-9 of a mean gap.
    gap: Arc<Sampler>,
}

/// A load under way.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Arrivals that may still come.
    left: u32,
    /// Its place among the steps, stamps or bins.
    index: usize,
    /// When the last request arrived, unrounded where it falls between nanoseconds.
    now_ns: f64,
    last: SimTime,
    /// End of the step \[ns\], or requests left in the bin.
    until_ns: f64,
    in_bin: u32,
    /// The chain, and the rate of its step.
    chain: Option<Box<(Chain, f64)>>,
}

/// When the requests of an open load arrive, outside a simulation: at the very times at which they arrive in
/// replication 0 of a simulation of this load under this seed. Those of an endless load go on.
#[derive(Debug)]
pub struct ArrivalTimes {
    load: Load,
    source: Source,
    chance: Chance,
    laws: Samplers,
    thin: f64,
}

/// Steps of a day.
const STEPS_A_DAY: u32 = 1440;

// === impl Load ===

impl Load {
    /// Of a load that was validated, and the sampler of the word that its gaps are drawn from.
    pub(crate) fn of(arrivals: &Arrivals) -> (Load, Sampler) {
        let unit_gap = || Sampler::of(&ServiceLaw::Exponential { mean_s: 1.0 });
        match arrivals {
            Arrivals::Burst(_) => (Load::AtOnce, Sampler::Constant(0)),
            Arrivals::ClosedLoop { think, .. } => (Load::AtOnce, Sampler::of(think)),
            Arrivals::Poisson { rate_per_s, .. } => {
                (Load::Gaps, Sampler::of(&ServiceLaw::Exponential { mean_s: 1.0 / rate_per_s }))
            }
            Arrivals::Renewal { gap, .. } => (Load::Gaps, Sampler::of(gap)),
            Arrivals::Mmpp { states, .. } => (Load::Modulated(states.clone()), unit_gap()),
            Arrivals::Diurnal { mean_per_s, amplitude, period_s, shift_s, .. } => {
                let gap = Arc::new(unit_gap());
                let share = |i: u32| {
                    let turn = (f64::from(i) + 0.5) / f64::from(STEPS_A_DAY) + shift_s / period_s;
                    1.0 + amplitude * libm::sin(std::f64::consts::TAU * turn)
                };
                let steps = (0..STEPS_A_DAY).map(|i| RateStep {
                    duration_ns: period_s * 1e9 / f64::from(STEPS_A_DAY),
                    rate: mean_per_s * 1e-9 * share(i).max(0.0),
                    gap: Arc::clone(&gap),
                });
                (Load::Steps { steps: steps.collect(), period: true }, Sampler::Word)
            }
            Arrivals::Stamps { trace, scale, .. } => {
                let offsets_ns = trace.data.iter().flat_map(|stamps| &stamps.offsets_ns);
                let at =
                    |&ns: &u64| if scale.compress == 1.0 { ns } else { rounded(ns as f64 / scale.compress) };
                (Load::Stamps(offsets_ns.map(at).collect()), Sampler::Constant(0))
            }
            Arrivals::Counts { trace, scale } => {
                let (bin_ns, counts) =
                    trace.data.as_ref().map_or((1, Vec::new()), |data| (data.bin_ns, data.counts.clone()));
                (Load::Bins { bin_ns: bin_ns as f64 / scale.compress, counts }, Sampler::Word)
            }
            Arrivals::Windows { trace, scale } => {
                let steps = trace.data.as_ref().map_or(Vec::new(), |data| rate_steps(data, scale.compress));
                (Load::Steps { steps, period: false }, Sampler::Word)
            }
        }
    }
}

fn rate_steps(windows: &Windows, compress: f64) -> Vec<RateStep> {
    let mut steps: Vec<RateStep> = Vec::new();
    for window in &windows.windows {
        let cv = window.cv.clamp(0.01, 100.0);
        let law = match window.family {
            Family::Idle | Family::Exponential => ServiceLaw::Exponential { mean_s: 1.0 },
            Family::Gamma => ServiceLaw::Gamma { mean_s: 1.0, cv },
            Family::Weibull => ServiceLaw::Weibull { mean_s: 1.0, cv },
        };
        steps.push(RateStep {
            duration_ns: window.duration_ns as f64 / compress,
            rate: window.rate_per_s * 1e-9 * compress,
            gap: Arc::new(Sampler::of(&law)),
        });
    }
    steps
}

// === impl Source ===

impl Source {
    pub(crate) fn new(load: &Load, unprompted: u32, seed: u64, replication: u64) -> Self {
        let chain = matches!(load, Load::Modulated(_))
            .then(|| Box::new((Chain::new(seed, replication, Purpose::Arrivals), 0.0)));
        let mut source = Source {
            left: unprompted,
            index: 0,
            now_ns: 0.0,
            last: SimTime::ZERO,
            until_ns: 0.0,
            in_bin: 0,
            chain,
        };
        match load {
            Load::Steps { steps, .. } => source.until_ns = steps.first().map_or(0.0, |s| s.duration_ns),
            Load::Bins { counts, .. } => source.in_bin = counts.first().copied().unwrap_or(0),
            _ => {}
        }
        source
    }

    /// Arrivals that may still come.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// When the request with these demands arrives; absent where the load is over.
    #[inline]
    pub(crate) fn next(&mut self, load: &Load, demands: &Demands) -> Option<SimTime> {
        self.left = self.left.checked_sub(1)?;
        let at = match load {
            Load::AtOnce => Some(SimTime::ZERO.after(demands.gap)),
            Load::Gaps => Some(self.last.after(demands.gap)),
            _ => self.recorded(load, demands.gap),
        };
        match at {
            Some(at) => self.last = at,
            None => self.left = 0,
        }
        at
    }

    #[inline(never)]
    fn recorded(&mut self, load: &Load, word: u64) -> Option<SimTime> {
        match load {
            Load::AtOnce | Load::Gaps => None,
            Load::Stamps(at_ns) => {
                self.index += 1;
                at_ns.get(self.index - 1).map(|&ns| SimTime::from_nanos(ns))
            }
            Load::Steps { steps, period } => self.run_down(steps, *period, word),
            Load::Modulated(states) => self.run_down_chain(states, word as f64 * 1e-9),
            Load::Bins { bin_ns, counts } => self.in_bin(*bin_ns, counts, word),
        }
    }

    /// A gap of mean 1, drawn where it begins, runs down at the rates of the steps it crosses.
    fn run_down(&mut self, steps: &[RateStep], period: bool, word: u64) -> Option<SimTime> {
        let mut step = steps.get(self.index)?;
        // A gap begins where there are arrivals: in an idle step nothing has a family to draw from.
        let mut gap: Option<f64> = None;
        loop {
            if step.rate > 0.0 {
                let left = *gap.get_or_insert_with(|| {
                    let [drawn] = step.gap.sample(|_| word);
                    drawn as f64 * 1e-9
                });
                let here = (self.until_ns - self.now_ns).max(0.0) * step.rate;
                if left < here {
                    self.now_ns += left / step.rate;
                    return Some(SimTime::from_nanos(rounded(self.now_ns)));
                }
                gap = Some(left - here);
            }
            self.index += 1;
            if period && self.index == steps.len() {
                self.index = 0;
            }
            step = steps.get(self.index)?;
            self.now_ns = self.until_ns;
            self.until_ns += step.duration_ns;
            if self.now_ns > SimTime::END.as_nanos() as f64 {
                return None;
            }
        }
    }

    fn run_down_chain(&mut self, states: &[ChainState], mut left: f64) -> Option<SimTime> {
        let (chain, rate) = &mut **self.chain.as_mut()?;
        loop {
            let here = (self.until_ns - self.now_ns).max(0.0) * *rate;
            if left < here {
                self.now_ns += left / *rate;
                return Some(SimTime::from_nanos(rounded(self.now_ns)));
            }
            left -= here;
            let (per_s, dwell_ns) = chain.step(states);
            *rate = per_s * 1e-9;
            self.now_ns = self.until_ns;
            self.until_ns += dwell_ns as f64;
            if self.now_ns > SimTime::END.as_nanos() as f64 {
                return None;
            }
        }
    }

    /// The least of m independent uniform times is at 1 - u^(1/m) of the stretch; the others are uniform
    /// behind it.
    fn in_bin(&mut self, bin_ns: f64, counts: &[u32], word: u64) -> Option<SimTime> {
        while self.in_bin == 0 {
            self.index += 1;
            self.in_bin = *counts.get(self.index)?;
            self.now_ns = self.index as f64 * bin_ns;
        }
        let end_ns = (self.index + 1) as f64 * bin_ns;
        let share = 1.0 - libm::pow(unit(word), 1.0 / f64::from(self.in_bin));
        self.now_ns += (end_ns - self.now_ns).max(0.0) * share;
        self.in_bin -= 1;
        Some(SimTime::from_nanos(rounded(self.now_ns)))
    }
}

// === impl ArrivalTimes ===

impl ArrivalTimes {
    /// Those of this load, whose trace, if it has one, was loaded.
    ///
    /// # Errors
    /// The first field that is out of range; a closed loop, whose times depend on the answers.
    pub fn of(arrivals: &Arrivals, seed: u64) -> Result<Self, Invalid> {
        Self::of_replication(arrivals, seed, 0)
    }

    /// Those of another replication.
    ///
    /// # Errors
    /// As [`ArrivalTimes::of`].
    pub fn of_replication(arrivals: &Arrivals, seed: u64, replication: u64) -> Result<Self, Invalid> {
        arrivals.validate(true)?;
        if let Arrivals::ClosedLoop { .. } = arrivals {
            return Err(Invalid::new("arrivals", "a closed loop; its times depend on the answers"));
        }
        let (load, gap) = Load::of(arrivals);
        let nothing = || Sampler::Constant(0);
        let laws = Samplers {
            service_a: nothing(),
            transfer: nothing(),
            service_b: nothing(),
            overhead: nothing(),
            gap,
        };
        Ok(ArrivalTimes {
            source: Source::new(&load, arrivals.unprompted(), seed, replication),
            load,
            chance: Chance::new(seed, replication),
            laws,
            thin: arrivals.scale().thin,
        })
    }
}

impl Iterator for ArrivalTimes {
    type Item = SimTime;

    fn next(&mut self) -> Option<SimTime> {
        loop {
            let demands = self.chance.draw(&self.laws);
            let at = self.source.next(&self.load, &demands)?;
            if self.thin == 1.0 || unit(demands.thin) < self.thin {
                return Some(at);
            }
        }
    }
}
