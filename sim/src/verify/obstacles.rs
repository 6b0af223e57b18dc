//! What stands in the way of an exact answer.

use splitscale_spec::{Balancer, Invalid};

use super::station::Part;
use super::{VerifyError, unknown};
use crate::setup::{Bandwidth, Setup, StageSetup, Transfer};

/// What no model has.
pub(super) fn features(setup: &Setup) -> Vec<Invalid> {
    let mut found = Vec::new();
    let mut obstacle = |field: &str, problem: &str| found.push(Invalid::new(field, problem));
    for (name, stage) in [("a", &setup.a), ("b", &setup.b)] {
        if stage.failure.is_some() {
            obstacle(&format!("{name}.failure"), "pods that crash; leave it away");
        }
    }
    if setup.link.slots_change.is_some() {
        obstacle("link.slots_change", "slots that change; leave it away");
    }
    if let Transfer::Bytes { bandwidth, .. } = &setup.link.transfer
        && !matches!(bandwidth, Bandwidth::PerSlotMbitS(_))
    {
        obstacle("link.transfer.bytes.bandwidth", "shared or changing; take per_slot_mbit_s, or a law");
    }
    if setup.overhead.mean_s() > 0.0 {
        obstacle("overhead", "takes time; set it to zero seconds");
    }
    if setup.arrivals.scale().thin < 1.0 {
        obstacle("arrivals.scale.thin", "thinned arrivals; leave it away");
    }
    if setup.one_node && is_scarce(setup.a.cores, &[&setup.a, &setup.b]) {
        obstacle("one_node", "cores that both stages share; give it cores enough for all pods");
    }
    for (field, stage) in [("a.cpu_limit", &setup.a), ("b.cpu_limit", &setup.b)] {
        if stage.cpu_limit.is_some() {
            obstacle(field, "pods that stand still for the rest of a period; leave it away");
        }
    }
    let timeless = |stage: &StageSetup| stage.service.mean_s() == 0.0;
    for (field, stage) in [("a.cores", &setup.a), ("b.cores", &setup.b)] {
        let shares_one = stage.cores.is_some_and(|cores| f64::from(cores) == stage.cpu_share);
        if !setup.one_node && is_scarce(stage.cores, &[stage]) && !shares_one && !timeless(stage) {
            obstacle(field, "fewer than the pods take, and not one core shared by pods of cpu_share 1");
        }
    }
    found
}

/// Whether the pods at work may slow each other down.
pub(super) fn is_scarce(cores: Option<u32>, stages: &[&StageSetup]) -> bool {
    let most: f64 = stages.iter().map(|stage| f64::from(stage.pods) * stage.cpu_share).sum();
    cores.is_some_and(|cores| f64::from(cores) < most)
}

/// Checks what all answers to more than a single open station take: one queue a station, endless, no
/// deadline, one core a pod; exponential services, unless a station has a server for each of `most` requests.
pub(super) fn plain(setup: &Setup, parts: &[Part], most: Option<u32>) -> Result<(), VerifyError> {
    if setup.deadline_s.is_some() {
        return Err(unknown("deadline_s", "known for a single station under an open load only"));
    }
    for part in parts {
        let field = |name: &str| part.field.replace("service", name).replace("transfer", name);
        if part.queue_limit.is_some() {
            return Err(unknown(field("queue_limit"), "known for a single station only"));
        }
        if part.balancer != Balancer::CentralQueue && part.servers > 1 {
            return Err(unknown(field("balancer"), "known for a single station only; one queue would do"));
        }
        if part.shared {
            return Err(unknown(field("cores"), "shared; known for a single station only"));
        }
        let any_law = most.is_some_and(|most| most == u32::MAX || part.servers >= most);
        if !part.service.exponential && !any_law {
            return Err(unknown(part.field, "not exponential, which the answer takes"));
        }
    }
    Ok(())
}
