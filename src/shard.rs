//! A sweep in parts: each of N runs does a share and writes a shard, and all shards are what one run would have written.
//!
//! ```text
//! ===== splitscale shard 3/8 =====
//! {"schema":1,"words":"simulate slots.toml","shard":3,"of":8,"hash":"91c0…",…}   the head
//! H4sIAAAAAAAC/…                                                                  the results: JSON, gzip, base64
//! ===== end of splitscale shard 3/8, sha256 5d41… =====                           of head and results
//! ```
//!
//! Whatever else a text says, before or after, is left aside: the log of a container is a shard as well.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use splitscale_deploy::manifests::checksum;

use crate::{files, measurement};

const BEGIN: &str = "===== splitscale shard ";
const END: &str = "===== end of splitscale shard ";
/// Characters of a line: a container runtime cuts longer ones at 16 KiB, and puts its own 45 before each.
const LINE: usize = 4096;

/// Which of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub shard: usize,
    /// Of so many.
    pub of: usize,
}

/// Which sweep it is a shard of, and which shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    schema: u32,
    /// What was typed but for the share, to be typed again for one that is missing.
    pub words: String,
    /// What is swept.
    pub kind: Kind,
    shard: usize,
    of: usize,
    /// Points, or seeds, of the whole.
    items: usize,
    /// Of everything that the results depend on: the document with what was typed over it, and each file that it reads.
    hash: String,
    /// Version and commit of the program.
    splitscale: String,
}

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The points of an experiment.
    Simulate,
    /// The seeds of a training.
    Train,
}

/// What came of it: `whole` is the same in all shards, an item has its place in the whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Results<W, T> {
    whole: W,
    items: Vec<(usize, T)>,
}

/// A shard that was read.
#[derive(Debug)]
pub struct Shard {
    /// Where.
    name: String,
    head: Head,
    /// JSON.
    results: String,
}

/// All shards of one sweep, in their order.
#[derive(Debug)]
pub struct Whole {
    shards: Vec<Shard>,
}

// === impl Part ===

impl Part {
    /// Whether an item, counted from 0, is of this share: every N-th is, so that neighbours, which take about as long as each
    /// other, are spread.
    pub fn has(self, item: usize) -> bool {
        item % self.of == self.shard - 1
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.of)
    }
}

// === impl Head ===

impl Head {
    /// The schema this build reads and writes.
    const SCHEMA: u32 = 1;

    /// Of a sweep of so many items.
    pub fn new(kind: Kind, words: &[String], part: Part, (items, hash): (usize, &str)) -> Head {
        let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let (Part { shard, of }, splitscale) = (part, measurement::version());
        Head { schema: Self::SCHEMA, words, kind, shard, of, items, hash: hash.into(), splitscale }
    }

    fn part(&self) -> Part {
        Part { shard: self.shard, of: self.of }
    }

    fn validate(&self) -> Result<()> {
        splitscale_spec::check_schema("shard", self.schema, Self::SCHEMA)?;
        ensure!((1..=self.of).contains(&self.shard), "shard {}: there are 1 to {}", self.shard, self.of);
        Ok(())
    }

    /// What all shards of a sweep agree on.
    fn agreed(&self) -> [(&'static str, String); 5] {
        [
            ("kind", format!("{:?}", self.kind)),
            ("of", self.of.to_string()),
            ("items", self.items.to_string()),
            ("hash", self.hash.clone()),
            ("splitscale", self.splitscale.clone()),
        ]
    }
}

// === impl Shard ===

/// Writes a shard whole or not at all, and prints it where that is asked for.
pub fn write<T: Serialize>(
    path: &Path,
    print: bool,
    head: &Head,
    (whole, items): (&impl Serialize, Vec<(usize, T)>),
) -> Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut packed, &Results { whole, items })?;
    let packed = BASE64_STANDARD.encode(packed.finish().context("could not pack a shard")?);
    let mut body = serde_json::to_string(head)? + "\n";
    for line in packed.as_bytes().chunks(LINE) {
        body.extend(line.iter().map(|&byte| char::from(byte)));
        body.push('\n');
    }
    let part = head.part();
    let text = format!("{BEGIN}{part} =====\n{body}{END}{part}, sha256 {} =====\n", checksum(&body));
    files::write(path, text.as_bytes())?;
    if print {
        // In one piece: what else is written to the same log must not come between.
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("could not print the shard")?;
    }
    Ok(())
}

impl Shard {
    /// The one shard in a text.
    ///
    /// # Errors
    /// There is none, or more than one, or it is not whole.
    pub fn read(name: &str, text: &str) -> Result<Shard> {
        Self::parse(name, text).with_context(|| format!("{name} cannot be merged"))
    }

