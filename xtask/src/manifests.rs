//! The manifests before the judges that Kubernetes' users know: kustomize builds every overlay, kubernetes-validate holds what
//! comes of it against the API's schemas, checkov against its rules of security. All three work offline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::{self, Counts, Run};
use crate::python;

/// The judges, in the versions that the manifests were written for.
const JUDGES: [&str; 2] = ["checkov==3.3.30", "kubernetes-validate==1.37.0"];
/// The API that they are held against: that of the test bed.
const KUBERNETES: &str = "1.35";

/// Judges every overlay and sweep, and says what each judge found.
pub(crate) fn check() -> Result<(), String> {
    cargo::report(&[judge(&python::environment(&JUDGES, &folder()?.join("venv"))?)?])
}

/// The same among other tests; skipped where there is no kubectl, or no Python that could have the judges.
pub(crate) fn test() -> Run {
    let there = python::output(Command::new("kubectl").args(["version", "--client"]));
    let python = there.and_then(|_| python::environment(&JUDGES, &folder()?.join("venv")));
    match python {
        Ok(python) => judge(&python).unwrap_or_else(|why| {
            eprintln!("{why}");
            (Counts { failed: 1, ..Counts::default() }, false)
        }),
        Err(why) => {
            eprintln!("the manifests will not be judged: {why}");
            (Counts { skipped: 1, ..Counts::default() }, true)
        }
    }
}

/// One test a judge and overlay, or sweep.
fn judge(python: &Path) -> Result<Run, String> {
    let mut counts = Counts::default();
    let mut overlays: Vec<PathBuf> = Vec::new();
    for folder in ["overlays", "sweeps"] {
        let entries =
            fs::read_dir(room().join(folder)).map_err(|error| format!("deploy/{folder}: {error}"))?;
        for entry in entries {
            overlays.push(entry.map_err(|error| format!("deploy/{folder}: {error}"))?.path());
        }
    }
    overlays.sort();
    for overlay in overlays {
        let name = overlay.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let built = python::output(Command::new("kubectl").arg("kustomize").arg(&overlay))?;
        let file = folder()?.join(format!("{name}.yaml"));
        fs::write(&file, built).map_err(|error| format!("{}: {error}", file.display()))?;
        for (judge, verdict) in
            [("kubernetes-validate", validate(python, &file)), ("checkov", checkov(python, &file))]
        {
            match verdict {
                Ok(words) => {
                    println!("{name}, {judge}: {words}");
                    counts.passed += 1;
                }
                Err(why) => {
                    println!("{name}, {judge}: FAILED: {why}");
                    counts.failed += 1;
                }
            }
        }
    }
    let content = counts.failed == 0;
    Ok((counts, content))
}

fn validate(python: &Path, file: &Path) -> Result<String, String> {
    let words = ["-m", "kubernetes_validate", "--strict", "--quiet", "--kubernetes-version", KUBERNETES];
    python::output(Command::new(python).args(words).arg(file))?;
    Ok(format!("every object is one of Kubernetes {KUBERNETES}"))
}

fn checkov(python: &Path, file: &Path) -> Result<String, String> {
    let program = python.with_file_name("checkov");
    let words = ["--skip-download", "--framework", "kubernetes", "--output", "json", "--soft-fail", "--file"];
    let said = python::output(Command::new(program).args(words).arg(file))?;
    let report: serde_json::Value =
        serde_json::from_str(&said).map_err(|error| format!("its report: {error}"))?;
    let count = |of: &str| report["summary"][of].as_u64();
    let (Some(passed @ 1..), Some(failed)) = (count("passed"), count("failed")) else {
        return Err(format!("its report counts nothing: {}", report["summary"]));
    };
    if failed == 0 {
        return Ok(format!(
            "{passed} passed, {} skipped for a reason that the manifest tells",
            count("skipped").unwrap_or(0)
        ));
    }
    let rules = report["results"]["failed_checks"].as_array().cloned().unwrap_or_default();
    let rules: Vec<String> =
        rules.iter().map(|rule| format!("{} {}", rule["check_id"], rule["resource"])).collect();
    Err(format!("{failed} failed: {}", rules.join(", ")))
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn folder() -> Result<PathBuf, String> {
    let folder = cargo::target()?.join("manifests");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}
