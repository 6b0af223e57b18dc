//! What stands in the way of a variant, and what would clear it: nothing is said to that was not simulated.

use anyhow::Result;
use splitscale_spec::{Bottleneck, Replicas};

use super::candidate::{Candidate, Trial, Verdict};
use super::search::{Found, Search};
use super::variant::{ENCODINGS, Link, Measured, Variant, name_of};

/// Most slots that a proxy has, and most pods that may be asked for.
const MOST: u32 = 1024;
/// How far beyond what only just carries the load is looked: there the queues are without end, and the promise is not kept.
const BEYOND: [f64; 6] = [1.0, 1.1, 1.25, 1.5, 2.0, 4.0];

/// What was asked of the variants.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The link.
    pub link: &'a Link,
    /// The load and the promise.
    pub trial: &'a Trial<'a>,
    /// Most pods of a stage.
    pub pods_max: u32,
}

/// Why there are no pods, in one line; absent where there are.
pub fn why(found: &Found, variant: &Variant, asked: &Asked<'_>) -> Option<String> {
    let comes = asked.trial.traffic.mean_per_s;
    match found {
        Found::Pods { .. } => None,
        Found::Link(per_s) => Some(format!("the link carries {per_s:.2}/s at most, and {comes:.2}/s come")),
        Found::Cores(stage, per_s) => {
            Some(format!("{stage:?}'s cores carry {per_s:.2}/s at most, and {comes:.2}/s come"))
        }
        Found::PodsMax(pods) => Some(format!(
            "to carry {comes:.2}/s takes {} pods of A and {} of B, above --pods-max {}",
            pods.a, pods.b, asked.pods_max
        )),
        Found::Promise(most) => {
            let alone_s = variant.alone_s();
            let alone = match alone_s > asked.trial.slo_s {
                true => format!("a request that meets nobody takes {alone_s:.3} s; "),
                false => String::new(),
            };
            let open = if most.verdict == Verdict::Open { "not settled: " } else { "" };
            Some(format!(
                "{open}{alone}{} pods of A and {} of B, the most that are of use, answer {:.2} % ({:.2} to {:.2}) within {} s, and {} % within {:.3} s",
                most.pods.a,
                most.pods.b,
                100.0 * most.attainment.value,
                100.0 * most.attainment.low,
                100.0 * most.attainment.high,
                asked.trial.slo_s,
                100.0 * asked.trial.target,
                most.kept_s.value
            ))
        }
    }
}

/// What would clear it, each a thing to do by itself; what names pods was simulated with them, the most that are of use, and keeps
/// the promise.
///
/// # Errors
/// As [`Search::most`].
pub fn remedies(
    found: &Found,
    (measured, variant): (&Measured, &Variant),
    asked: &Asked<'_>,
) -> Result<Vec<String>> {
    let tries = Tries { measured, variant, asked };
    let mut all = vec![];
    match found {
        Found::Pods { .. } => return Ok(all),
        Found::Cores(stage, _) => {
            let stage = if *stage == Bottleneck::A { "A" } else { "B" };
            all.push(format!("a node of {stage} with more cores, and a calibration of it (not tried)"));
        }
        Found::PodsMax(pods) => all.extend(tries.pods(pods.a.max(pods.b))?),
        Found::Link(_) | Found::Promise(_) => {
            if matches!(found, Found::Promise(most) if most.verdict == Verdict::Open) {
                all.push("more --seeds or --requests, which would tell whether it is kept".to_string());
            }
            all.extend(tries.encodings()?);
            all.extend(tries.slots()?);
            all.extend(tries.bandwidth()?);
            all.extend(tries.pods(asked.pods_max + 1)?);
        }
    }
    if let Found::Promise(most) = found {
        all.extend(tries.promise(most.kept_s.high)?);
    }
    all.extend(tries.rate(found)?);
    Ok(all)
}

/// One thing changed at a time, and what comes of it.
struct Tries<'a> {
    measured: &'a Measured,
    variant: &'a Variant,
    asked: &'a Asked<'a>,
}

