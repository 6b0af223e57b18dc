//! What the crate promises, from the outside.

mod calibrate;
mod degenerate;
mod distribution;
mod fidelity;
mod laws;
mod level;
mod makespans;
mod nist;
mod surface;
mod table;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use splitscale_spec::{Encoding, RequestRecord, Status};
use std::io::Write;

/// A published curve: slots, a, b, c.
type Curve = (u32, f64, f64, f64);

/// The eight published curves, over 2..=8 pods.
fn published_curves() -> Vec<Curve> {
    let text = include_str!("../fixtures/published_curves.csv");
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let curve = |line: &str| {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        (cells[0] as u32, cells[1], cells[2], cells[3])
    };
    rows.map(curve).collect()
}

/// y [s] at `pods` pods.
fn value((_, a, b, c): Curve, pods: u32) -> f64 {
    a * (-b * (f64::from(pods) - 2.0)).exp() + c
}

/// A standard normal variate (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let (radius, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), std::f64::consts::TAU * uniform());
    radius * angle.cos()
}

/// A file of the shared data, or a line that says the test skips.
fn shared(path: &str) -> Option<String> {
    let root = std::env::var("SPLITSCALE_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").to_string());
    let text = std::fs::read_to_string(format!("{root}/data/{path}")).ok();
    if text.is_none() {
        // Past the test harness, which swallows what a passing test prints.
        let words = "is not among the shared data (SPLITSCALE_SHARED names their folder)";
        writeln!(std::io::stderr(), "skipped: {path} {words}").expect("standard error is open");
    }
    text
}

/// An answered request of a cell.
fn record(slots: u32, pods: u32) -> RequestRecord {
    RequestRecord {
        run_id: 1,
        request_id: 0,
        scheduled_ns: 0,
        sent_ns: 0,
        done_ns: 1_022_000_000,
        status: Status::Answered,
        http_status: None,
        cut: "layer3".into(),
        encoding: Encoding::F32,
        bytes: 802_816,
        slots,
        bandwidth_mbit_s: Some(50.0),
        pods_a: pods,
        pods_b: pods,
        pod_a: Some(0),
        pod_b: None,
        queue_a_s: 0.0,
        decode_s: 0.01,
        forward_a_s: 0.05,
        encode_s: 0.0,
        rest_a_s: 0.6,
        queue_proxy_s: 0.0,
        transfer_s: 0.13,
        queue_b_s: 0.0,
        decode_b_s: 0.0,
        forward_b_s: 0.03,
        rest_b_s: 0.2,
        back_s: 0.002,
        emulated: false,
    }
}
