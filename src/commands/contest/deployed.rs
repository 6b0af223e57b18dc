//! Pipelines on Kubernetes that somebody else scales: they are looked at from outside.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use splitscale_serving::client::PipelineClient;
use splitscale_serving::wire::PodsState;
use splitscale_spec::{RequestRecord, Status};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::super::collect;
use super::score::{Look, percentile};
use crate::cli::{Deployed, Servers};
use crate::cluster::Cluster;
use crate::files;

/// Longest without a look: then pods and what an autoscaler is told are no longer what is.
const BLIND: Duration = Duration::from_secs(60);

/// Whoever sends to them: a connection a request, as a Service balances connections.
pub async fn client(of: &Deployed) -> Result<PipelineClient> {
    let servers = Servers { a: of.a.clone(), proxy: of.proxy.clone(), b: of.a.clone() };
    let cluster = Cluster::connect(&of.namespace, ["splitscale-a", "splitscale-b"]).await?;
    Ok(collect::client(&servers)?.with_stages(Arc::new(cluster)).with_fresh_connections()?)
}

/// How many pods of each stage of all pipelines are at work, in a file for whoever serves external metrics.
#[derive(Debug)]
pub struct Busy {
    file: Option<PathBuf>,
    lines: Vec<(String, u32)>,
}

impl Busy {
    /// Kept in this file, if in any.
    pub fn new(file: Option<&Path>) -> Busy {
        Busy { file: file.map(Path::to_owned), lines: Vec::new() }
    }

    /// Says so much of the pipeline in a namespace.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell(&mut self, namespace: &str, [a, b]: [&PodsState; 2]) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        for (stage, pods) in [("a", a), ("b", b)] {
            let name = format!("{namespace}-{stage}-busy");
            match self.lines.iter_mut().find(|(known, _)| *known == name) {
                Some((_, busy)) => *busy = pods.busy,
                None => self.lines.push((name, pods.busy)),
            }
        }
        let mut text = String::new();
        for (name, busy) in &self.lines {
            // A String takes all.
            let _ = writeln!(text, "{name} {busy}");
        }
        files::write(file, text.as_bytes())
    }
}

/// What was answered in the window, for the next look.
#[derive(Debug, Default)]
pub struct Window {
    answered: VecDeque<(Instant, f64)>,
}

impl Window {
    /// A request has ended.
    pub fn ended(&mut self, record: &RequestRecord) {
        if record.status == Status::Answered {
            let latency_s = record.done_ns.saturating_sub(record.scheduled_ns) as f64 * 1e-9;
            self.answered.push_back((Instant::now(), latency_s));
        }
    }

    /// Latencies of the window that ends now \[s\], the shortest first.
    fn sorted(&mut self, now: Instant, window: Duration) -> Vec<f64> {
        while self.answered.front().is_some_and(|&(at, _)| now.duration_since(at) > window) {
            self.answered.pop_front();
        }
        let mut latencies_s: Vec<f64> = self.answered.iter().map(|&(_, latency_s)| latency_s).collect();
        latencies_s.sort_by(f64::total_cmp);
        latencies_s
    }
}

/// What a watch has in common with the others.
pub struct Watch<'a> {
    /// Whose pipeline.
    pub of: &'a Deployed,
    /// When all began.
    pub begin: Instant,
    /// Time between two looks, and what each looks back.
    pub every: Duration,
    /// The window of throughput and latency.
    pub window: Duration,
    /// The promise \[s\].
    pub slo_s: f64,
}

impl Watch<'_> {
    /// Looks until it is stopped. Where a pod goes while it is asked nothing is seen at that look: the next one will.
    ///
    /// # Errors
    /// Nothing is seen any more, or the file of busy pods cannot be written.
    pub async fn run(
        &self,
        client: &PipelineClient,
        stop: &CancellationToken,
        (answered, busy): (&RefCell<Window>, &RefCell<Busy>),
        on_look: &mut dyn FnMut(Look),
    ) -> Result<()> {
        let mut ticks = interval_at(self.begin, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last = self.begin;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return Ok(()),
            }
            let time_s = self.begin.elapsed().as_secs_f64();
            let state = match client.state().await {
                Ok(state) => state,
                Err(error) if last.elapsed() > BLIND => {
                    let words = format!("nothing was seen of it for {} s", BLIND.as_secs());
                    return Err(anyhow::Error::new(error).context(words));
                }
                Err(_) => continue,
            };
            last = Instant::now();
            let latencies_s = answered.borrow_mut().sorted(Instant::now(), self.window);
            let there = |pods: &PodsState| pods.ready + pods.starting + pods.draining;
            busy.borrow_mut().tell(&self.of.namespace, [&state.a, &state.b])?;
            on_look(Look {
                policy: self.of.name.clone(),
                time_s,
                slots: Some(state.proxy.slots),
                desired_a: Some(state.a.desired),
                desired_b: Some(state.b.desired),
                pods_a: Some(there(&state.a)),
                pods_b: Some(there(&state.b)),
                changes: 0,
                throughput_per_s: Some(latencies_s.len() as f64 / self.window.as_secs_f64()),
                latency_p50_s: percentile(&latencies_s, 0.5),
                latency_p95_s: percentile(&latencies_s, 0.95),
                slo_s: self.slo_s,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(busy: u32) -> PodsState {
        let state = serde_json::json!({
            "stage": "a", "engine": "emulated", "emulated": true, "device": "cpu", "model": "resnet50", "cut": "layer3",
            "shape": [1024, 14, 14], "payload_bytes": 802_816, "cpu_share": 1.0, "desired": 3, "pods_max": 3, "in_use": 3,
            "ready": 3, "starting": 0, "draining": 0, "queued": 0, "busy": busy, "forwarding": 0, "last_error": null, "pods": []
        });
        serde_json::from_value(state).unwrap()
    }

    #[test]
    fn the_file_has_a_line_a_stage_of_every_pipeline_and_the_last_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("busy");
        let mut busy = Busy::new(Some(&file));
        busy.tell("one", [&pods(3), &pods(1)]).unwrap();
        busy.tell("two", [&pods(0), &pods(2)]).unwrap();
        busy.tell("one", [&pods(4), &pods(0)]).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "one-a-busy 4\none-b-busy 0\ntwo-a-busy 0\ntwo-b-busy 2\n");
        Busy::new(None).tell("one", [&pods(3), &pods(1)]).unwrap();
    }

    #[test]
    fn the_window_forgets() {
        let begin = Instant::now();
        let at = |s| begin + Duration::from_secs(s);
        let mut window = Window { answered: [(at(0), 2.0), (at(3), 1.0)].into() };
        assert_eq!(window.sorted(at(3), Duration::from_secs(5)), [1.0, 2.0]);
        assert_eq!(window.sorted(at(6), Duration::from_secs(5)), [1.0]);
    }
}
