//! A signal over a window of time, in buckets.

use serde::{Deserialize, Serialize};

/// Which bucket and what it holds. Each is written once, so that as many as a window has are all there ever are, however
/// often there is an observation; one that nothing was heard in is not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Buckets(Vec<(i64, f64)>);

/// How long a bucket is \[s\] and how many of them a window has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) bucket_s: f64,
    pub(crate) buckets: i64,
}

impl Window {
    /// Of so many seconds, in buckets of so many.
    pub(crate) fn of(length_s: f64, bucket_s: f64) -> Window {
        Window { bucket_s, buckets: ((length_s / bucket_s).ceil() as i64).max(1) }
    }

    fn at(self, time_s: f64) -> i64 {
        (time_s / self.bucket_s).floor() as i64
    }
}

impl Buckets {
    /// Takes the mean over the `mean_s` seconds before `read_s`: it is what each bucket holds that began in them and is
    /// newer than the newest.
    pub(crate) fn record(&mut self, window: Window, (read_s, mean_s): (f64, f64), value: f64) {
        if !(read_s.is_finite() && value.is_finite()) {
            return;
        }
        let last = window.at(read_s);
        let covered = (mean_s / window.bucket_s).round().clamp(1.0, window.buckets as f64) as i64;
        let known = self.0.last().map_or(i64::MIN, |&(at, _)| at);
        let first = last.saturating_sub(covered - 1).max(known.saturating_add(1));
        self.0.extend((first..=last).map(|at| (at, value)));
        let newest = self.0.last().map_or(last, |&(at, _)| at);
        self.0.retain(|&(at, _)| at > newest.saturating_sub(window.buckets));
    }

    /// Those of the window that ends at `now_s`.
    fn within(&self, window: Window, now_s: f64) -> impl Iterator<Item = (i64, f64)> {
        let before = window.at(now_s).saturating_sub(window.buckets);
        self.0.iter().copied().filter(move |&(at, _)| at > before)
    }

    /// Mean over the window that ends at `now_s`; absent where nothing was heard in it.
    pub(crate) fn mean(&self, window: Window, now_s: f64) -> Option<f64> {
        let add = |(sum, count), (_, value): (i64, f64)| (sum + value, count + 1);
        let (sum, count) = self.within(window, now_s).fold((0.0, 0u32), add);
        (count > 0).then(|| sum / f64::from(count))
    }

    /// How fast it grew from the first to the last bucket of the window \[1/s\]; absent where there are not two.
    pub(crate) fn growth_per_s(&self, window: Window, now_s: f64) -> Option<f64> {
        let mut within = self.within(window, now_s);
        let (first_at, first) = within.next()?;
        let (last_at, last) = within.last()?;
        Some((last - first) / ((last_at as f64 - first_at as f64) * window.bucket_s))
    }
}
