//! The pods of a stage as the cluster tells them, in the metrics of a stage that has its own: the same Observer reads both.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use kube::core::{Selector, SelectorExt};

use crate::exposition::Exposition;
use crate::scrape::{CPU, POD_CPU_REQUEST, POD_PHASE, POD_READY_AGE, PODS};

/// Where a pod is in its life, by the number that `split_pod_phase` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting = 0,
    Ready = 1,
    Draining = 2,
}

/// A pod, or an address behind a Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// What tells it from all others.
    pub(crate) uid: String,
    pub(crate) phase: Phase,
    /// Where it answers, as it stands in a URL; absent before it has an address.
    pub(crate) host: Option<String>,
    /// The first port that it names.
    pub(crate) port: Option<u16>,
    /// Since when it is ready \[s\].
    pub(crate) ready_age_s: Option<f64>,
    /// Since when it was started \[s\].
    pub(crate) age_s: Option<f64>,
    /// CPU that its containers ask for \[cores\].
    pub(crate) cpu_request: Option<f64>,
}

/// Numbers of pods, which have none of their own: in the order in which they were first seen, and never given twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers {
    given: BTreeMap<String, u32>,
    next: u32,
}

/// The pods that carry these labels, at a time; those that have ended are none.
pub(crate) fn members(pods: &[Arc<Pod>], selector: &Selector, now: Timestamp) -> Vec<Member> {
    let chosen = pods.iter().filter(|pod| {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        selector.matches(&labels)
    });
    let mut members: Vec<Member> = chosen.filter_map(|pod| Member::of_pod(pod, now)).collect();
    members.sort_by(|one, other| one.uid.cmp(&other.uid));
    members
}

/// The addresses behind a Service; of those that are pods, their age is known.
pub(crate) fn behind(
    slices: &[Arc<EndpointSlice>],
    service: &str,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> Vec<Member> {
    let of_service = slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get("kubernetes.io/service-name")).is_some_and(|name| name == service)
    });
    let mut members = Vec::new();
    for slice in of_service {
        let port = slice.ports.iter().flatten().find_map(|port| u16::try_from(port.port?).ok());
        for endpoint in &slice.endpoints {
            let Some(address) = endpoint.addresses.first() else { continue };
            let uid = endpoint.target_ref.as_ref().and_then(|pod| pod.uid.clone());
            let pod = pods.iter().find(|pod| pod.metadata.uid.is_some() && pod.metadata.uid == uid);
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let phase = match (conditions.terminating, conditions.ready) {
                (Some(true), _) => Phase::Draining,
                (_, Some(false)) => Phase::Starting,
                _ => Phase::Ready,
            };
            members.push(Member {
                uid: uid.unwrap_or_else(|| address.clone()),
                phase,
                host: Some(host(address)),
                port,
                ready_age_s: None,
                age_s: pod.and_then(|pod| age_s(pod, now)),
                cpu_request: None,
            });
        }
    }
    members.sort_by(|one, other| one.uid.cmp(&other.uid));
    members.dedup_by(|one, other| one.uid == other.uid);
    members
}

/// What a stage says that is told to have so many pods, has these, and of some knows the CPU time that they have used \[s\].
pub(crate) fn census(
    stage: &str,
    desired: u32,
    members: &[Member],
    (numbers, cpu_s): (&mut Numbers, &BTreeMap<String, f64>),
) -> Exposition {
    let mut told = Exposition::default();
    told.push(PODS, &[("stage", stage), ("state", "desired")], f64::from(desired));
    for (state, phase) in
        [("starting", Phase::Starting), ("ready", Phase::Ready), ("draining", Phase::Draining)]
    {
        let count = members.iter().filter(|member| member.phase == phase).count();
        told.push(PODS, &[("stage", stage), ("state", state)], count as f64);
    }
    numbers.keep(members);
    for member in members {
        let number = numbers.of(&member.uid).to_string();
        let labels = [("stage", stage), ("pod", number.as_str())];
        told.push(POD_PHASE, &labels, f64::from(member.phase as u8));
        let values = [
            (POD_READY_AGE, member.ready_age_s),
            (POD_CPU_REQUEST, member.cpu_request),
            (CPU, cpu_s.get(&member.uid).copied()),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                told.push(name, &labels, value);
            }
        }
    }
    told
}

