//! `cargo xtask cluster`: builds the test bed (`deploy/testbed`, Go) once, and becomes it.
//!
//! ```text
//! ~/.cache/splitscale/testbed/HASH/{testbed, pause, plain}  built, a folder for all sources that were ever built
//!                            /metrics-server-VERSION       built when it is asked for, and coredns-VERSION
//!                            /run                          the bed that is up, with the programs that started it
//! ```
//!
//! Folders are renamed into their place when all is in them, so a build that was cut off never looks finished.

mod needs;
mod test;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::cargo::succeed;
use crate::libtorch::{at, cache, lock, remove};
use crate::python::output;

pub(crate) use test::{nightly, test};

const USAGE: &str = include_str!("../../deploy/testbed/usage.txt");
/// What the parts of Kubernetes call themselves: the version that `deploy/testbed/go.mod` pins.
const LINKED: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4 \
                      -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35";
/// What `up` builds when a flag asks for it: flag, program, package, version, time of the build. Built apart, for their versions of
/// Kubernetes' modules are others.
const EXTRAS: [[&str; 5]; 2] = [
    [
        "--metrics-server",
        "metrics-server",
        "sigs.k8s.io/metrics-server/cmd/metrics-server",
        "v0.8.0",
        "about 2 minutes",
    ],
    ["--dns", "coredns", "github.com/coredns/coredns", "v1.14.7", "about 5 minutes"],
];

/// Becomes the bed's program. Returns only when there is nothing to become, or that fails.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let own = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    match words {
        ["help" | "--help" | "-h"] => print!("{USAGE}"),
        [] => return Err(Failure::Usage("which one? `cargo xtask cluster help` lists them".into())),
        ["up", options @ ..] => {
            needs::check()?;
            let bed = provide()?;
            let mut words = own(&["up"]);
            for option in options {
                words.push(option.to_string());
                if let Some(extra) = EXTRAS.iter().find(|[flag, ..]| flag == option) {
                    words.push(provide_extra(extra)?.display().to_string());
                }
            }
            return Err(become_bed(&bed, &words).into());
        }
        _ => {
            // A bed is spoken to by the program that started it, whatever the sources are by now.
            let running = folder()?.join("run/testbed");
            if running.is_file() {
                return Err(become_bed(&running, &own(words)).into());
            }
            match words {
                ["down"] if !traces()? => println!("nothing is up"),
                ["down"] => return Err(become_bed(&provide()?, &own(words)).into()),
                _ => return Err("the bed is down: `cargo xtask cluster up` starts it".to_string().into()),
            }
        }
    }
    Ok(())
}

fn become_bed(bed: &Path, words: &[String]) -> String {
    let error = Command::new(bed).args(words).exec();
    format!("{}: {error}", bed.display())
}

/// Where everything of the test bed is kept.
fn folder() -> Result<PathBuf, String> {
    Ok(cache()?.join("testbed"))
}

/// Whether there may be something to take down, though its program is gone.
fn traces() -> Result<bool, String> {
    Ok(folder()?.join("run").exists() || up_elsewhere())
}

/// Whether a bed is up on this machine, of whichever user.
fn up_elsewhere() -> bool {
    Path::new("/sys/class/net/splitscale0").exists()
}

/// The bed's program, built if these sources never were.
fn provide() -> Result<PathBuf, String> {
    let home = folder()?;
    let version = output(Command::new("go").arg("version")).map_err(|why| format!("{why}: {}", needs::GO))?;
    let finished = home.join(format!("{:016x}", hash(&version)?));
    build(&finished, "the test bed (its first build takes about 6 minutes on 2 cores)", |partial| {
        for (program, package) in [("testbed", "."), ("pause", "./pause"), ("plain", "./plain")] {
            let mut build = go("build");
            build.args(["-ldflags", LINKED, "-o"]).arg(partial.join(program)).arg(package);
            succeed(&mut build, &format!("the build of {program}"))?;
        }
        Ok(())
    })?;
    Ok(finished.join("testbed"))
}

/// A program that a flag asks for, built if it never was.
fn provide_extra([_, program, package, version, time]: &[&str; 5]) -> Result<PathBuf, String> {
    let finished = folder()?.join(format!("{program}-{version}"));
    build(&finished, &format!("{program} ({time} on 2 cores)"), |partial| {
        let mut install = go("install");
        install.args(["-ldflags", "-s -w", &format!("{package}@{version}")]).env("GOBIN", partial);
        succeed(&mut install, &format!("the build of {program}"))
    })?;
    Ok(finished.join(program))
}

/// Fills a folder, unless it is there.
fn build(finished: &Path, what: &str, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if finished.exists() {
        return Ok(());
    }
    let home = folder()?;
    fs::create_dir_all(&home).map_err(at(&home))?;
    let _lock = lock(&home.join("build.lock"), "test bed")?;
    // The other build may have finished it meanwhile.
    if finished.exists() {
        return Ok(());
    }
    eprintln!("building {what}, once for every clone");
    let partial = finished.with_extension("partial");
    remove(&partial)?;
    fs::create_dir_all(&partial).map_err(at(&partial))?;
    fill(&partial)?;
    fs::rename(&partial, finished).map_err(at(finished))
}

/// A go in the bed's module. Static and without paths: the same sources give the same program in every clone.
fn go(word: &str) -> Command {
    let mut command = Command::new("go");
    command.arg(word).current_dir(sources()).env("CGO_ENABLED", "0").env("GOWORK", "off");
    command.env("GOFLAGS", "-trimpath -buildvcs=false");
    command
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/testbed")
}

/// Names a build: all sources, the versions that they pin, and the compiler. Another release of Rust may hash
/// otherwise; it then is built once more.
fn hash(version: &str) -> Result<u64, String> {
    let mut hasher = DefaultHasher::new();
    (version, LINKED).hash(&mut hasher);
    let mut folders = vec![sources()];
    while let Some(folder) = folders.pop() {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            entries.push(entry.map_err(at(&folder))?.path());
        }
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with("_test.go") {
                path.file_name().hash(&mut hasher);
                fs::read(&path).map_err(at(&path))?.hash(&mut hasher);
            }
        }
    }
    Ok(hasher.finish())
}
