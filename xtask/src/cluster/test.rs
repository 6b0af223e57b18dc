//! The tests of the bed and on it: of its parts, in Go; of it all, in `tests/cluster`; of the operator's faults, in `tests/faults`; and
//! of Deployments that are not ours, in `tests/plain`. The last three bring up a bed of their own.

use std::path::Path;

use super::{go, needs, provide, up_elsewhere};
use crate::cargo::{Counts, Run, cargo, run_tests};
use crate::images;
use crate::python::output;

const PROMETHEUS: &str = "apt-get install --no-install-recommends prometheus";

/// Runs those of the bed where a bed can run and none is up; else each is one skipped. What fails is a run that failed, for
/// the counts of all others are still to be told.
pub(crate) fn test(libtorch: &Path) -> Vec<Run> {
    run(&[&of_parts, &|| of_all(libtorch, &["--test", "cluster"])])
}

/// The long ones too.
pub(crate) fn nightly(libtorch: &Path) -> Vec<Run> {
    // In release, as all of nightly is built already.
    let all = ["--release", "--test", "cluster"];
    run(&[&of_parts, &|| of_all(libtorch, &all), &|| of_faults(libtorch), &|| of_plain(libtorch)])
}

fn run(tests: &[&dyn Fn() -> Result<Run, String>]) -> Vec<Run> {
    let reason = match needs::check() {
        Ok(()) if up_elsewhere() => Err("a bed is up, and is left alone".to_string()),
        Ok(()) => output(go("list").args(["-deps", "."]))
            .map_err(|why| format!("its modules are not to be had: {why}")),
        Err(why) => Err(why),
    };
    if let Err(why) = reason {
        eprintln!("the tests of the cluster will be skipped: {why}");
        return tests.iter().map(|_| (Counts::SKIPPED, true)).collect();
    }
    let failed = |why| {
        eprintln!("{why}");
        (Counts::FAILED, false)
    };
    tests.iter().map(|test| test().unwrap_or_else(failed)).collect()
}

fn of_parts() -> Result<Run, String> {
    run_tests(go("test").args(["-v", "./bed"]))
}

fn of_all(libtorch: &Path, words: &[&str]) -> Result<Run, String> {
    on_a_bed(libtorch, words, None)
}

/// Requests take an image of the servers; where none can be built, their cases are skipped.
fn of_faults(libtorch: &Path) -> Result<Run, String> {
    let image =
        images::archive().inspect_err(|why| eprintln!("faults under requests will be skipped: {why}"));
    on_a_bed(libtorch, &["--release", "--test", "faults"], image.ok().as_deref())
}

/// They take a Prometheus, which nobody installs here.
fn of_plain(libtorch: &Path) -> Result<Run, String> {
    if !needs::found("prometheus") {
        eprintln!(
            "the test of Deployments that are not ours will be skipped: it takes a Prometheus: {PROMETHEUS}"
        );
        return Ok((Counts::SKIPPED, true));
    }
    on_a_bed(libtorch, &["--release", "--test", "plain"], None)
}

fn on_a_bed(libtorch: &Path, words: &[&str], image: Option<&Path>) -> Result<Run, String> {
    let mut test = cargo(Some(libtorch));
    // No package is named: that would change the features that ours are compiled with, and so compile most of them anew.
    test.args(["test", "--features", "torch"]).args(words);
    if let Some(image) = image {
        test.env("SPLITSCALE_IMAGE", image);
    }
    run_tests(test.env("SPLITSCALE_BED", provide()?))
}
