//! Provides libtorch 2.11.0 for the CPU: the one of the user, or one made of PyPI's wheels.
//!
//! ```text
//! pip download (hashes pinned) ─▶ NAME.partial/wheels ─ unpack.py ─▶ NAME.partial ─ rename ─▶ NAME
//! ```
//!
//! The rename comes last, after libtorch has been loaded once, so a cut-off run never looks finished; a
//! lock file keeps two runs apart. NAME lies in the user's cache, where every clone finds it.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "2.11.0";
const NAME: &str = "libtorch-2.11.0-cpu";
/// The wheels, as a requirements file: the CUDA build of torch, as PyPI has no other for Linux, and the two
/// libraries that its libtorch_cpu names, in the versions that its metadata pins.
const WHEELS: &str = "\
torch==2.11.0 --hash=sha256:0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
";
/// Which wheels fit: those of Python 3.12 (nothing of Python is kept) for glibc 2.28 or older.
const PLATFORM: [&str; 12] = [
    "--python-version",
    "3.12",
    "--implementation",
    "cp",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux_2_25_x86_64",
    "--platform",
    "manylinux_2_17_x86_64",
    "--platform",
    "manylinux2014_x86_64",
];
const UNPACK: &str = include_str!("unpack.py");
const OWN: &str =
    "or set LIBTORCH to the folder of a libtorch 2.11 of your own (with lib/ and include/ in it)";

/// The folder of a usable libtorch, if there is one already: what `LIBTORCH` names, else the cached one.
pub(crate) fn present() -> Result<Option<PathBuf>, String> {
    if let Some(own) = std::env::var_os("LIBTORCH").filter(|own| !own.is_empty()) {
        return check_own(PathBuf::from(own)).map(Some);
    }
    Ok(Some(cache()?.join(NAME)).filter(|cached| is_whole(cached)))
}

/// The folder of a usable libtorch, made now if there is none.
pub(crate) fn provide() -> Result<PathBuf, String> {
    if let Some(libtorch) = present()? {
        return Ok(libtorch);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("libtorch is set up on x86_64 Linux only; elsewhere, set LIBTORCH to the folder of a \
                    libtorch 2.11 of your own (with lib/ and include/ in it)"
            .into());
    }
    let cache = cache()?;
    let finished = cache.join(NAME);
    fs::create_dir_all(&cache).map_err(at(&cache))?;
    let _lock = lock(&cache.join(format!("{NAME}.lock")), "libtorch")?;
    // The other set-up may have finished it meanwhile.
    if !is_whole(&finished) {
        make(&finished)?;
    }
    Ok(finished)
}

fn check_own(own: PathBuf) -> Result<PathBuf, String> {
    let name = format!("{}torch_cpu{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    if !own.join("lib").join(&name).is_file() {
        return Err(format!("LIBTORCH is {}, which has no lib/{name}", own.display()));
    }
    match fs::read_to_string(own.join("build-version")) {
        Ok(version) if !version.starts_with(VERSION) => {
            Err(format!("LIBTORCH is {} of version {}, {VERSION} is needed", own.display(), version.trim()))
        }
        _ => Ok(own),
    }
}

/// `$XDG_CACHE_HOME/splitscale`, or `~/.cache/splitscale`.
pub(crate) fn cache() -> Result<PathBuf, String> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("splitscale"))
        .ok_or_else(|| format!("no place for what is set up: set HOME or XDG_CACHE_HOME, {OWN}"))
}

/// Whether every library that unpack.py listed is there in its full length.
fn is_whole(libtorch: &Path) -> bool {
    let whole = |line: &str| {
        let (bytes, name) = line.split_once(' ')?;
        let found = fs::metadata(libtorch.join(name)).ok()?.len();
        (bytes.parse() == Ok(found)).then_some(())
    };
    fs::read_to_string(libtorch.join("files"))
        .is_ok_and(|files| !files.is_empty() && files.lines().all(|line| whole(line).is_some()))
}

/// Holds the lock until the file is dropped, or the process ends however it ends.
pub(crate) fn lock(path: &Path, what: &str) -> Result<File, String> {
    let file = File::create(path).map_err(at(path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("{what}: another set-up is at work, waiting for it"),
        Err(TryLockError::Error(error)) => return Err(at(path)(error)),
    }
    file.lock().map_err(at(path))?;
    Ok(file)
}

fn make(finished: &Path) -> Result<(), String> {
    let partial = finished.with_file_name(format!("{NAME}.partial"));
    let wheels = partial.join("wheels");
    remove(&partial)?;
    fs::create_dir_all(&wheels).map_err(at(&wheels))?;

    download(&partial, &wheels)?;
    eprintln!("libtorch {VERSION}: unpacking the CPU part, 500 MB");
    unpack(&partial, &wheels)?;
    remove(&wheels)?;
    remove(finished)?;
    fs::rename(&partial, finished).map_err(at(finished))
}

fn download(partial: &Path, wheels: &Path) -> Result<(), String> {
    python(&["--version"], &format!("python3 is needed to fetch libtorch: install it, {OWN}"))?;
    python(&["-m", "pip", "--version"], &format!("python3 has no pip: install it (python3-pip), {OWN}"))?;
    eprintln!("libtorch {VERSION}: downloading 545 MB of wheels, once for every clone");
    let requirements = partial.join("requirements.txt");
    fs::write(&requirements, WHEELS).map_err(at(&requirements))?;
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--require-hashes", "--no-deps", "--only-binary=:all:"])
        .args(["--no-input", "--no-cache-dir", "--disable-pip-version-check"])
        .args(PLATFORM)
        .arg("--requirement")
        .arg(&requirements)
        .arg("--dest")
        .arg(wheels)
        .stdout(std::io::stderr()) // standard output belongs to `cargo xtask env`
        .status()
        .map_err(|error| format!("cannot run python3: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "pip could not fetch the wheels of libtorch {VERSION} (its reason is above): check the network, or \
         pip's index settings, and run `cargo xtask setup` again, {OWN}"
    ))
}

fn unpack(partial: &Path, wheels: &Path) -> Result<(), String> {
    let cannot = |error| format!("cannot run python3: {error}");
    let mut python = Command::new("python3")
        .arg("-")
        .arg(wheels)
        .arg(partial)
        .arg(VERSION)
        .stdin(Stdio::piped())
        .stdout(std::io::stderr())
        .spawn()
        .map_err(cannot)?;
    if let Some(mut script) = python.stdin.take() {
        script.write_all(UNPACK.as_bytes()).map_err(cannot)?;
    }
    if python.wait().map_err(cannot)?.success() {
        return Ok(());
    }
    Err(format!("libtorch {VERSION} could not be unpacked into {} (see above)", partial.display()))
}

/// Whether `python3 ARGS` works; `remedy` is the error if not.
fn python(args: &[&str], remedy: &str) -> Result<(), String> {
    match Command::new("python3").args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(remedy.into()),
    }
}

pub(crate) fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

pub(crate) fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    let path = path.to_path_buf();
    move |error| format!("{}: {error}", path.display())
}
