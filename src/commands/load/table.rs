//! The figures of a load as a table.

use std::fmt::Write;

use super::summary::{Estimate, LATE_S, Summary};

/// The table that is printed.
pub fn of(summary: &Summary) -> String {
    let mut text = String::new();
    // A String takes all.
    let _ = write(&mut text, summary);
    text
}

fn write(text: &mut String, summary: &Summary) -> std::fmt::Result {
    let Summary { load, seed, span_s, due, sent, answered, retries, late, .. } = summary;
    writeln!(text, "load        {load}, seed {seed}: {due} requests due in {span_s:.2} s")?;
    if summary.left_out > 0 {
        writeln!(text, "warm-up     {} due before {} s left out", summary.left_out, summary.warm_up_s)?;
    }
    writeln!(text, "sent        {sent}; {retries} times again, after 429 or 503")?;
    writeln!(text, "answered    {answered}")?;
    for (reason, miss) in &summary.unanswered {
        writeln!(text, "unanswered  {} {reason}{}", miss.count, quoted(&miss.first))?;
    }
    let (bound_ms, largest_ms) = (LATE_S * 1e3, late.largest_s * 1e3);
    writeln!(
        text,
        "late        {} sent more than {bound_ms} ms late, at most {largest_ms:.2} ms",
        late.count
    )?;
    writeln!(text, "throughput  {:.3} /s", summary.throughput_per_s)?;
    if let Some(slo) = &summary.slo {
        let share = 100.0 * slo.attainment;
        writeln!(
            text,
            "goodput     {:.3} /s within {} s, {share:.2} % of those due",
            slo.goodput_per_s, slo.within_s
        )?;
    }
    if let Some(latency) = &summary.latency {
        writeln!(text, "\n{:<12} {:>10}   95 % interval", "latency [s]", "")?;
        writeln!(text, "{}", line("mean", &latency.mean))?;
        for (name, estimate) in &latency.quantiles {
            writeln!(text, "{}", line(name, estimate))?;
        }
        writeln!(text, "{:<12} {:>10.4}", "max", latency.max_s)?;
        let all = latency.quantiles.iter().map(|(_, estimate)| estimate).chain([&latency.mean]);
        if all.into_iter().any(|estimate| estimate.interval_s.is_some()) {
            writeln!(
                text,
                "of answered requests, from when each was due; the intervals are those of a run that has"
            )?;
            writeln!(
                text,
                "settled: the mean's of 20 batches, a percentile's of independent values, which requests"
            )?;
            writeln!(text, "that queue behind one another are not: there it is wider")?;
        }
    }
    if !summary.phases_s.is_empty() {
        writeln!(text, "\nmeans [s]")?;
        for (name, mean_s) in &summary.phases_s {
            writeln!(text, "{name:<12} {mean_s:>10.4}")?;
        }
    }
    writeln!(text, "\nCPU [s]")?;
    for (server, cpu_s) in &summary.cpu_s {
        match cpu_s {
            Some(cpu_s) => writeln!(text, "{server:<12} {cpu_s:>10.3}")?,
            None => writeln!(text, "{server:<12} not told")?,
        }
    }
    Ok(())
}

fn line(name: &str, estimate: &Estimate) -> String {
    let interval = match (&estimate.interval_s, &estimate.none_because) {
        (Some((low, high)), _) => format!("{low:.4} .. {high:.4}"),
        (None, Some(why)) => format!("none: {why}"),
        (None, None) => String::new(),
    };
    format!("{name:<12} {:>10.4}   {interval}", estimate.value_s)
}

/// What was said, on one line and not too long.
fn quoted(said: &str) -> String {
    let words: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(160).collect();
    if words.is_empty() { words } else { format!(", the first: {words}") }
}
