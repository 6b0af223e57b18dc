//! What stands in the way of a variant, and what would clear it.

use splitscale_spec::{Bottleneck, Encoding};

use super::candidate::Verdict;
use super::search::Found;
use super::traffic::Traffic;
use super::variant::{ENCODINGS, Link, Measured, Variant, name_of};

/// Most slots that a proxy has.
const SLOTS_MAX: u32 = 1024;

/// What was asked of the variants.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The link.
    pub link: &'a Link,
    /// The load.
    pub traffic: &'a Traffic,
    /// The promise \[s\], and the share of the requests that it is kept to.
    pub slo: (f64, f64),
    /// Most pods of a stage.
    pub pods_max: u32,
}

/// Why there are no pods, in one line; absent where there are.
pub fn why(found: &Found, variant: &Variant, asked: &Asked<'_>) -> Option<String> {
    let comes = asked.traffic.mean_per_s;
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
            let alone = match alone_s > asked.slo.0 {
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
                asked.slo.0,
                100.0 * asked.slo.1,
                most.kept_s.value
            ))
        }
    }
}

/// What would clear it, each a thing to do.
pub fn remedies(found: &Found, (measured, variant): (&Measured, &Variant), asked: &Asked<'_>) -> Vec<String> {
    match found {
        Found::Pods { .. } => vec![],
        Found::Link(per_s) => {
            let mut all = fewer_bytes(measured, variant, asked);
            all.extend(more_slots(measured, variant, asked));
            all.extend(more_bandwidth(variant, asked));
            all.push(format!("a rate below {}/s", down(*per_s)));
            all
        }
        Found::Cores(stage, per_s) => {
            let stage = if *stage == Bottleneck::A { "A" } else { "B" };
            vec![
                format!("a node of {stage} with more cores, and a calibration of it"),
                format!("a rate below {}/s", down(*per_s)),
            ]
        }
        Found::PodsMax(pods) => vec![format!("--pods-max {}", pods.a.max(pods.b))],
        Found::Promise(most) => {
            let mut all = vec![];
            if most.verdict == Verdict::Open {
                all.push("more --seeds or --requests, which would tell whether it is kept".to_string());
            }
            all.extend(fewer_bytes(measured, variant, asked));
            if most.kept_s.high > asked.slo.0 {
                all.push(format!("--slo {}", up(most.kept_s.high)));
            }
            all.push("a lower rate".into());
            all
        }
    }
}

/// Encodings with fewer bytes whose link carries what comes.
fn fewer_bytes(measured: &Measured, variant: &Variant, asked: &Asked<'_>) -> Vec<String> {
    let carried = |encoding: &Encoding| {
        let other = Variant::of(measured, *encoding, asked.link).ok()?;
        let per_s = other.link_per_s();
        (other.bytes < variant.bytes && per_s > asked.traffic.mean_per_s)
            .then(|| format!("--encodings {} (its link carries {}/s)", name_of(*encoding), down(per_s)))
    };
    ENCODINGS.iter().filter_map(carried).collect()
}

/// The fewest slots that carry what comes; absent where none do.
fn more_slots(measured: &Measured, variant: &Variant, asked: &Asked<'_>) -> Option<String> {
    let enough = |&slots: &u32| {
        let link = Link { slots, ..*asked.link };
        let more = Variant::of(measured, variant.encoding, &link);
        more.is_ok_and(|more| more.link_per_s() > asked.traffic.mean_per_s)
    };
    (asked.link.slots + 1..=SLOTS_MAX).find(enough).map(|slots| format!("--slots {slots}"))
}

/// The least bandwidth that carries what comes; absent where the slots are held for too long besides, or where the
/// bandwidth is as measured.
fn more_bandwidth(variant: &Variant, asked: &Asked<'_>) -> Option<String> {
    asked.link.mbit_s?;
    let bits = variant.bytes as f64 * 8e-6;
    let besides_s = variant.held_s() - bits / variant.mbit_s;
    let left_s = f64::from(variant.slots) / asked.traffic.mean_per_s - besides_s;
    if left_s <= 0.0 {
        return None;
    }
    let by_slots = bits / left_s;
    let (flag, mbit_s) = match variant.whole_mbit_s {
        Some(_) => ("--link-bandwidth", by_slots.max(bits * asked.traffic.mean_per_s)),
        None => ("--slot-bandwidth", by_slots),
    };
    Some(format!("{flag} {}", up(mbit_s * 1.001)))
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
