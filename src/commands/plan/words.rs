//! The plan on the terminal: the answer first.

use std::fmt::Write;

use splitscale_spec::{Bottleneck, Replicas};

use super::candidate::{AGAIN, Spread, Verdict};
use super::report::{Choice, Looked, Plan};
use super::variant::name_of;

/// All of it.
pub fn of(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").expect("a string grows");
    let slo = &plan.inputs.slo;
    line(format!(
        "asked: {}; {} % of the answers within {} s; {}",
        plan.inputs.load,
        percent(slo.target),
        slo.latency_s,
        link(plan)
    ));
    if let Some(answer) = &plan.answer {
        line(format!("\nANSWER  {}", short(answer)));
        expected(answer, plan, &mut line);
    } else {
        line("\nNO PLAN  nothing that was looked at is shown to keep the promise".into());
    }
    if let Some(second) = &plan.runner_up {
        line(format!("\nrunner-up  {}", short(second)));
        expected(second, plan, &mut line);
    }
    line(String::new());
    variants(plan, &mut line);
    notes(plan, &mut line);
    text
}

fn short(choice: &Choice<'_>) -> String {
    let Replicas { a, b } = choice.pods;
    format!(
        "{} pods: {a} of A, {b} of B; cut {} as {} ({} bytes a transfer)",
        a + b,
        choice.name,
        name_of(choice.encoding),
        choice.bytes
    )
}

/// What is to be expected of a choice.
fn expected(choice: &Choice<'_>, plan: &Plan<'_>, line: &mut impl FnMut(String)) {
    let slo = &plan.inputs.slo;
    let share =
        |s: Spread| format!("{:.2} % ({:.2} to {:.2})", 100.0 * s.value, 100.0 * s.low, 100.0 * s.high);
    let seconds = |s: Spread| format!("{:.3} s ({:.3} to {:.3})", s.value, s.low, s.high);
    line(format!(
        "  in time    {} within {} s, asked {} %",
        share(choice.attainment),
        slo.latency_s,
        percent(slo.target)
    ));
    let kept = match slo.target {
        0.99 => String::new(),
        target => format!(", p{} {}", percent(target), seconds(choice.kept_s)),
    };
    line(format!("  latency    p50 {}{kept}, p99 {}", seconds(choice.p50_s), seconds(choice.p99_s)));
    let busy = [choice.busy_a, choice.busy_slots, choice.busy_b].map(|s| 100.0 * s.value);
    line(format!("  busy       A {:.1} %, slots {:.1} %, B {:.1} %", busy[0], busy[1], busy[2]));
    let room = &choice.headroom;
    let [value, low, high] =
        [room.factor.value, room.factor.low, room.factor.high].map(|f| 100.0 * (f - 1.0));
    let who = match room.bottleneck {
        Bottleneck::A => "A's pods",
        Bottleneck::B => "B's pods",
        _ => "the link",
    };
    let least = if room.at_least { "at least " } else { "" };
    // What ends may be answered in time though more comes than is carried.
    let beyond = match plan.inputs.load_file {
        Some(_) => format!("a queue grows at {who} where more than {:.2}/s come", room.carried_per_s),
        None => format!("beyond {:.2}/s {who} would be overrun", room.carried_per_s),
    };
    line(format!(
        "  headroom   {least}{value:+.1} % ({low:+.1} to {high:+.1}), to {:.2}/s; {beyond}",
        room.rate_per_s.value
    ));
}

/// A table of all cuts and encodings.
fn variants(plan: &Plan<'_>, line: &mut impl FnMut(String)) {
    let width = plan.variants.iter().map(|of| of.name.chars().count()).max().unwrap_or(0).max(3);
    line(format!(
        "{:<width$}  {:<8} {:>10} {:>12} {:>14} {:>12}",
        "cut", "encoding", "bytes", "link [1/s]", "pods by law", "pods (A + B)"
    ));
    let pods =
        |pods: Option<Replicas>| pods.map_or("-".to_string(), |pods| format!("{} + {}", pods.a, pods.b));
    for Looked { name, encoding, bytes, link_per_s, law_peak, pods: found, why, .. } in &plan.variants {
        let why = why.as_ref().map_or(String::new(), |why| format!("  {why}"));
        let (law, found, encoding) = (pods(*law_peak), pods(*found), name_of(*encoding));
        line(format!(
            "{name:<width$}  {encoding:<8} {bytes:>10} {link_per_s:>12.2} {law:>14} {found:>12}{why}"
        ));
    }
}

/// What has to be known to rely on it.
fn notes(plan: &Plan<'_>, line: &mut impl FnMut(String)) {
    let inputs = &plan.inputs;
    line(String::new());
    if let Some(words) = &plan.cheapest_of {
        line(format!("cheapest of {words}."));
    }
    for row in plan.candidates.iter().filter(|row| row.verdict == Verdict::Open) {
        line(format!(
            "not settled: {} + {} pods of {} as {}, {:.2} % ({:.2} to {:.2}) in time; more --seeds or --requests tell",
            row.pods_a,
            row.pods_b,
            row.name,
            row.encoding,
            100.0 * row.attainment,
            100.0 * row.attainment_low,
            100.0 * row.attainment_high
        ));
    }
    let overrun = |of: &&Looked| of.pods.is_some() && of.link_per_s < inputs.peak_per_s;
    for of in plan.variants.iter().filter(overrun) {
        line(format!(
            "{} as {}: in the busiest minute {:.2}/s come, more than the {:.2}/s that the link carries; a queue grows then",
            of.name,
            name_of(of.encoding),
            inputs.peak_per_s,
            of.link_per_s
        ));
    }
    let cost = |pods: Replicas| pods.a + pods.b;
    let as_measured = |of: &&Looked| {
        let as_cheap = |answer: &Choice<'_>| of.pods.is_some_and(|pods| cost(pods) == cost(answer.pods));
        let other = |answer: &Choice<'_>| (answer.name, answer.encoding) != (of.name.as_str(), of.encoding);
        of.measured && plan.answer.as_ref().is_some_and(|answer| other(answer) && as_cheap(answer))
    };
    for of in plan.variants.iter().filter(as_measured) {
        line(format!(
            "{} as {}, as it was measured, keeps it with as many pods, a little slower: take it where that is more to you",
            of.name,
            name_of(of.encoding)
        ));
    }
    if plan.variants.iter().any(|of| !of.measured) {
        line("an encoding that was not measured has the measured service times, and its transfers by their bytes; measure the chosen one, and what it does to the answers' accuracy".into());
    }
    line(format!(
        "intervals: 95 %, over {} seeds of {} requests, the same for all candidates ({} seeds where these leave it open)",
        inputs.seeds,
        inputs.requests,
        AGAIN * u64::from(inputs.seeds)
    ));
}

fn link(plan: &Plan<'_>) -> String {
    let inputs = &plan.inputs;
    let rtt =
        if inputs.rtt_s > 0.0 { format!(", {} s more a transfer", inputs.rtt_s) } else { String::new() };
    match (inputs.slot_mbit_s, inputs.link_mbit_s) {
        (Some(mbit_s), _) => format!("{} slots of {mbit_s} Mbit/s each{rtt}", inputs.slots),
        (_, Some(mbit_s)) => format!("{} slots on one link of {mbit_s} Mbit/s{rtt}", inputs.slots),
        _ => format!("{} slots as measured{rtt}", inputs.slots),
    }
}

/// A share as people say it: 99, 99.9.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}
