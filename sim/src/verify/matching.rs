//! Which model a setup is.

use splitscale_spec::{Balancer, Invalid, ServiceLaw};

use super::obstacles::{features, is_scarce, plain};
use super::station::{Load, Part, Service, answers as station_answers, is_exponential, of};
use super::{Exact, Place, Quantity, VerifyError, overloaded, unknown};
use crate::arrivals::Arrivals;
use crate::exact::{ClosedStation, Pipeline, Station, closed, jackson};
use crate::setup::{Bandwidth, Setup, StageSetup, Transfer};

/// Every answer to a setup that was checked, or all that stands in the way.
pub(super) fn answers(setup: &Setup) -> Result<Vec<Exact>, VerifyError> {
    let mut obstacles = features(setup);
    let parts = match parts(setup) {
        Ok(parts) => parts,
        Err(obstacle) => {
            obstacles.push(obstacle);
            Vec::new()
        }
    };
    if !obstacles.is_empty() {
        return Err(VerifyError::NoAnswer(obstacles));
    }
    match &setup.arrivals {
        Arrivals::Burst(requests) => burst(setup, &parts, *requests),
        Arrivals::ClosedLoop { clients, think, .. } => closed_loop(setup, &parts, *clients, think),
        Arrivals::Poisson { rate_per_s, .. } => {
            open(setup, &parts, &ServiceLaw::Exponential { mean_s: rate_per_s.recip() })
        }
        Arrivals::Renewal { gap, .. } => open(setup, &parts, gap),
        _ => {
            let problem = "known for a burst, a closed loop, Poisson and renewal arrivals only";
            Err(unknown("arrivals", problem))
        }
    }
}

/// The stations that take time. Slots held over a B without waiting are the servers of B, or of the transfer
/// and B together.
fn parts(setup: &Setup) -> Result<Vec<Part<'static>>, Invalid> {
    let stage = |place, field, stage: &StageSetup| Part {
        place,
        field,
        service: Service::of(&stage.service),
        servers: stage.pods,
        queue_limit: stage.queue_limit,
        balancer: stage.balancer,
        shared: !setup.one_node && is_scarce(stage.cores, &[stage]),
    };
    let link = &setup.link;
    let transfer = match &link.transfer {
        Transfer::Law(law) => Service::of(law),
        Transfer::Bytes { .. } => Service { mean_s: transfer_s(setup), scv: 0.0, exponential: false },
    };
    let slots = Part {
        place: Place::Slots,
        field: "link.transfer",
        service: transfer,
        servers: link.slots,
        queue_limit: link.queue_limit,
        balancer: Balancer::CentralQueue,
        shared: false,
    };
    let (a, b) = (stage(Place::A, "a.service", &setup.a), stage(Place::B, "b.service", &setup.b));
    let timed = |part: &Part| part.service.mean_s > 0.0;
    if ![a, slots, b].iter().any(timed) {
        return Err(Invalid::new("a.service", "takes no time, nor does anything else"));
    }
    if link.release_after_transfer || !timed(&b) {
        return Ok([a, slots, b].into_iter().filter(timed).collect());
    }
    // Held over B: as one station where nobody waits at B and the times of the two are one law of its own.
    let never_waits = link.slots <= setup.b.pods && (b.balancer == Balancer::CentralQueue || link.slots == 1);
    let together = match timed(&slots) {
        true => never_waits && link.slots == 1 && !timed(&a),
        false => never_waits,
    };
    if together && !b.shared {
        let service = if timed(&slots) { transfer.then(b.service) } else { b.service };
        let held = Part { field: "b.service", service, ..slots };
        return Ok([a, held].into_iter().filter(timed).collect());
    }
    if !timed(&slots) {
        let problem = "held over B, and more than its pods; set link.release_after_transfer";
        return Err(Invalid::new("link.slots", problem));
    }
    Ok([a, slots, b].into_iter().filter(timed).collect())
}

/// Of a slot with a bandwidth of its own.
fn transfer_s(setup: &Setup) -> f64 {
    match (&setup.link.transfer, setup.link.payload) {
        (Transfer::Bytes { bandwidth: Bandwidth::PerSlotMbitS(mbit_s), rtt_s }, Some(payload)) => {
            payload.bytes() as f64 * 8e-6 / mbit_s + rtt_s
        }
        _ => 0.0,
    }
}

