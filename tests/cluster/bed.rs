//! A bed of the test's own: the program, called as a user calls it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Takes itself down when it is dropped, however the test ends.
pub(crate) struct Bed {
    program: PathBuf,
    /// Where it keeps everything.
    pub(crate) cache: TempDir,
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

    /// A call of the program.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
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
