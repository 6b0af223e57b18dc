//! What is measured and asked for, as a document.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use splitscale_spec::{Balancer, check_schema};

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Schema number.
    pub schema: u32,
    /// What is asked for, before anything is measured.
    pub accuracy: Accuracy,
    /// The servers that are started.
    pub servers: LocalServers,
    /// What the laws are fitted on.
    pub fitting: Fitting,
    /// What is held out.
    pub held_out: HeldOut,
}

/// Accuracy that is asked for, as parts of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Mean over the cells of |error of the mean latency|.
    pub mean: f64,
    /// Mean over the cells of |error of the 99th percentile|.
    pub p99: f64,
    /// Largest |error of the mean latency| of a cell.
    pub worst: f64,
    /// Mean over the cells of |difference of SLO attainment|.
    pub attainment: f64,
}

/// Servers of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalServers {
    /// Where the network is cut.
    pub model_version: u8,
    /// Share of a core of each pod.
    pub cpu_share: f64,
    /// CPU time that a request is rated at in A and in B \[s\]; without it, what it took counts.
    #[serde(default)]
    pub rated_cpu_s: Option<[f64; 2]>,
    /// Bandwidth of a slot \[Mbit/s\].
    pub slot_mbit_s: f64,
    /// Pods of each stage.
    pub pods: u32,
    /// How a request finds its pod, in either stage: behind Services of Kubernetes it is `random`.
    #[serde(default)]
    pub balancer: Balancer,
}

/// Bursts over slots x pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitting {
    /// Transfer slots.
    pub slots: Vec<u32>,
    /// Pods of each stage.
    pub pods: Vec<u32>,
    /// Requests of a burst.
    pub burst: u32,
    /// Bursts of each cell.
    pub repeats: u32,
}

/// Every load in every place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Requests of a cell.
    pub requests: u32,
    /// Promised latency, in times that a request of the pilot takes without its waits.
    pub slo_times_pilot: f64,
    /// Loads.
    pub loads: Vec<Load>,
    /// Slots and pods.
    pub places: Vec<Place>,
}

/// Slots and pods of each stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Transfer slots.
    pub slots: u32,
    /// Pods of A, and of B.
    pub pods: u32,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Load {
    /// So many at once, again and again.
    Burst(u32),
    /// So many clients a pod.
    Closed(f64),
    /// Utilisation.
    Poisson(f64),
    /// Utilisation, and the CV of the gaps.
    Gamma(f64, f64),
    /// Utilisation of the recorded arrivals.
    Trace(f64),
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// A name that no other has; its files have it too.
    pub name: String,
    /// Where.
    pub place: Place,
    /// How.
    pub load: Load,
    /// How many.
    pub requests: u32,
    /// Whether the laws are fitted on it.
    pub fitting: bool,
    /// Whether it repeats another, as the floor.
    pub again: bool,
    /// Stream of its arrivals; a cell and its repeat have one.
    pub stream: u64,
}

// === impl Plan ===

impl Plan {
    /// The built-in one.
    pub const BUILT_IN: &str = include_str!("plan.toml");

