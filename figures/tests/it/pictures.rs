//! What the pictures show.

use std::collections::BTreeMap;
use std::path::Path;

use splitscale_figures::{
    Frame, Table, comparison, contest, draw_all, fidelity, latency, laws, learning_curve, pareto, timeline,
};

use crate::{CELLS, TIMELINE, write, write_all};

/// Every file of a folder by its name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

/// Draws one table with one figure and returns its files.
fn drawn(
    table: Table,
    text: &str,
    figure: impl Fn(&Frame, &Path) -> Result<Vec<std::path::PathBuf>, splitscale_figures::Error>,
) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[(table.file_name(), text)]);
    let frame = Frame::read(folder.path().join(table.file_name()), table).unwrap();
    let out = folder.path().join("figures");
    figure(&frame, &out).unwrap();
    let text = |(name, bytes): (String, Vec<u8>)| Some((name, String::from_utf8(bytes).ok()?));
    contents(&out).into_iter().filter_map(text).collect()
}

#[test]
fn the_same_tables_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let written = draw_all(folder.path(), &one).unwrap();
    draw_all(folder.path(), &other).unwrap();
    let (one, other) = (contents(&one), contents(&other));
    assert_eq!(written.len(), 12, "four figures in three files each");
    assert_eq!(one.len(), 12);
    assert!(one == other, "bytes differ");
}

#[test]
fn a_png_has_two_dots_for_each_pixel_of_its_svg() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    let out = folder.path().join("figures");
    draw_all(folder.path(), &out).unwrap();
    let svg = std::fs::read_to_string(out.join("timeline.svg")).unwrap();
    let (width, height) = image::image_dimensions(out.join("timeline.png")).unwrap();
    let expected = format!("<svg width=\"{}\" height=\"{}\"", width / 2, height / 2);
    assert!(svg.starts_with(&expected), "{expected} is not the start of {}", &svg[..80]);
    assert!(width >= 1600);
}

#[test]
fn fits_carry_their_status_and_axes_their_units() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    let out = folder.path().join("figures");
    draw_all(folder.path(), &out).unwrap();
    let svg = std::fs::read_to_string(out.join("fit.svg")).unwrap();
    for text in [
        "1 slot · FLAT",
        "8 slots · EXP",
        "makespan [s]",
        "pods of each stage",
        "n = 8 bursts, 2 in each of 4 cells",
    ] {
        assert!(svg.contains(text), "`{text}` is not in the picture");
    }
    let csv = std::fs::read_to_string(out.join("fit.csv")).unwrap();
    assert!(csv.contains("measured,1,FLAT,2,7.9\n"), "{csv}");
    assert!(csv.contains("curve,8,EXP,2,7\n"), "the curve starts at a + c: {csv}");
    assert!(csv.contains("simulated_corner,1,FLAT,2,10\n"), "{csv}");
    assert_eq!(csv.matches("simulated_held_out").count(), 2, "a cell that was not simulated has no mark");
}

#[test]
fn a_missing_value_is_a_gap_in_its_line_and_empty_in_its_table() {
    let lines = |text: &str| {
        let files = drawn(Table::Timeline, text, timeline);
        // A reddish purple stroke or disc is latency p50.
        (files["timeline.svg"].matches("#CC79A7").count(), files["timeline.csv"].clone())
    };
    let (whole, _) = lines(&TIMELINE.replace("6.2,,2.5", "6.2,2.0,2.5"));
    let (gap, csv) = lines(TIMELINE);
    assert_eq!(whole, 1, "one line");
    assert_eq!(gap, 2, "a disc before the gap and a line after it");
    assert!(csv.contains("1,8,6,6,6,6,6.2,,2.5,false\n"), "{csv}");
}

#[test]
fn scale_decisions_are_counted_from_the_desired_pods() {
    let files = drawn(Table::Timeline, TIMELINE, timeline);
    assert!(files["timeline.svg"].contains("1 scale decision "), "both stages changed at one look");
    assert!(files["timeline.csv"].contains("3,1,2,2,6,6,2.4,4.6,6.4,true\n"), "{}", files["timeline.csv"]);
}

#[test]
fn columns_without_any_value_are_said_to_be_empty() {
    let text = "time_s,slots,desired_a,desired_b,ready_a,ready_b,throughput_per_s,latency_p50_s,latency_p95_s\n5,,,,,,,,\n";
    assert_eq!(drawn(Table::Timeline, text, timeline)["timeline.svg"].matches("no data").count(), 5);
}

/// Two pipelines; of the second the latency was not known at one look, and its first look came first.
const CONTEST: &str = "\
policy,time_s,slots,desired_a,desired_b,throughput_per_s,latency_p95_s,slo_s
ours,0.002,8,4,2,6.1,1.9,5
ours,1,8,3,2,6.2,2.0,5
ours,2,1,1,1,2.5,4.1,5
HPA & KEDA,0.001,8,4,2,6.1,1.9,5
HPA & KEDA,1,8,4,2,6.0,,5
HPA & KEDA,2,1,6,,2.4,6.0,5
";

