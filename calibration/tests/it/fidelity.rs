//! Measured beside simulated requests, where the answer is known.

use splitscale_calibration::{CalibrationError, fidelity};
use splitscale_spec::{RequestRecord, Status};

use crate::record;

/// Requests of these latencies [s], all of it in B.
fn requests(latencies_s: impl Iterator<Item = f64>) -> Vec<RequestRecord> {
    let row = |(request_id, latency_s): (u32, f64)| RequestRecord {
        request_id,
        done_ns: (latency_s * 1e9).round() as u64,
        decode_s: 0.0,
        forward_a_s: 0.0,
        rest_a_s: 0.0,
        transfer_s: 0.0,
        forward_b_s: latency_s,
        rest_b_s: 0.0,
        back_s: 0.0,
        ..record(4, 4)
    };
    (0..).zip(latencies_s).map(row).collect()
}

#[test]
fn a_simulator_that_is_a_tenth_too_slow_is_told_so_everywhere() {
    let latency = |i: u32| 1.0 + f64::from(i * 37 % 100) / 100.0;
    let measured = requests((0..400).map(latency));
    let slow = requests((0..400).map(|i| 1.1 * latency(i)));
    let found = fidelity(&measured, &[slow.clone(), slow], 1.5, 1).unwrap();
    for figure in [found.latency.mean, found.latency.p50, found.latency.p90, found.latency.p99] {
        assert!((figure.error - 0.1).abs() < 0.01, "{figure:?}");
        assert!(figure.low <= figure.error + 1e-9 && figure.error <= figure.high + 1e-9, "{figure:?}");
    }
    assert!((found.latency.mean.error - 0.1).abs() < 1e-9);
    assert!(
        (found.latency.mean.low - 0.1).abs() < 1e-9 && (found.latency.mean.high - 0.1).abs() < 1e-9,
        "pairs: {:?}",
        found.latency.mean
    );
    // Uniform on 1..2 against 1.1..2.2: the distribution functions are farthest apart at the end of the first.
    assert!((found.latency.ks - 0.18).abs() < 0.02, "{}", found.latency.ks);
    assert!((found.attainment_measured - 0.51).abs() < 1e-9);
    assert!((found.attainment_simulated - 0.37).abs() < 0.01, "{}", found.attainment_simulated);
    assert_eq!((found.requests, found.answered), (400, 400));
    let parts: f64 = found.parts.iter().map(|part| part.of_latency).sum();
    assert!((parts - found.latency.mean.error).abs() < 1e-9);
    assert!((found.parts[5].of_latency - 0.1).abs() < 1e-9 && found.parts[5].part == "B");
    assert!((found.parts[5].figures.p99.error - 0.1).abs() < 0.01, "{:?}", found.parts[5]);
    // A wait that was never there, on neither side.
    assert_eq!((found.parts[0].figures.mean.error, found.parts[0].figures.ks), (0.0, 0.0));
}

#[test]
fn requests_due_at_once_pair_whatever_their_order() {
    let burst = |shift: u32| -> Vec<RequestRecord> {
        let latency = |i: u32| 1.0 + f64::from((i * 7 + shift) % 20);
        let mut requests = requests((0..200).map(latency));
        requests.iter_mut().for_each(|r| r.scheduled_ns = u64::from(r.request_id / 20) * 1_000_000_000);
        requests
    };
    let found = fidelity(&burst(0), &[burst(3), burst(11)], 5.0, 1).unwrap();
    for figure in [found.latency.mean, found.latency.p50, found.latency.p90, found.latency.p99] {
        assert!([figure.error, figure.low, figure.high].iter().all(|e| e.abs() < 1e-12), "{figure:?}");
    }
    assert_eq!(found.latency.ks, 0.0);
}

#[test]
fn requests_without_an_answer_miss_the_promise_and_have_no_latency() {
    let mut measured = requests((0..100).map(|_| 1.0));
    for lost in measured.iter_mut().take(20) {
        lost.status = Status::Lost;
    }
    let found = fidelity(&measured, &[requests((0..100).map(|_| 1.0))], 2.0, 1).unwrap();
    assert_eq!((found.answered, found.attainment_measured, found.attainment_simulated), (80, 0.8, 1.0));
    assert_eq!((found.latency.mean.measured_s, found.latency.mean.error), (1.0, 0.0));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let measured = requests((0..10).map(|_| 1.0));
    let other = fidelity(&measured, &[measured.clone(), requests((0..9).map(|_| 1.0))], 1.0, 1).unwrap_err();
    assert_eq!(other, CalibrationError::NotPaired { replication: 1, simulated: 9, measured: 10 });
    let mut failed = measured.clone();
    failed.iter_mut().for_each(|record| record.status = Status::Failed);
    let nothing = fidelity(&failed, std::slice::from_ref(&measured), 1.0, 1).unwrap_err();
    assert_eq!(nothing, CalibrationError::NothingAnswered { requests: 10 });
    assert!(
        fidelity(&measured, std::slice::from_ref(&measured), -1.0, 1)
            .unwrap_err()
            .to_string()
            .starts_with("slo_s: -1")
    );
}
