//! The simulator's laws from request records.

use std::collections::BTreeSet;

use splitscale_calibration::{CalibrationError, DistributionOptions, LawFit, StartRow, corner_cells};
use splitscale_spec::{Encoding, Laws, RequestRecord, ServiceLaw, Status};

use crate::record;

/// `count` records of a cell whose transfers take 1, 2, ... `count` seconds.
fn cell(slots: u32, pods: u32, count: u32) -> Vec<RequestRecord> {
    (1..=count).map(|i| RequestRecord { transfer_s: f64::from(i), ..record(slots, pods) }).collect()
}

/// Without starts, and with few refits.
fn fit_laws(records: &[RequestRecord], cells: &BTreeSet<(u32, u32)>) -> Result<Laws, CalibrationError> {
    fitted(records, cells, &[]).map(|(laws, _)| laws)
}

fn fitted(
    records: &[RequestRecord],
    cells: &BTreeSet<(u32, u32)>,
    starts: &[StartRow],
) -> Result<(Laws, Vec<LawFit>), CalibrationError> {
    let options = DistributionOptions { refits: 99, ..DistributionOptions::default() };
    splitscale_calibration::fit_laws(records, cells, starts, &options)
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

/// A run of `requests` through `pods` pods of A that share what `room` of them need, one behind the other; B and the
/// link wait for nobody.
fn through_shared_cores(run_id: u32, pods: u32, room: f64) -> Vec<RequestRecord> {
    let rounds = 12;
    let takes = 0.5 * (f64::from(pods) / room).max(1.0);
    let rows = (0..rounds).flat_map(|round| (0..pods).map(move |pod| (round, pod)));
    rows.map(|(round, pod)| RequestRecord {
        run_id,
        request_id: round * pods + pod,
        queue_a_s: f64::from(round) * takes,
        decode_s: 0.0,
        forward_a_s: takes * (1.0 + 0.001 * f64::from(pod)),
        rest_a_s: 0.0,
        ..record(8, pods)
    })
    .collect()
}

#[test]
fn pods_that_share_cores_are_told_with_what_a_request_takes_alone() {
    let cells = BTreeSet::from([(8, 2), (8, 4), (8, 8)]);
    let records = |room: f64| -> Vec<RequestRecord> {
        (0..6).flat_map(|run| through_shared_cores(run, [2, 4, 8][run as usize % 3], room)).collect()
    };
    let laws = fit_laws(&records(3.0), &cells).unwrap();
    let cores = laws.cores_a.unwrap();
    assert!((cores / 3.0 - 1.0).abs() < 0.05, "{cores}");
    assert!((laws.service_a.mean_s() / 0.5 - 1.0).abs() < 0.05, "{}", laws.service_a.mean_s());
    assert!(laws.intervals["cores_a"].low <= cores && cores <= laws.intervals["cores_a"].high);
    assert_eq!(fit_laws(&records(99.0), &cells).unwrap().cores_a, None);
    assert_eq!(laws.cores_b, None);
}

#[test]
fn a_slot_is_what_the_records_show_of_it() {
    let cells = BTreeSet::from([(1, 2)]);
    // 0.13 s at 50 Mbit/s: 0.128451 s are bytes.
    let slot = fit_laws(&cell(1, 2, 1), &cells).unwrap().slot.unwrap();
    assert_eq!(slot.bytes, 802_816.0);
    assert!((slot.seconds_per_byte.unwrap() - 1.6e-7).abs() < 1e-15);
    // Two sizes and no emulated bandwidth.
    let sized = |request_id: u32| {
        let bytes = 1_000_000 * u64::from(1 + request_id % 2);
        let transfer_s = 0.01 + 2e-8 * bytes as f64;
        RequestRecord { request_id, bytes, transfer_s, bandwidth_mbit_s: None, ..record(1, 2) }
    };
    let laws = fit_laws(&(0..20).map(sized).collect::<Vec<_>>(), &cells).unwrap();
    let slot = laws.slot.unwrap();
    assert!((slot.seconds_per_byte.unwrap() / 2e-8 - 1.0).abs() < 1e-9);
    assert!((slot.fixed_s.unwrap() / 0.01 - 1.0).abs() < 1e-9);
    assert!(laws.intervals.contains_key("slot.seconds_per_byte"));
    // One size and no emulated bandwidth: no number.
    let unknown = RequestRecord { bandwidth_mbit_s: None, ..record(1, 2) };
    let slot = fit_laws(&[unknown], &cells).unwrap().slot.unwrap();
    assert_eq!((slot.seconds_per_byte, slot.fixed_s), (None, None));
}

#[test]
fn a_slot_that_is_free_before_b_has_answered_is_seen_to_be() {
    let cells = BTreeSet::from([(1, 2)]);
    // Transfers of 0.13 s one behind the other; B takes 0.23 s.
    let behind = |step_s: f64| -> Vec<RequestRecord> {
        let row =
            |i: u32| RequestRecord { request_id: i, queue_proxy_s: f64::from(i) * step_s, ..record(1, 2) };
        (0..10).map(row).collect()
    };
    assert!(!fit_laws(&behind(0.13), &cells).unwrap().slot.unwrap().held_until_answer);
    assert!(fit_laws(&behind(0.36), &cells).unwrap().slot.unwrap().held_until_answer);
    // Two slots that are free before a slow B has answered: begin and end pass through what held ones would be.
    let pairs = |step_s: f64| -> Vec<RequestRecord> {
        let row = |i: u32| RequestRecord {
            request_id: i,
            slots: 2,
            queue_proxy_s: f64::from(i / 2) * step_s,
            forward_b_s: 0.5,
            ..record(1, 2)
        };
        (0..12).map(row).collect()
    };
    assert!(!fit_laws(&pairs(0.13), &BTreeSet::from([(2, 2)])).unwrap().slot.unwrap().held_until_answer);
    // Uploads are not in the records, so that begins and ends are off by some hundredths.
    let mut jittered = behind(0.36);
    jittered.iter_mut().step_by(2).for_each(|record| record.sent_ns += 20_000_000);
    assert!(fit_laws(&jittered, &cells).unwrap().slot.unwrap().held_until_answer);
}

/// One link that TCP shares out unevenly: of n transfers of 0.2 s that begin together some are done long before the last.
#[test]
fn a_link_of_the_kernel_is_seen_to_be_shared() {
    let cells = BTreeSet::from([(8, 3)]);
    let together = |run_id: u32, transfers: u32, alone_s: f64| {
        (0..6 * transfers).map(move |i| {
            let fair_s = alone_s * f64::from(transfers);
            RequestRecord {
                run_id,
                request_id: i,
                queue_a_s: f64::from(i / transfers) * 2.0 * fair_s,
                transfer_s: fair_s
                    * if transfers == 1 {
                        1.0
                    } else {
                        0.85 + 0.3 * f64::from(i % transfers) / f64::from(transfers - 1)
                    },
                bandwidth_mbit_s: None,
                ..record(8, 3)
            }
        })
    };
    let records = |alone_s: fn(u32) -> f64| -> Vec<RequestRecord> {
        (0..72).flat_map(|run| together(run, 1 + run % 6, alone_s(1 + run % 6))).collect()
    };
    let laws = fit_laws(&records(|_| 0.2), &cells).unwrap();
    assert!(laws.slot.unwrap().shared);
    let mean_s = laws.transfer.mean_s();
    assert!((mean_s / 0.2 - 1.0).abs() < 0.25, "{mean_s}");
    // A link each: as many as there are take no longer than one.
    let laws = fit_laws(&records(|transfers| 0.2 / f64::from(transfers)), &cells).unwrap();
    assert!(!laws.slot.unwrap().shared);
}

#[test]
fn starts_have_laws_and_drains_intervals() {
    let row = |stage: &str, event: &str, seconds| StartRow {
        stage: stage.into(),
        event: event.into(),
        pods: 2,
        seconds,
    };
    let starts =
        [row("a", "start", 2.0), row("a", "start", 4.0), row("a", "drain", 0.5), row("b", "start", 1.0)];
    let (laws, fits) = fitted(&cell(1, 2, 5), &BTreeSet::from([(1, 2)]), &starts).unwrap();
    assert_eq!(laws.start_up_a.unwrap().mean_s(), 3.0);
    assert_eq!(laws.start_up_b.unwrap().mean_s(), 1.0);
    assert_eq!(laws.intervals["drain_a.mean_s"].value, 0.5);
    assert!(!laws.intervals.contains_key("drain_b.mean_s"));
    assert!(fits.iter().any(|fit| fit.law == "start_up_a"));
}

#[test]
fn cut_and_encoding_are_told_where_all_records_say_the_same() {
    let cells = BTreeSet::from([(1, 2)]);
    let mut records = cell(1, 2, 5);
    let (cut, encoding) = (records[0].cut.clone(), records[0].encoding);
    let laws = fit_laws(&records, &cells).unwrap();
    assert_eq!((laws.cut, laws.encoding), (Some(cut.clone()), Some(encoding)));
    assert_ne!(encoding, Encoding::U8);
    records[3].encoding = Encoding::U8;
    // Of another cell, and no matter here.
    records.push(RequestRecord { cut: "elsewhere".into(), ..record(2, 4) });
    let laws = fit_laws(&records, &cells).unwrap();
    assert_eq!((laws.cut, laws.encoding), (Some(cut), None));
}
