//! A Python with the packages that something needs: that of the user, or a virtual environment made for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that can run `import`: `python3`, or one in `folder`, made of `requirements` if it is not there.
pub(crate) fn with(import: &str, requirements: &[&str], folder: &Path) -> Result<PathBuf, String> {
    if output(Command::new("python3").args(["-c", import])).is_ok() {
        return Ok("python3".into());
    }
    environment(requirements, folder)
}

/// The Python of a virtual environment in `folder`, made if it is not there or holds other `requirements`.
pub(crate) fn environment(requirements: &[&str], folder: &Path) -> Result<PathBuf, String> {
    let (own, held) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let (names, text) = (requirements.join(" "), requirements.join("\n"));
    let whole = fs::read_to_string(&held).is_ok_and(|held| held == text);
    if whole && output(Command::new(&own).arg("--version")).is_ok() {
        return Ok(own);
    }
    eprintln!("Python: installing {names} into {}", folder.display());
    let remedy =
        |why| format!("{names} is not there and could not be installed (python3 -m pip install): {why}");
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder)).map_err(remedy)?;
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    output(Command::new(&own).args(pip).args(requirements)).map_err(remedy)?;
    // Written last, so that what was cut off is made anew.
    fs::write(&held, text).map_err(|error| format!("{}: {error}", held.display()))?;
    Ok(own)
}

/// What a command prints; if it fails, the last line of what it complains.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    Err(last.map_or_else(|| format!("{program} failed ({})", output.status), |line| line.trim().to_string()))
}
