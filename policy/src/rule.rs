//! What a plain rule wants, by itself: no bounds, no memory.

use splitscale_spec::Replicas;

use crate::document::Bin;

/// The same pods, and in words why.
pub(crate) fn constant(pods: Replicas) -> (Replicas, String) {
    (pods, format!("static: {}", words(pods)))
}

/// The pods of the bin, or in words why none.
pub(crate) fn table(bins: &[Bin], slots: u32) -> Result<(Replicas, String), String> {
    let bin = bins.iter().find(|bin| (bin.slots_min..=bin.slots_max).contains(&slots));
    let bin = bin.ok_or_else(|| format!("no bin holds slots {slots}"))?;
    Ok((bin.pods, format!("bin `{}`: {}", bin.name, words(bin.pods))))
}

/// `a 2, b 3`.
pub(crate) fn words(pods: Replicas) -> String {
    format!("a {}, b {}", pods.a, pods.b)
}
