//! What the servers count, and the Prometheus text format (version 0.0.4) they say it in.
//!
//! Levels are published as their integral over time beside the level itself: the difference of two
//! scrapes over the time between them is the exact mean over that window, however short the peaks were.

mod http;
mod process;

use std::fmt::Write;
use std::time::Instant;

pub(crate) use self::http::HttpMeters;
pub(crate) use self::process::children_cpu_s;

/// CPU time of a server \[s\].
pub(crate) const PROCESS_CPU: &str = "process_cpu_seconds_total";

/// CPU time of a stage's pods that are processes of their own \[s\].
pub(crate) const PODS_CPU: &str = "split_pod_processes_cpu_seconds_total";

/// A level over time, and the integral of it \[level * s\].
#[derive(Debug)]
pub(crate) struct Integral {
    level: f64,
    total: f64,
    since: Instant,
}

/// Counts of durations in geometric buckets.
#[derive(Debug)]
pub(crate) struct Histogram {
    upper_s: Vec<f64>,
    counts: Vec<u64>,
    sum_s: f64,
}

/// A body of `/metrics` in the making.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
    name: &'static str,
}

// === impl Integral ===

impl Integral {
    pub(crate) fn new(now: Instant) -> Self {
        Integral { level: 0.0, total: 0.0, since: now }
    }

    /// The level from `now` on.
    pub(crate) fn set(&mut self, now: Instant, level: f64) {
        self.total = self.total(now);
        self.since = self.since.max(now);
        self.level = level;
    }

    /// The integral up to `now`.
    pub(crate) fn total(&self, now: Instant) -> f64 {
        self.total + self.level * now.saturating_duration_since(self.since).as_secs_f64()
    }
}

// === impl Histogram ===

impl Histogram {
    /// Buckets from 10 ms to 120 s, each 1.15 times the one before: a quantile read off them is within
    /// 7 % of the true one.
    pub(crate) fn new() -> Self {
        Histogram::from(std::iter::successors(Some(0.01), |s| (*s < 120.0).then_some(s * 1.15)).collect())
    }

    /// Few buckets, from 100 us to 100 s, each twice the one before: for what only shall be seen.
    pub(crate) fn short() -> Self {
        Histogram::from(std::iter::successors(Some(1e-4), |s| (*s < 100.0).then_some(s * 2.0)).collect())
    }

    /// The buckets that OpenTelemetry asks of an HTTP server (semantic conventions 1.23 and later).
    pub(crate) fn http() -> Self {
        Histogram::from(vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0])
    }

    fn from(upper_s: Vec<f64>) -> Self {
        Histogram { counts: vec![0; upper_s.len() + 1], upper_s, sum_s: 0.0 }
    }

    pub(crate) fn add(&mut self, duration_s: f64) {
        let bucket = self.upper_s.partition_point(|&upper| upper < duration_s);
        self.counts[bucket] += 1;
        self.sum_s += duration_s;
    }
}

// === impl Exposition ===

impl Exposition {
    /// Begins a metric; the samples that follow are its.
    pub(crate) fn metric(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.name = name;
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes all");
        self
    }

    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, value);
        self
    }

    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut below = 0;
        for (count, upper_s) in histogram.counts.iter().zip(&histogram.upper_s) {
            below += count;
            self.line("_bucket", &[labels, &[("le", &format!("{upper_s:.6}"))]].concat(), below as f64);
        }
        let all = histogram.counts.iter().sum::<u64>() as f64;
        self.line("_bucket", &[labels, &[("le", "+Inf")]].concat(), all);
        self.line("_sum", labels, histogram.sum_s);
        self.line("_count", labels, all);
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, text)| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{key}=\"{text}\"")
            })
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.text, "{}{suffix}{labels} {value}", self.name).expect("a String takes all");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_integral_is_exact_over_any_window() {
        let start = Instant::now();
        let at = |s: f64| start + Duration::from_secs_f64(s);
        let mut level = Integral::new(start);
        level.set(at(1.0), 3.0);
        let early = level.total(at(2.0));
        level.set(at(2.5), 1.0);
        assert!((level.total(at(4.0)) - 6.0).abs() < 1e-9);
        assert!((level.total(at(4.0)) - early - 3.0).abs() < 1e-9);
    }

    #[test]
    fn buckets_span_10_ms_to_120_s_and_cumulate() {
        let mut durations = Histogram::new();
        [0.01, 0.5, 0.5, 1e3].into_iter().for_each(|d| durations.add(d));
        let mut body = Exposition::default();
        body.metric("d", "histogram", "durations").histogram(&[], &durations);
        let body = body.finish();
        assert!(body.contains("d_bucket{le=\"0.010000\"} 1\n"), "{body}");
        assert!(body.contains("d_bucket{le=\"+Inf\"} 4\n"), "{body}");
        assert!(body.contains("d_count 4\n"), "{body}");
        assert!(*durations.upper_s.last().unwrap() >= 120.0);
        assert!(durations.upper_s.len() < 72);
    }
}