/// CPU time that a pod has used \[s\]: of the requests, as our servers count it, or of the process.
pub(crate) fn cpu_s(answer: &Exposition) -> Option<f64> {
    answer.sum(CPU, &[]).or_else(|| answer.sum("process_cpu_seconds_total", &[]))
}

// === impl Member ===

impl Member {
    fn of_pod(pod: &Pod, now: Timestamp) -> Option<Member> {
        let status = pod.status.clone().unwrap_or_default();
        if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
            return None;
        }
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let is_ready = ready.is_some_and(|condition| condition.status == "True");
        let phase = match (&pod.metadata.deletion_timestamp, is_ready) {
            (Some(_), _) => Phase::Draining,
            (None, true) => Phase::Ready,
            (None, false) => Phase::Starting,
        };
        let since = ready
            .filter(|_| phase == Phase::Ready)
            .and_then(|condition| condition.last_transition_time.clone());
        let containers = || pod.spec.iter().flat_map(|spec| &spec.containers);
        let port = containers().flat_map(|container| container.ports.iter().flatten()).next();
        let requests = containers().map(|container| {
            let requests = container.resources.as_ref()?.requests.as_ref()?;
            cores(requests.get("cpu")?)
        });
        Some(Member {
            uid: pod.metadata.uid.clone()?,
            phase,
            host: status.pod_ip.as_deref().filter(|ip| !ip.is_empty()).map(host),
            port: port.and_then(|port| u16::try_from(port.container_port).ok()),
            ready_age_s: since.map(|since| seconds(since.0, now)),
            age_s: age_s(pod, now),
            // Of a pod of which one container asks for nothing nobody knows what it asks for.
            cpu_request: requests.sum::<Option<f64>>().filter(|cores| *cores > 0.0),
        })
    }
}

// === impl Numbers ===

impl Numbers {
    fn of(&mut self, uid: &str) -> u32 {
        if let Some(number) = self.given.get(uid) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.given.insert(uid.to_owned(), number);
        number
    }

    /// Forgets those that are no more.
    fn keep(&mut self, members: &[Member]) {
        self.given.retain(|uid, _| members.iter().any(|member| member.uid == *uid));
    }
}

fn age_s(pod: &Pod, now: Timestamp) -> Option<f64> {
    let started = pod.status.as_ref()?.start_time.as_ref()?;
    Some(seconds(started.0, now))
}

/// Time since; zero where another machine's clock is ahead.
fn seconds(since: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(since).as_secs_f64().max(0.0)
}

