//! CPU limits as Linux keeps them, and Kubernetes with it: each pod has a quota of CPU time in every period, and when that
//! is used up it stands still until the next period begins.
//!
//! ```text
//! period     |<------ P ------>|<------ P ------>|<------
//! runs       |######           |######           |###         demand 2.5 q: three periods, not 2.5 q / (q / P)
//! stands     |      ...........|      ...........|
//! ```
//!
//! (CFS bandwidth control: Turner, Rao and Rao, *CPU bandwidth control for CFS*, Linux Symposium 2010; `cpu.max` of cgroup
//! v2.) A pod that never rests gets quota / period of a core, as one that is paced does. One that has rested does not wait:
//! what fits in its quota takes no longer than on a core of its own. Quota that was not used is lost with its period.
//!
//! The periods of a pod begin where chance puts them. Left out are what the kernel hands out in slices of 5 ms and takes back
//! late, CPU time that a pod takes beside its services, and that a pod which crashes in its work begins anew: its work is booked ahead.

use serde::Deserialize;
use splitscale_spec::{Invalid, positive};

use crate::chance::Stream;
use crate::time::{SimTime, nanos};

/// A limit as Kubernetes sets it (`resources.limits.cpu`): so much CPU time in each period, and none beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuLimit {
    /// The limit \[cores\], below 1.
    pub cores: f64,
    /// How long a period is \[s\]; the kernel's default is 0.1.
    #[serde(default = "tenth")]
    pub period_s: f64,
}

/// What is left to the pods of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Quotas {
    quota_ns: u64,
    period_ns: u64,
    /// Those that have worked, by number. One that takes the number of a pod that is gone takes its periods too.
    pods: Vec<Quota>,
    /// Word 0 of block i is where the periods of pod i begin.
    stream: Stream,
}

/// What is left to one pod.
#[derive(Debug, Clone, Copy)]
struct Quota {
    /// How far its first period is over at time zero.
    ahead_ns: u64,
    /// The period that was used last, and how much of its quota.
    period: u64,
    used_ns: u64,
}

impl CpuLimit {
    pub(crate) fn validate(&self, field: &str) -> Result<(), Invalid> {
        positive(&format!("{field}.period_s"), self.period_s)?;
        if !(self.cores > 0.0 && self.cores < 1.0) {
            let problem = format!(
                "{} is not in (0, 1); a pod has one thread, which a limit of a core or more never stops",
                self.cores
            );
            return Err(Invalid::new(format!("{field}.cores"), problem));
        }
        if nanos(self.cores * self.period_s) == 0 {
            return Err(Invalid::new(field, "no nanosecond of CPU time a period"));
        }
        Ok(())
    }
}

impl Quotas {
    /// Of a limit that was validated.
    pub(crate) fn new(limit: &CpuLimit, stream: Stream) -> Self {
        let (quota_ns, period_ns) = (nanos(limit.cores * limit.period_s), nanos(limit.period_s));
        Quotas { quota_ns, period_ns, pods: Vec::new(), stream }
    }

    /// How long a pod that begins now takes to compute for `demand_ns`.
    pub(crate) fn spend(&mut self, now: SimTime, pod: u32, demand_ns: u64) -> u64 {
        let (quota_ns, period_ns) = (self.quota_ns, self.period_ns);
        while self.pods.len() <= pod as usize {
            let [word, ..] = self.stream.block();
            let ahead_ns = ((u128::from(word) * u128::from(period_ns)) >> 64) as u64;
            self.pods.push(Quota { ahead_ns, period: 0, used_ns: 0 });
        }
        let quota = &mut self.pods[pod as usize];
        let at = now.as_nanos() + quota.ahead_ns;
        let (period, left_ns) = (at / period_ns, period_ns - at % period_ns);
        if quota.period != period {
            (quota.period, quota.used_ns) = (period, 0);
        }
        let first_ns = left_ns.min(quota_ns - quota.used_ns);
        if demand_ns <= first_ns {
            quota.used_ns += demand_ns;
            return demand_ns;
        }
        // Whole quotas, and a last one that need not be.
        let rest_ns = demand_ns - first_ns;
        let whole = (rest_ns - 1) / quota_ns;
        let last_ns = rest_ns - whole * quota_ns;
        (quota.period, quota.used_ns) = (period.saturating_add(whole).saturating_add(1), last_ns);
        whole.saturating_mul(period_ns).saturating_add(left_ns).saturating_add(last_ns)
    }
}

fn tenth() -> f64 {
    0.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Purpose;

    const MS: u64 = 1_000_000;

    /// 20 ms of every 100, of which the first is `ahead` ms over at time zero.
    fn quotas(ahead: u64) -> Quotas {
        let limit = CpuLimit { cores: 0.2, period_s: 0.1 };
        let mut quotas = Quotas::new(&limit, Stream::new(0, 0, Purpose::PeriodsA));
        quotas.pods.push(Quota { ahead_ns: ahead * MS, period: 0, used_ns: 0 });
        quotas
    }

    fn spend(quotas: &mut Quotas, at: u64, demand: u64) -> u64 {
        quotas.spend(SimTime::from_nanos(at * MS), 0, demand * MS) / MS
    }

    #[test]
    fn a_pod_stands_still_when_its_quota_is_used_up() {
        // 20 in each of two periods, 10 in the third; then 10 are left there.
        let mut aligned = quotas(0);
        assert_eq!(spend(&mut aligned, 0, 50), 210);
        assert_eq!(spend(&mut aligned, 210, 10), 10);
        assert_eq!(spend(&mut aligned, 220, 1), 81);
        assert_eq!(spend(&mut aligned, 301, 19), 19);
    }

    #[test]
    fn a_rested_pod_does_not_wait_for_what_fits() {
        for ahead in [0, 50, 81, 99] {
            assert_eq!(spend(&mut quotas(ahead), 0, 20), 20, "{ahead}");
        }
        // At 90 it has 10 ms of this period and then the quota of the next.
        assert_eq!(spend(&mut quotas(90), 0, 30), 30);
        assert_eq!(spend(&mut quotas(90), 0, 31), 111);
        // What a period left over is not in the next.
        let mut idle = quotas(0);
        assert_eq!(spend(&mut idle, 0, 5), 5);
        assert_eq!(spend(&mut idle, 500, 25), 105);
    }

    #[test]
    fn a_service_that_ends_with_its_period_leaves_the_next_whole() {
        let mut quotas = quotas(90);
        assert_eq!(spend(&mut quotas, 0, 10), 10);
        assert_eq!(spend(&mut quotas, 10, 20), 20);
        assert_eq!(spend(&mut quotas, 30, 1), 81);
    }

    #[test]
    fn endless_demands_do_not_overflow() {
        assert_eq!(quotas(0).spend(SimTime::ZERO, 0, u64::MAX), u64::MAX);
        assert_eq!(quotas(0).spend(SimTime::ZERO, 0, 0), 0);
    }
}
