//! Time over pods and slots: which tier is chosen, and what the law says of a level that it has not seen.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use splitscale_calibration::{BadRows, FitReport, Options, Tier, calibrate, read_times};
use splitscale_spec::{Makespan, Surface};

use crate::{normal, published_curves, value};

fn surface(rows: impl Iterator<Item = (u32, u32, f64)>) -> Option<(Surface, FitReport)> {
    let rows: String = rows.map(|(slots, pods, y)| format!("{slots},{pods},{y}\n")).collect();
    let table = read_times("t.csv", &format!("bandwidth,pods,y\n{rows}"), BadRows::Refuse).unwrap();
    let (calibration, report) = calibrate(&table, &Options::default()).unwrap();
    calibration.surface.map(|surface| (surface, report))
}

fn grid(time: impl FnMut(u32, u32) -> f64) -> impl Iterator<Item = (u32, u32, f64)> {
    let mut time = time;
    let cells = (1..=8).flat_map(|slots| (2..=8).map(move |pods| (slots, pods)));
    cells.map(move |(slots, pods)| (slots, pods, time(slots, pods)))
}

#[test]
fn the_law_predicts_levels_of_the_published_grid_that_it_has_not_seen() {
    let curves = published_curves();
    let (surface, report) = surface(grid(|slots, pods| value(curves[slots as usize - 1], pods))).unwrap();
    let errors: BTreeMap<u32, f64> = report.held_out.iter().map(|l| (l.slots, l.mean_error)).collect();
    println!("{:?}\n{errors:?}\n{:?}", surface.law, report.tiers);
    let inner = (2..=7).map(|slots| errors[&slots]).sum::<f64>() / 6.0;
    assert!(inner <= 0.03, "mean of slots 2..7: {inner}");
    assert!((surface.mean_error.unwrap() - inner).abs() < 1e-12);
    assert!(errors.values().all(|&error| error < 0.1), "{errors:?}");
    // The grid is made of eight curves, and nothing beats them at saying so.
    assert_eq!(report.tiers.iter().map(|t| t.tier).next(), Some(Tier::PerLevel));
    assert_eq!(report.tiers.len(), 3);
    assert!(report.tiers.is_sorted_by(|a, b| a.mean_error <= b.mean_error));
}

#[test]
fn a_table_made_by_the_law_gives_it_back() {
    let law = Makespan { fixed_s: 2.0, transfer_s: 5.0, compute_s: 9.0 };
    let (exact, report) = surface(grid(|slots, pods| law.at(slots, pods))).unwrap();
    for (found, truth) in [
        (exact.law.fixed_s, law.fixed_s),
        (exact.law.transfer_s, law.transfer_s),
        (exact.law.compute_s, law.compute_s),
    ] {
        assert!((found / truth - 1.0).abs() < 1e-6, "{:?}", exact.law);
    }
    assert_eq!(report.tiers[0].tier, Tier::Law);
    assert!(exact.largest_error.is_some_and(|error| error < 1e-6), "{exact:?}");
    // With noise of a tenth its three parameters beat the twenty-four of the curves.
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let noisy = surface(grid(|slots, pods| law.at(slots, pods) * (1.0 + 0.1 * normal(&mut rng)))).unwrap().1;
    assert_eq!(noisy.tiers[0].tier, Tier::Law, "{:?}", noisy.tiers);
}

#[test]
fn a_shared_rate_is_found_and_chosen() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let time = |slots: u32, pods: u32| value((0, f64::from(slots), 0.7, 10.0 / f64::from(slots)), pods);
    let (_, exact) = surface(grid(time)).unwrap();
    assert!((exact.shared_rate.unwrap() / 0.7 - 1.0).abs() < 1e-4, "{:?}", exact.shared_rate);
    // With noise the cell left out scatters as much as any tier errs, so the better one wins more often, not always.
    let mut chosen = 0;
    for _ in 0..20 {
        let noisy =
            surface(grid(|slots, pods| time(slots, pods) * (1.0 + 0.05 * normal(&mut rng)))).unwrap().1;
        chosen += u32::from(noisy.tiers[0].tier == Tier::SharedRate);
    }
    assert!(chosen >= 14, "{chosen} of 20");
}

#[test]
fn too_small_a_table_has_no_surface() {
    assert!(surface((2..=8).map(|pods| (1, pods, 5.0))).is_none(), "one level");
    assert!(surface((1..=8).map(|slots| (slots, 2, 5.0))).is_none(), "one pod count");
    let two = surface((1..=2).flat_map(|s| (2..=5).map(move |p| (s, p, 1.0 + 1.0 / f64::from(p))))).unwrap();
    assert!(two.1.held_out.is_empty(), "leaving one of two levels out leaves one");
    assert_eq!((two.0.mean_error, two.0.largest_error), (None, None));
}
