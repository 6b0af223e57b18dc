//! What is simulated, as a document.

use serde::Deserialize;
use splitscale_spec::{
    Balancer, Encoding, Invalid, Laws, Replicas, ServiceLaw, SlotLaw, at_least_one, not_negative, positive,
};

use crate::arrivals::Arrivals;
use crate::chain::ChainState;
use crate::quota::CpuLimit;
use crate::recorded::{Recorded, TextOf};
use crate::trace::BandwidthTrace;

/// A pipeline, its laws and its load. [`Model::of`](crate::Model::of) checks it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The first stage.
    pub a: StageSetup,
    /// The slots and the link between the stages.
    pub link: LinkSetup,
    /// The second stage.
    pub b: StageSetup,
    /// Everything outside the three: upload, hops, answer.
    #[serde(default)]
    pub overhead: ServiceLaw,
    /// The load.
    pub arrivals: Arrivals,
    /// How long a client waits for its answer \[s\]. Then it is gone: a request that waits leaves its queue,
    /// one that is served goes on and its answer reaches nobody.
    #[serde(default)]
    pub deadline_s: Option<f64>,
    /// Promised latency \[s\]: the answers within it are counted.
    #[serde(default)]
    pub slo_s: Option<f64>,
    /// Both stages run on one node and share `a.cores`.
    #[serde(default)]
    pub one_node: bool,
    /// When the run stops \[s\]; by default when every request has ended.
    #[serde(default)]
    pub horizon_s: Option<f64>,
    /// Statistics begin here \[s\], so that they do not show how the run began.
    #[serde(default)]
    pub warm_up_s: f64,
    /// Scrape the counters as the live side does, so that [`observe`](crate::Simulation::observe) can tell.
    #[serde(default)]
    pub scrape: Option<ScrapeSetup>,
    /// Keep every request. Otherwise memory holds those on their way only.
    #[serde(default)]
    pub records: bool,
}

/// The pods of a stage and the node they run on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSetup {
    /// Pods ready at the start.
    pub pods: u32,
    /// How long a pod is taken by a request, at its full CPU share.
    pub service: ServiceLaw,
    /// How a request finds its pod.
    #[serde(default)]
    pub balancer: Balancer,
    /// Most requests that wait: in the stage's queue, or in each pod's where each has one. One more is refused.
    #[serde(default)]
    pub queue_limit: Option<u32>,
    /// Cores of the node. Pods at work share them evenly: where their CPU shares add up to more than the
    /// cores, all slow down alike. Without it there are always enough.
    #[serde(default)]
    pub cores: Option<u32>,
    /// Share of one core that a pod at work takes, in (0, 1\].
    #[serde(default = "one")]
    pub cpu_share: f64,
    /// A limit of CPU time for each pod; `service` is then the CPU time of a request. By default there is none.
    #[serde(default)]
    pub cpu_limit: Option<CpuLimit>,
    /// From the request for a pod until it is ready.
    #[serde(default)]
    pub start_up: ServiceLaw,
    /// How pods crash; by default they do not.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// How a pod crashes. What it serves and what waits in its own queue fails with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// From ready to the crash.
    pub after: ServiceLaw,
    /// From the crash until it is ready again.
    pub restart: ServiceLaw,
}

/// The proxy and the link.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSetup {
    /// Transfer slots at the start.
    pub slots: u32,
    /// How their number changes; by default it does not. A chain, or a step at time zero, decides from the start.
    #[serde(default)]
    pub slots_change: Option<SlotsChange>,
    /// How long a transfer takes.
    pub transfer: Transfer,
    /// What one transfer carries; needed where the transfer or the link estimator counts bytes.
    #[serde(default)]
    pub payload: Option<Payload>,
    /// Most activations that wait for a slot. One more is refused.
    #[serde(default)]
    pub queue_limit: Option<u32>,
    /// A slot is free again after the transfer. By default it is held until B has answered, as the original
    /// does.
    #[serde(default)]
    pub release_after_transfer: bool,
    /// An A pod stays taken while its activation waits for a slot.
    #[serde(default)]
    pub hold_a: bool,
}

/// How long a transfer takes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transfer {
    /// Drawn from a law.
    Law(ServiceLaw),
    /// Worked out: the payload over the bandwidth, and then the round trip.
    Bytes {
        /// Bandwidth.
        bandwidth: Bandwidth,
        /// Round-trip time \[s\].
        #[serde(default)]
        rtt_s: f64,
    },
}

