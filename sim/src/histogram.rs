//! Durations counted in constant memory, fine enough for quantiles.
//!
//! A duration falls into one of 128 equal steps of its power of two, as in HdrHistogram (Tene, 2012): a bucket is
//! at most 1/128 wide, and within one the count is taken as spread evenly. Only the stretch of buckets that is in
//! use takes memory, so that a clone stays cheap.

/// Counts of durations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Number of the first bucket kept.
    first: u32,
    counts: Vec<u32>,
    total: u64,
    /// Least and largest \[ns\].
    range: Option<(u64, u64)>,
}

const STEP_BITS: u32 = 7;

impl Histogram {
    /// Counts one \[ns\].
    #[inline]
    pub(crate) fn add(&mut self, duration_ns: u64) {
        let bucket = bucket(duration_ns);
        self.total += 1;
        let (least, largest) = self.range.unwrap_or((duration_ns, duration_ns));
        self.range = Some((least.min(duration_ns), largest.max(duration_ns)));
        match self.counts.get_mut(bucket.wrapping_sub(self.first) as usize) {
            Some(count) => *count += 1,
            None => self.add_outside(bucket, 1),
        }
    }

    /// Makes room, whole powers of two at a time.
    #[inline(never)]
    fn add_outside(&mut self, bucket: u32, count: u32) {
        let start = bucket & !((1 << STEP_BITS) - 1);
        if self.counts.is_empty() {
            self.first = start;
        }
        if bucket < self.first {
            let more = (self.first - start) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = start;
        }
        let needed = (start + (1 << STEP_BITS) - self.first) as usize;
        self.counts.resize(self.counts.len().max(needed), 0);
        self.counts[(bucket - self.first) as usize] += count;
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, &count) in (other.first..).zip(&other.counts).filter(|(_, count)| **count > 0) {
            match self.counts.get_mut(bucket.wrapping_sub(self.first) as usize) {
                // Four thousand million durations of one bucket are more than was ever simulated.
                Some(sum) => *sum = sum.saturating_add(count),
                None => self.add_outside(bucket, count),
            }
        }
        self.total += other.total;
        self.range = match (self.range, other.range) {
            (Some((low, high)), Some((least, largest))) => Some((low.min(least), high.max(largest))),
            (one, other) => one.or(other),
        };
    }

    /// What was counted since this was `before`; least and largest are those of all.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let mut rest = self.clone();
        for (bucket, count) in (before.first..).zip(&before.counts) {
            // What was counted once has its bucket for good.
            rest.counts[(bucket - rest.first) as usize] -= count;
        }
        rest.total -= before.total;
        rest
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many do not exceed a duration \[s\].
    pub fn count_to_s(&self, duration_s: f64) -> f64 {
        let ns = duration_s * 1e9;
        let used = (self.first..).zip(&self.counts).filter(|(_, count)| **count > 0);
        let of = |(bucket, &count): (u32, &u32)| {
            let (low_ns, high_ns) = edges_ns(bucket);
            f64::from(count) * ((ns - low_ns) / (high_ns - low_ns)).clamp(0.0, 1.0)
        };
        used.map(of).sum()
    }

    /// The duration that a share `p` of all does not exceed \[s\]; absent where nothing was counted.
    pub fn quantile_s(&self, p: f64) -> Option<f64> {
        let rank = p.clamp(0.0, 1.0) * self.total as f64;
        let mut below = 0.0;
        let used = (self.first..).zip(&self.counts).filter(|(_, count)| **count > 0);
        let mut last = None;
        for (bucket, &count) in used {
            let (low_ns, high_ns) = edges_ns(bucket);
            let share = ((rank - below) / f64::from(count)).clamp(0.0, 1.0);
            last = Some((low_ns + (high_ns - low_ns) * share) * 1e-9);
            below += f64::from(count);
            if below >= rank {
                break;
            }
        }
        // Within a bucket it is spread evenly, but not beyond what there was.
        let (least, largest) = self.range?;
        last.map(|value: f64| value.clamp(least as f64 * 1e-9, largest as f64 * 1e-9))
    }
}

