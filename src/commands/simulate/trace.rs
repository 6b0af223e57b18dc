//! One run in the trace event format that Perfetto and chrome://tracing show: a process a station, a row a pod
//! or slot, a counter a queue.
//!
//! Format: *Trace Event Format* (Google, 2016); `X` is a slice with its duration, `C` a counter, `M` a name. Times
//! are microseconds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use splitscale_sim::{Outcome, Point, Request, SimTime};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    display_time_unit: &'static str,
    other_data: Value,
    trace_events: Vec<Value>,
}

/// The stations: number of the process, name, name of a row.
const STATIONS: [(u32, &str, &str); 3] = [(1, "A", "A pod"), (2, "proxy", "slot"), (3, "B", "B pod")];

/// Where and when a server is taken by a request.
struct Slice {
    station: u32,
    server: u32,
    /// All of the time for which the server is taken; others are parts of it.
    whole: bool,
    phase: &'static str,
    start_ns: u64,
    took_ns: u64,
}

/// The trace of a run that kept its requests.
pub fn json(outcome: &Outcome, point: &Point, title: &str) -> Result<Vec<u8>> {
    let (mut rows, mut slices) = (BTreeSet::new(), Vec::new());
    // By time, the longer of two slices first: viewers nest them in that order.
    let mut order: Vec<(u64, u64, usize)> = Vec::new();
    for request in &outcome.trail {
        for slice in slices_of(request, point) {
            rows.insert((slice.station, slice.server));
            order.push((slice.start_ns, u64::MAX - slice.took_ns, slices.len()));
            slices.push(json!({
                "name": if slice.whole { format!("request {}", request.number) } else { slice.phase.into() },
                "cat": slice.phase,
                "ph": "X",
                "ts": micros(slice.start_ns),
                "dur": micros(slice.took_ns),
                "pid": slice.station,
                "tid": slice.server + 1,
                "args": { "request": request.number, "phase": slice.phase, "status": request.status },
            }));
        }
    }
    order.sort_unstable();
    let mut events: Vec<Value> = Vec::new();
    for (pid, name, _) in STATIONS {
        events.push(json!({ "name": "process_name", "ph": "M", "pid": pid, "args": { "name": name } }));
    }
    for (station, server) in rows {
        let row = STATIONS[station as usize - 1].2;
        let name = json!({ "name": format!("{row} {server}") });
        let (pid, tid) = (station, server + 1);
        events.push(json!({ "name": "thread_name", "ph": "M", "pid": pid, "tid": tid, "args": name }));
    }
    events.extend(order.into_iter().map(|(_, _, index)| slices[index].take()));
    for (index, (pid, name, _)) in STATIONS.into_iter().enumerate() {
        for (at_ns, waiting) in queue(&outcome.trail, index) {
            let name = format!("queue {name}");
            let args = json!({ "waiting": waiting });
            events.push(json!({ "name": name, "ph": "C", "ts": micros(at_ns), "pid": pid, "args": args }));
        }
    }
    let other_data = json!({
        "title": title,
        "seed": outcome.seed,
        "replication": outcome.replication,
        "fingerprint": format!("{:016x}", outcome.fingerprint),
        "commit": env!("SPLITSCALE_COMMIT"),
    });
    let mut text = serde_json::to_vec(&Trace { display_time_unit: "ms", other_data, trace_events: events })?;
    text.push(b'\n');
    Ok(text)
}

/// What a request took. A slot is held over the transfer and, unless it is released, over B's wait and service;
/// an A pod over its service and, where the setup says so, over the wait for a slot.
fn slices_of(request: &Request, point: &Point) -> Vec<Slice> {
    let link = &point.setup.link;
    let [_, queue_proxy, transfer, queue_b, service_b] = starts(request);
    let start_a = request.sent.after(request.queue_a_ns);
    let a =
        [("service_a", start_a, request.service_a_ns), ("queue_proxy", queue_proxy, request.queue_proxy_ns)];
    let slot = [
        ("transfer", transfer, request.transfer_ns),
        ("queue_b", queue_b, request.queue_b_ns),
        ("service_b", service_b, request.service_b_ns),
    ];
    let b = [("service_b", service_b, request.service_b_ns)];
    let held = [
        (1, request.pod_a(), &a[..if link.hold_a { 2 } else { 1 }]),
        (2, request.slot(), &slot[..if link.release_after_transfer { 1 } else { 3 }]),
        (3, request.pod_b(), &b[..]),
    ];
    let mut slices = Vec::new();
    for (station, server, phases) in held {
        let Some(server) = server else { continue };
        let slice = |whole, phase, start: SimTime, took_ns| {
            let start_ns = start.as_nanos();
            Slice { station, server, whole, phase, start_ns, took_ns }
        };
        let (phase, start, _) = phases[0];
        let name = if phases.len() > 1 { "held" } else { phase };
        slices.push(slice(true, name, start, phases.iter().map(|(.., took_ns)| took_ns).sum()));
        if phases.len() > 1 {
            slices.extend(phases.iter().map(|&(phase, start, took_ns)| slice(false, phase, start, took_ns)));
        }
    }
    slices.retain(|slice| slice.took_ns > 0);
    slices
}

/// When it joins A's queue, the proxy's, its slot, B's queue, its B pod.
fn starts(request: &Request) -> [SimTime; 5] {
    let proxy = request.sent.after(request.queue_a_ns + request.service_a_ns);
    let transfer = proxy.after(request.queue_proxy_ns);
    let queue_b = transfer.after(request.transfer_ns);
    [request.sent, proxy, transfer, queue_b, queue_b.after(request.queue_b_ns)]
}

/// How many wait at a station, at each instant at which that changes.
fn queue(trail: &[Request], station: usize) -> Vec<(u64, i64)> {
    let mut changes: BTreeMap<u64, i64> = BTreeMap::new();
    for request in trail {
        let [queue_a, queue_proxy, _, queue_b, _] = starts(request);
        let (start, wait_ns) = [
            (queue_a, request.queue_a_ns),
            (queue_proxy, request.queue_proxy_ns),
            (queue_b, request.queue_b_ns),
        ][station];
        if wait_ns > 0 {
            *changes.entry(start.as_nanos()).or_default() += 1;
            *changes.entry(start.after(wait_ns).as_nanos()).or_default() -= 1;
        }
    }
    let mut waiting = 0;
    let levels = changes.into_iter().filter(|(_, by)| *by != 0).map(|(at_ns, by)| {
        waiting += by;
        (at_ns, waiting)
    });
    [(0, 0)].into_iter().filter(|_| !trail.is_empty()).chain(levels).collect()
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
