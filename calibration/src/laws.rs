//! The laws that the simulator draws from, as measured in a few cells of the table.
//!
//! Each duration has the law that [`fit_distribution`] finds in it. Before that it is freed of what others did to it:
//! pods that share cores and transfers that share a link stretch each other, and the simulator does so again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use splitscale_spec::{Interval, Laws, RequestRecord, ServiceLaw, SlotLaw, Status};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::distribution::{DistributionFit, DistributionOptions, fit_distribution, percents};
use crate::stretch::{Piece, Stretch, stretch};
use crate::{CalibrationError, StartRow};

/// Most quantiles of a law: one a percent.
const QUANTILES: usize = 101;
/// A link is shared where hardly more than one transfer moves at full speed, by the estimate and by its interval's upper end. TCP
/// shares no link evenly, so that on a real one the estimate is above 1; two cores are not below 2.
const SHARED_MAX: [f64; 2] = [1.5, 2.0];
/// Activations that waited longer than this for a slot show that all were taken \[s\].
const WAITED_S: f64 = 1e-3;

/// What all records say alike.
fn always<T: PartialEq>(records: &[&RequestRecord], of: impl Fn(&RequestRecord) -> T) -> Option<T> {
    let first = of(records.first()?);
    records.iter().all(|record| of(record) == first).then_some(first)
}

/// How the law of one duration was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LawFit {
    /// Which, as [`Laws`] names it.
    pub law: String,
    /// The choice.
    pub fit: DistributionFit,
    /// Quantiles of what was measured, at 1 to 99 percent \[s\].
    pub measured_s: Vec<f64>,
}

/// Requests of each burst, if all bursts (records of one run) are of one size.
pub fn burst_size(records: &[RequestRecord]) -> Option<u32> {
    let mut sizes: BTreeMap<u32, u32> = BTreeMap::new();
    for record in records {
        *sizes.entry(record.run_id).or_default() += 1;
    }
    let first = *sizes.values().next()?;
    sizes.values().all(|&size| size == first).then_some(first)
}

/// The four corners of a table: fewest and most slots by fewest and most pods.
///
/// Records with unequal pods in A and B belong to no cell. A table of one slot count, or one pod count, has
/// two corners; an empty one none.
pub fn corner_cells(records: &[RequestRecord]) -> BTreeSet<(u32, u32)> {
    let ends = |of: fn(&(u32, u32)) -> u32| {
        let values = || records.iter().filter_map(cell_of).map(|cell| of(&cell));
        values().min().into_iter().chain(values().max())
    };
    ends(|cell| cell.0).flat_map(|slots| ends(|cell| cell.1).map(move |pods| (slots, pods))).collect()
}

/// Fits the laws on the answered records of `cells`, given as (slots, pods of each stage), and those of start-up on
/// `starts`.
///
/// The service times are the pods' whole occupation, [`RequestRecord::service_a_s`] and
/// [`RequestRecord::service_b_s`]; the overhead is `back_s`. A duration measured a hair below zero counts as zero.
///
/// # Errors
/// A cell without an answered record; an option out of range.
pub fn fit_laws(
    records: &[RequestRecord],
    cells: &BTreeSet<(u32, u32)>,
    starts: &[StartRow],
    options: &DistributionOptions,
) -> Result<(Laws, Vec<LawFit>), CalibrationError> {
    for &(slots, pods) in cells {
        let sent = || records.iter().filter(|record| cell_of(record) == Some((slots, pods)));
        if !sent().any(|record| record.status == Status::Answered) {
            return Err(CalibrationError::NoAnswer { slots, pods, requests: sent().count() });
        }
    }
    let chosen: Vec<&RequestRecord> = records
        .iter()
        .filter(|record| record.status == Status::Answered)
        .filter(|record| cell_of(record).is_some_and(|cell| cells.contains(&cell)))
        .collect();
    let [at_a, crossing, at_b] = [0, 1, 2].map(|place| {
        let pieces: Vec<Piece> = chosen.iter().map(|record| pieces(record)[place]).collect();
        stretch(&pieces, options.seed)
    });
    let transfers: Vec<f64> = chosen.iter().map(|record| record.transfer_s).collect();
    // A hop that is slowed by the cores is no shared link.
    let shared = crossing.room.is_some_and(|room| room.value <= SHARED_MAX[0] && room.high < SHARED_MAX[1]);
    let transfers = if shared { crossing.one_at_a_time_s } else { transfers };

    let mut found = Found { options, fits: Vec::new(), intervals: BTreeMap::new() };
    let overhead: Vec<f64> = chosen.iter().map(|record| record.back_s).collect();
    let service_a = found.law("service_a", &at_a.alone_s)?;
    let transfer = found.law("transfer", &transfers)?;
    let service_b = found.law("service_b", &at_b.alone_s)?;
    let overhead = found.law("overhead", &overhead)?;
    let (cores_a, cores_b) = (found.room("cores_a", &at_a), found.room("cores_b", &at_b));
    let [start_up_a, start_up_b] = [("start_up_a", "a"), ("start_up_b", "b")].map(|(name, stage)| {
        let times = StartRow::seconds(starts, stage, "start");
        if times.is_empty() { Ok(None) } else { found.law(name, &times).map(Some) }
    });
    for (name, stage) in [("drain_a", "a"), ("drain_b", "b")] {
        let times = StartRow::seconds(starts, stage, "drain");
        if !times.is_empty() {
            found.law(name, &times)?;
        }
    }
    let slot = found.slot(&chosen, &transfers, shared);
    let laws = Laws {
        service_a,
        transfer,
        service_b,
        overhead,
        cores_a,
        cores_b,
        slot: Some(slot),
        start_up_a: start_up_a?,
        start_up_b: start_up_b?,
        cut: always(&chosen, |record| record.cut.clone()),
        encoding: always(&chosen, |record| record.encoding),
        intervals: found.intervals,
        fitted_on: cells.iter().copied().collect(),
    };
    laws.validate()?;
    Ok((laws, found.fits))
}

