//! NIST's nonlinear problems, from both of their starts.

use splitscale_calibration::regression::nist::Problem;

use crate::shared;

const NAMES: [&str; 27] = [
    "Bennett5", "BoxBOD", "Chwirut1", "Chwirut2", "DanWood", "ENSO", "Eckerle4", "Gauss1", "Gauss2",
    "Gauss3", "Hahn1", "Kirby2", "Lanczos1", "Lanczos2", "Lanczos3", "MGH09", "MGH10", "MGH17", "Misra1a",
    "Misra1b", "Misra1c", "Misra1d", "Nelson", "Rat42", "Rat43", "Roszman1", "Thurber",
];

#[test]
fn every_problem_is_solved_from_both_starts() {
    let mut short = Vec::new();
    for name in NAMES {
        let Some(text) = shared(&format!("nist/{name}.dat")) else { return };
        let problem = Problem::parse(name, &text).unwrap();
        for row in problem.solve() {
            println!(
                "{:>9} start {}: parameters {:5.2} digits, standard errors {:5.2}",
                row.problem, row.start, row.parameter_digits, row.standard_error_digits
            );
            if row.parameter_digits < 6.0 || row.standard_error_digits < 4.0 {
                short.push(row);
            }
        }
    }
    assert!(short.is_empty(), "{short:?}");
}

#[test]
fn a_file_that_is_none_of_them_is_refused_by_line() {
    let refused = |text: &str| Problem::parse("x.dat", text).unwrap_err().to_string();
    assert!(refused("pods,y\n2,5\n").starts_with("x.dat:1: no line says \"Dataset Name:\""));
    let head = "Dataset Name: BoxBOD\nStarting Values (lines 4 to 5)\nData (lines 6 to 7)\n";
    assert!(refused(head).starts_with("x.dat:2: the file ends before line 5"), "{}", refused(head));
    let rows = |row: &str| format!("{head}b1 = 1 2 3 4\n{row}\n1 2\n3 4\n");
    assert!(refused(&rows("b2 = 1 2 x 4")).starts_with("x.dat:5: \"x\" is no number"));
    assert!(refused(&rows("b2 = 1 2 3")).starts_with("x.dat:5: not b = START"));
    assert!(refused("Dataset Name: Longley\n").contains("no law is known for \"Longley\""));
    assert!(Problem::parse("x.dat", &rows("b2 = 1 2 3 4")).is_ok());
}
