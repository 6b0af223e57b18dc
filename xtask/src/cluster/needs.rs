//! What a machine must have for the test bed. Nothing is installed: what is missing is named, all at once.

use std::path::Path;
use std::process::Command;

use crate::python::output;

pub(super) const GO: &str = "Go 1.26 or newer builds the test bed (https://go.dev/dl)";

/// Programs, and Debian's packages that they are in.
const PROGRAMS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("mount", "mount"),
];
/// Where CNI's plugins may be.
const PLUGINS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
const NAMESPACES: [&str; 4] = ["mnt", "net", "pid", "uts"];

/// An error that names everything that this machine lacks.
pub(super) fn check() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("the test bed is made of Linux' namespaces: it runs on Linux only".into());
    }
    let mut lacks = Vec::new();
    if output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() != "0") {
        lacks.push("root's rights (sudo -E cargo xtask cluster ...)".to_string());
    } else if output(Command::new("unshare").args(["--mount", "--net", "--pid", "--uts", "--fork", "true"]))
        .is_err()
    {
        lacks.push("leave to make namespaces (in a container: --privileged)".to_string());
    }
    for namespace in NAMESPACES {
        if !Path::new("/proc/self/ns").join(namespace).exists() {
            lacks.push(format!("{namespace} namespaces in the kernel"));
        }
    }
    if output(Command::new("go").arg("version")).is_err() {
        lacks.push(GO.to_string());
    }
    let packages = missing(found, PLUGINS.iter().any(|folder| Path::new(folder).join("bridge").exists()));
    if !packages.is_empty() {
        lacks.push(format!("programs: apt-get install --no-install-recommends {}", packages.join(" ")));
    }
    if lacks.is_empty() { Ok(()) } else { Err(format!("the test bed lacks\n  {}", lacks.join("\n  "))) }
}

/// The packages that bring what is not there.
fn missing(found: impl Fn(&str) -> bool, plugins: bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !found(program)).map(|(_, package)| *package).collect();
    if !plugins {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    packages
}

/// Whether a program is in the PATH, or where root's are.
pub(super) fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let roots = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(roots).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_package_is_named_once() {
        assert_eq!(missing(|_| true, true), Vec::<&str>::new());
        assert_eq!(missing(|program| !["ip", "tc", "runc"].contains(&program), true), ["iproute2", "runc"]);
        assert_eq!(missing(|_| true, false), ["containernetworking-plugins"]);
    }
}