    fn parse(name: &str, text: &str) -> Result<Shard> {
        let mut lines = text.lines();
        let Some(begin) = lines.by_ref().find_map(|line| line.strip_prefix(BEGIN)) else {
            ensure!(
                !text.contains(END),
                "it begins in the middle of a shard: a log that was rotated has lost the rest (docs/sweeps.md); run it again"
            );
            bail!(
                "there is no shard in it; give what `simulate --shard I/N` or `train --shard I/N` wrote, or a log with it"
            );
        };
        let mut body = String::new();
        let end = loop {
            let cut = || format!("shard {} is cut off; run it again", begin.trim_end_matches([' ', '=']));
            let line = lines.next().with_context(cut)?;
            match line.strip_prefix(END) {
                Some(end) => break end,
                None => body.extend([line, "\n"]),
            }
        };
        ensure!(
            !lines.any(|line| line.starts_with(BEGIN)),
            "there is more than one shard in it; give each a file"
        );
        let (_, told) = end.split_once("sha256 ").unwrap_or_default();
        let (told, found) = (told.trim_end_matches([' ', '=']), checksum(&body));
        ensure!(told == found, "its checksum is {found}, and it says {told:?}: it was damaged; run it again");
        let (head, packed) = body.split_once('\n').context("it has no head")?;
        let head: Head = serde_json::from_str(head).context("its head")?;
        head.validate()?;
        let packed = BASE64_STANDARD.decode(packed.replace('\n', "")).context("its results")?;
        let mut results = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut results).context("its results")?;
        Ok(Shard { name: name.into(), head, results })
    }
}

// === impl Whole ===

impl Whole {
    /// Holds shards against each other.
    ///
    /// # Errors
    /// One that is of another sweep, is there twice, or is missing: `absent` knows more of those, by shard.
    pub fn of(mut shards: Vec<Shard>, absent: &BTreeMap<usize, String>) -> Result<Whole> {
        let Some(first) = shards.first() else {
            let why: Vec<&str> = absent.values().map(String::as_str).collect();
            bail!("there is no shard to merge: {}", why.join("; "));
        };
        for shard in &shards[1..] {
            for ((field, found), (_, expected)) in shard.head.agreed().into_iter().zip(first.head.agreed()) {
                ensure!(
                    found == expected,
                    "{} cannot be merged: {field} is {found}, but {expected} in {}; run all shards of one sweep with the same \
                     files, flags and version",
                    shard.name,
                    first.name
                );
            }
        }
        let Head { of, words, .. } = first.head.clone();
        shards.sort_by_key(|shard| shard.head.shard);
        for pair in shards.windows(2) {
            let (one, other) = (&pair[0], &pair[1]);
            ensure!(
                one.head.shard != other.head.shard,
                "shard {} is in {} and in {}; name each once",
                one.head.part(),
                one.name,
                other.name
            );
        }
        let there = |shard: &usize| shards.binary_search_by_key(shard, |shard| shard.head.shard).is_ok();
        let missing: Vec<usize> = (1..=of).filter(|shard| !there(shard)).collect();
        if !missing.is_empty() {
            bail!("{}", told(&missing, (of, &words), absent));
        }
        Ok(Whole { shards })
    }

    /// What is swept.
    pub fn kind(&self) -> Kind {
        self.shards[0].head.kind
    }

    /// What all shards share, and every item in its order.
    ///
    /// # Errors
    /// A shard that does not hold its share.
    pub fn results<W: DeserializeOwned, T: DeserializeOwned>(&self) -> Result<(W, Vec<T>)> {
        let Head { items: count, .. } = self.shards[0].head;
        let mut items = BTreeMap::new();
        let mut shared: Option<(Box<RawValue>, &str)> = None;
        for shard in &self.shards {
            let name = &shard.name;
            let results: Results<Box<RawValue>, T> = serde_json::from_str(&shard.results)
                .with_context(|| format!("{name} cannot be merged: its results"))?;
            let (whole, first) = shared.get_or_insert_with(|| (results.whole.clone(), name));
            ensure!(
                results.whole.get() == whole.get(),
                "{name} cannot be merged: it describes the whole otherwise than {first}"
            );
            let part = shard.head.part();
            let share = (0..count).filter(|item| part.has(*item));
            ensure!(
                share.eq(results.items.iter().map(|(item, _)| *item)),
                "{name} cannot be merged: it does not hold every item of shard {part}"
            );
            items.extend(results.items);
        }
        let (whole, _) = shared.context("there is no shard to merge")?;
        Ok((serde_json::from_str(whole.get())?, items.into_values().collect()))
    }
}

/// Shards that are missing, why as far as that is known, and how to run them.
fn told(missing: &[usize], (of, words): (usize, &str), absent: &BTreeMap<usize, String>) -> String {
    const TOLD: usize = 20;
    let numbers: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let mut told = format!("of {of} shards these are missing: {}", numbers.join(", "));
    for shard in missing.iter().take(TOLD) {
        let why = absent.get(shard).map_or(String::new(), |why| format!("   # {why}"));
        told += &format!("\n  splitscale {words} --shard {shard}/{of}{why}");
    }
    if missing.len() > TOLD {
        told += "\n  ...";
    }
    told + "\nrun them so, and name what they write beside the others"
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=,:@+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
