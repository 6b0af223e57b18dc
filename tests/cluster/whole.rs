//! What the test of the whole bed asks of it, and of the machine, beside what every test on a bed does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bed::Bed;

impl Bed {
    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.path().join("splitscale/testbed/run")
    }

    /// The archive of an image.
    pub(crate) fn archive(&self) -> String {
        self.folder().join("pause.tar").display().to_string()
    }

    /// What it complains of; it must fail.
    pub(crate) fn fails(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts it, and kills the start when it has said something.
    pub(crate) fn up_killed_at(&self, words: &str) {
        let mut child = self.command(&["up"]).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .find(|line| line.as_ref().unwrap().contains(words));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said.is_some(), "`up` ended without a word of: {words}");
    }

    /// Whether something in a network namespace can connect to an address, within two seconds.
    pub(crate) fn reaches(&self, namespace: &str, address: &str) -> bool {
        let connect = format!("exec 3<>/dev/tcp/{}", address.replace(':', "/"));
        let words = ["netns", "exec", namespace, "timeout", "2", "bash", "-c", &connect];
        Command::new("ip").args(words).stderr(Stdio::null()).status().unwrap().success()
    }
}

/// Asks for at most half a minute.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not within half a minute: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// What a bed has on this machine: links, namespaces, control groups, processes, routes.
pub(crate) fn traces() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["/sys/class/net", "/run/netns", "/sys/fs/cgroup"] {
        named(Path::new(folder), 2, &mut found);
    }
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path().join("environ");
        let environment = fs::read(&path).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains("SPLITSCALE_TESTBED_PART=") {
            found.push(path.display().to_string());
        }
    }
    let routes = Command::new("ip").args(["route", "show"]).output().unwrap();
    let routes = String::from_utf8(routes.stdout).unwrap();
    let ranges = ["10.96.", "10.99.", "10.244."];
    found.extend(
        routes.lines().filter(|line| ranges.iter().any(|range| line.starts_with(range))).map(String::from),
    );
    found
}

/// What is called as the bed's things are, in a folder and so many levels below it.
fn named(folder: &Path, levels: usize, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("splitscale") {
            found.push(path.display().to_string());
        }
        if levels > 1 && path.is_dir() && !path.is_symlink() {
            named(&path, levels - 1, found);
        }
    }
}

/// Settings of the whole machine that a kubelet changes.
pub(crate) fn settings() -> Vec<String> {
    let names = ["kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom"];
    names.iter().map(|name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap()).collect()
}