/// Bandwidth of a slot of its own, or of the whole link, which the transfers in progress share evenly. A trace
/// is held constant between its samples and begins anew at its end; at zero bandwidth transfers wait.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bandwidth {
    /// Each slot has this much \[Mbit/s\].
    PerSlotMbitS(f64),
    /// All slots together have this much \[Mbit/s\].
    WholeMbitS(f64),
    /// Each slot has what the trace says.
    PerSlotTrace(Recorded<BandwidthTrace>),
    /// All slots together have what the trace says.
    WholeTrace(Recorded<BandwidthTrace>),
}

/// Size of an activation on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Payload {
    /// So many bytes.
    Bytes(u64),
    /// So many elements, encoded.
    Activation {
        /// Elements of the activation.
        elements: u64,
        /// Encoding of each.
        encoding: Encoding,
    },
}

/// How the number of slots changes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SlotsChange {
    /// At given times.
    Schedule {
        /// By rising time.
        steps: Vec<SlotsStep>,
        /// Begin anew after so long \[s\].
        #[serde(default)]
        period_s: Option<f64>,
    },
    /// As recorded, in lines of time and slots, beginning anew at the end.
    Trace(Recorded<BandwidthTrace>),
    /// A Markov chain in continuous time; each state's value is a number of slots.
    Markov(Vec<ChainState>),
}

/// One change of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotsStep {
    /// When \[s\].
    pub at_s: f64,
    /// Slots from then on.
    pub slots: u32,
}

/// How the counters are scraped.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeSetup {
    /// Time between scrapes \[s\].
    pub every_s: f64,
    /// Longest window that will be asked for \[s\].
    pub window_s: f64,
}

// === impl Setup ===

impl Setup {
    /// The pipeline that was measured: one queue a stage, nothing bounded, nothing that changes.
    pub fn new(pods: Replicas, slots: u32, laws: &Laws, arrivals: Arrivals) -> Self {
        let link = LinkSetup {
            slots,
            slots_change: None,
            transfer: Transfer::of(laws),
            payload: laws.slot.map(|slot| Payload::Bytes(slot.bytes.round() as u64)),
            queue_limit: None,
            release_after_transfer: laws.slot.is_some_and(|slot| !slot.held_until_answer),
            hold_a: false,
        };
        Setup {
            a: StageSetup::new(pods.a, laws.service_a.clone()).measured(laws.cores_a, &laws.start_up_a),
            link,
            b: StageSetup::new(pods.b, laws.service_b.clone()).measured(laws.cores_b, &laws.start_up_b),
            overhead: laws.overhead.clone(),
            arrivals,
            deadline_s: None,
            slo_s: None,
            one_node: false,
            horizon_s: None,
            warm_up_s: 0.0,
            scrape: None,
            records: false,
        }
    }

    /// Reads every recorded trace the setup names: `text_of` gives the text of a file.
    ///
    /// # Errors
    /// What `text_of` says, or what is wrong in a file, by its line.
    pub fn load<E: From<crate::trace::TraceError>>(&mut self, text_of: TextOf<E>) -> Result<(), E> {
        self.arrivals.load(text_of)?;
        if let Transfer::Bytes { bandwidth, .. } = &mut self.link.transfer {
            match bandwidth {
                Bandwidth::PerSlotTrace(recorded) | Bandwidth::WholeTrace(recorded) => {
                    recorded.load(text_of, BandwidthTrace::from_text)?;
                }
                Bandwidth::PerSlotMbitS(_) | Bandwidth::WholeMbitS(_) => {}
            }
        }
        if let Some(SlotsChange::Trace(recorded)) = &mut self.link.slots_change {
            recorded.load(text_of, BandwidthTrace::from_text)?;
        }
        Ok(())
    }

    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        self.a.validate("a")?;
        self.b.validate("b")?;
        self.link.validate()?;
        self.overhead.validate("overhead")?;
        self.arrivals.validate(self.horizon_s.is_some())?;
        if let Some(deadline_s) = self.deadline_s {
            positive("deadline_s", deadline_s)?;
        }
        if let Some(slo_s) = self.slo_s {
            positive("slo_s", slo_s)?;
        }
        if self.one_node && self.a.cores.is_none() {
            return Err(Invalid::new("a.cores", "missing beside one_node; say how many cores the node has"));
        }
        if self.one_node && self.b.cpu_limit.is_some() {
            return Err(Invalid::new(
                "b.cpu_limit",
                "set beside one_node; a pod is slowed by the one or by the other",
            ));
        }
        if self.one_node && self.b.cores.is_some() {
            let problem = "set beside one_node; the one node's cores are a.cores";
            return Err(Invalid::new("b.cores", problem));
        }
        not_negative("warm_up_s", self.warm_up_s)?;
        if let Some(horizon_s) = self.horizon_s {
            positive("horizon_s", horizon_s)?;
            if horizon_s <= self.warm_up_s {
                let problem = format!("{horizon_s} is not after warm_up_s {}", self.warm_up_s);
                return Err(Invalid::new("horizon_s", problem));
            }
            if let Some(first_s) = self.arrivals.first_s().filter(|&first_s| first_s >= horizon_s) {
                let problem = format!("{horizon_s} is not after the first arrival at {first_s}");
                return Err(Invalid::new("horizon_s", problem));
            }
        }
        match &self.scrape {
            Some(scrape) => {
                positive("scrape.every_s", scrape.every_s)?;
                positive("scrape.window_s", scrape.window_s)
            }
            None => Ok(()),
        }
    }
}

