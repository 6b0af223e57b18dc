//! The shared files of awkward levels, each with the one status it deserves.

use splitscale_calibration::{BadRows, FitMethod, Options, OtherFit, fit_level, read_times};
use splitscale_spec::{Level, LevelStatus};

use crate::shared;

fn fits(file: &str) -> Option<(Level, Vec<OtherFit>)> {
    let text = shared(&format!("degenerate/{file}"))?;
    let table = read_times(file, &text, BadRows::Skip).unwrap();
    let times: Vec<(u32, f64)> = table.rows.iter().map(|row| (row.pods, row.y_s)).collect();
    Some(fit_level(&times, &Options::default()))
}

fn level(file: &str) -> Option<Level> {
    fits(file).map(|(level, _)| level)
}

#[test]
fn every_file_has_its_status() {
    use LevelStatus::{Exp, Flat, Insufficient, Line, RateNotIdentified, Rising, Step};
    let files = [
        ("flat_exact.csv", Flat),
        ("flat_noise1pct.csv", Flat),
        ("line_falling_B1.csv", Line),
        ("line_rising.csv", Line),
        // Seven single times with 3 % noise bound no rate.
        ("microseconds.csv", RateNotIdentified),
        // Its row without a number dropped; the command refuses it, see below.
        ("nan_cell.csv", Exp),
        ("one_level.csv", Insufficient),
        // One time ten times too long: no curve explains it. The robust fit does, see below.
        ("outlier_x10.csv", Flat),
        ("pods_x100.csv", Exp),
        ("rising_concave.csv", Rising),
        ("step.csv", Step),
        // Three times, three parameters: nothing is left to judge them by.
        ("three_points.csv", Insufficient),
        ("two_points.csv", Insufficient),
    ];
    for (file, status) in files {
        let Some(level) = level(file) else { return };
        assert_eq!(level.status, status, "{file}: {level:?}");
        assert_eq!(level.b.is_some(), matches!(status, Exp | Rising), "{file}");
        println!(
            "{file}: {:?} p_flat {:?} a {:?} b {:?} c {:?}",
            level.status, level.p_flat, level.a, level.b, level.c
        );
    }
}

#[test]
fn an_outlier_is_set_aside_and_named() {
    let Some((_, others)) = fits("outlier_x10.csv") else { return };
    let [robust] = &others[..] else { panic!("{others:?}") };
    assert_eq!((robust.method, robust.status), (FitMethod::Robust, LevelStatus::Exp));
    assert!((robust.b.unwrap() - 1.0).abs() < 1e-4 && (robust.c.unwrap() - 4.0).abs() < 1e-4, "{robust:?}");
    assert_eq!(robust.set_aside.len(), 1, "{robust:?}");
    assert_eq!(
        (robust.set_aside[0].pods, robust.set_aside[0].y_s, robust.set_aside[0].weight),
        (4, 40.0, 0.0)
    );
}

#[test]
fn a_step_has_a_bound_on_one_side() {
    let Some(step) = level("step.csv") else { return };
    assert_eq!((step.b, step.b_high), (None, None));
    assert!(fits("step.csv").unwrap().1.is_empty(), "nothing is set aside");
    assert!(step.b_low.unwrap() > 8.0, "{step:?}");
}

#[test]
fn the_missing_cell_is_named() {
    let Some(text) = shared("degenerate/nan_cell.csv") else { return };
    let error = read_times("nan_cell.csv", &text, BadRows::Refuse).unwrap_err().to_string();
    assert!(error.starts_with("nan_cell.csv:4: y: empty; expected a time in seconds"), "{error}");
}

#[test]
fn the_exact_exponentials_give_their_rates_back() {
    let (Some(plain), Some(hundreds), Some(rising)) =
        (level("nan_cell.csv"), level("pods_x100.csv"), level("rising_concave.csv"))
    else {
        return;
    };
    let near = |found: Option<f64>, truth: f64| (found.unwrap() / truth - 1.0).abs() < 1e-6;
    assert!(near(plain.a, 0.8) && near(plain.b, 1.0) && near(plain.c, 4.0), "{plain:?}");
    assert!(near(hundreds.a, 0.8) && near(hundreds.b, 0.01) && near(hundreds.c, 4.0), "{hundreds:?}");
    assert!(near(rising.a, -0.8) && near(rising.b, 1.0) && near(rising.c, 5.0), "{rising:?}");
}

#[test]
fn microseconds_fit_like_seconds() {
    let Some(text) = shared("degenerate/microseconds.csv") else { return };
    let table = read_times("microseconds.csv", &text, BadRows::Refuse).unwrap();
    let fit = |unit: f64| {
        let times: Vec<(u32, f64)> = table.rows.iter().map(|row| (row.pods, row.y_s * unit)).collect();
        fit_level(&times, &Options::default()).0
    };
    let (micro, plain) = (fit(1.0), fit(1e-6));
    assert_eq!(micro.status, plain.status);
    for (micro, plain) in micro.points.iter().zip(&plain.points) {
        assert!((micro.fitted_s / plain.fitted_s / 1e6 - 1.0).abs() < 1e-6);
    }
    assert!((micro.rmse_s / plain.rmse_s / 1e6 - 1.0).abs() < 1e-9);
}
