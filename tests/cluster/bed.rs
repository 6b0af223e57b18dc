//! A bed of the test's own: the program, called as a user calls it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Takes itself down when it is dropped, however the test ends.
pub(crate) struct Bed {
    program: PathBuf,
    cache: TempDir,
}

impl Bed {
    /// The program that `cargo xtask test` built, or a line saying that the test skips.
    pub(crate) fn of_the_test() -> Option<Bed> {
        let Some(program) = std::env::var_os("SPLITSCALE_BED") else {
            // Past the test harness, which swallows what a passing test prints.
            writeln!(std::io::stderr(), "skipped: `cargo xtask test` builds the bed and names it")
                .expect("standard error is open");
            return None;
        };
        Some(Bed { program: program.into(), cache: tempfile::tempdir().unwrap() })
    }

    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.path().join("splitscale/testbed/run")
    }

    /// The archive of an image.
    pub(crate) fn archive(&self) -> String {
        self.folder().join("pause.tar").display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("XDG_CACHE_HOME", self.cache.path());
        command
    }

    /// What it prints, runs of blanks as one; it must succeed.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        succeeded(words, self.command(words).output().unwrap())
    }

    /// The same, with standard input.
    pub(crate) fn feed(&self, words: &[&str], input: &str) {
        let mut command = self.command(words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        succeeded(words, child.wait_with_output().unwrap());
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

impl Drop for Bed {
    fn drop(&mut self) {
        let down = self.command(&["down"]).output();
        if !down.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("the bed could not be taken down: {down:?}");
        }
    }
}

fn succeeded(words: &[&str], output: Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {complaint}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
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