/// Below 256 ns a bucket a nanosecond; above, 128 a power of two.
#[inline]
fn bucket(duration_ns: u64) -> u32 {
    let power = (duration_ns | (1 << STEP_BITS)).ilog2() - STEP_BITS;
    (power << STEP_BITS) + (duration_ns >> power) as u32
}

fn edges_ns(bucket: u32) -> (f64, f64) {
    let power = (bucket >> STEP_BITS).saturating_sub(1);
    let step = u64::from(bucket - (power << STEP_BITS));
    let scale = (1u64 << power) as f64;
    (step as f64 * scale, (step + 1) as f64 * scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_duration_lies_between_the_edges_of_its_bucket(ns in 0u64..1 << 62) {
            let (low, high) = edges_ns(bucket(ns));
            prop_assert!(low <= ns as f64 && ns as f64 <= high, "{ns}: {low} {high}");
            prop_assert!(high - low <= (ns as f64 / 128.0).max(1.0));
        }

        #[test]
        fn quantiles_are_those_of_the_list(mut all in prop::collection::vec(1u64..10_000_000_000, 1..200)) {
            let mut histogram = Histogram::default();
            all.iter().for_each(|&ns| histogram.add(ns));
            all.sort_unstable();
            for p in [0.0, 0.25, 0.5, 0.95, 1.0] {
                let index = ((p * all.len() as f64).ceil() as usize).clamp(1, all.len()) - 1;
                let exact = all[index] as f64 * 1e-9;
                let found = histogram.quantile_s(p).unwrap();
                prop_assert!((found - exact).abs() <= exact / 128.0 + 2e-9, "{p}: {found} {exact}");
            }
            prop_assert_eq!(histogram.total(), all.len() as u64);
        }

        #[test]
        fn what_two_counted_is_what_one_would_have(
            one in prop::collection::vec(1u64..10_000_000_000, 0..50),
            other in prop::collection::vec(1u64..10_000_000_000, 1..50),
        ) {
            let count = |all: &[u64], histogram: &mut Histogram| all.iter().for_each(|&ns| histogram.add(ns));
            let (mut all, mut merged, mut second) =
                (Histogram::default(), Histogram::default(), Histogram::default());
            count(&one, &mut all);
            count(&one, &mut merged);
            count(&other, &mut all);
            count(&other, &mut second);
            merged.merge(&second);
            prop_assert_eq!(merged.total(), all.total());
            for p in [0.0, 0.05, 0.5, 0.95, 1.0] {
                let quantile_s = merged.quantile_s(p).unwrap();
                prop_assert_eq!(Some(quantile_s), all.quantile_s(p));
                // Both take a bucket's count as spread evenly; but for the least and the largest, which are known.
                let ends = [0.0, 1.0].map(|end| merged.quantile_s(end).unwrap());
                let (count, rank) = (merged.count_to_s(quantile_s), p * all.total() as f64);
                prop_assert!((count - rank).abs() < 1e-3 || ends.contains(&quantile_s), "{p}: {count}, {rank}");
            }
        }

        #[test]
        fn what_was_counted_since_is_what_was_added(
            before in prop::collection::vec(1u64..10_000_000_000, 0..50),
            after in prop::collection::vec(1u64..10_000_000_000, 1..50),
        ) {
            let count = |all: &[u64], histogram: &mut Histogram| all.iter().for_each(|&ns| histogram.add(ns));
            let (mut all, mut alone) = (Histogram::default(), Histogram::default());
            count(&before, &mut all);
            let earlier = all.clone();
            count(&after, &mut all);
            count(&after, &mut alone);
            let since = all.since(&earlier);
            prop_assert_eq!(since.total(), alone.total());
            for p in [0.05, 0.5, 0.95] {
                let (found, exact) = (since.quantile_s(p).unwrap(), alone.quantile_s(p).unwrap());
                // Least and largest of the rest are not known, so a bucket's width is.
                prop_assert!((found - exact).abs() <= exact / 64.0 + 2e-9, "{p}: {found} {exact}");
            }
        }
    }
}