/// An address as it stands in a URL.
fn host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Cores of a quantity: `2`, `0.5`, `500m`; absent where it is something else.
fn cores(Quantity(text): &Quantity) -> Option<f64> {
    let (number, scale) = match text.as_bytes().last()? {
        b'm' => (&text[..text.len() - 1], 1e-3),
        b'u' => (&text[..text.len() - 1], 1e-6),
        b'n' => (&text[..text.len() - 1], 1e-9),
        b'k' => (&text[..text.len() - 1], 1e3),
        _ => (text.as_str(), 1.0),
    };
    number.parse::<f64>().ok().map(|number| number * scale).filter(|cores| cores.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(uid: &str, labels: Value, status: Value) -> Arc<Pod> {
        let containers = json!([
            {"name": "server", "ports": [{"containerPort": 5000}], "resources": {"requests": {"cpu": "250m"}}},
            {"name": "beside", "resources": {"requests": {"cpu": "0.25"}}},
        ]);
        let pod = json!({
            "metadata": {"name": uid, "uid": uid, "labels": labels},
            "spec": {"containers": containers},
            "status": status,
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn ready(status: &str) -> Value {
        let condition =
            json!({"type": "Ready", "status": status, "lastTransitionTime": "2026-11-27T10:00:00Z"});
        json!({"phase": "Running", "podIP": "10.0.0.1", "startTime": "2026-11-27T09:59:00Z", "conditions": [condition]})
    }

    #[test]
    fn a_stage_is_told_by_the_pods_that_carry_its_labels() {
        let labels = || json!({"app": "a"});
        let mut gone = Pod::clone(&pod("gone", labels(), ready("True")));
        gone.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-11-27T10:00:05Z")).unwrap());
        let pods = [
            pod("one", labels(), ready("True")),
            pod("two", labels(), json!({"phase": "Pending"})),
            Arc::new(gone),
            pod("ended", labels(), json!({"phase": "Succeeded"})),
            pod("other", json!({"app": "b"}), ready("True")),
        ];
        let selector: Selector = [("app".to_owned(), "a".to_owned())].into_iter().collect();
        let members = members(&pods, &selector, "2026-11-27T10:00:10Z".parse().unwrap());
        let phases: Vec<(&str, Phase)> = members.iter().map(|member| (&*member.uid, member.phase)).collect();
        assert_eq!(phases, [("gone", Phase::Draining), ("one", Phase::Ready), ("two", Phase::Starting)]);
        let one = &members[1];
        assert_eq!((one.ready_age_s, one.age_s, one.cpu_request), (Some(10.0), Some(70.0), Some(0.5)));
        assert_eq!((one.host.as_deref(), one.port), (Some("10.0.0.1"), Some(5000)));

        let mut numbers = Numbers::default();
        let cpu_s = [("one".to_owned(), 3.5)].into();
        let told = census("a", 4, &members, (&mut numbers, &cpu_s));
        let count = |state| told.value(PODS, &[("stage", "a"), ("state", state)]);
        assert_eq!(["desired", "ready", "starting", "draining"].map(count), [4.0, 1.0, 1.0, 1.0].map(Some));
        assert_eq!(told.value(CPU, &[("pod", "1")]), Some(3.5));
        // One that is gone leaves the others their numbers.
        let told = census("a", 4, &members[1..], (&mut numbers, &cpu_s));
        assert_eq!(
            (told.value(CPU, &[("pod", "1")]), told.value(POD_PHASE, &[("pod", "0")])),
            (Some(3.5), None)
        );
    }

    #[test]
    fn a_service_is_told_by_its_addresses() {
        let slice = json!({
            "metadata": {"name": "proxy-1", "labels": {"kubernetes.io/service-name": "proxy"}},
            "addressType": "IPv4",
            "ports": [{"port": 6000}],
            "endpoints": [
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true}, "targetRef": {"uid": "one"}},
                {"addresses": ["fd00::2"], "conditions": {"ready": false, "terminating": true}},
            ],
        });
        let slices = [Arc::new(serde_json::from_value(slice).unwrap())];
        let pods = [pod("one", json!({}), ready("True"))];
        let now = "2026-11-27T10:00:10Z".parse().unwrap();
        let members = behind(&slices, "proxy", &pods, now);
        let told: Vec<_> =
            members.iter().map(|m| (m.host.as_deref().unwrap(), m.port, m.phase, m.age_s)).collect();
        assert_eq!(
            told,
            [
                ("[fd00::2]", Some(6000), Phase::Draining, None),
                ("10.0.0.2", Some(6000), Phase::Ready, Some(70.0))
            ]
        );
        assert_eq!(behind(&slices, "another", &pods, now), []);
    }

    #[test]
    fn quantities_of_cpu() {
        for (text, is) in [
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            ("1500m", Some(1.5)),
            ("1e-1", Some(0.1)),
            ("1Gi", None),
            ("", None),
        ] {
            let found = cores(&Quantity(text.to_owned()));
            assert!(found == is || (found.unwrap() - is.unwrap()).abs() < 1e-12, "{text}: {found:?}");
        }
    }
}
