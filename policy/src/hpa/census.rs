//! Which pods count.

use splitscale_spec::{PodPhase, PodSample, StagePods};

use super::memory::Sighting;

/// The pods of a stage by how far their CPU is believed. Those that drain are in none.
pub(super) struct Census<'a> {
    /// With a sample that counts.
    pub(super) ready: Vec<&'a PodSample>,
    /// Not ready, or not for long enough.
    pub(super) unready: Vec<&'a PodSample>,
    /// Without a sample.
    pub(super) missing: Vec<&'a PodSample>,
}

/// What it takes to be believed \[s\].
pub(super) struct Patience {
    pub(super) now_s: f64,
    pub(super) observed_s: f64,
    /// Length of a sample's window.
    pub(super) window_s: f64,
    pub(super) initialization_s: f64,
    pub(super) readiness_delay_s: f64,
}

impl<'a> Census<'a> {
    /// By the rules of `groupPods`. A pod that starts for the first time counts as Pending: whether its container
    /// runs already is not observed, and it makes no difference as long as it has never been ready.
    pub(super) fn of(stage: &'a StagePods, sightings: &[Sighting], patience: &Patience) -> Self {
        let mut census = Census { ready: Vec::new(), unready: Vec::new(), missing: Vec::new() };
        for pod in stage.pods.iter().filter(|pod| pod.phase != PodPhase::Draining) {
            let seen = sightings.iter().find(|seen| seen.pod == pod.pod);
            let pending =
                pod.phase == PodPhase::Starting && seen.is_none_or(|seen| seen.changed_s <= seen.started_s);
            let group = if pending {
                &mut census.unready
            } else if usage(pod).is_none() {
                &mut census.missing
            } else if seen.is_some_and(|seen| patience.doubts(pod, seen)) {
                &mut census.unready
            } else {
                &mut census.ready
            };
            group.push(pod);
        }
        census
    }
}

impl Patience {
    fn doubts(&self, pod: &PodSample, seen: &Sighting) -> bool {
        if seen.started_s + self.initialization_s > self.now_s {
            let sampled_s = self.observed_s - pod.sample_age_s;
            !seen.ready || sampled_s < seen.changed_s + self.window_s
        } else {
            !seen.ready && seen.started_s + self.readiness_delay_s > seen.changed_s
        }
    }
}

/// CPU used \[1/1000 cores\]; what cannot be is no sample.
pub(super) fn usage(pod: &PodSample) -> Option<i64> {
    pod.cpu_used.and_then(milli)
}

/// Thousandths, rounded up as Kubernetes' quantities are; absent for what is no quantity.
pub(super) fn milli(value: f64) -> Option<i64> {
    // 0.29 of a core is 290.00000000000006 thousandths in binary, and not 291.
    (0.0..1e12).contains(&value).then(|| (value * 1000.0 - 1e-6).ceil().max(0.0) as i64)
}
