//! Two autoscalers side by side, one for each stage: when they run, and what comes of both.

use splitscale_spec::{Observation, Replicas, StagePods};

use crate::proposer::Silence;

/// What one autoscaler wants and its words, or why it does nothing.
pub(crate) type Wish = Result<(u32, String), Silence>;

/// The stages, if both answer.
///
/// # Errors
/// In words which does not.
pub(crate) fn answering(observation: &Observation) -> Result<(&StagePods, &StagePods), Silence> {
    let a = observation.a.as_ref().ok_or("stage a does not answer")?;
    let b = observation.b.as_ref().ok_or("stage b does not answer")?;
    Ok((a, b))
}

/// Takes note that a run begins at `now_s`, if a period has passed since the last that was due.
///
/// # Errors
/// The time that is left \[s\].
pub(crate) fn due(last_s: &mut Option<f64>, period_s: f64, now_s: f64) -> Result<(), f64> {
    let left_s = last_s.map_or(0.0, |last_s| last_s + period_s - now_s);
    if left_s > 0.0 {
        return Err(left_s);
    }
    // By whole periods from the one that was due, so that a clock that ticks a little late does not lose every other run.
    *last_s = Some(last_s.map_or(now_s, |last_s| last_s + period_s * ((now_s - last_s) / period_s).floor()));
    Ok(())
}

/// Both wishes in one. Where only one stage has none it stays as it is, and the other goes on: they are two.
///
/// # Errors
/// The words of both, where neither has one.
pub(crate) fn joined(
    (to_a, a): (Wish, &StagePods),
    (to_b, b): (Wish, &StagePods),
) -> Result<(Replicas, String), Silence> {
    let words = |stage: &str, to: &Wish| match to {
        Ok((_, why)) => format!("{stage} {why}"),
        Err(silence) => format!("{stage} stays, {}", silence.words()),
    };
    let why = format!("{}; {}", words("a", &to_a), words("b", &to_b));
    match (&to_a, &to_b) {
        (Err(Silence::Unseen(_)), Err(_)) | (Err(_), Err(Silence::Unseen(_))) => {
            return Err(Silence::Unseen(why));
        }
        (Err(_), Err(_)) => return Err(Silence::Staying(why)),
        _ => {}
    }
    let pods = |to: Wish, now: &StagePods| to.map_or(now.desired, |(pods, _)| pods);
    Ok((Replicas { a: pods(to_a, a), b: pods(to_b, b) }, why))
}
