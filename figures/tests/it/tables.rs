//! What a table must hold, and what is said when it does not.

use polars::prelude::{Column, DataFrame};
use splitscale_figures::{Error, Frame, Table, draw_all};

use crate::{FIT, LEARNING, MEASURED, write, write_all};

/// The error of reading one table with this text.
fn refusal(table: Table, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(table.file_name());
    std::fs::write(&file, text).unwrap();
    let message = Frame::read(&file, table).unwrap_err().to_string();
    let folder = format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR);
    message.strip_prefix(&folder).expect("the message starts with the file").to_owned()
}

#[test]
fn a_missing_column_is_named_with_its_file_and_what_is_there() {
    let text = LEARNING.replace("regret", "regert");
    assert_eq!(
        refusal(Table::Learning, &text),
        "learning.csv: no column `regret`, only: episode, mean_return, regert"
    );
}

#[test]
fn a_cell_that_is_no_number_is_named_by_line_and_column() {
    let text = LEARNING.replace("-5", "n/a");
    assert_eq!(
        refusal(Table::Learning, &text),
        "learning.csv, line 3, column `mean_return`: `n/a` is not a number"
    );
    let text = LEARNING.replace("-5", "inf");
    assert!(refusal(Table::Learning, &text).ends_with("inf is not a finite number"));
}

#[test]
fn a_value_that_must_be_there_may_be_neither_empty_nor_nan() {
    for missing in ["", "NaN"] {
        let text = MEASURED.replacen("8.0", missing, 1);
        assert_eq!(
            refusal(Table::Measured, &text),
            "table.csv, line 4, column `end_time`: no value, and it takes a number"
        );
    }
}

#[test]
fn a_flag_is_true_or_false() {
    let text =
        "slots,pods,measured_s,measured_min_s,measured_max_s,simulated_s,held_out\n1,2,3,3,3,3,perhaps\n";
    assert_eq!(
        refusal(Table::Cells, text),
        "cells.csv, line 2, column `held_out`: `perhaps` is neither true nor false"
    );
}

#[test]
fn a_table_without_rows_is_refused() {
    let header = LEARNING.lines().next().unwrap();
    assert_eq!(refusal(Table::Learning, header), "learning.csv: has a header but no rows");
}

#[test]
fn a_row_that_is_too_short_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("learning.csv", "episode,mean_return,regret\n1,2\n")]);
    let error = Frame::read(folder.path().join("learning.csv"), Table::Learning).unwrap_err();
    let source = std::error::Error::source(&error).expect("the reason is the source").to_string();
    assert!(source.contains("line: 2"), "{source}");
}

#[test]
fn comments_and_columns_that_no_figure_needs_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# seed 7\nepisode,note,mean_return,regret\n1,first,-3,0.5\n";
    write(folder.path(), &[("learning.csv", text)]);
    let frame = Frame::read(folder.path().join("learning.csv"), Table::Learning).unwrap();
    assert_eq!(frame.data().height(), 1);
    assert!(frame.data().column("note").is_err());
}

#[test]
fn a_frame_in_memory_serves_as_well_as_a_file() {
    let columns = vec![
        Column::new("episode".into(), [1i64, 2]),
        Column::new("mean_return".into(), [Some(-3.25), None]),
        Column::new("regret".into(), [0.1f64, f64::NAN]),
    ];
    let data = DataFrame::new(2, columns).unwrap();
    let frame = Frame::new("training", Table::Learning, &data).unwrap();
    let regret = frame.data().column("regret").unwrap();
    assert_eq!(regret.null_count(), 1, "a NaN is a missing value");
    let error = Frame::new("training", Table::Timeline, &data).unwrap_err();
    assert!(matches!(error, Error::MissingColumn { column: "time_s", .. }), "{error}");
}

#[test]
fn figures_never_overwrite_the_tables_they_are_drawn_from() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    let error = draw_all(folder.path(), folder.path()).unwrap_err();
    assert!(matches!(error, Error::Overwrites { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(folder.path().join("fit.csv")).unwrap(), FIT);
}

#[test]
fn a_folder_without_tables_says_which_it_looks_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = draw_all(folder.path(), &folder.path().join("figures")).unwrap_err().to_string();
    assert!(error.contains("learning.csv") && error.contains("timeline.csv"), "{error}");
}

#[test]
fn a_burst_with_other_pods_of_a_than_of_b_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("table.csv", &MEASURED.replace("7.8,2,2,1", "7.8,2,3,1")), ("fit.csv", FIT)]);
    let error = draw_all(folder.path(), &folder.path().join("figures")).unwrap_err().to_string();
    assert!(error.contains("table.csv") && error.contains("2 pods of A and 3 of B"), "{error}");
}

#[test]
fn more_levels_than_panels_fit_are_refused() {
    let header = MEASURED.lines().next().unwrap();
    let rows: String = (1..=33).map(|slots| format!("\n1,1,1,1,2,2,{slots}")).collect();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("table.csv", &format!("{header}{rows}")), ("fit.csv", FIT)]);
    let error = draw_all(folder.path(), &folder.path().join("figures")).unwrap_err().to_string();
    assert!(error.contains("table.csv: 33 numbers of slots"), "{error}");
}
