//! From the servers of many pods to one server, under the names that the [`Observer`](crate::Observer) reads.
//!
//! ```text
//!  pods of A ─────┐   counters: what each grew by since it was last asked, added up, so that the sum never runs backwards
//!  pods between ──┼─▶ gauges:   added up, and integrated over time                                 ─▶ one Exposition
//!  pods of B ─────┘   and only where every ready pod answered: a part is not the whole
//! ```
//!
//! Pure: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use crate::exposition::Exposition;
use crate::server::Server;

/// What one pod answered.
#[derive(Debug, Clone, Default)]
pub struct Scraped {
    /// What tells it from all others, of before and after.
    pub pod: String,
    /// Whether it takes requests: then its answer must not be missing.
    pub ready: bool,
    /// When it was started, on the clock of the rounds \[s\]; absent where that is not known.
    pub started_s: Option<f64>,
    /// Its metrics; absent where it did not answer.
    pub answer: Option<Exposition>,
}

/// What all pods that there are answered.
#[derive(Debug, Clone, Default)]
pub struct Flocks {
    /// Those of A.
    pub a: Vec<Scraped>,
    /// Those between.
    pub proxy: Vec<Scraped>,
    /// Those of B.
    pub b: Vec<Scraped>,
}

/// A name and labels that a series carries, and maybe others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: Vec<(String, String)>,
}

/// How a value of the one server comes from the many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// The growth of a counter.
    Counter(Series),
    /// The same of each bucket of a histogram.
    Buckets(Series),
    /// The sum of a gauge.
    Gauge(Series),
    /// The sum of a gauge, over time.
    Integral(Series),
    /// How many pods have a gauge, over time: what its integral is divided by for a mean.
    Count(Series),
    /// How many pods are ready, over time.
    Ready,
}

/// One value of the one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its name there.
    pub into: &'static str,
    /// Its labels there.
    pub labels: &'static [(&'static str, &'static str)],
    /// The pods that have it.
    pub pods: Server,
    /// What of them.
    pub of: Of,
}

/// Makes one server of many.
#[derive(Debug, Clone)]
pub struct Merge {
    parts: Vec<Part>,
    /// When the first whole round was \[s\].
    began_s: Option<f64>,
    /// Pods that answered before.
    asked: BTreeSet<String>,
}

/// A reading, and what became of it so far.
#[derive(Debug, Clone)]
struct Part {
    reading: Reading,
    /// By the bound of a bucket; of all else there is one.
    totals: BTreeMap<String, f64>,
    /// What each pod said last, by pod and bound.
    last: BTreeMap<(String, String), f64>,
    /// When a level was last known, and what it was.
    level: Option<(f64, f64)>,
}

// === impl Flocks ===

impl Flocks {
    /// The pods that stand for a server.
    pub fn of(&self, server: Server) -> &[Scraped] {
        match server {
            Server::A => &self.a,
            Server::Proxy => &self.proxy,
            Server::B => &self.b,
        }
    }

    /// Whether what was answered is everything: each pod that takes requests, and at least one.
    fn whole(&self, server: Server) -> bool {
        let pods = self.of(server);
        pods.iter().any(|pod| pod.answer.is_some())
            && pods.iter().all(|pod| pod.answer.is_some() || !pod.ready)
    }
}

// === impl Merge ===

impl Merge {
    /// One server of these values.
    pub fn new(readings: Vec<Reading>) -> Merge {
        let part = |reading| Part { reading, totals: BTreeMap::new(), last: BTreeMap::new(), level: None };
        Merge { parts: readings.into_iter().map(part).collect(), began_s: None, asked: BTreeSet::new() }
    }

    /// What the one server says at `now_s` \[s\]; absent where a pod that takes requests did not answer, or none did: its values
    /// then age, as those of any server that does not answer.
    pub fn round(&mut self, now_s: f64, flocks: &Flocks) -> Option<Exposition> {
        let servers: BTreeSet<Server> = self.parts.iter().map(|part| part.reading.pods).collect();
        if servers.is_empty() || !servers.iter().all(|&server| flocks.whole(server)) {
            return None;
        }
        let mut merged = Exposition::default();
        for part in &mut self.parts {
            part.step(now_s, flocks.of(part.reading.pods), self.began_s, &self.asked);
            part.say(&mut merged, flocks.of(part.reading.pods));
        }
        let known: BTreeSet<&str> =
            servers.iter().flat_map(|&of| flocks.of(of)).map(|pod| &*pod.pod).collect();
        self.asked.retain(|pod| known.contains(pod.as_str()));
        for part in &mut self.parts {
            part.last.retain(|(pod, _), _| known.contains(pod.as_str()));
        }
        let answered = servers.iter().flat_map(|&of| flocks.of(of)).filter(|pod| pod.answer.is_some());
        self.asked.extend(answered.map(|pod| pod.pod.clone()));
        self.began_s.get_or_insert(now_s);
        Some(merged)
    }
}

