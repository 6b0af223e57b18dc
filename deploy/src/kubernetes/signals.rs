//! Where the signals of a `SplitPipeline` come from: anybody's metrics, or answers of Prometheus.

// `kubectl explain` shows these comments as they are.
#![allow(rustdoc::bare_urls)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where each signal comes from. A signal that is left out comes from the metric of splitscale's own servers, where the pods
/// export it, and is missing otherwise.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "has(self.prometheus) || !((has(self.arrivals) && has(self.arrivals.query)) || (has(self.answers) && has(self.answers.query)) \
     || (has(self.queueA) && has(self.queueA.query)) || (has(self.queueProxy) && has(self.queueProxy.query)) \
     || (has(self.queueB) && has(self.queueB.query)) || (has(self.busyA) && has(self.busyA.query)) \
     || (has(self.busySlots) && has(self.busySlots.query)) || (has(self.busyB) && has(self.busyB.query)) \
     || (has(self.slots) && has(self.slots.query)) || (has(self.link) && has(self.link.query)) \
     || (has(self.latency) && (has(self.latency.queryP50) || has(self.latency.queryP95))))",
    "a query needs prometheus.url: where it is asked"
))]
#[serde(rename_all = "camelCase")]
pub struct Signals {
    /// The Prometheus that answers queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
    /// Where the pods of stage A answer metrics. Without it at their first container port, at /metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<Endpoint>,
    /// The same of stage B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Endpoint>,
    /// Pods between the stages, or any others that have signals. Without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyPods>,
    /// Requests that arrive: a counter, or a query for requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.gauge)", "arrivals are a counter or a query"))]
    pub arrivals: Option<Source>,
    /// Requests that are answered: a counter, or a query for requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.gauge)", "answers are a counter or a query"))]
    pub answers: Option<Source>,
    /// Requests that wait for a pod of A: a gauge, or a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.counter)", "a queue is a gauge or a query"))]
    pub queue_a: Option<Source>,
    /// Activations that wait for the link: a gauge, or a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.counter)", "a queue is a gauge or a query"))]
    pub queue_proxy: Option<Source>,
    /// Activations that wait for a pod of B: a gauge, or a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.counter)", "a queue is a gauge or a query"))]
    pub queue_b: Option<Source>,
    /// How busy the pods of A are: a counter of busy seconds a pod, a gauge of the busy share of a pod, or a query for the mean share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_a: Option<Source>,
    /// How busy the transfer slots are: a counter of seconds in which slots were held, a gauge of the held share, or a query for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_slots: Option<Source>,
    /// How busy the pods of B are: as busyA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_b: Option<Source>,
    /// Transfer slots, or connections that may carry an activation at once: a gauge, or a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.counter)", "slots are a gauge or a query"))]
    pub slots: Option<Source>,
    /// Time from arrival to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// What a transfer gets of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
}

/// A Prometheus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prometheus {
    /// Its address, such as http://prometheus.monitoring:9090, with the prefix it is served under. It is asked without a password.
    #[schemars(regex(pattern = "^https?://[^ ?#]+$"), length(max = 2048))]
    pub url: String,
}

/// Where a pod answers metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Port. Without it the first that the pod's containers name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Path.
    #[serde(default = "metrics")]
    #[schemars(regex(pattern = "^/[^ ]*$"), length(max = 1024))]
    pub path: String,
}

/// Pods that are no stage.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("has(self.service) != has(self.selector)", "name either a service or a selector of pods"))]
pub struct ProxyPods {
    /// Name of a Service in the namespace of this object: the addresses behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
    /// Labels that the pods carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    /// Port. Without it the Service's first, or the first that the pod's containers name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Path.
    #[serde(default = "metrics")]
    #[schemars(regex(pattern = "^/[^ ]*$"), length(max = 1024))]
    pub path: String,
}

/// Which pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pods {
    /// Those of stage A.
    A,
    /// Those of signals.proxy.
    Proxy,
    /// Those of stage B.
    B,
}

/// Where one signal comes from. What several pods export is added up.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "(has(self.counter) ? 1 : 0) + (has(self.gauge) ? 1 : 0) + (has(self.query) ? 1 : 0) == 1",
    "name one of counter, gauge and query"
))]
pub struct Source {
    /// The pods that export it. Without it those whose signal it is by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
    /// Name of a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"), length(max = 256))]
    pub counter: Option<String>,
    /// Name of a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"), length(max = 256))]
    pub gauge: Option<String>,
    /// Labels that a series carries, to count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A query in PromQL that gives one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
}

/// Where the latency comes from.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "has(self.histogram) != (has(self.queryP50) || has(self.queryP95))",
    "name a histogram, or queries for the median and the 95th percentile"
))]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The pods that export it. Without it the proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
    /// Name of a histogram of seconds, without _bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"), length(max = 256))]
    pub histogram: Option<String>,
    /// Labels that a series carries, to count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A query for the median in seconds.
    #[serde(default, rename = "queryP50", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query_p50: Option<String>,
    /// A query for the 95th percentile in seconds.
    #[serde(default, rename = "queryP95", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query_p95: Option<String>,
}

/// Where the bandwidth of a transfer comes from.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "has(self.query) ? !has(self.bytes) && !has(self.busySeconds) : has(self.bytes) && has(self.busySeconds)",
    "name bytes and busySeconds, or a query"
))]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The pods that export it. Without it the proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
    /// Name of a counter of bytes that were sent over the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"), length(max = 256))]
    pub bytes: Option<String>,
    /// Name of a counter of the seconds that transfers took, summed over all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"), length(max = 256))]
    pub busy_seconds: Option<String>,
    /// Labels that a series carries, to count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A query for the bandwidth of one transfer in Mbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
}

fn metrics() -> String {
    "/metrics".to_owned()
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint { port: None, path: metrics() }
    }
}

impl ProxyPods {
    /// What is behind a Service, at its first port.
    pub fn service(name: &str) -> ProxyPods {
        ProxyPods { service: Some(name.to_owned()), selector: None, port: None, path: metrics() }
    }
}
