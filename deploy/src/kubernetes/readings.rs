//! From the signals of a `SplitPipeline` to what is read of its pods and what is asked of Prometheus.

use std::collections::BTreeMap;

use crate::asked::Field;
use crate::merge::{Of, Reading, Series};
use crate::scrape::{
    ANSWERS, BUSY, DURATION_BUCKET, DURATION_COUNT, QUEUE, QUEUE_SECONDS, READY, REQUESTS, SLOT_HELD,
    SLOT_SECONDS, SLOTS, TRANSFER_BYTES, TRANSFER_SECONDS,
};
use crate::server::Server;

use super::signals::{Endpoint, Latency, Link, Pods, ProxyPods, Signals, Source};

/// The Service of our own proxy.
const PROXY: &str = "splitscale-proxy";

/// Labels as our servers write them.
type Labels = &'static [(&'static str, &'static str)];

/// What A served, whatever became of it behind A.
const SERVED: Labels = &[("stage", "a"), ("status", "answered")];

/// Where the signals of a pipeline come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What makes up the servers A, the proxy and B.
    pub a: Vec<Reading>,
    /// The proxy.
    pub proxy: Vec<Reading>,
    /// B.
    pub b: Vec<Reading>,
    /// What is asked in PromQL.
    pub queries: Vec<(Field, String)>,
    /// Where Prometheus is, if anything is asked of it.
    pub prometheus: Option<String>,
    /// Signals that are to be there: those that were named, or all.
    pub expected: Vec<Field>,
    /// Where the pods of A answer.
    pub at_a: Endpoint,
    /// Where those of B do.
    pub at_b: Endpoint,
    /// The pods between, and where they answer; absent where there are none.
    pub between: Option<ProxyPods>,
}

/// All signals.
const ALL: [Field; 12] = [
    Field::Arrivals,
    Field::Answers,
    Field::QueueA,
    Field::QueueProxy,
    Field::QueueB,
    Field::BusyA,
    Field::BusySlots,
    Field::BusyB,
    Field::Slots,
    Field::LatencyP50,
    Field::LatencyP95,
    Field::Link,
];

impl Plan {
    /// What these signals take; without any, those of our own servers.
    pub fn of(signals: Option<&Signals>) -> Plan {
        let ours = Signals { proxy: Some(ProxyPods::service(PROXY)), ..Signals::default() };
        let said = signals.unwrap_or(&ours);
        let mut plan = Plan {
            a: Vec::new(),
            proxy: Vec::new(),
            b: Vec::new(),
            queries: Vec::new(),
            prometheus: said.prometheus.as_ref().map(|prometheus| prometheus.url.clone()),
            expected: Vec::new(),
            at_a: said.a.clone().unwrap_or_default(),
            at_b: said.b.clone().unwrap_or_default(),
            between: said.proxy.clone(),
        };
        let one = Source::default;
        plan.rate(
            Field::Arrivals,
            Server::A,
            said.arrivals.clone().unwrap_or_else(|| Source {
                counter: Some(REQUESTS.to_owned()),
                labels: [("stage".to_owned(), "a".to_owned())].into(),
                ..one()
            }),
        );
        // For the residuals alone: where A is ours it says so, and elsewhere nobody misses it.
        if said.arrivals.is_none() {
            plan.read(Server::A, (ANSWERS, SERVED), Server::A, Of::Counter(Series::new(ANSWERS, SERVED)));
        }
        plan.rate(
            Field::Answers,
            Server::Proxy,
            said.answers
                .clone()
                .unwrap_or_else(|| Source { counter: Some(DURATION_COUNT.to_owned()), ..one() }),
        );
        plan.queue(Field::QueueA, Server::A, &said.queue_a);
        plan.queue(Field::QueueProxy, Server::Proxy, &said.queue_proxy);
        plan.queue(Field::QueueB, Server::B, &said.queue_b);
        plan.busy(Field::BusyA, Server::A, &said.busy_a);
        plan.busy(Field::BusyB, Server::B, &said.busy_b);
        let slots = said.slots.clone().unwrap_or_else(|| Source { gauge: Some(SLOTS.to_owned()), ..one() });
        plan.busy_slots(&said.busy_slots, &slots);
        if let Some(gauge) = plan.series(Field::Slots, &slots.gauge, &slots) {
            plan.read(Server::Proxy, (SLOTS, &[]), slots.server(Server::Proxy), Of::Gauge(gauge));
        }
        plan.latency(said.latency.as_ref());
        plan.link(said.link.as_ref());
        if signals.is_none() {
            plan.expected = ALL.to_vec();
        } else {
            plan.expected = named(said);
        }
        // What stands at pods that are not there would keep what stands beside it from being read.
        if plan.between.is_none() {
            for readings in [&mut plan.a, &mut plan.proxy, &mut plan.b] {
                readings.retain(|reading| reading.pods != Server::Proxy);
            }
        }
        plan
    }