impl Tries<'_> {
    /// Encodings with fewer bytes.
    fn encodings(&self) -> Result<Vec<String>> {
        let mut all = vec![];
        for encoding in ENCODINGS {
            let Ok(other) = Variant::of(self.measured, encoding, self.asked.link) else { continue };
            if other.bytes < self.variant.bytes {
                let kept = self.kept(&other, self.asked.trial, self.asked.pods_max)?;
                all.extend(kept.map(|pods| format!("--encodings {} ({})", name_of(encoding), with(pods))));
            }
        }
        Ok(all)
    }

    /// More slots than there are, from the fewest that carry what comes.
    fn slots(&self) -> Result<Option<String>> {
        let (link, comes) = (self.asked.link, self.asked.trial.traffic.mean_per_s);
        let of =
            |slots: u32| Variant::of(self.measured, self.variant.encoding, &Link { slots, ..*link }).ok();
        let carries = |&slots: &u32| of(slots).is_some_and(|more| more.link_per_s() > comes);
        let Some(fewest) = (link.slots + 1..=MOST).find(carries) else { return Ok(None) };
        self.first(fewest, |slots| {
            let kept = of(slots).map(|more| self.kept(&more, self.asked.trial, self.asked.pods_max));
            Ok(kept.transpose()?.flatten().map(|pods| format!("--slots {slots} ({})", with(pods))))
        })
    }

    /// More bandwidth than there is, from the least that carries what comes; absent where the slots are held for too long besides,
    /// or where the bandwidth is as measured.
    fn bandwidth(&self) -> Result<Option<String>> {
        let (link, variant, trial) = (self.asked.link, self.variant, self.asked.trial);
        let (Some(now), comes) = (link.mbit_s, trial.traffic.mean_per_s) else { return Ok(None) };
        let bits = variant.bytes as f64 * 8e-6;
        let besides_s = variant.held_s() - bits / variant.mbit_s;
        let left_s = f64::from(variant.slots) / comes - besides_s;
        if left_s <= 0.0 {
            return Ok(None);
        }
        let by_slots = bits / left_s;
        let (flag, least) = match variant.whole_mbit_s {
            Some(_) => ("--link-bandwidth", by_slots.max(bits * comes)),
            None => ("--slot-bandwidth", by_slots),
        };
        for factor in BEYOND {
            let mbit_s = up(least.max(now) * 1.001 * factor);
            let Ok(more) =
                Variant::of(self.measured, variant.encoding, &Link { mbit_s: Some(mbit_s), ..*link })
            else {
                continue;
            };
            if let Some(pods) = self.kept(&more, trial, self.asked.pods_max)? {
                return Ok(Some(format!("{flag} {mbit_s} ({})", with(pods))));
            }
        }
        Ok(None)
    }

    /// More pods than were allowed, from so many.
    fn pods(&self, fewest: u32) -> Result<Option<String>> {
        let of_use = self.variant.useful(MOST);
        // Where no more are of use than were allowed, they are the same pods.
        if of_use == self.variant.useful(self.asked.pods_max) {
            return Ok(None);
        }
        self.first(fewest, |most| {
            let kept = self.kept(self.variant, self.asked.trial, most)?;
            Ok(kept.map(|pods| format!("--pods-max {most} ({})", with(pods))))
        })
    }

    /// A longer time to answer in, from what was kept.
    fn promise(&self, kept_s: f64) -> Result<Option<String>> {
        let trial = self.asked.trial;
        for factor in BEYOND {
            let slo_s = up(kept_s.max(trial.slo_s) * factor);
            if let Some(pods) = self.kept(self.variant, &Trial { slo_s, ..*trial }, self.asked.pods_max)? {
                return Ok(Some(format!("--slo {slo_s} ({})", with(pods))));
            }
        }
        Ok(None)
    }

    /// Fewer requests, from what is carried.
    fn rate(&self, found: &Found) -> Result<Option<String>> {
        let (trial, pods_max) = (self.asked.trial, self.asked.pods_max);
        let comes = trial.traffic.mean_per_s;
        let most = Replicas { a: pods_max, b: pods_max };
        let carried = match found {
            Found::Link(per_s) | Found::Cores(_, per_s) => *per_s,
            _ => self.variant.carries(most).0,
        };
        for factor in BEYOND {
            let per_s = down(carried.min(comes) / factor);
            let lower = trial.traffic.denser(per_s / comes);
            if let Some(pods) = self.kept(self.variant, &Trial { traffic: &lower, ..*trial }, pods_max)? {
                return Ok(Some(format!("a rate of {per_s}/s ({})", with(pods))));
            }
        }
        Ok(None)
    }

    /// The first from `fewest` on, in growing steps, of which there is something to say.
    fn first(&self, fewest: u32, said: impl Fn(u32) -> Result<Option<String>>) -> Result<Option<String>> {
        let mut before = 0;
        for factor in BEYOND {
            let number = ((f64::from(fewest) * factor).ceil() as u32).min(MOST);
            if number > before
                && let Some(words) = said(number)?
            {
                return Ok(Some(words));
            }
            before = number;
        }
        Ok(None)
    }

    /// The most pods that are of use, where they keep the promise.
    fn kept(&self, variant: &Variant, trial: &Trial<'_>, pods_max: u32) -> Result<Option<Replicas>> {
        let mut note = |_: &Candidate| Ok(());
        let found = Search::new(trial, (0, variant), &mut note).most(pods_max)?;
        Ok(found.ok().map(|(candidate, _)| candidate.pods))
    }
}

/// With which pods it was simulated.
fn with(pods: Replicas) -> String {
    format!("kept with {} + {} pods", pods.a, pods.b)
}

/// To three digits, not below.
fn up(value: f64) -> f64 {
    rounded(value, f64::ceil)
}

/// To three digits, not above.
fn down(value: f64) -> f64 {
    rounded(value, f64::floor)
}

fn rounded(value: f64, to_whole: fn(f64) -> f64) -> f64 {
    let places = 2 - value.abs().max(f64::MIN_POSITIVE).log10().floor() as i32;
    // By a power of ten that is a whole number, so that no digits come in by a factor that is none.
    match places {
        0.. => to_whole(value * 10f64.powi(places)) / 10f64.powi(places),
        _ => to_whole(value / 10f64.powi(-places)) * 10f64.powi(-places),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept() {
        assert_eq!((up(12.341), down(12.349), up(0.012_31), down(98_765.0)), (12.4, 12.3, 0.0124, 98_700.0));
    }
}
