//! The simulator's laws from request records.

use std::collections::BTreeSet;

use splitscale_calibration::{CalibrationError, corner_cells, fit_laws};
use splitscale_spec::{RequestRecord, ServiceLaw, Status};

use crate::record;

/// `count` records of a cell whose transfers take 1, 2, ... `count` seconds.
fn cell(slots: u32, pods: u32, count: u32) -> Vec<RequestRecord> {
    (1..=count).map(|i| RequestRecord { transfer_s: f64::from(i), ..record(slots, pods) }).collect()
}

#[test]
fn the_corners_of_a_table() {
    let records: Vec<RequestRecord> =
        [1, 2, 8].iter().flat_map(|&slots| [2, 4, 8].map(|pods| record(slots, pods))).collect();
    assert_eq!(corner_cells(&records), BTreeSet::from([(1, 2), (1, 8), (8, 2), (8, 8)]));
    assert_eq!(corner_cells(&records[..3]), BTreeSet::from([(1, 2), (1, 8)]));
    assert!(corner_cells(&[]).is_empty());
}

#[test]
fn constant_phases_are_deterministic_and_others_keep_their_quantiles() {
    let laws = fit_laws(&cell(1, 2, 5), &BTreeSet::from([(1, 2)])).unwrap();
    let ServiceLaw::Deterministic { value_s } = laws.service_a else { panic!("{:?}", laws.service_a) };
    assert!((value_s - 0.66).abs() < 1e-12);
    let ServiceLaw::Deterministic { value_s } = laws.service_b else { panic!("{:?}", laws.service_b) };
    assert!((value_s - 0.23).abs() < 1e-12);
    assert_eq!(laws.transfer, ServiceLaw::Empirical { quantiles_s: vec![1.0, 2.0, 3.0, 4.0, 5.0] });
    assert_eq!(laws.overhead, ServiceLaw::Deterministic { value_s: 0.002 });
    assert_eq!(laws.fitted_on, [(1, 2)]);
}

#[test]
fn many_records_become_a_quantile_a_percent() {
    let laws = fit_laws(&cell(1, 2, 1001), &BTreeSet::from([(1, 2)])).unwrap();
    let ServiceLaw::Empirical { quantiles_s } = &laws.transfer else { panic!("{:?}", laws.transfer) };
    assert_eq!(quantiles_s.len(), 101);
    for (i, quantile) in quantiles_s.iter().enumerate() {
        assert!((quantile - (1.0 + 10.0 * i as f64)).abs() < 1e-9);
    }
    assert!((laws.transfer.mean_s() - 501.0).abs() < 1e-9);
}

#[test]
fn only_answered_records_of_the_chosen_cells_count() {
    let mut records = cell(1, 2, 3);
    records.extend(cell(8, 8, 2));
    records.push(RequestRecord { status: Status::Failed, transfer_s: 99.0, ..record(1, 2) });
    records.push(RequestRecord { pods_b: 3, transfer_s: 98.0, ..record(1, 2) });
    records.push(RequestRecord { back_s: -0.0005, transfer_s: 4.0, ..record(1, 2) });
    let laws = fit_laws(&records, &BTreeSet::from([(1, 2)])).unwrap();
    assert_eq!(laws.transfer, ServiceLaw::Empirical { quantiles_s: vec![1.0, 2.0, 3.0, 4.0] });
    assert_eq!(laws.overhead, ServiceLaw::Empirical { quantiles_s: vec![0.0, 0.002, 0.002, 0.002] });
}

#[test]
fn a_cell_without_an_answer_is_named() {
    let records = [record(1, 2), RequestRecord { status: Status::Lost, ..record(8, 8) }];
    let cells = BTreeSet::from([(1, 2), (8, 8)]);
    let error = fit_laws(&records, &cells).unwrap_err();
    assert_eq!(error, CalibrationError::NoAnswer { slots: 8, pods: 8, requests: 1 });
    assert!(error.to_string().starts_with("the cell of 8 slots and 8 pods has no answered request (1 sent)"));
    assert!(fit_laws(&records, &BTreeSet::new()).is_err());
}
