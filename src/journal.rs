//! `decisions.jsonl` while a scaler writes it: by one scaler at a time, in files of a bounded size.
//!
//! ```text
//!  decisions.jsonl ─ full ─▶ decisions.jsonl.1 ─▶ decisions.jsonl.2 ─▶ ... ─▶ the last that is kept, which goes
//! ```
//!
//! Each file begins with the line that says who decides, and what came of a decision stands in the file of the decision: each
//! is explained and replayed by itself.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use splitscale_deploy::Half;
use splitscale_policy::{Decision, End, Line, Setup};
use splitscale_spec::check_schema;

use crate::cli::Kept;
use crate::files::{self, Log};

/// What is read of the end of a file at first \[bytes\]: a few decisions.
const TAIL: u64 = 64 << 10;

/// The file that is written. Nobody else writes it while this lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    kept: Kept,
    log: Log,
    /// What stands in it \[bytes\].
    size: u64,
    /// The line that each file begins with.
    head: Vec<u8>,
    /// It was not there before.
    new: bool,
}

/// Where another scaler stopped: its last decision, and what of it may be half done.
pub type Stopped = (Decision, Option<Half>);

impl Journal {
    /// Starts the file; what an earlier run decided is never overwritten.
    pub fn create(path: &Path, kept: Kept) -> Result<Journal> {
        if path.exists() {
            bail!(
                "{} is there already: go on with it by --resume, or name another file with --out",
                path.display()
            );
        }
        let log = Log::create(path)?;
        let aside = older(path, 1);
        if aside.exists() {
            tracing::warn!(
                "{} is of an earlier run, whose decisions have the numbers of this one's",
                aside.display()
            );
        }
        let journal = Journal { path: path.into(), kept, log, size: 0, head: Vec::new(), new: true };
        journal.only_writer()?;
        Ok(journal)
    }

    /// Goes on with the file, or starts it; with where it stopped, if a decision stands in it.
    pub fn resume(path: &Path, kept: Kept) -> Result<(Journal, Option<Stopped>)> {
        if !path.exists() {
            return Ok((Journal::create(path, kept)?, None));
        }
        let log = Log::resume(path)?;
        let mut journal = Journal { path: path.into(), kept, log, size: 0, head: Vec::new(), new: false };
        journal.only_writer()?;
        // A scaler that was killed as it put the file aside has left two names of one: the next turn gives it a name of its own.
        let aside = older(path, 1);
        if aside.exists() && fs::metadata(&aside)?.ino() == fs::metadata(path)?.ino() {
            fs::remove_file(&aside).with_context(|| format!("could not remove {}", aside.display()))?;
        }
        let stopped = last(path)?;
        journal.size = journal.log.cut()?;
        Ok((journal, stopped))
    }

    /// Says who decides from here on.
    pub fn begin(&mut self, setup: &Setup) -> Result<()> {
        self.head = line(setup)?;
        let head = self.head.clone();
        self.append(&head)
    }

    /// Appends a line; where the file is full, a decision begins the next.
    pub fn write(&mut self, written: &Line) -> Result<()> {
        let bytes = line(written)?;
        let full = self.size + bytes.len() as u64 > self.kept.out_mb << 20;
        if full && matches!(written, Line::Decision(_)) && self.size > self.head.len() as u64 {
            return self.turn(&bytes);
        }
        self.append(&bytes)
    }

    /// Takes the file away where this started it: what could not begin stands in the way of nothing.
    pub fn discard(self) {
        if self.new {
            // That it stays is told by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// The file becomes the first of those that are kept, and this decision begins another. The name is always that of a whole
    /// file that only this process writes.
    fn turn(&mut self, decision: &[u8]) -> Result<()> {
        let older = |n: u32| older(&self.path, n);
        let told =
            |path: &Path| format!("could not put {} aside for the next file of decisions", path.display());
        let mut log = Log::beside(&self.path)?;
        log.append(&self.head)?;
        log.append(decision)?;
        log.only_writer()?;
        for n in (1..self.kept.out_kept).rev().filter(|&n| older(n).exists()) {
            fs::rename(older(n), older(n + 1)).with_context(|| told(&older(n)))?;
        }
        if self.kept.out_kept > 0 {
            let first = older(1);
            let _ = fs::remove_file(&first);
            // Where a file cannot have two names, it has none for a moment.
            fs::hard_link(&self.path, &first)
                .or_else(|_| fs::rename(&self.path, &first))
                .with_context(|| told(&self.path))?;
        }
        log.finish(&self.path)?;
        self.size = (self.head.len() + decision.len()) as u64;
        self.log = log;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.log.append(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn only_writer(&self) -> Result<()> {
        if self.log.only_writer()? {
            return Ok(());
        }
        bail!("another scaler writes {}; end it first, or name another file with --out", self.path.display())
    }
}

/// Where the `n`th file before this one is kept.
pub fn older(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{n}"));
    name.into()
}

fn line(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    Ok(line)
}

/// The last decision of a file, if it has any, read from its end: a scaler that starts waits for no day of decisions.
fn last(path: &Path) -> Result<Option<Stopped>> {
    let whole = |text: &str| text.rfind('\n').map_or(0, |end| end + 1);
    let mut take = TAIL;
    loop {
        let (bytes, from_start) = files::read_end(path, take)?;
        let text = String::from_utf8_lossy(&bytes);
        // What stands behind the last line end a scaler was killed writing; before the first, a longer line may have begun.
        let text = &text[..whole(&text)];
        let text = if from_start { text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
        let mut outcomes = Vec::new();
        for line in text.lines().rev() {
            let parsed = Line::parse(line).with_context(|| {
                format!("{}: a line near its end is not what `splitscale scale` writes", path.display())
            })?;
            match parsed {
                Line::Setup(_) => {}
                Line::Outcome(outcome) => outcomes.push(outcome),
                Line::Decision(mut decision) => {
                    check_schema("decision", decision.schema, Decision::SCHEMA)
                        .with_context(|| format!("{} cannot be gone on with", path.display()))?;
                    let of = decision.id;
                    outcomes.iter().rev().filter(|outcome| outcome.of == of).for_each(|o| decision.ended(o));
                    let end = outcomes.iter().find(|outcome| outcome.of == of).map(|outcome| outcome.end);
                    let open = end == Some(End::Half) || end.is_none() && decision.carried_out.is_none();
                    let half = Half::of(&decision).filter(|_| open);
                    return Ok(Some((*decision, half)));
                }
            }
        }
        if from_start {
            return Ok(None);
        }
        take *= 8;
    }
}