#[test]
fn every_policy_of_a_contest_has_its_colour_in_every_strip() {
    let files = drawn(Table::Contest, CONTEST, contest);
    let svg = &files["contest.svg"];
    for words in [
        "ours",
        "HPA &amp; KEDA",
        "desired pods, A and B together",
        "latency, 95th percentile [s]",
        "promised",
        "n = 6 looks at 2 pipelines",
    ] {
        assert!(svg.contains(words), "`{words}` is not in the picture: {svg}");
    }
    // The key, and a line in each of three strips; of the second policy a disc before the gap in its latency and one after.
    assert_eq!(svg.matches("#0072B2").count(), 1 + 3);
    assert_eq!(svg.matches("#D55E00").count(), 1 + 2 + 2);
    assert!(files["contest.csv"].contains("HPA & KEDA,1,8,4,2,6,,5\n"), "{}", files["contest.csv"]);
    let unknown = CONTEST.replace(",5\n", ",\n");
    assert!(!drawn(Table::Contest, &unknown, contest)["contest.svg"].contains("promised"));
}

#[test]
fn more_policies_than_colours_and_names_without_end_still_make_a_picture() {
    let header = CONTEST.lines().next().unwrap();
    let row = |policy: usize| format!("policy number {policy} with a long name,0,8,{policy},1,1,1,5\n");
    let text = format!("{header}\n{}", (1..=9).map(row).collect::<String>());
    let svg = &drawn(Table::Contest, &text, contest)["contest.svg"];
    assert!(svg.contains("n = 9 looks at 9 pipelines") && !svg.contains("a long name"), "shortened: {svg}");
}

#[test]
fn the_figure_of_a_contest_does_not_take_the_place_of_its_scores() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("contest-timeline.csv", CONTEST), ("contest.csv", "policy\nours\n")]);
    let error = draw_all(folder.path(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("contest.csv") && error.contains("another folder"), "{error}");
    assert_eq!(std::fs::read_to_string(folder.path().join("contest.csv")).unwrap(), "policy\nours\n");
    draw_all(folder.path(), &folder.path().join("figures")).unwrap();
}

#[test]
fn a_regret_of_zero_and_the_optimum_are_on_the_axis() {
    let text = "episode,mean_return,regret,optimum_return\n1,-5,0.5,-4\n2,-4,0,-4\n";
    let svg = &drawn(Table::Learning, text, learning_curve)["learning_curve.svg"];
    assert_eq!(svg.matches(">\noptimum\n<").count(), 2, "of the return and of the regret");
    assert!(svg.contains(">\n0\n<"));
    assert!(svg.contains("logarithmic above 0.1 and linear below"));
}

#[test]
fn several_seeds_are_an_interquartile_mean_with_a_band() {
    let text = "episode,seeds,mean_return,return_low,return_high,regret,regret_low,regret_high,optimum_return\n\
        1,20,-5,-6,-4.5,0.5,0.4,0.7,-4\n2,20,-4.1,-4.2,-4,0.01,0,0.02,-4\n";
    let files = drawn(Table::Learning, text, learning_curve);
    let svg = &files["learning_curve.svg"];
    for words in ["IQM of the return", "n = 2 rows of 20 seeds", "95 % bootstrap intervals over the seeds"] {
        assert!(svg.contains(words), "`{words}` is not in the picture");
    }
    assert_eq!(svg.matches("<polygon").count(), 2, "a band of returns and one of regrets");
    assert!(files["learning_curve.csv"].contains("-6"), "{}", files["learning_curve.csv"]);
}

#[test]
fn the_worst_held_out_cell_is_named_even_beside_a_worse_corner() {
    let svg = &drawn(Table::Cells, CELLS, comparison)["comparison.svg"];
    for text in ["worst held-out cell", "1 slot, 4 pods", "−10.0 %", "n = 3 cells, 2 held out of the fit"] {
        assert!(svg.contains(text), "`{text}` is not in the picture");
    }
}

#[test]
fn extreme_tables_are_drawn_too() {
    let header = "slots,pods,measured_s,measured_min_s,measured_max_s,simulated_s,held_out\n";
    for row in ["1,1,1e300,,,1e-300,true", "1,1,1e-300,,,1e300,true", "1000000,1000000,3,3,3,3,false"] {
        let files = drawn(Table::Cells, &format!("{header}{row}\n"), comparison);
        assert!(files["comparison.svg"].contains("worst"), "{row}");
    }
}