// === impl Part ===

impl Part {
    /// Takes in what was answered.
    fn step(&mut self, now_s: f64, pods: &[Scraped], began_s: Option<f64>, asked: &BTreeSet<String>) {
        match self.reading.of.clone() {
            Of::Gauge(_) => {}
            Of::Counter(series) => {
                let value = |answer: &Exposition| {
                    series.sum(answer).map(|value| vec![(String::new(), value)]).unwrap_or_default()
                };
                self.grow(pods, value, began_s, asked);
            }
            Of::Buckets(series) => self.grow(pods, |answer| series.buckets(answer), began_s, asked),
            Of::Integral(series) => self.integrate(now_s, series.over(pods)),
            Of::Count(series) => self.integrate(now_s, series.count(pods)),
            Of::Ready => {
                let ready = pods.iter().filter(|pod| pod.ready).count();
                self.integrate(now_s, Some(ready as f64));
            }
        }
    }

    /// Adds what each counter grew by. One that runs backwards began anew; one that is new grew from nothing where its pod was
    /// asked before or is younger than the merge, and else nobody knows: it is a beginning.
    fn grow(
        &mut self,
        pods: &[Scraped],
        values: impl Fn(&Exposition) -> Vec<(String, f64)>,
        began_s: Option<f64>,
        asked: &BTreeSet<String>,
    ) {
        for pod in pods {
            let Some(answer) = &pod.answer else { continue };
            let young = began_s.zip(pod.started_s).is_some_and(|(began_s, started_s)| started_s >= began_s);
            let from_nothing = young || asked.contains(&pod.pod);
            for (bound, value) in values(answer) {
                let last = self.last.insert((pod.pod.clone(), bound.clone()), value);
                let grown = match last {
                    Some(last) if value >= last => value - last,
                    Some(_) => value,
                    None if from_nothing => value,
                    None => 0.0,
                };
                *self.totals.entry(bound).or_default() += grown;
            }
        }
    }

    /// Integrates a level, straight from what it was to what it is.
    fn integrate(&mut self, now_s: f64, level: Option<f64>) {
        if let Some(level) = level {
            let total = self.totals.entry(String::new()).or_default();
            if let Some((last_s, last)) = self.level {
                *total += (last + level) / 2.0 * (now_s - last_s).max(0.0);
            }
        }
        self.level = level.map(|level| (now_s, level));
    }

    /// Says what it is now.
    fn say(&self, merged: &mut Exposition, pods: &[Scraped]) {
        let Reading { into, labels, of, .. } = &self.reading;
        match of {
            Of::Gauge(series) => {
                if let Some(value) = series.over(pods) {
                    merged.push(into, labels, value);
                }
            }
            Of::Buckets(_) => {
                for (bound, total) in &self.totals {
                    let labels: Vec<(&str, &str)> =
                        labels.iter().copied().chain([("le", &**bound)]).collect();
                    merged.push(into, &labels, *total);
                }
            }
            // A level that nobody tells now has no integral now either.
            Of::Integral(_) | Of::Count(_) if self.level.is_none() => {}
            _ => {
                for total in self.totals.values() {
                    merged.push(into, labels, *total);
                }
            }
        }
    }
}

// === impl Series ===

impl Series {
    /// A name and labels.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Series {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Series { name: name.to_owned(), labels }
    }

    fn labels(&self) -> Vec<(&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value)).collect()
    }

    fn sum(&self, answer: &Exposition) -> Option<f64> {
        answer.sum(&self.name, &self.labels())
    }

    fn buckets(&self, answer: &Exposition) -> Vec<(String, f64)> {
        let labels = self.labels();
        let mut buckets: BTreeMap<&str, f64> = BTreeMap::new();
        for (bound, value) in answer.labelled(&self.name, &labels, "le") {
            *buckets.entry(bound).or_default() += value;
        }
        buckets.into_iter().map(|(bound, value)| (bound.to_owned(), value)).collect()
    }

    /// The sum over the pods that have it.
    fn over(&self, pods: &[Scraped]) -> Option<f64> {
        let values: Vec<f64> = pods.iter().filter_map(|pod| self.sum(pod.answer.as_ref()?)).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// How many pods have it.
    fn count(&self, pods: &[Scraped]) -> Option<f64> {
        let count =
            pods.iter().filter(|pod| pod.answer.as_ref().and_then(|answer| self.sum(answer)).is_some());
        Some(count.count() as f64).filter(|count| *count > 0.0)
    }
}
