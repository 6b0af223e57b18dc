//! Images of the program as it is built on this machine, for the test bed and whoever wants to push them elsewhere.
//!
//! ```text
//! cargo build --release ─▶ target/images/NAME/{libraries,libtorch,program} ─ Dockerfile ─▶ target/images/IMAGE.tar ─▶ test bed
//! ```
//!
//! Files carry no time of day, so that the same content is the same layer, and an image that did not change is neither written nor
//! loaded anew.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use crate::{cargo, libtorch, python};

/// What the Dockerfile can make.
const TARGETS: [&str; 5] = ["splitscale", "a", "proxy", "b", "scaler"];
const REGISTRY: &str = "registry.local";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where an image has its libraries; the Dockerfile says so to the loader.
const LIBRARIES: &str = "usr/lib/splitscale";
const REMEDY: &str = "images are built by docker, with its daemon running, or by buildah, of which neither is there: apt-get \
                      install --yes --no-install-recommends buildah";

/// Who builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builder {
    Docker,
    Buildah,
}

/// Builds the images of these targets, with or without libtorch, and loads them where the test bed runs.
pub(crate) fn build(with_libtorch: bool, targets: &[&str]) -> Result<(), String> {
    let targets = if targets.is_empty() { &TARGETS[..1] } else { targets };
    if let Some(unknown) = targets.iter().find(|target| !TARGETS.contains(target)) {
        return Err(format!("no image {unknown}; there are {}", TARGETS.join(", ")));
    }
    let builder = Builder::here()?;
    let name = if with_libtorch { "splitscale-torch" } else { "splitscale" };
    let folder = cargo::target()?.join("images");
    let libtorch = with_libtorch.then(libtorch::provide).transpose()?;
    let binary = cargo::build_release(libtorch.as_deref())?;
    let context = folder.join(name);
    lay_out(&binary, libtorch.as_deref(), &context)?;
    for target in targets {
        // `splitscale-torch`, `splitscale-torch-a`.
        let name = if *target == TARGETS[0] { name.to_owned() } else { format!("{name}-{target}") };
        let image = format!("{REGISTRY}/{name}:{VERSION}");
        let id = builder.build(&image, target, &context)?;
        let (archive, held) = (folder.join(format!("{name}.tar")), folder.join(format!("{name}.id")));
        if archive.exists() && fs::read_to_string(&held).is_ok_and(|held| held == id) {
            eprintln!("{image}: as it was, {}", archive.display());
        } else {
            let _ = fs::remove_file(&held);
            builder.export(&image, &archive)?;
            // Written last, so that what was cut off is written anew.
            fs::write(&held, &id).map_err(at(&held))?;
            let megabytes = fs::metadata(&archive).map_err(at(&archive))?.len() as f64 / 1e6;
            eprintln!("{image}: {megabytes:.0} MB, {}", archive.display());
        }
        load(&archive)?;
        println!("{}", archive.display());
    }
    Ok(())
}

/// The image of all servers, built without libtorch.
pub(crate) fn archive() -> Result<PathBuf, String> {
    build(false, &[])?;
    Ok(cargo::target()?.join("images/splitscale.tar"))
}

/// Gives an image to the test bed, where one is up.
fn load(archive: &Path) -> Result<(), String> {
    let bed = libtorch::cache()?.join("testbed/run/testbed");
    if bed.is_file() {
        cargo::succeed(Command::new(bed).arg("load").arg(archive).stdout(std::io::stderr()), "the test bed")?;
    }
    Ok(())
}