impl StageSetup {
    /// Pods that are always there, behind one queue.
    pub fn new(pods: u32, service: ServiceLaw) -> Self {
        StageSetup {
            pods,
            service,
            balancer: Balancer::CentralQueue,
            queue_limit: None,
            cores: None,
            cpu_share: 1.0,
            cpu_limit: None,
            start_up: ServiceLaw::default(),
            failure: None,
        }
    }

    /// Slowed by its own pods, and started, as it was measured.
    fn measured(self, cores: Option<f64>, start_up: &Option<ServiceLaw>) -> Self {
        let node = cores.map(node_of);
        StageSetup {
            cores: node.map(|(cores, _)| cores),
            cpu_share: node.map_or(1.0, |(_, share)| share),
            start_up: start_up.clone().unwrap_or_default(),
            ..self
        }
    }

    /// How long a request takes a pod that never rests, the mean \[s\].
    pub(crate) fn held_s(&self) -> f64 {
        self.service.mean_s() / self.cpu_limit.map_or(1.0, |limit| limit.cores)
    }

    fn validate(&self, stage: &str) -> Result<(), Invalid> {
        bounded(&format!("{stage}.pods"), self.pods)?;
        self.service.validate(&format!("{stage}.service"))?;
        if let Some(cores) = self.cores {
            at_least_one(&format!("{stage}.cores"), cores)?;
        }
        if !(self.cpu_share > 0.0 && self.cpu_share <= 1.0) {
            return Err(Invalid::new(
                format!("{stage}.cpu_share"),
                format!("{} is not in (0, 1]", self.cpu_share),
            ));
        }
        if let Some(limit) = &self.cpu_limit {
            let field = format!("{stage}.cpu_limit");
            limit.validate(&field)?;
            if self.cores.is_some() || self.cpu_share != 1.0 {
                let problem = "set beside cores or cpu_share; a pod is slowed by the one or by the other";
                return Err(Invalid::new(field, problem));
            }
        }
        self.start_up.validate(&format!("{stage}.start_up"))?;
        if let Some(failure) = &self.failure {
            failure.after.validate(&format!("{stage}.failure.after"))?;
            failure.restart.validate(&format!("{stage}.failure.restart"))?;
            positive(&format!("{stage}.failure.after"), failure.after.mean_s())?;
        }
        Ok(())
    }
}

impl LinkSetup {
    fn validate(&self) -> Result<(), Invalid> {
        bounded("link.slots", self.slots)?;
        if let Some(payload) = self.payload
            && payload.bytes() == 0
        {
            return Err(Invalid::new("link.payload", "zero bytes; an activation has at least 1"));
        }
        match &self.transfer {
            Transfer::Law(law) => law.validate("link.transfer.law")?,
            Transfer::Bytes { bandwidth, rtt_s } => {
                if self.payload.is_none() {
                    let problem = "missing; a transfer by bytes needs the size of what it carries";
                    return Err(Invalid::new("link.payload", problem));
                }
                not_negative("link.transfer.bytes.rtt_s", *rtt_s)?;
                bandwidth.validate("link.transfer.bytes.bandwidth")?;
            }
        }
        self.slots_change.as_ref().map_or(Ok(()), SlotsChange::validate)
    }
}