/// A slot stays taken while its request is at B, and this is not told by one station alone.
fn slots_held(setup: &Setup, parts: &[Part]) -> bool {
    let at = |place| parts.iter().any(|part| part.place == place);
    !setup.link.release_after_transfer && at(Place::Slots) && at(Place::B)
}

fn open(setup: &Setup, parts: &[Part], gap: &ServiceLaw) -> Result<Vec<Exact>, VerifyError> {
    if setup.link.hold_a && parts.iter().any(|part| part.place == Place::Slots) {
        return Err(unknown("link.hold_a", "A held is known for clients without end and bursts only"));
    }
    if let [part] = parts {
        let load = Load { gap, deadline_s: setup.deadline_s, records: setup.records };
        return station_answers(part, &load);
    }
    if !is_exponential(gap) {
        let problem = "not Poisson, before more than one station; use arrivals.poisson";
        return Err(unknown("arrivals.renewal", problem));
    }
    plain(setup, parts, None)?;
    let rate_per_s = gap.mean_s().recip();
    if slots_held(setup, parts) {
        return held(setup, parts, rate_per_s);
    }
    let stations: Vec<Station> = parts
        .iter()
        .enumerate()
        .map(|(i, part)| Station {
            rate_per_s: if i == 0 { rate_per_s } else { 0.0 },
            service_s: part.service.mean_s,
            servers: part.servers,
        })
        .collect();
    let onward = |from: usize| (0..parts.len()).map(|to| f64::from(u8::from(to == from + 1))).collect();
    let routing: Vec<Vec<f64>> = (0..parts.len()).map(onward).collect();
    let network = jackson(&stations, &routing)?;
    let answer = of("Jackson");
    let mut answers =
        vec![answer(Quantity::Sojourn, network.sojourn_s), answer(Quantity::Number, network.number)];
    let waits = parts.iter().zip(&network.stations);
    answers.extend(waits.map(|(part, station)| answer(Quantity::Wait(part.place), station.wait_s)));
    Ok(answers)
}

fn held(setup: &Setup, parts: &[Part], rate_per_s: f64) -> Result<Vec<Exact>, VerifyError> {
    let pipeline = pipeline(setup, parts)?;
    let load = rate_per_s / pipeline.throughput_per_s()?;
    if load >= 1.0 {
        return Err(overloaded("link.slots", load).into());
    }
    let open = pipeline.open(rate_per_s)?;
    let answer = of("open pipeline");
    let mut answers = vec![
        answer(Quantity::Sojourn, open.sojourn_s),
        answer(Quantity::Number, open.number),
        answer(Quantity::Wait(Place::A), open.a.wait_s),
        answer(Quantity::Wait(Place::Slots), open.transfer.wait_s),
        answer(Quantity::Wait(Place::B), open.b.wait_s),
    ];
    if setup.records {
        // What leaves A is Poisson and sees the mean state.
        answers.push(answer(Quantity::WaitShare(Place::Slots), open.slots_busy));
    }
    Ok(answers)
}

fn closed_loop(
    setup: &Setup,
    parts: &[Part],
    clients: u32,
    think: &ServiceLaw,
) -> Result<Vec<Exact>, VerifyError> {
    if slots_held(setup, parts) || setup.link.hold_a {
        return saturated(setup, parts, clients, think);
    }
    plain(setup, parts, Some(clients))?;
    let stations: Vec<ClosedStation> = parts
        .iter()
        .map(|part| ClosedStation { demand_s: part.service.mean_s, servers: part.servers })
        .collect();
    let network = closed(&stations, think.mean_s(), clients)?;
    let answer = of("closed network");
    let mut answers =
        vec![answer(Quantity::Throughput, network.rate_per_s), answer(Quantity::Sojourn, network.response_s)];
    // Without thinking all clients are always there.
    if think.mean_s() > 0.0 {
        answers.push(answer(Quantity::Number, network.rate_per_s * network.response_s));
    }
    Ok(answers)
}

