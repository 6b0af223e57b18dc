//! Measured against simulated.

use std::collections::BTreeMap;

use splitscale_calibration::BurstRow;
use splitscale_calibration::{CalibrationError, makespans};

fn burst(slots: u32, pods: u32, end_time: f64) -> BurstRow {
    BurstRow {
        inference_time_a: 0.66,
        inference_time_b: 0.23,
        total_time: end_time,
        end_time,
        num_pod_a: pods,
        num_pod_b: pods,
        bandwidth: slots,
    }
}

#[test]
fn errors_are_signed_and_only_held_out_cells_are_summed_up() {
    let measured = [burst(8, 4, 4.0), burst(1, 2, 8.0), burst(8, 4, 6.0), burst(8, 2, 10.0)];
    let simulated = BTreeMap::from([((1, 2), 4.0), ((8, 2), 11.0), ((8, 4), 4.0), ((9, 9), 1.0)]);
    let fidelity = makespans(&measured, &simulated, &[(1, 2)]).unwrap();
    let order: Vec<(u32, u32)> = fidelity.cells.iter().map(|cell| (cell.slots, cell.pods)).collect();
    assert_eq!(order, [(1, 2), (8, 2), (8, 4)]);
    let errors: Vec<f64> = fidelity.cells.iter().map(|cell| cell.error).collect();
    assert!(
        (errors[0] + 0.5).abs() < 1e-12 && (errors[1] - 0.1).abs() < 1e-12 && (errors[2] + 0.2).abs() < 1e-12
    );
    assert_eq!(fidelity.cells.iter().map(|cell| cell.held_out).collect::<Vec<_>>(), [false, true, true]);
    let cell = fidelity.cells[2];
    assert_eq!((cell.measured_s, cell.measured_min_s, cell.measured_max_s), (5.0, 4.0, 6.0));
    assert!((fidelity.mean_absolute_error.unwrap() - 0.15).abs() < 1e-12);
    assert_eq!(fidelity.worst, Some(cell));
    assert!(serde_json::to_string(&fidelity).unwrap().contains(r#""held_out":true"#));
}

#[test]
fn nothing_held_out_gives_no_summary_and_nothing_simulated_an_error() {
    let measured = [burst(1, 2, 8.0)];
    let all_fitted = makespans(&measured, &BTreeMap::from([((1, 2), 8.0)]), &[(1, 2)]).unwrap();
    assert_eq!((all_fitted.mean_absolute_error, all_fitted.worst), (None, None));
    let error = makespans(&measured, &BTreeMap::new(), &[]).unwrap_err();
    assert_eq!(error, CalibrationError::NotSimulated { slots: 1, pods: 2 });
}