    /// Whether anything is read of these pods.
    pub fn reads(&self, server: Server) -> bool {
        [&self.a, &self.proxy, &self.b].into_iter().flatten().any(|reading| reading.pods == server)
    }

    fn read(&mut self, server: Server, (into, labels): (&'static str, Labels), pods: Server, of: Of) {
        let readings = match server {
            Server::A => &mut self.a,
            Server::Proxy => &mut self.proxy,
            Server::B => &mut self.b,
        };
        readings.push(Reading { into, labels, pods, of });
    }

    /// The series of a metric; where there is a query instead, that is asked.
    fn series(&mut self, field: Field, metric: &Option<String>, source: &Source) -> Option<Series> {
        if let Some(query) = &source.query {
            self.queries.push((field, query.clone()));
        }
        metric.as_ref().map(|name| series(name, &source.labels))
    }

    fn rate(&mut self, field: Field, server: Server, source: Source) {
        let (into, labels): (&'static str, Labels) = match field {
            Field::Arrivals => (REQUESTS, &[("stage", "a")]),
            _ => (DURATION_COUNT, &[]),
        };
        if let Some(counter) = self.series(field, &source.counter, &source) {
            self.read(server, (into, labels), source.server(server), Of::Counter(counter));
        }
    }

    fn queue(&mut self, field: Field, server: Server, source: &Option<Source>) {
        let labels: Labels = match server {
            Server::A => &[("queue", "a")],
            Server::Proxy => &[("queue", "proxy")],
            Server::B => &[("queue", "b")],
        };
        let Some(source) = source else {
            // Ours integrate it themselves: that misses nothing between two scrapes.
            self.read(server, (QUEUE, labels), server, Of::Gauge(Series::new(QUEUE, labels)));
            self.read(
                server,
                (QUEUE_SECONDS, labels),
                server,
                Of::Counter(Series::new(QUEUE_SECONDS, labels)),
            );
            return;
        };
        if let Some(gauge) = self.series(field, &source.gauge, source) {
            let pods = source.server(server);
            self.read(server, (QUEUE, labels), pods, Of::Gauge(gauge.clone()));
            self.read(server, (QUEUE_SECONDS, labels), pods, Of::Integral(gauge));
        }
    }

    fn busy(&mut self, field: Field, server: Server, source: &Option<Source>) {
        let labels: Labels = if server == Server::A { &[("stage", "a")] } else { &[("stage", "b")] };
        let Some(source) = source else {
            for name in [BUSY, READY] {
                self.read(server, (name, labels), server, Of::Counter(Series::new(name, labels)));
            }
            return;
        };
        let pods = source.server(server);
        if let Some(counter) = self.series(field, &source.counter, source) {
            self.read(server, (BUSY, labels), pods, Of::Counter(counter));
            self.read(server, (READY, labels), pods, Of::Ready);
        } else if let Some(gauge) = source.gauge.as_ref().map(|name| series(name, &source.labels)) {
            self.read(server, (BUSY, labels), pods, Of::Integral(gauge.clone()));
            self.read(server, (READY, labels), pods, Of::Count(gauge));
        }
    }

    fn busy_slots(&mut self, source: &Option<Source>, slots: &Source) {
        let server = Server::Proxy;
        let Some(source) = source else {
            for name in [SLOT_HELD, SLOT_SECONDS] {
                self.read(server, (name, &[]), server, Of::Counter(Series::new(name, &[])));
            }
            return;
        };
        let pods = source.server(server);
        if let Some(counter) = self.series(Field::BusySlots, &source.counter, source) {
            self.read(server, (SLOT_HELD, &[]), pods, Of::Counter(counter));
            // Seconds that slots were held, of all their seconds: how many there are has to be told by pods too.
            if let Some(gauge) = slots.gauge.as_ref().map(|name| series(name, &slots.labels)) {
                self.read(server, (SLOT_SECONDS, &[]), slots.server(server), Of::Integral(gauge));
            }
        } else if let Some(gauge) = source.gauge.as_ref().map(|name| series(name, &source.labels)) {
            self.read(server, (SLOT_HELD, &[]), pods, Of::Integral(gauge.clone()));
            self.read(server, (SLOT_SECONDS, &[]), pods, Of::Count(gauge));
        }
    }

    fn latency(&mut self, latency: Option<&Latency>) {
        let (server, none) = (Server::Proxy, BTreeMap::new());
        let (pods, buckets, labels) = match latency {
            None => (server, Some(DURATION_BUCKET.to_owned()), &none),
            Some(said) => {
                for (field, query) in
                    [(Field::LatencyP50, &said.query_p50), (Field::LatencyP95, &said.query_p95)]
                {
                    self.queries.extend(query.clone().map(|query| (field, query)));
                }
                let buckets = said.histogram.as_ref().map(|name| format!("{name}_bucket"));
                (said.pods.map_or(server, Server::from), buckets, &said.labels)
            }
        };
        if let Some(name) = buckets {
            self.read(server, (DURATION_BUCKET, &[]), pods, Of::Buckets(series(&name, labels)));
        }
    }

    fn link(&mut self, link: Option<&Link>) {
        let server = Server::Proxy;
        let ours = Link {
            bytes: Some(TRANSFER_BYTES.to_owned()),
            busy_seconds: Some(TRANSFER_SECONDS.to_owned()),
            ..Link::default()
        };
        let said = link.unwrap_or(&ours);
        self.queries.extend(said.query.clone().map(|query| (Field::Link, query)));
        if let (Some(bytes), Some(busy)) = (&said.bytes, &said.busy_seconds) {
            let pods = said.pods.map_or(server, Server::from);
            self.read(server, (TRANSFER_BYTES, &[]), pods, Of::Counter(series(bytes, &said.labels)));
            self.read(server, (TRANSFER_SECONDS, &[]), pods, Of::Counter(series(busy, &said.labels)));
        }
    }
}

/// The signals that were named.
fn named(said: &Signals) -> Vec<Field> {
    let latency = |query: fn(&Latency) -> &Option<String>| {
        said.latency.as_ref().is_some_and(|latency| latency.histogram.is_some() || query(latency).is_some())
    };
    let there = [
        said.arrivals.is_some(),
        said.answers.is_some(),
        said.queue_a.is_some(),
        said.queue_proxy.is_some(),
        said.queue_b.is_some(),
        said.busy_a.is_some(),
        said.busy_slots.is_some(),
        said.busy_b.is_some(),
        said.slots.is_some(),
        latency(|latency| &latency.query_p50),
        latency(|latency| &latency.query_p95),
        said.link.is_some(),
    ];
    ALL.into_iter().zip(there).filter(|(_, there)| *there).map(|(field, _)| field).collect()
}

fn series(name: &str, labels: &BTreeMap<String, String>) -> Series {
    Series { name: name.to_owned(), labels: labels.clone().into_iter().collect() }
}

impl Source {
    /// The pods that have it, by itself or by the name of the signal.
    fn server(&self, of_signal: Server) -> Server {
        self.pods.map_or(of_signal, Server::from)
    }
}

impl From<Pods> for Server {
    fn from(pods: Pods) -> Server {
        match pods {
            Pods::A => Server::A,
            Pods::Proxy => Server::Proxy,
            Pods::B => Server::B,
        }
    }
}