/// What was found so far.
struct Found<'a> {
    options: &'a DistributionOptions,
    fits: Vec<LawFit>,
    intervals: BTreeMap<String, Interval>,
}

impl Found<'_> {
    /// The law of durations in the order in which they were measured.
    fn law(&mut self, name: &str, durations_s: &[f64]) -> Result<ServiceLaw, CalibrationError> {
        let durations_s: Vec<f64> = durations_s.iter().map(|x| x.max(0.0)).collect();
        let fit = fit_distribution(&durations_s, self.options)?;
        let mut sorted = durations_s;
        sorted.sort_by(f64::total_cmp);
        let measured_s: Vec<f64> = percents().map(|p| quantile(&sorted, p)).collect();
        for (what, interval) in [("mean_s", fit.mean_s), ("cv", fit.cv), ("p95_s", fit.p95_s)] {
            self.intervals.insert(format!("{name}.{what}"), interval);
        }
        let law = fit.law.clone();
        self.fits.push(LawFit { law: name.into(), fit, measured_s });
        Ok(law)
    }

    fn room(&mut self, name: &str, stretch: &Stretch) -> Option<f64> {
        let room = stretch.room?;
        self.intervals.insert(name.into(), room);
        Some(room.value)
    }

    /// What one slot is. Sizes, or bandwidths, that differ tell bytes and the rest apart; so does one bandwidth that
    /// the proxy says it emulates, by which the bytes' part is known.
    fn slot(&mut self, records: &[&RequestRecord], transfers_s: &[f64], shared: bool) -> SlotLaw {
        let n = records.len() as f64;
        let bytes = records.iter().map(|record| record.bytes as f64).sum::<f64>() / n;
        let sizes: Vec<f64> = records.iter().map(|record| record.bytes as f64).collect();
        let emulated: Option<Vec<f64>> =
            records.iter().map(|r| r.bandwidth_mbit_s.map(|mbit_s| r.bytes as f64 * 8e-6 / mbit_s)).collect();
        let mean_s = transfers_s.iter().sum::<f64>() / n;
        let (seconds_per_byte, fixed_s) = if let Some(moving_s) = emulated {
            let moving_s = moving_s.iter().sum::<f64>() / n;
            (Some(moving_s / bytes), Some((mean_s - moving_s).max(0.0)))
        } else if let Some((slope, fixed_s)) = line(&sizes, transfers_s).filter(|&(slope, _)| slope.low > 0.0)
        {
            self.intervals.insert("slot.seconds_per_byte".into(), slope);
            self.intervals.insert("slot.fixed_s".into(), fixed_s);
            (Some(slope.value), Some(fixed_s.value.max(0.0)))
        } else {
            (None, None)
        };
        SlotLaw { bytes, seconds_per_byte, fixed_s, shared, held_until_answer: held_until_answer(records) }
    }
}

