//! What the autoscalers remember. Kubernetes keeps it in the memory of its controller; here it may be written down.

use serde::{Deserialize, Serialize};
use splitscale_spec::{PodPhase, StagePods};

/// What two autoscalers remember: as far back as their windows reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HpaMemory {
    /// Time of the last sync \[s\].
    pub(super) last_sync_s: Option<f64>,
    pub(super) a: StageMemory,
    pub(super) b: StageMemory,
}

/// What one autoscaler remembers, and what Kubernetes would know of its pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StageMemory {
    /// When \[s\] and how many pods were wanted, before anything held it back.
    pub(super) recommendations: Vec<(f64, i64)>,
    /// When \[s\] and by how many pods it was scaled.
    pub(super) events: Vec<(f64, i64)>,
    /// When \[s\], by how many and to how many pods it asked to be scaled: an event if that is what it is told next. An
    /// autoscaler that only recommends, or was not obeyed, has not used up its rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<(f64, i64, i64)>,
    /// The pods there are, without those that drain.
    pub(super) pods: Vec<Sighting>,
}

/// The status of a pod, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sighting {
    pub(super) pod: u32,
    /// First seen, or ready, whichever was before \[s\].
    pub(super) started_s: f64,
    pub(super) ready: bool,
    /// Last time that it became ready or ceased to be \[s\]; `started_s` while it never was.
    pub(super) changed_s: f64,
}

impl StageMemory {
    /// Takes note of the pods. One that was ready and starts again has crashed: it is the same pod.
    pub(super) fn see(&mut self, now_s: f64, stage: &StagePods) {
        if let Some((at_s, change, to)) = self.asked.take() {
            self.events.extend((i64::from(stage.desired) == to).then_some((at_s, change)));
        }
        let before = std::mem::take(&mut self.pods);
        let there = stage.pods.iter().filter(|pod| pod.phase != PodPhase::Draining);
        self.pods.extend(there.map(|pod| {
            let ready = pod.phase == PodPhase::Ready;
            let ready_s = pod.ready_since_s.filter(|since_s| ready && *since_s <= now_s);
            let first_s = ready_s.unwrap_or(now_s);
            let new = Sighting { pod: pod.pod, started_s: first_s, ready, changed_s: first_s };
            match before.iter().find(|old| old.pod == pod.pod) {
                None => new,
                Some(old) => {
                    let changed_s = if old.ready == ready { old.changed_s } else { now_s };
                    Sighting { ready, changed_s: ready_s.unwrap_or(changed_s), ..*old }
                }
            }
        }));
    }

    /// The first recommendation is what there is, so that a restart scales nothing down.
    pub(super) fn begin(&mut self, now_s: f64, current: i64) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now_s, current));
        }
    }

    /// Pods there were at a time, by the events since.
    pub(super) fn at_start(&self, current: i64, start_s: f64) -> i64 {
        let since = self.events.iter().filter(|&&(at_s, _)| at_s > start_s);
        current - since.map(|&(_, change)| change).sum::<i64>()
    }
}