    /// Reads and checks one. `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let plan: Plan = toml::from_str(text).with_context(|| format!("{file} cannot be used"))?;
        check_schema("plan", plan.schema, 1).with_context(|| file.to_string())?;
        plan.check().with_context(|| file.to_string())?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        let (fitting, held_out) = (&self.fitting, &self.held_out);
        let above = |field: &str, values: &[u32]| {
            ensure!(
                !values.is_empty() && !values.contains(&0),
                "{field}: empty, or zero in it; it takes numbers of 1 or more"
            );
            Ok(())
        };
        above("fitting.slots", &fitting.slots)?;
        above("fitting.pods", &fitting.pods)?;
        above("fitting.burst, fitting.repeats", &[fitting.burst, fitting.repeats])?;
        ensure!(held_out.requests >= 2, "held_out.requests: {}; it takes at least 2", held_out.requests);
        above("servers.pods", &[self.servers.pods])?;
        ensure!(!held_out.loads.is_empty(), "held_out.loads: empty; it takes at least one load");
        ensure!(!held_out.places.is_empty(), "held_out.places: empty; it takes at least one place");
        let fitted = self.fitted_on();
        for place in &held_out.places {
            above("held_out.places", &[place.slots, place.pods])?;
            if fitted.contains(&(place.slots, place.pods)) {
                bail!(
                    "held_out.places: {} slots and {} pods are fitted on, and would not be held out; move one of the two",
                    place.slots,
                    place.pods
                );
            }
        }
        let most =
            held_out.places.iter().map(|p| p.pods).chain(fitting.pods.iter().copied()).max().unwrap_or(1);
        ensure!(self.servers.pods >= most, "servers.pods: {} where {most} are measured", self.servers.pods);
        let mut names = BTreeSet::new();
        for Cell { name, .. } in self.cells(true) {
            ensure!(
                !names.contains(&name),
                "held_out: {name} is there twice; write each load and each place once"
            );
            names.insert(name);
        }
        let accuracy = &self.accuracy;
        let rated = self.servers.rated_cpu_s.iter().flatten().map(|&s| ("servers.rated_cpu_s", s));
        let numbers = [
            ("accuracy.mean", accuracy.mean),
            ("accuracy.p99", accuracy.p99),
            ("accuracy.worst", accuracy.worst),
            ("accuracy.attainment", accuracy.attainment),
            ("held_out.slo_times_pilot", held_out.slo_times_pilot),
            ("servers.cpu_share", self.servers.cpu_share),
            ("servers.slot_mbit_s", self.servers.slot_mbit_s),
        ];
        for (field, part) in numbers.into_iter().chain(rated) {
            ensure!(part.is_finite() && part > 0.0, "{field}: {part} is not a finite number above zero");
        }
        Ok(())
    }

    /// Cells the laws come from, as (slots, pods).
    pub fn fitted_on(&self) -> BTreeSet<(u32, u32)> {
        let slots = self.fitting.slots.iter();
        slots.flat_map(|&slots| self.fitting.pods.iter().map(move |&pods| (slots, pods))).collect()
    }

    /// Everything that is measured, the fitting cells first; the first Poisson cell at a utilisation of 0.5 or more, if
    /// there is one, stands there twice, `-again` with the same arrivals.
    pub fn cells(&self, traced: bool) -> Vec<Cell> {
        let fitting = &self.fitting;
        let mut cells = Vec::new();
        for (slots, pods) in self.fitted_on() {
            for repeat in 1..=fitting.repeats {
                let place = Place { slots, pods };
                let name = format!("fit-s{slots}-p{pods}-{repeat}");
                let (load, stream) = (Load::Burst(fitting.burst), cells.len() as u64);
                cells.push(Cell {
                    name,
                    place,
                    load,
                    requests: fitting.burst,
                    fitting: true,
                    again: false,
                    stream,
                });
            }
        }
        let mut again = None;
        for &place in &self.held_out.places {
            for &load in self.held_out.loads.iter().filter(|load| traced || !matches!(load, Load::Trace(_))) {
                let stream = cells.len() as u64;
                let words = String::from(load).replace([':', ','], "-");
                let name = format!("{words}-s{}-p{}", place.slots, place.pods);
                let cell = Cell {
                    name,
                    place,
                    load,
                    requests: self.held_out.requests,
                    fitting: false,
                    again: false,
                    stream,
                };
                if again.is_none() && matches!(load, Load::Poisson(u) if u >= 0.5) {
                    again = Some(Cell { name: format!("{}-again", cell.name), again: true, ..cell.clone() });
                }
                cells.push(cell);
            }
        }
        cells.extend(again);
        cells
    }
}

// === impl Load ===

impl TryFrom<String> for Load {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const FORMS: &str = "write burst:N, closed:CLIENTS_A_POD, poisson:UTILISATION, gamma:UTILISATION,CV or trace:UTILISATION";
        let wrong = || format!("{text:?} is no load; {FORMS}");
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let part = |text: &str| match text.parse::<f64>() {
            Ok(part) if part > 0.0 && part <= 100.0 => Ok(part),
            _ => Err(wrong()),
        };
        match kind {
            "burst" => rest.parse().ok().filter(|&n| n > 0).map(Load::Burst).ok_or_else(wrong),
            "closed" => part(rest).map(Load::Closed),
            "poisson" => part(rest).map(Load::Poisson),
            "trace" => part(rest).map(Load::Trace),
            "gamma" => {
                let (utilisation, cv) = rest.split_once(',').ok_or_else(wrong)?;
                Ok(Load::Gamma(part(utilisation)?, part(cv)?))
            }
            _ => Err(wrong()),
        }
    }
}

impl From<Load> for String {
    fn from(load: Load) -> String {
        match load {
            Load::Burst(n) => format!("burst:{n}"),
            Load::Closed(clients) => format!("closed:{clients}"),
            Load::Poisson(utilisation) => format!("poisson:{utilisation}"),
            Load::Gamma(utilisation, cv) => format!("gamma:{utilisation},{cv}"),
            Load::Trace(utilisation) => format!("trace:{utilisation}"),
        }
    }
}