/// So many clients that there is always one more who waits. Of the `clients` all are in the pipeline.
fn saturated(
    setup: &Setup,
    parts: &[Part],
    clients: u32,
    think: &ServiceLaw,
) -> Result<Vec<Exact>, VerifyError> {
    if think.mean_s() > 0.0 {
        let problem = "takes time; a closed loop whose slots are held is known without it only";
        return Err(unknown("arrivals.closed_loop.think", problem));
    }
    if setup.link.release_after_transfer {
        let problem = "set beside release_after_transfer; unset one of the two";
        return Err(unknown("link.hold_a", problem));
    }
    let (link, a_timed) = (&setup.link, parts.iter().any(|part| part.place == Place::A));
    // Where nobody waits at B, a slot's time is the sum of the two, and only its mean counts.
    let any_law = !a_timed && link.slots <= setup.b.pods && setup.b.balancer == Balancer::CentralQueue;
    let laws = if any_law { Some(u32::MAX) } else { None };
    plain(setup, parts, laws)?;
    let pipeline = pipeline(setup, parts)?;
    let few = |least: u64| {
        let problem = format!("{clients}; the answer is that of clients without end, take {least} or more");
        Err(unknown("arrivals.closed_loop.clients", problem))
    };
    let (slots, all) = (u64::from(link.slots), u64::from(link.slots) + u64::from(setup.a.pods));
    let (least, rate_per_s) = if !a_timed {
        (slots, pipeline.slots_throughput_per_s()?)
    } else if link.hold_a {
        (all, pipeline.throughput_per_s()?)
    } else {
        // The queue before the slower of the two is empty with a share that falls by their ratio a client.
        let (a, slots) = (f64::from(setup.a.pods) / pipeline.a_s, pipeline.slots_throughput_per_s()?);
        let spare = (a.max(slots) / a.min(slots)).ln();
        (all + (1e6_f64.ln() / spare).ceil() as u64, a.min(slots))
    };
    if u64::from(clients) < least {
        return few(least);
    }
    let answer = of("saturated pipeline");
    Ok(vec![
        answer(Quantity::Throughput, rate_per_s),
        answer(Quantity::Sojourn, f64::from(clients) / rate_per_s),
    ])
}

fn burst(setup: &Setup, parts: &[Part], requests: u32) -> Result<Vec<Exact>, VerifyError> {
    for (field, is_set) in [("horizon_s", setup.horizon_s.is_some()), ("warm_up_s", setup.warm_up_s > 0.0)] {
        if is_set {
            return Err(unknown(field, "set beside a burst, which counts as a whole; leave it away"));
        }
    }
    let constant = parts.iter().all(|part| part.service.scv == 0.0);
    plain(setup, parts, constant.then_some(u32::MAX))?;
    let pipeline = pipeline(setup, parts)?;
    let timed = |place| parts.iter().any(|part| part.place == place);
    if !timed(Place::A) {
        return Err(unknown("a.service", "takes no time; the answer of a burst takes all three to"));
    }
    let (name, solution) = if constant {
        ("constant burst", pipeline.burst_constant(requests)?)
    } else {
        let n = f64::from(requests);
        let steps = n * n * if pipeline.hold_slot { f64::from(pipeline.slots).min(n) } else { n };
        if steps > MOST_STEPS {
            let problem = format!("{requests} requests take {steps:.0e} steps to solve; take fewer");
            return Err(unknown("arrivals.burst", problem));
        }
        ("burst", pipeline.burst(requests)?)
    };
    let answer = of(name);
    Ok(vec![
        answer(Quantity::Makespan, solution.makespan_s),
        answer(Quantity::MakespanSd, solution.makespan_sd_s),
        answer(Quantity::Sojourn, solution.completion_s),
    ])
}

/// About ten seconds.
const MOST_STEPS: f64 = 1e9;

/// As the solvers know it. A station that takes no time has any time here: nothing asked of it depends on it.
fn pipeline(setup: &Setup, parts: &[Part]) -> Result<Pipeline, VerifyError> {
    let mean_s = |place| parts.iter().find(|part| part.place == place).map(|part| part.service.mean_s);
    let link = &setup.link;
    let (Some(transfer_s), Some(b_s)) = (mean_s(Place::Slots), mean_s(Place::B)) else {
        let problem = "takes no time, or b.service does not; the pipeline's answer takes both to";
        return Err(unknown("link.transfer", problem));
    };
    Ok(Pipeline {
        a_s: mean_s(Place::A).unwrap_or(1.0),
        transfer_s,
        b_s,
        pods_a: setup.a.pods,
        slots: link.slots,
        pods_b: setup.b.pods,
        hold_slot: !link.release_after_transfer,
        hold_a: link.hold_a,
    })
}
