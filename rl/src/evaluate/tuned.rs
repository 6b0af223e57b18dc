//! The strongest of its kind, so that nobody wins over a rule that was set badly (RLScale-Bench, arXiv 2605.26418:
//! baselines are calibrated). They get the learners' scenarios, and seeds of their own.

use serde::{Deserialize, Serialize};
use splitscale_policy::HpaConfig;
use splitscale_policy::hpa::{Behavior, HpaMetric, HpaStage, RatePolicy, Rules};
use splitscale_spec::Replicas;

use super::{Contender, Workers, play};
use crate::chance::{Chance, SEEDS};
use crate::scaling::Scaling;
use crate::statistics::mean;

/// What HPAs are tried. Every field is a list; all combinations are played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HpaGrid {
    /// Metrics and their targets, in the same way for both stages at first, and then for each by itself.
    pub metrics: Vec<Vec<HpaMetric>>,
    /// Stabilisation windows on the way up \[s\].
    pub up_windows_s: Vec<f64>,
    /// And down \[s\].
    pub down_windows_s: Vec<f64>,
    /// Limits on the rate up; an empty list is the default of Kubernetes.
    pub up_policies: Vec<Vec<RatePolicy>>,
    /// And down.
    pub down_policies: Vec<Vec<RatePolicy>>,
    /// Time between two syncs \[s\].
    pub sync_periods_s: Vec<f64>,
}

impl Default for HpaGrid {
    fn default() -> Self {
        use splitscale_policy::hpa::Change::Pods;
        let one = |period_s| vec![RatePolicy { change: Pods(1), period_s }];
        HpaGrid {
            metrics: (3..=9).map(|tens| vec![HpaMetric::CpuPercent(10 * tens)]).collect(),
            up_windows_s: vec![0.0, 30.0],
            down_windows_s: vec![0.0, 60.0, 300.0],
            up_policies: vec![Vec::new(), one(15.0)],
            down_policies: vec![Vec::new(), one(60.0)],
            sync_periods_s: vec![15.0],
        }
    }
}

impl HpaGrid {
    /// Every combination, the same for both stages.
    pub fn configs(&self) -> Vec<HpaConfig> {
        let mut all = vec![HpaConfig::default()];
        all = over(all, &self.metrics, |config, metrics| {
            let stage = HpaStage { metrics: metrics.clone(), ..HpaStage::default() };
            HpaConfig { a: stage.clone(), b: stage, ..config }
        });
        all = over(all, &self.sync_periods_s, |config, &sync_period_s| HpaConfig { sync_period_s, ..config });
        let mut rules = vec![Behavior::default()];
        rules = over(rules, &self.up_windows_s, |rules, &window_s| Behavior {
            up: Rules { window_s: Some(window_s), ..rules.up },
            ..rules
        });
        rules = over(rules, &self.down_windows_s, |rules, &window_s| Behavior {
            down: Rules { window_s: Some(window_s), ..rules.down },
            ..rules
        });
        let given = |policies: &Vec<RatePolicy>| (!policies.is_empty()).then(|| policies.clone());
        rules = over(rules, &self.up_policies, |rules, policies| Behavior {
            up: Rules { policies: given(policies), ..rules.up },
            ..rules
        });
        rules = over(rules, &self.down_policies, |rules, policies| Behavior {
            down: Rules { policies: given(policies), ..rules.down },
            ..rules
        });
        over(all, &rules, |mut config, behavior| {
            config.a.behavior = Some(behavior.clone());
            config.b.behavior = Some(behavior.clone());
            config
        })
    }
}

fn over<T: Clone, V>(all: Vec<T>, values: &[V], with: impl Fn(T, &V) -> T) -> Vec<T> {
    all.into_iter()
        .flat_map(|one| values.iter().map(|value| with(one.clone(), value)).collect::<Vec<_>>())
        .collect()
}

/// Seeds for training or for judging, which never meet if their streams are not the same one.
pub fn seeds(seed: u64, stream: u32, count: usize) -> Vec<u64> {
    let mut chance = Chance::new(seed, SEEDS + (u64::from(stream) << 8));
    (0..count).map(|_| chance.bits()).collect()
}

/// Every pair of constant pods within the bounds, and its mean cost over all scenarios and seeds; the best first. Absent
/// where it was told not to go on.
pub fn best_static(scaling: &Scaling, seeds: &[u64], workers: Workers<'_>) -> Option<Vec<(Replicas, f64)>> {
    let (min, max) = (scaling.config().pods_min, scaling.config().pods_max);
    let pairs = (min.a..=max.a).flat_map(|a| (min.b..=max.b).map(move |b| Replicas { a, b }));
    rank(scaling, pairs.collect(), |pods| Contender::constant("", *pods), (seeds, workers))
}

/// Every HPA of the grid, then the best one with every pair of metrics for A and B, and their mean costs; the best
/// first. Absent where it was told not to go on.
pub fn best_hpa(
    scaling: &Scaling,
    grid: &HpaGrid,
    seeds: &[u64],
    workers: Workers<'_>,
) -> Option<Vec<(HpaConfig, f64)>> {
    let contender = |config: &HpaConfig| Contender::hpa("", config.clone());
    let mut ranked = rank(scaling, grid.configs(), contender, (seeds, workers))?;
    let Some((best, _)) = ranked.first().cloned() else { return Some(ranked) };
    let of =
        |metrics: &Vec<HpaMetric>, stage: &HpaStage| HpaStage { metrics: metrics.clone(), ..stage.clone() };
    let unlike = |a, b| (a != b).then(|| HpaConfig { a: of(a, &best.a), b: of(b, &best.b), ..best.clone() });
    let pairs = grid.metrics.iter().flat_map(|a| grid.metrics.iter().filter_map(move |b| unlike(a, b)));
    ranked.extend(rank(scaling, pairs.collect(), contender, (seeds, workers))?);
    ranked.sort_by(|x, y| x.1.total_cmp(&y.1));
    Some(ranked)
}

/// Candidates by mean cost on common random numbers; of equals the one that was first.
fn rank<'a, T: Sync + Send>(
    scaling: &Scaling,
    candidates: Vec<T>,
    contender: impl Fn(&T) -> Contender<'a>,
    (seeds, workers): (&[u64], Workers<'_>),
) -> Option<Vec<(T, f64)>> {
    let contenders: Vec<Contender<'_>> = candidates.iter().map(contender).collect();
    let bills = play(scaling, &contenders, seeds, workers)?;
    let costs: Vec<f64> = bills.iter().map(|(_, bill)| bill.cost).collect();
    let each = scaling.scenarios().len() * seeds.len();
    let means = costs.chunks(each.max(1)).map(mean);
    let mut ranked: Vec<(T, f64)> = candidates.into_iter().zip(means).collect();
    ranked.sort_by(|x, y| x.1.total_cmp(&y.1));
    Some(ranked)
}