/// The folder that the Dockerfile is built from.
fn lay_out(binary: &Path, libtorch: Option<&Path>, context: &Path) -> Result<(), String> {
    if context.exists() {
        fs::remove_dir_all(context).map_err(at(context))?;
    }
    let [libraries, of_libtorch, program] =
        ["libraries", "libtorch", "program"].map(|part| context.join(part));
    for folder in [&libraries, &of_libtorch, &program] {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    for library in loaded_by(binary)? {
        let name = library.file_name().ok_or_else(|| format!("{} is no library", library.display()))?;
        let whose = libtorch.filter(|libtorch| library.starts_with(libtorch));
        let root = if whose.is_some() { &of_libtorch } else { &libraries };
        // The loader is looked for by the path that the program names it by.
        let place = match name.to_string_lossy().starts_with("ld-") {
            true => root.join(library.strip_prefix("/").unwrap_or(&library)),
            false => root.join(LIBRARIES).join(name),
        };
        copy(&library, &place)?;
    }
    let own = program.join("usr/bin/splitscale");
    copy(binary, &own)?;
    let mut strip = Command::new("strip");
    cargo::succeed(strip.arg("--strip-unneeded").arg(&own), "strip (of binutils)")?;
    // Names of hosts are looked up in files, then in the DNS.
    let names = program.join("etc/nsswitch.conf");
    make_parent(&names)?;
    fs::write(&names, "hosts: files dns\n").map_err(at(&names))?;
    timeless(context)
}

/// Every library that a program loads, as the loader of this machine finds it.
fn loaded_by(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let said = python::output(Command::new("ldd").arg(binary))?;
    if let Some(missing) = said.lines().find(|line| line.contains("not found")) {
        return Err(format!("{} does not find {}", binary.display(), missing.trim()));
    }
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(said.lines().filter_map(path).collect())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    fs::copy(from, to).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(at(to))
}

fn make_parent(path: &Path) -> Result<(), String> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(at(parent))
}

/// Takes the time of day from everything in a folder.
fn timeless(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(at(path))? {
            timeless(&entry.map_err(at(path))?.path())?;
        }
    }
    let file = File::open(path).map_err(at(path))?;
    file.set_modified(UNIX_EPOCH).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    let path = path.to_path_buf();
    move |error| format!("{}: {error}", path.display())
}

// === impl Builder ===

impl Builder {
    fn here() -> Result<Builder, String> {
        let answers = |words: &[&str]| python::output(Command::new(words[0]).args(&words[1..])).is_ok();
        if answers(&["docker", "version", "--format", "{{.Server.Version}}"]) {
            return Ok(Builder::Docker);
        }
        if answers(&["buildah", "--version"]) { Ok(Builder::Buildah) } else { Err(REMEDY.into()) }
    }

    /// Builds one target; its number, which tells one content from another.
    fn build(self, image: &str, target: &str, context: &Path) -> Result<String, String> {
        let commit = python::output(Command::new("git").args(["rev-parse", "HEAD"]));
        let revision = commit.map_or_else(|_| "unknown".into(), |commit| commit.trim().to_owned());
        let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/images/Dockerfile");
        let mut build = self.command();
        match self {
            Builder::Docker => build.arg("build"),
            // Nothing is run in the image, and nothing has a time: the same content has the same number.
            Builder::Buildah => build.args(["build", "--layers", "--timestamp", "0"]),
        };
        build.args(["--quiet", "--target", target, "--tag", image]);
        build.arg(format!("--build-arg=VERSION={VERSION}")).arg(format!("--build-arg=REVISION={revision}"));
        build.arg("--file").arg(dockerfile).arg(context).stderr(Stdio::inherit());
        python::output(&mut build).map(|id| id.trim().to_owned()).map_err(|why| format!("{image}: {why}"))
    }

    /// Writes an image as an archive that every container runtime reads.
    fn export(self, image: &str, archive: &Path) -> Result<(), String> {
        if archive.exists() {
            fs::remove_file(archive).map_err(at(archive))?;
        }
        let mut export = self.command();
        match self {
            Builder::Docker => export.arg("save").arg("--output").arg(archive).arg(image),
            Builder::Buildah => {
                let to = format!("oci-archive:{}:{image}", archive.display());
                // It is read again on this machine: packing it would take longer than it saves.
                export.args(["push", "--quiet", "--disable-compression", image]).arg(to)
            }
        };
        python::output(&mut export).map(drop).map_err(|why| format!("{image}: {why}"))
    }

    fn command(self) -> Command {
        match self {
            Builder::Docker => Command::new("docker"),
            Builder::Buildah => {
                let mut buildah = Command::new("buildah");
                buildah.env("BUILDAH_ISOLATION", "chroot");
                buildah
            }
        }
    }
}
