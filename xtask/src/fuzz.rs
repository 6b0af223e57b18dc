//! `cargo xtask fuzz`: libFuzzer on the servers' parsers, with the stable compiler.
//!
//! ```text
//! fuzz_targets/NAME.rs ─ counters of branches ─▶ target/fuzz ◀─ serving/fuzz/seeds/NAME
//!                                                    ├─ corpus/NAME: inputs that reached something new
//!                                                    └─ failed-NAME: the one that failed
//! ```
//!
//! The counters are a pass of LLVM that any rustc runs; the address sanitizer needs a nightly one and is left
//! out. Overflows and debug assertions are checked. `cargo +nightly fuzz run --fuzz-dir serving/fuzz NAME`, with
//! cargo-fuzz, runs the same targets with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::cargo::{cargo, succeed, target};

/// What a night gives to each target \[s\].
const SECONDS: u32 = 60;
/// What one input may take: time \[s\] and memory \[MiB\]. A photo of the largest size takes some seconds.
const LIMITS: [&str; 2] = ["-timeout=60", "-rss_limit_mb=4096"];
/// How libFuzzer sees where an input went, and what it was compared with.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Every target for a minute, whether or not another fails.
pub(crate) fn all() -> Result<(), String> {
    let programs = build()?;
    let seconds = format!("-max_total_time={SECONDS}");
    let mut failed = Vec::new();
    for name in names()? {
        eprintln!("fuzz target {name}: {SECONDS} s");
        failed.extend(run(&programs, &name, &[&seconds, "-verbosity=0", "-print_final_stats=1"]).err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\nerror: ")) }
}

/// One target, with what is said to libFuzzer: files to try, or flags.
pub(crate) fn one(name: &str, args: &[&str]) -> Result<(), Failure> {
    let names = names()?;
    if !names.iter().any(|known| known == name) {
        return Err(Failure::Usage(format!("no fuzz target {name}; there are {}", names.join(", "))));
    }
    Ok(run(&build()?, name, args)?)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../serving/fuzz")
}

fn names() -> Result<Vec<String>, String> {
    let folder = folder().join("fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.filter_map(|entry| stem(entry.ok()?.path())).collect();
    names.sort();
    Ok(names)
}

/// Builds all targets; the folder that they are in.
fn build() -> Result<PathBuf, String> {
    // Named, so that the flags reach the targets and not the build scripts.
    let host = host()?;
    let own = target()?.join("fuzz");
    let mut build = cargo(None);
    build.env("RUSTFLAGS", COVERAGE).args(["build", "--package", "splitscale-fuzz", "--bins"]);
    build.args(["--profile", "fuzz", "--target", &host, "--target-dir"]).arg(&own);
    succeed(&mut build, "the build of the fuzz targets")?;
    Ok(own.join(host).join("fuzz"))
}

fn host() -> Result<String, String> {
    let said = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc -vV: {error}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".into())
}

fn run(programs: &Path, name: &str, args: &[&str]) -> Result<(), String> {
    let own = target()?.join("fuzz");
    let (corpus, failed) = (own.join("corpus").join(name), own.join(format!("failed-{name}")));
    fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
    let files = args.iter().any(|arg| !arg.starts_with('-'));
    // Of an earlier run; not where it is what is to be tried again.
    if !files && failed.exists() {
        fs::remove_file(&failed).map_err(|error| format!("{}: {error}", failed.display()))?;
    }
    let mut fuzz = Command::new(programs.join(name));
    fuzz.args(LIMITS).arg(format!("-exact_artifact_path={}", failed.display())).args(args);
    if !files {
        fuzz.arg(&corpus).arg(folder().join("seeds").join(name));
    }
    match fuzz.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) if !files && failed.exists() => Err(format!(
            "fuzz target {name} failed ({status}); again: cargo xtask fuzz {name} {}",
            failed.display()
        )),
        Ok(status) => Err(format!("fuzz target {name} failed ({status})")),
        Err(error) => Err(format!("{}: {error}", programs.join(name).display())),
    }
}
