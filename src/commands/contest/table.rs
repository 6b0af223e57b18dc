//! What all policies came to, as it is printed.

use std::fmt::Write;

use splitscale_spec::PipelineConfig;

use super::score::Score;

/// The table, the whole of each policy above its phases.
pub fn of(scores: &[Score], pipeline: &PipelineConfig) -> String {
    let widest = scores.iter().map(|score| score.policy.chars().count()).max().unwrap_or(0).max(14);
    let mut text = format!(
        "\n{:<widest$} {:>6} {:>6} {:>8} {:>7} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7} {:>9}\n",
        "policy",
        "due",
        "sent",
        "answered",
        "refused",
        "failed",
        "lost",
        "in time",
        "p50 [s]",
        "p95 [s]",
        "p99 [s]",
        "pod-s",
        "mean pods",
        "changes",
        "J"
    );
    for score in scores {
        // A String takes all.
        let _ = writeln!(text, "{}", row(score, widest));
    }
    let (slo, cost) = (&pipeline.slo, &pipeline.cost);
    let _ = writeln!(
        text,
        "in time: answered within {} s of when they were due, of all that were due; promised are {} %. Pods: starting, ready \
         and draining ones.\nJ = pod-seconds + {} * misses + {} * changes of pods",
        slo.latency_s,
        100.0 * slo.target,
        cost.miss_weight,
        cost.churn_weight
    );
    text
}

fn row(score: &Score, widest: usize) -> String {
    let Score { due, sent, answered, refused, failed, lost, changes, .. } = score;
    let name = match (score.phase, score.slots) {
        (Some(number), Some(1)) => format!("  {number}: 1 slot"),
        (Some(number), Some(slots)) => format!("  {number}: {slots} slots"),
        _ => score.policy.clone(),
    };
    let seconds = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.3}"));
    let [p50, p95, p99] = [score.p50_s, score.p95_s, score.p99_s].map(seconds);
    let in_time = score.attainment.map_or("-".to_string(), |share| format!("{:.1} %", 100.0 * share));
    format!(
        "{name:<widest$} {due:>6} {sent:>6} {answered:>8} {refused:>7} {failed:>6} {lost:>6} {in_time:>8} {p50:>8} {p95:>8} \
         {p99:>8} {:>8.0} {:>9.2} {changes:>7} {:>9.0}",
        score.pod_seconds_a + score.pod_seconds_b,
        score.mean_pods,
        score.cost
    )
}