#[test]
fn the_picture_of_one_cell_stays_as_it_is() {
    let text =
        "slots,pods,measured_s,measured_min_s,measured_max_s,simulated_s,held_out\n2,4,4,3.9,4.1,4.4,true\n";
    insta::assert_snapshot!(drawn(Table::Cells, text, comparison)["comparison.svg"]);
}

const LAWS: &str = "\
law,family,percent,measured_s,law_s
service_a,shifted gamma,1,0.10,0.11
service_a,shifted gamma,50,0.20,0.21
service_a,shifted gamma,99,0.40,0.39
overhead,empirical,1,0.01,0.01
overhead,empirical,99,0.02,0.02
";

#[test]
fn every_law_has_a_panel_with_its_family() {
    let files = drawn(Table::Laws, LAWS, laws);
    let svg = &files["laws.svg"];
    assert!(svg.contains("service_a · shifted gamma") && svg.contains("overhead · empirical"), "{svg}");
    assert!(svg.contains("n = 2 laws"));
    assert!(
        files["laws.csv"]
            .starts_with("panel,percent,measured_s,law_s\nservice_a · shifted gamma,1,0.1,0.11\n")
    );
    let latencies = LAWS.replace("law,family,", "cell,load,").replace("law_s", "simulated_s");
    let files = drawn(Table::Latency, &latencies, latency);
    assert!(files["latency.svg"].contains("n = 2 cells") && files["latency.svg"].contains("simulated"));
}

#[test]
fn errors_of_the_simulator_stand_in_a_panel_a_figure() {
    let cells = "\
cell,utilisation,figure,error,low,high
poisson-0.6-s3-p4,0.6,mean,-0.02,-0.03,-0.01
poisson-0.6-s3-p4,0.6,p50,0.5,0.4,0.6
poisson-0.6-s3-p4,0.6,p99,0.04,0.01,0.09
burst-40-s3-p4,0.8,mean,0.06,0.05,0.08
burst-40-s3-p4,0.8,p99,0.02,0.00,0.03
";
    let files = drawn(Table::Fidelity, cells, fidelity);
    let svg = &files["fidelity.svg"];
    for words in ["mean latency", "99th percentile", "n = 2 cells", "mean latency 4.0 %", "bursts", "Poisson"]
    {
        assert!(svg.contains(words), "{words} is missing");
    }
    assert!(!svg.contains("closed loop"), "a load that is not there has no key");
    let folder = tempfile::tempdir().unwrap();
    let none = cells.replace("mean", "max").replace("p99", "max");
    write(folder.path(), &[("fidelity.csv", &none)]);
    let error = draw_all(folder.path(), &folder.path().join("figures")).unwrap_err().to_string();
    assert!(error.contains("no row has the figure mean or p99"), "{error}");
}

const CANDIDATES: &str = "\
name,encoding,pods_a,pods_b,verdict,role,front,kept_s,kept_low_s,kept_high_s,slo_s,target
layer2,u8,2,1,fails,,true,9.0,8.0,10.0,1.0,0.99
layer2,u8,3,1,holds,answer,true,0.8,0.75,0.85,1.0,0.99
layer1,f32,3,2,holds,runner-up,true,0.7,0.7,0.7,1.0,0.99
layer1,f32,4,2,open,,false,1.0,0.98,1.02,1.0,0.99
layer0,bf16,64,8,holds,,false,0.7,0.7,0.7,1.0,0.99
";

#[test]
fn what_pods_buy_names_the_answer_and_tells_what_is_off_the_picture() {
    let files = drawn(Table::Candidates, CANDIDATES, pareto);
    let svg = &files["pareto.svg"];
    // A long caption is broken into lines, each a text of its own.
    let texts = svg.split('<').filter_map(|part| Some(part.split_once('>')?.1.trim()));
    let flat = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    for words in [
        "answer",
        "3 pods of A, 1 of B",
        "layer2 as u8",
        "runner-up",
        "layer1 as f32",
        "the promise",
        "latency that 99 % of answers keep [s]",
        "n = 5 candidates, 3 of them keep the promise",
        "1 of more pods is left out",
        "1 candidate above 2.5 times the promise stands at the upper edge",
    ] {
        assert!(flat.contains(words), "`{words}` is not in the picture: {flat}");
    }
    assert!(!svg.contains("layer0"), "its candidate would press the rest into a corner");
    assert!(files["pareto.csv"].contains("layer2,u8,3,1,holds,answer,true,0.8,"), "{}", files["pareto.csv"]);
    // Where none keeps it there is nobody to name.
    let none = CANDIDATES.replace("holds,answer", "fails,").replace("holds,runner-up", "fails,");
    let svg = &drawn(Table::Candidates, &none, pareto)["pareto.svg"];
    assert!(
        svg.contains("1 of them keep the promise") && svg.contains("layer0") && !svg.contains("runner-up")
    );
}
