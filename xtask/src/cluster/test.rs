//! The tests of the bed and on it: of its parts, in Go; of it all, in `tests/cluster`; and of the operator's faults, in
//! `tests/faults`. The last two bring up a bed of their own.

use std::path::Path;

use super::{go, needs, provide, up_elsewhere};
use crate::cargo::{Counts, Run, cargo, run_tests};
use crate::images;
use crate::python::output;

/// Runs them where a bed can run and none is up; else each is one skipped. What fails is a run that failed, for
/// the counts of all others are still to be told.
pub(crate) fn test(libtorch: &Path) -> Vec<Run> {
    let reason = match needs::check() {
        Ok(()) if up_elsewhere() => Err("a bed is up, and is left alone".to_string()),
        Ok(()) => output(go("list").args(["-deps", "."]))
            .map_err(|why| format!("its modules are not to be had: {why}")),
        Err(why) => Err(why),
    };
    if let Err(why) = reason {
        eprintln!("the tests of the cluster will be skipped: {why}");
        return vec![(Counts::SKIPPED, true)];
    }
    let failed = |why| {
        eprintln!("{why}");
        (Counts::FAILED, false)
    };
    vec![
        of_parts().unwrap_or_else(failed),
        on_a_bed(libtorch, "cluster", None).unwrap_or_else(failed),
        of_faults(libtorch).unwrap_or_else(failed),
    ]
}

fn of_parts() -> Result<Run, String> {
    run_tests(go("test").args(["-v", "./bed"]))
}

/// Requests take an image of the servers; where none can be built, their cases are skipped.
fn of_faults(libtorch: &Path) -> Result<Run, String> {
    let image =
        images::archive().inspect_err(|why| eprintln!("faults under requests will be skipped: {why}"));
    on_a_bed(libtorch, "faults", image.ok().as_deref())
}

fn on_a_bed(libtorch: &Path, name: &str, image: Option<&Path>) -> Result<Run, String> {
    let mut test = cargo(Some(libtorch));
    // No package is named: that would change the features that ours are compiled with, and so compile most of them anew.
    test.args(["test", "--release", "--features", "torch", "--test", name]);
    if let Some(image) = image {
        test.env("SPLITSCALE_IMAGE", image);
    }
    run_tests(test.env("SPLITSCALE_BED", provide()?))
}
