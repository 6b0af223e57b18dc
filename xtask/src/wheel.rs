//! The Python package: a wheel made of rl/python, in a virtual environment under the target folder, and its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo::{self, Run};
use crate::python;

/// What the tests of every day need, maturin included.
const REQUIREMENTS: &str = include_str!("../../rl/python/requirements.txt");
/// What the long ones need; torch is among it.
const SB3: &str = include_str!("../../rl/python/requirements-sb3.txt");

/// A Python that has the package.
pub(crate) struct Package {
    python: PathBuf,
    wheel: PathBuf,
}

/// Tests of it.
pub(crate) type Test = fn(&Package) -> Result<Run, String>;

/// A Python that can build the package; absent where there is none: no Python 3, no pip, no network.
pub(crate) fn builder() -> Result<PathBuf, String> {
    python::environment(&lines(REQUIREMENTS), &folder()?.join("venv"))
}

/// Builds the wheel and installs it.
pub(crate) fn build(python: PathBuf) -> Result<Package, String> {
    let wheels = folder()?.join("wheels");
    // maturin leaves what other versions made.
    if wheels.exists() {
        fs::remove_dir_all(&wheels).map_err(|error| format!("{}: {error}", wheels.display()))?;
    }
    let mut maturin = Command::new(&python);
    maturin
        .args(["-m", "maturin", "build", "--release", "--quiet", "--locked", "--interpreter"])
        .arg(&python);
    maturin.arg("--manifest-path").arg(room().join("Cargo.toml")).arg("--out").arg(&wheels);
    cargo::succeed(maturin.stdout(Stdio::null()), "the build of the Python package")?;
    let wheel = fs::read_dir(&wheels).ok().and_then(|mut found| found.next()?.ok());
    let wheel = wheel.ok_or_else(|| format!("maturin left no wheel in {}", wheels.display()))?.path();
    install(&python, &wheel)?;
    Ok(Package { python, wheel })
}

impl Package {
    /// The tests of every day.
    pub(crate) fn test(&self) -> Result<Run, String> {
        run(&self.python, "test_*.py")
    }

    /// The long ones, with Stable-Baselines3.
    pub(crate) fn train(&self) -> Result<Run, String> {
        let python = python::environment(&lines(SB3), &folder()?.join("venv-sb3"))?;
        install(&python, &self.wheel)?;
        run(&python, "train_*.py")
    }
}

/// Builds the package and says where it is; runs its tests if asked for.
pub(crate) fn python(test: bool) -> Result<(), String> {
    let package = build(builder()?)?;
    eprintln!("wheel: {}", package.wheel.display());
    eprintln!("Python that has it: {}", package.python.display());
    if test { cargo::report(&[package.test()?]) } else { Ok(()) }
}

fn install(python: &Path, wheel: &Path) -> Result<(), String> {
    let pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--force-reinstall"];
    python::output(Command::new(python).args(pip).arg(wheel)).map(drop)
}

fn run(python: &Path, pattern: &str) -> Result<Run, String> {
    let script = room().join("tests/run.py");
    cargo::run_tests(Command::new(python).arg(script).arg(pattern))
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rl/python")
}

fn folder() -> Result<PathBuf, String> {
    Ok(cargo::target()?.join("python"))
}

fn lines(requirements: &str) -> Vec<&str> {
    requirements.lines().collect()
}
