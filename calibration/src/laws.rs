//! The laws that the simulator draws from, as measured in a few cells of the table.

use std::collections::{BTreeMap, BTreeSet};

use splitscale_spec::{Laws, RequestRecord, ServiceLaw, Status};

use crate::CalibrationError;

/// Most quantiles of a law: one a percent.
const QUANTILES: usize = 101;

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

/// Fits the laws on the answered records of `cells`, given as (slots, pods of each stage).
///
/// Every law is empirical: up to 101 quantiles of the pooled durations at probabilities
/// 0, 1/(n-1), ..., 1, or their common value where they are all the same. The service times are the pods' whole
/// occupation, [`RequestRecord::service_a_s`] and [`RequestRecord::service_b_s`]; the overhead is `back_s`. A
/// duration measured a hair below zero counts as zero.
///
/// # Errors
/// A cell without an answered record.
pub fn fit_laws(records: &[RequestRecord], cells: &BTreeSet<(u32, u32)>) -> Result<Laws, CalibrationError> {
    for &(slots, pods) in cells {
        let sent = || records.iter().filter(|record| cell_of(record) == Some((slots, pods)));
        if !sent().any(|record| record.status == Status::Answered) {
            return Err(CalibrationError::NoAnswer { slots, pods, requests: sent().count() });
        }
    }
    let chosen = |record: &&RequestRecord| {
        record.status == Status::Answered && cell_of(record).is_some_and(|cell| cells.contains(&cell))
    };
    let law = |of: fn(&RequestRecord) -> f64| {
        let mut times: Vec<f64> = records.iter().filter(chosen).map(|record| of(record).max(0.0)).collect();
        times.sort_by(f64::total_cmp);
        empirical(&times)
    };
    let laws = Laws {
        service_a: law(RequestRecord::service_a_s),
        transfer: law(|record| record.transfer_s),
        service_b: law(RequestRecord::service_b_s),
        overhead: law(|record| record.back_s),
        fitted_on: cells.iter().copied().collect(),
    };
    laws.validate()?;
    Ok(laws)
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
    let quantile = |i: usize| {
        // Linear between order statistics: type 7 of Hyndman and Fan, The American Statistician 50(4), 1996.
        let at = i as f64 * (sorted.len() - 1) as f64 / (count - 1) as f64;
        let (below, part) = (at.floor() as usize, at.fract());
        let above = (below + 1).min(sorted.len() - 1);
        sorted[below] + part * (sorted[above] - sorted[below])
    };
    ServiceLaw::Empirical { quantiles_s: (0..count).map(quantile).collect() }
}
