//! How far each policy is from what was possible: in total, by episode, by state.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use splitscale_policy::Policy;
use splitscale_rl::Scaling;
use splitscale_rl::evaluate::Workers;
use splitscale_rl::referee::{Discretised, Referee, Regret, SearchConfig};

use crate::files;

/// States kept after each decision, and intervals simulated in search of something better.
const SEARCH: SearchConfig = SearchConfig { beam: 8, steps: 50_000 };

/// A row of `regret.csv`.
#[derive(Serialize)]
struct EpisodeRow<'a> {
    policy: &'a str,
    scenario: &'a str,
    seed: u64,
    cost: f64,
    bound: f64,
    best_found: f64,
    best_static: f64,
}

/// A row of `states.csv`.
#[derive(Serialize)]
struct StateRow<'a> {
    policy: &'a str,
    state: &'a str,
    visits: u64,
    lost: Option<f64>,
    value: Option<f64>,
}

/// Of each policy by its name; none without episodes, absent where it was told to stop.
pub fn judge<'a>(
    world: &Scaling,
    (table, seeds): (Option<&Discretised>, &[u64]),
    (policies, baseline): (&'a [(String, Policy)], Option<&Policy>),
    workers: Workers<'_>,
) -> Result<Option<Vec<(&'a str, Regret)>>> {
    if seeds.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let turning = crate::progress::spinner("looking for what was possible");
    let referee =
        Referee::new(world, seeds, SEARCH, workers).context("--referee; leave it away with --referee 0")?;
    turning.finish_and_clear();
    let Some(referee) = referee else { return Ok(None) };
    let of = |(name, policy): &'a (String, Policy)| {
        let fresh = super::at_work(policy, baseline, world)?;
        let mut controller = fresh.clone();
        let regret = referee.judge(table, |scaling| {
            if scaling.decided() == 0 {
                controller.clone_from(&fresh);
            }
            scaling.ask(&mut controller)
        });
        Ok((name.as_str(), regret))
    };
    policies.iter().map(of).collect::<Result<_>>().map(Some)
}

/// By episode, and by state where there is a table.
pub fn write(out: &Path, regrets: &[(&str, Regret)]) -> Result<()> {
    let episodes = regrets.iter().flat_map(|(policy, regret)| {
        regret.episodes.iter().map(move |episode| EpisodeRow {
            policy,
            scenario: &episode.scenario,
            seed: episode.seed,
            cost: episode.bill.cost,
            bound: episode.bound,
            best_found: episode.best_found,
            best_static: episode.best_static,
        })
    });
    files::write_csv(&out.join("regret.csv"), episodes)?;
    let states = regrets.iter().flat_map(|(policy, regret)| {
        let states = regret.states.iter().map(move |state| StateRow {
            policy,
            state: &state.state,
            visits: state.visits,
            lost: Some(state.lost),
            value: Some(state.value),
        });
        // Jumps that the table's actions do not know, and states that its episodes never saw.
        let unknown = (regret.unknown > 0 && !regret.states.is_empty()).then_some(StateRow {
            policy,
            state: "unknown to the table",
            visits: regret.unknown,
            lost: None,
            value: None,
        });
        states.chain(unknown)
    });
    files::write_csv(&out.join("states.csv"), states)
}

/// In total, and the state where each loses most.
pub fn tell(regrets: &[(&str, Regret)]) {
    let Some((_, first)) = regrets.first() else { return };
    let names: Vec<&str> = first.yardsticks.iter().map(|yardstick| yardstick.name.as_str()).collect();
    println!(
        "regret (J - J*) / |J*| in {} episodes, mean and standard error, against {}:",
        first.episodes.len(),
        names.join(", ")
    );
    let wide = regrets.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, regret) in regrets {
        let told = regret.yardsticks.iter();
        let told = told.map(|of| {
            // One episode has no error that could be told.
            let se = of.se.map_or_else(String::new, |se| format!("+- {:.1}", 100.0 * se));
            format!("{:>6.1} % {se:<7}", 100.0 * of.regret)
        });
        println!("  {name:wide$} {}", told.collect::<Vec<_>>().join("  "));
        if let Some(most) = regret.states.first() {
            let total = most.lost * most.visits as f64;
            let unknown = regret.unknown;
            println!(
                "  {:wide$} loses most in {}: {total:.1} in {} visits ({unknown} decisions unknown to the table)",
                "", most.state, most.visits
            );
        }
    }
}
