//! The inner cargo runs: build, tests with their counts, and the binary that a build gave.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{cluster, libtorch, manifests, python, wheel};

/// The client that the tests listen with, and what it connects by.
const SOCKET_IO: &str = "python-socketio[client]==5.18.1";

/// Sums of libtest's result lines, and of those of `go test -v`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) const SKIPPED: Counts = Counts { passed: 0, failed: 0, skipped: 1 };
    pub(crate) const FAILED: Counts = Counts { passed: 0, failed: 1, skipped: 0 };
}

/// What a run of tests gave, and whether cargo was content.
pub(crate) type Run = (Counts, bool);

/// A cargo that finds libtorch.
pub(crate) fn cargo(libtorch: Option<&Path>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if let Some(libtorch) = libtorch {
        command.env("LIBTORCH", libtorch);
    }
    command
}

/// Builds the binary in release, with libtorch or without; where it is.
pub(crate) fn build_release(libtorch: Option<&Path>) -> Result<PathBuf, String> {
    let mut build = cargo(libtorch);
    build.args(["build", "--release", "--package", "splitscale"]);
    if libtorch.is_some() {
        build.args(["--features", "torch"]);
    }
    succeed(&mut build, "the build")?;
    Ok(target()?.join("release/splitscale"))
}

/// Becomes the release binary. Returns only when that fails, with why.
pub(crate) fn become_binary(command: &str, args: &[&str]) -> String {
    match target() {
        Ok(target) => {
            let binary = target.join("release/splitscale");
            let error = Command::new(&binary).arg(command).args(args).exec();
            format!("{}: {error}", binary.display())
        }
        Err(why) => why,
    }
}

/// Every test once: with libtorch all of them, then, built without it, those that hold what is said then.
pub(crate) fn test(libtorch: &Path) -> Result<(), String> {
    let whole = ["test", "--no-fail-fast"];
    let mut all = cargo(Some(libtorch));
    provide_socket_io(&mut all);
    let with = run_tests(all.args(whole).args(["--features", "torch"]))?;
    let without =
        run_tests(cargo(None).args(whole).args(["--lib", "--bins", "--tests", "without_libtorch"]))?;
    let mut runs = vec![with, without];
    runs.extend(of_package(&[wheel::Package::test]));
    runs.extend(cluster::test(libtorch));
    report(&runs)
}

/// Every test in release, the long ones (`#[ignore]`) too.
pub(crate) fn nightly(libtorch: &Path) -> Result<(), String> {
    let whole = ["test", "--release", "--no-fail-fast", "--features", "torch"];
    let mut all = cargo(Some(libtorch));
    provide_socket_io(&mut all);
    let ours = run_tests(all.args(whole).args(["--", "--include-ignored"]))?;
    // The peers are no default member: they would change features that ours are compiled with.
    let peers = run_tests(cargo(None).args(["test", "--release", "--package", "splitscale-sim-peers"]))?;
    let mut runs = vec![ours, peers, manifests::test()];
    runs.extend(of_package(&[wheel::Package::test, wheel::Package::train]));
    runs.extend(cluster::nightly(libtorch));
    report(&runs)
}

/// Runs tests of the Python package. Where no Python can build it each is one skipped; what fails is a run that failed, for the
/// counts of all others are still to be told.
fn of_package(tests: &[wheel::Test]) -> Vec<Run> {
    let python = match wheel::builder() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("the tests of the Python package will be skipped: {why}");
            return tests.iter().map(|_| (Counts::SKIPPED, true)).collect();
        }
    };
    let failed = |why| {
        eprintln!("{why}");
        (Counts::FAILED, false)
    };
    match wheel::build(python) {
        Ok(package) => tests.iter().map(|test| test(&package).unwrap_or_else(failed)).collect(),
        Err(why) => vec![failed(why)],
    }
}

/// Lets the tests find a Python with python-socketio's client, kept in the user's cache; without a network
/// they are skipped.
fn provide_socket_io(tests: &mut Command) {
    let python = libtorch::cache().and_then(|cache| {
        let folder = cache.join(SOCKET_IO.replace(['[', ']', '='], "-"));
        python::with("import socketio, requests, websocket", &[SOCKET_IO], &folder)
    });
    match python {
        Ok(python) => drop(tests.env("SPLITSCALE_SOCKETIO_PYTHON", python)),
        Err(why) => eprintln!("the tests of Socket.IO will be skipped: {why}"),
    }
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> Result<PathBuf, String> {
    let metadata = cargo(None)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let document: serde_json::Value =
        serde_json::from_slice(&metadata.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    document["target_directory"].as_str().map(PathBuf::from).ok_or("cargo metadata names no target".into())
}

/// Runs a command to its end.
pub(crate) fn succeed(command: &mut Command, what: &str) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what} failed ({status})")),
        Err(error) => Err(format!("cannot run {}: {error}", command.get_program().display())),
    }
}

/// Runs tests, shows what they print, and sums the results.
pub(crate) fn run_tests(command: &mut Command) -> Result<Run, String> {
    let cannot = |error: std::io::Error| format!("cannot run cargo: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(cannot)?;
            println!("{line}");
            counts.add(&line);
        }
    }
    Ok((counts, child.wait().map_err(cannot)?.success()))
}

/// Prints the counts, last and alone on their line; an error unless everything passed.
pub(crate) fn report(runs: &[Run]) -> Result<(), String> {
    let sum = |of: fn(&Counts) -> u64| runs.iter().map(|(counts, _)| of(counts)).sum::<u64>();
    let (passed, failed, skipped) = (sum(|c| c.passed), sum(|c| c.failed), sum(|c| c.skipped));
    let broken = runs.iter().any(|(counts, content)| !content && counts.failed == 0);
    if broken {
        println!("a test binary did not build or crashed; its tests are missing from the counts");
    }
    match skipped {
        0 => println!("{passed} passed, {failed} failed"),
        _ => println!("{passed} passed, {failed} failed, {skipped} skipped"),
    }
    if failed > 0 || broken { Err("the tests failed".into()) } else { Ok(()) }
}

impl Counts {
    /// Adds a line like `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; ...` or `--- PASS: TestName`.
    fn add(&mut self, line: &str) {
        // A test within a test is indented, and is not counted.
        match line.split(':').next() {
            Some("--- PASS") => self.passed += 1,
            Some("--- FAIL") => self.failed += 1,
            Some("--- SKIP") => self.skipped += 1,
            _ => {}
        }
        let Some(results) = line.trim_start().strip_prefix("test result: ") else { return };
        let words: Vec<&str> = results.split_whitespace().collect();
        for pair in words.windows(2) {
            let count = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed;" => self.passed += count,
                "failed;" => self.failed += count,
                "ignored;" => self.skipped += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed_and_others_ignored() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.02s",
            "test tests::prints ... 99 passed; 99 failed;",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s",
            "--- PASS: TestOfGo (0.00s)",
            "    --- PASS: TestOfGo/within (0.00s)",
            "--- SKIP: TestOther (0.00s)",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 16, failed: 2, skipped: 2 });
    }
}
