//! The tests of the bed: of its parts, in Go; of it all, in `tests/cluster`; and of Deployments that are not ours, in
//! `tests/plain`. The last two bring up a bed of their own.

use std::path::Path;

use super::{go, needs, provide, up_elsewhere};
use crate::cargo::{Counts, Run, cargo, run_tests};
use crate::python::output;

const PROMETHEUS: &str = "apt-get install --no-install-recommends prometheus";

/// Runs those of the bed where a bed can run and none is up; else each is one skipped. What fails is a run that failed, for
/// the counts of all others are still to be told.
pub(crate) fn test(libtorch: &Path) -> Vec<Run> {
    run(&[&of_parts, &|| of_all(libtorch, "cluster")])
}

/// The long ones too.
pub(crate) fn nightly(libtorch: &Path) -> Vec<Run> {
    run(&[&of_parts, &|| of_all(libtorch, "cluster"), &|| of_plain(libtorch)])
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

/// They take a Prometheus, which nobody installs here.
fn of_plain(libtorch: &Path) -> Result<Run, String> {
    if !needs::found("prometheus") {
        eprintln!(
            "the test of Deployments that are not ours will be skipped: it takes a Prometheus: {PROMETHEUS}"
        );
        return Ok((Counts::SKIPPED, true));
    }
    of_all(libtorch, "plain")
}

fn of_all(libtorch: &Path, name: &str) -> Result<Run, String> {
    let mut test = cargo(Some(libtorch));
    // No package is named: that would change the features that ours are compiled with, and so compile most of them anew.
    test.args(["test", "--features", "torch", "--test", name]);
    run_tests(test.env("SPLITSCALE_BED", provide()?))
}
