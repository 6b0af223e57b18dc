//! A whole table to a calibration document.

use splitscale_calibration::{BadRows, Options, calibrate, read_times};
use splitscale_spec::LevelStatus;

use crate::{published_curves, shared, value};

#[test]
fn the_document_has_every_level_and_its_provenance() {
    let mut text = String::from("bandwidth,pods,y\n8,3,\n");
    for curve in published_curves().into_iter().rev() {
        (2..=8).for_each(|pods| text += &format!("{},{pods},{:.6}\n", curve.0, value(curve, pods)));
    }
    let table = read_times("grid.csv", &text, BadRows::Skip).unwrap();
    let (calibration, _) = calibrate(&table, &Options::default()).unwrap();
    let slots: Vec<Option<u32>> = calibration.levels.iter().map(|level| level.slots).collect();
    assert_eq!(slots, (1..=8).map(Some).collect::<Vec<_>>());
    assert_eq!(calibration.laws, None);
    let provenance = &calibration.provenance;
    assert_eq!((provenance.table.as_str(), provenance.rows), ("grid.csv", 56));
    assert_eq!(provenance.hash, table.hash);
    assert_eq!(provenance.dropped, ["grid.csv:2: y: empty; expected a time in seconds"]);
    assert_eq!(calibrate(&table, &Options::default()).unwrap().0, calibration);
}

#[test]
fn options_out_of_range_are_refused() {
    let table = read_times("t.csv", "pods,y\n2,5\n", BadRows::Refuse).unwrap();
    for alpha in [0.0, 1.0, f64::NAN, -1.0, 1.5] {
        let options = Options { alpha, ..Options::default() };
        let error = calibrate(&table, &options).unwrap_err().to_string();
        assert!(error.ends_with("is not between 0 and 1"), "{error}");
    }
}

#[test]
fn the_published_grid_gives_its_curves_back() {
    let Some(text) = shared("tables/original_grid.csv") else { return };
    let table = read_times("original_grid.csv", &text, BadRows::Refuse).unwrap();
    let (calibration, _) = calibrate(&table, &Options::default()).unwrap();
    for (level, curve) in calibration.levels.iter().zip(published_curves()) {
        assert_eq!(level.slots, Some(curve.0));
        if curve.0 == 1 {
            assert_eq!((level.status, level.a), (LevelStatus::Line, None));
        } else {
            // The grid has six decimals.
            assert_eq!(level.status, LevelStatus::Exp);
            assert!((level.b.unwrap() / curve.2 - 1.0).abs() < 1e-4, "{level:?}");
        }
    }
}

#[test]
fn the_shared_noisy_grid_is_fitted_near_the_truth() {
    let Some(text) = shared("tables/synthetic_repeats_5pct.csv") else { return };
    let table = read_times("synthetic_repeats_5pct.csv", &text, BadRows::Refuse).unwrap();
    let (calibration, _) = calibrate(&table, &Options::default()).unwrap();
    for (level, curve) in calibration.levels.iter().zip(published_curves()) {
        println!(
            "{:?}: {:?} p_flat {:.2e} b {:?} (true {})",
            level.slots,
            level.status,
            level.p_flat.unwrap(),
            level.b,
            curve.2
        );
        let worst = level.points.iter().map(|point| (point.fitted_s / value(curve, point.pods) - 1.0).abs());
        assert!(worst.fold(0.0, f64::max) < 0.06, "{level:?}");
    }
}