impl Transfer {
    /// As measured. On a link that all slots share, the bytes make their way at what one of them alone had.
    fn of(laws: &Laws) -> Self {
        let Some(slot) = laws.slot.filter(|slot| slot.shared) else {
            return Transfer::Law(laws.transfer.clone());
        };
        let (mbit_s, rtt_s) = whole_link(laws, &slot);
        Transfer::Bytes { bandwidth: Bandwidth::WholeMbitS(mbit_s), rtt_s }
    }
}

/// Bandwidth \[Mbit/s\] and round trip \[s\] of a link that all slots share.
pub(crate) fn whole_link(laws: &Laws, slot: &SlotLaw) -> (f64, f64) {
    let rtt_s = slot.fixed_s.unwrap_or(0.0);
    (slot.bytes * 8e-6 / (laws.transfer.mean_s() - rtt_s), rtt_s)
}

/// Cores, and the share of one that a pod takes, where so many pods work at full speed.
pub(crate) fn node_of(pods: f64) -> (u32, f64) {
    let cores = pods.floor().clamp(1.0, f64::from(MAX_SERVERS));
    (cores as u32, (cores / pods).clamp(f64::MIN_POSITIVE, 1.0))
}

impl Bandwidth {
    fn validate(&self, field: &str) -> Result<(), Invalid> {
        match self {
            Bandwidth::PerSlotMbitS(mbit_s) => positive(&format!("{field}.per_slot_mbit_s"), *mbit_s),
            Bandwidth::WholeMbitS(mbit_s) => positive(&format!("{field}.whole_mbit_s"), *mbit_s),
            Bandwidth::PerSlotTrace(recorded) | Bandwidth::WholeTrace(recorded) => {
                let trace = recorded.loaded(field)?;
                if trace.steps.iter().all(|&(_, mbit_s)| mbit_s == 0.0) {
                    return Err(Invalid::new(field, "zero all the time; nothing would ever arrive"));
                }
                Ok(())
            }
        }
    }
}

impl Payload {
    /// Size \[bytes\].
    pub fn bytes(self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes,
            Payload::Activation { elements, encoding } => {
                elements.saturating_mul(encoding.bytes_per_element())
            }
        }
    }
}

impl SlotsChange {
    fn validate(&self) -> Result<(), Invalid> {
        const FIELD: &str = "link.slots_change";
        let whole = |field: &str, value: f64| {
            if value >= 1.0 && value.fract() == 0.0 && value <= f64::from(MAX_SERVERS) {
                return Ok(());
            }
            Err(Invalid::new(field, format!("{value} is not a number of slots; it takes 1 to {MAX_SERVERS}")))
        };
        match self {
            SlotsChange::Schedule { steps, period_s } => {
                let field = format!("{FIELD}.schedule");
                let Some(last) = steps.last() else {
                    return Err(Invalid::new(field, "empty; leave slots_change away for a constant number"));
                };
                for step in steps {
                    not_negative(&format!("{field}.at_s"), step.at_s)?;
                    bounded(&format!("{field}.slots"), step.slots)?;
                }
                if let Some(pair) = steps.windows(2).find(|pair| pair[1].at_s <= pair[0].at_s) {
                    let problem = format!("{} is not after {}", pair[1].at_s, pair[0].at_s);
                    return Err(Invalid::new(format!("{field}.at_s"), problem));
                }
                match period_s {
                    Some(period_s) if !(period_s.is_finite() && *period_s > last.at_s) => Err(Invalid::new(
                        format!("{field}.period_s"),
                        format!("{period_s} is not after the last step at {}", last.at_s),
                    )),
                    _ => Ok(()),
                }
            }
            SlotsChange::Trace(recorded) => {
                let trace = recorded.loaded(&format!("{FIELD}.trace"))?;
                trace.steps.iter().try_for_each(|&(_, slots)| whole(&format!("{FIELD}.trace"), slots))
            }
            SlotsChange::Markov(states) => {
                ChainState::validate(&format!("{FIELD}.markov"), states)?;
                states.iter().try_for_each(|state| whole(&format!("{FIELD}.markov.value"), state.value))
            }
        }
    }
}

/// Most pods of a stage, most slots.
pub(crate) const MAX_SERVERS: u32 = 1 << 16;

pub(crate) fn bounded(field: &str, servers: u32) -> Result<(), Invalid> {
    at_least_one(field, servers)?;
    if servers > MAX_SERVERS {
        return Err(Invalid::new(field, format!("{servers} is above {MAX_SERVERS}, the most of one run")));
    }
    Ok(())
}

fn one() -> f64 {
    1.0
}
