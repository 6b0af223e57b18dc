//! `cargo xtask`: sets up what the build needs, then calls cargo or the binary. No logic of the product.

mod bench;
mod cargo;
mod cluster;
mod fuzz;
mod images;
mod libtorch;
mod manifests;
mod peers;
mod python;
mod wheel;

use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup          provide libtorch 2.11.0 for the CPU, unless LIBTORCH names one
  env            print the shell line that lets cargo find it: eval \"$(cargo xtask env)\"
  demo [ARGS]    setup, build, then `splitscale demo ARGS`
  test           setup, then every test; ends with the counts
  nightly        setup, then every test in release, the long ones too; then `fuzz`
  python         the Python package: a wheel into target/python/wheels, and a Python that has it; --test runs its tests
  fuzz           every fuzz target for a minute, seeds first
  fuzz NAME ARGS one of them; ARGS are libFuzzer's: files to try again, or flags (-max_total_time=600)
  cluster WORDS  a Kubernetes cluster of two workers on this machine: up, down, status, and more; docs/cluster.md
  images [--torch] [a|proxy|b|scaler]
                 the program as an image for a cluster, with libtorch or without; or one of these servers
  manifests      deploy/overlays before kubernetes-validate and checkov
  bench AREA     an area's benchmarks into target/bench/AREA.json (sim, rl, serving, calibration)
";

/// Why a command ends early.
enum Failure {
    /// The words make no sense: usage, exit code 2.
    Usage(String),
    /// It did not work: exit code 1.
    Failed(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure::Failed(why)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => {
            eprint!("error: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["help" | "--help" | "-h"] => print!("{USAGE}"),
        ["setup"] => {
            let libtorch = libtorch::provide()?;
            eprintln!("libtorch: {}", libtorch.display());
            eprintln!("cargo finds it after: eval \"$(cargo xtask env)\"");
        }
        ["env"] => println!("export LIBTORCH='{}'", libtorch::provide()?.display()),
        ["demo", args @ ..] => demo(args)?,
        ["test"] => cargo::test(&libtorch::provide()?)?,
        ["nightly"] => {
            cargo::nightly(&libtorch::provide()?)?;
            fuzz::all()?;
        }
        ["python"] => wheel::python(false)?,
        ["python", "--test"] => wheel::python(true)?,
        ["fuzz"] => fuzz::all()?,
        ["fuzz", name, args @ ..] => fuzz::one(name, args)?,
        ["cluster", words @ ..] => cluster::run(words)?,
        ["images", "--torch", targets @ ..] => images::build(true, targets)?,
        ["images", targets @ ..] => images::build(false, targets)?,
        ["manifests"] => manifests::check()?,
        ["bench", area] => bench::run(area)?,
        ["bench"] => return Err(Failure::Usage(format!("bench which area? {}", bench::areas().join(", ")))),
        [] => return Err(Failure::Usage("no command".into())),
        [word, ..] => return Err(Failure::Usage(format!("unknown command or argument: {word}"))),
    }
    Ok(())
}

/// Set-up, build, demo; says where the time went. The demo replaces this process, so that Ctrl-C reaches it
/// alone and its exit code is ours.
fn demo(args: &[&str]) -> Result<(), Failure> {
    let begin = Instant::now();
    let libtorch = libtorch::provide()?;
    let set_up = begin.elapsed().as_secs_f64();
    cargo::build_release(Some(&libtorch))?;
    let built = begin.elapsed().as_secs_f64() - set_up;
    eprintln!("set-up {set_up:.0} s, build {built:.0} s; the demo begins, its summary says how long it took");
    Err(cargo::become_binary("demo", args).into())
}