/// Whether slots are held until B has answered. Where some waited for one, as many activations as there are slots were under way
/// to B and at it for longer than on the link alone, and for longer than more of them were. Where none waited it cannot be told, and is as the
/// original does it.
fn held_until_answer(records: &[&RequestRecord]) -> bool {
    let mut runs: BTreeMap<u32, Vec<&RequestRecord>> = BTreeMap::new();
    for record in records {
        runs.entry(record.run_id).or_default().push(record);
    }
    let (mut held_s, mut released_s, mut over_s) = (0.0, 0.0, 0.0);
    for run in runs.values().filter(|run| run.iter().any(|record| record.queue_proxy_s > WAITED_S)) {
        let slots = run.iter().map(|record| record.slots).max().unwrap_or(1);
        let ends = |until_answer: bool| {
            run.iter().map(move |record| {
                let [_, crossing, at_b] = pieces(record);
                (crossing.from_s, if until_answer { at_b.to_s } else { crossing.to_s })
            })
        };
        let [held, over] = time_at(slots, ends(true));
        held_s += held;
        over_s += over;
        released_s += time_at(slots, ends(false))[0];
    }
    held_s >= f64::max(released_s, over_s)
}

/// How long exactly `count` of these spans were under way at once, and how long more \[s\].
fn time_at(count: u32, spans: impl Iterator<Item = (f64, f64)>) -> [f64; 2] {
    let mut steps: Vec<(f64, i64)> = spans.flat_map(|(from_s, to_s)| [(from_s, 1), (to_s, -1)]).collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut under_way, mut lasted_s) = (0, [0.0; 2]);
    for pair in steps.windows(2) {
        under_way += pair[0].1;
        if under_way >= i64::from(count) {
            lasted_s[usize::from(under_way > i64::from(count))] += pair[1].0 - pair[0].0;
        }
    }
    lasted_s
}

/// A request's time in a pod of A, on the link and in a pod of B, on its sender's clock. The upload counts as nothing:
/// the records have it in `back`, with the answer's way.
fn pieces(record: &RequestRecord) -> [Piece; 3] {
    let mut at_s = record.sent_ns as f64 * 1e-9;
    let waits_and_works = [
        (record.queue_a_s, record.service_a_s()),
        (record.queue_proxy_s, record.transfer_s),
        (record.queue_b_s, record.service_b_s()),
    ];
    waits_and_works.map(|(wait_s, work_s)| {
        let from_s = at_s + wait_s;
        at_s = from_s + work_s;
        Piece { run_id: record.run_id, from_s, to_s: at_s, took_s: work_s }
    })
}

/// Slope and height at zero of the line of least squares, with Student's intervals; absent for one x alone.
fn line(x: &[f64], y: &[f64]) -> Option<(Interval, Interval)> {
    let n = x.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let squares: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    if n < 3.0 || squares <= 0.0 {
        return None;
    }
    let slope = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / squares;
    let fixed = mean_y - slope * mean_x;
    let rest: f64 = x.iter().zip(y).map(|(x, y)| (y - fixed - slope * x).powi(2)).sum();
    let sd = (rest / (n - 2.0)).sqrt();
    let student = StudentsT::new(0.0, 1.0, n - 2.0).ok()?.inverse_cdf(0.975);
    let about = |value: f64, error: f64| Interval {
        value,
        low: value - student * error,
        high: value + student * error,
    };
    let fixed = about(fixed, sd * (1.0 / n + mean_x * mean_x / squares).sqrt());
    Some((about(slope, sd / squares.sqrt()), fixed))
}

fn cell_of(record: &RequestRecord) -> Option<(u32, u32)> {
    (record.pods_a == record.pods_b).then_some((record.slots, record.pods_a))
}

/// The law of `sorted` durations; an empty one has no quantiles, which its validation refuses.
pub(crate) fn empirical(sorted: &[f64]) -> ServiceLaw {
    if let [first, .., last] | [first @ last] = sorted
        && first == last
    {
        return ServiceLaw::Deterministic { value_s: *first };
    }
    let count = sorted.len().min(QUANTILES);
    let at = |i: usize| quantile(sorted, i as f64 / (count - 1) as f64);
    ServiceLaw::Empirical { quantiles_s: (0..count).map(at).collect() }
}

/// The quantile at p in [0, 1], linear between order statistics: type 7 of Hyndman and Fan, The American Statistician
/// 50(4), 1996.
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}
