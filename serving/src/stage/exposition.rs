//! What a stage says to `/metrics`.

use std::time::Instant;

use splitscale_spec::{PodPhase, Stage};

use crate::metrics::{Exposition, PODS_CPU, children_cpu_s};
use crate::pool::{Meters, Refusal};
use crate::wire::{PodState, PodsState};

pub(super) fn expose(text: &mut Exposition, state: &PodsState, meters: &Meters, depth: f64) {
    let now = Instant::now();
    let stage = if state.stage == Stage::A { "a" } else { "b" };
    let of_stage = [("stage", stage)];
    text.metric("split_requests_total", "counter", "Requests that came to the stage.")
        .sample(&of_stage, meters.requests as f64);
    text.metric(
        "split_answers_total",
        "counter",
        "Requests that left the stage: answered, failed, refused before the queue, expired in it, or abandoned by whoever waited.",
    );
    for (status, count) in [
        ("answered", meters.answered),
        ("failed", meters.failed),
        ("refused", meters.refused.iter().sum()),
        ("expired", meters.expired),
        ("abandoned", meters.abandoned),
    ] {
        text.sample(&[("stage", stage), ("status", status)], count as f64);
    }
    text.metric("split_rejected_total", "counter", "Requests that no pod took, by reason.");
    for (reason, count) in [
        ("queue_full", meters.refused[Refusal::Full as usize]),
        ("unavailable", meters.refused[Refusal::Unfit as usize]),
        ("expired", meters.expired),
    ] {
        text.sample(&[("stage", stage), ("reason", reason)], count as f64);
    }
    text.metric("split_stage_duration_seconds", "histogram", "Phases of answered requests, by name.");
    for (phase, histogram) in meters.phases.iter() {
        text.histogram(&[("stage", stage), ("phase", phase)], histogram);
    }
    text.metric(
        "split_inflight",
        "gauge",
        "Requests waiting for a pod, at a pod, or on their way to the next server.",
    )
    .sample(&of_stage, state.inflight() as f64);
    text.metric("split_queue_depth", "gauge", "Requests waiting for a pod.")
        .sample(&[("queue", stage)], state.queued as f64);
    text.metric("split_queue_depth_seconds_total", "counter", "Integral of the queue depth over time.")
        .sample(&[("queue", stage)], depth);
    text.metric("split_pods", "gauge", "Pods: asked for, used by the balancer, and by phase.");
    for (name, count) in [
        ("desired", state.desired),
        ("in_use", state.in_use),
        ("ready", state.ready),
        ("starting", state.starting),
        ("draining", state.draining),
    ] {
        text.sample(&[("stage", stage), ("state", name)], f64::from(count));
    }
    text.metric("split_pods_max", "gauge", "Most pods that the stage may be asked for.")
        .sample(&of_stage, f64::from(state.pods_max));
    text.metric("split_pod_busy_seconds_total", "counter", "Integral of pods in use that are at work.")
        .sample(&of_stage, meters.busy.total(now));
    text.metric("split_pod_ready_seconds_total", "counter", "Integral of ready pods in use.")
        .sample(&of_stage, meters.ready.total(now));
    text.metric(
        "split_pod_cpu_seconds_total",
        "counter",
        "Thread CPU time on requests, credited as each ends.",
    );
    for (pod, cpu_s) in &meters.cpu_s {
        text.sample(&[("stage", stage), ("pod", &pod.to_string())], *cpu_s);
    }
    let pids = state.pods.iter().filter_map(|pod| pod.pid);
    if let Some(cpu_s) = children_cpu_s(pids) {
        text.metric(
            PODS_CPU,
            "counter",
            "CPU time of pods that are processes of their own, user and system, those that ended included.",
        )
        .sample(&of_stage, cpu_s);
    }
    expose_pods(text, stage, state);
    text.metric(
        "split_build_info",
        "gauge",
        "Which engine serves which cut; emulated means that it computes nothing.",
    )
    .sample(
        &[
            ("engine", &state.engine),
            ("emulated", if state.emulated { "true" } else { "false" }),
            ("device", &state.device),
            ("model", &state.model),
            ("cut", &state.cut),
            ("version", env!("CARGO_PKG_VERSION")),
        ],
        1.0,
    );
}

/// One series a pod that there is; those of pods that have ended are gone.
fn expose_pods(text: &mut Exposition, stage: &str, state: &PodsState) {
    type Of = fn(&PodsState, &PodState) -> Option<f64>;
    let families: [(&'static str, &str, Of); 3] = [
        ("split_pod_phase", "0 starting, 1 ready, 2 draining.", |_, pod| {
            Some(match pod.phase {
                PodPhase::Starting => 0.0,
                PodPhase::Ready => 1.0,
                PodPhase::Draining => 2.0,
            })
        }),
        ("split_pod_ready_age_seconds", "Time since the pod became ready; absent unless it is.", |_, pod| {
            pod.ready_age_s.filter(|_| pod.phase == PodPhase::Ready)
        }),
        ("split_pod_cpu_request_cores", "Share of one core the pod computes with.", |s, _| Some(s.cpu_share)),
    ];
    for (name, help, of) in families {
        text.metric(name, "gauge", help);
        for pod in &state.pods {
            if let Some(value) = of(state, pod) {
                text.sample(&[("stage", stage), ("pod", &pod.pod.to_string())], value);
            }
        }
    }
}
