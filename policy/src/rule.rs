//! What a policy wants, by itself: no bounds, no memory.

use splitscale_spec::{PolicyKind, Replicas};

/// Whether the kind decides by the number of transfer slots.
pub(crate) fn reads_slots(kind: &PolicyKind) -> bool {
    match kind {
        PolicyKind::Static(_) => false,
        PolicyKind::SlotsTable(_) => true,
    }
}

/// The pods wanted and in words why, or in words why none. `slots` is only read by a kind that
/// [`reads_slots`].
pub(crate) fn propose(kind: &PolicyKind, slots: Option<u32>) -> Result<(Replicas, String), String> {
    match kind {
        PolicyKind::Static(pods) => Ok((*pods, format!("static: {}", words(*pods)))),
        PolicyKind::SlotsTable(bins) => {
            let slots = slots.ok_or("slots missing")?;
            let bin = bins.iter().find(|bin| (bin.slots_min..=bin.slots_max).contains(&slots));
            let bin = bin.ok_or_else(|| format!("no bin holds slots {slots}"))?;
            Ok((bin.pods, format!("bin `{}`: {}", bin.name, words(bin.pods))))
        }
    }
}

/// `a 2, b 3`.
pub(crate) fn words(pods: Replicas) -> String {
    format!("a {}, b {}", pods.a, pods.b)
}
