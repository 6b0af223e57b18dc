//! The only place that opens documents, tables and folders. Every error names the file.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// The last `bytes` of a file, and whether they are all of it.
pub fn read_end(path: &Path, bytes: u64) -> Result<(Vec<u8>, bool)> {
    let unread = || format!("could not read {}", path.display());
    let mut file = File::open(path).with_context(unread)?;
    let length = file.metadata().with_context(unread)?.len();
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes))).with_context(unread)?;
    file.read_to_end(&mut end).with_context(unread)?;
    Ok((end, bytes >= length))
}

/// A JSON document. A key it does not know, or a value of another type, is named with its line.
pub fn read_json<T: DeserializeOwned>(path: &Path, schema: u32) -> Result<T> {
    json(path, &read(path)?, schema)
}

/// The same, of a text that was read.
pub fn json<T: DeserializeOwned>(path: &Path, text: &str, schema: u32) -> Result<T> {
    schema_first(path, text, schema)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let document = serde_path_to_error::deserialize(&mut json).map_err(|wrong| {
        let field = wrong.path().to_string();
        let error = anyhow::Error::new(wrong.into_inner());
        // At the end of a text that is cut off no field is known.
        if field == "." || field == "?" { error } else { error.context(field) }
    });
    document
        .and_then(|document| json.end().map(|()| document).map_err(Into::into))
        .with_context(|| format!("{} is not the expected document", path.display()))
}

/// A TOML document.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    toml(path, &read(path)?)
}

/// The same, of a text that was read.
pub fn toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).with_context(|| format!("{} cannot be used", path.display()))
}

/// Writes a JSON document whole or not at all.
pub fn write_json(path: &Path, document: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Writes a table whole or not at all.
pub fn write_csv<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    write(path, &writer.into_inner().context("could not write a table")?)
}

/// Writes beside the target and renames: a reader never sees half a file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    parent(path)?;
    let part = part_of(path)?;
    fs::write(&part, bytes).with_context(|| format!("could not write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("could not write {}", path.display()))
}

/// A file that grows while something is measured: each append is on disk before the next begins.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Starts a new file; what an earlier run measured is never overwritten.
    pub fn create(path: &Path) -> Result<Log> {
        parent(path)?;
        let file = File::create_new(path).with_context(|| {
            format!("could not start {}; name a file that is not there yet", path.display())
        })?;
        Ok(Log { path: path.into(), file })
    }

    /// Goes on with a file; one that is not there is started.
    pub fn resume(path: &Path) -> Result<Log> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.with_context(|| format!("could not go on with {}", path.display()))?;
        Ok(Log { path: path.into(), file })
    }

    /// Goes on with a file of lines; half a line at its end, of whoever was killed writing it, is taken away.
    pub fn resume_lines(path: &Path) -> Result<Log> {
        let log = Log::resume(path)?;
        log.cut()?;
        Ok(log)
    }

    /// Takes half a line at the end away, of whoever was killed writing it; what is left \[bytes\].
    pub fn cut(&self) -> Result<u64> {
        let length = self.file.metadata()?.len();
        let mut take = 64 << 10;
        let whole = loop {
            let (end, all) = read_end(&self.path, take)?;
            match end.iter().rev().position(|byte| *byte == b'\n') {
                Some(behind) => break length - behind as u64,
                None if all => break 0,
                None => take *= 8,
            }
        };
        self.file.set_len(whole).with_context(|| format!("could not write {}", self.path.display()))?;
        Ok(whole)
    }

    /// Keeps all others from writing it who ask as this does, for as long as it is open; false where another one does so
    /// already. On a disk that knows no locks it cannot be told, and is taken to be so.
    pub fn only_writer(&self) -> Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(true),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("could not lock {}", self.path.display()))
            }
        }
    }

    /// Goes on with a file of lines, or starts it.
    pub fn resume_whole(path: &Path) -> Result<Log> {
        if path.exists() { Log::resume_lines(path) } else { Log::resume(path) }
    }

    /// Starts a file beside `path`, in the place of one that an earlier run left there; see [`Log::finish`].
    pub fn beside(path: &Path) -> Result<Log> {
        let part = part_of(path)?;
        parent(path)?;
        let file = File::create(&part).with_context(|| format!("could not start {}", part.display()))?;
        Ok(Log { path: part, file })
    }

    /// Everything is in it: it takes the place of the file it stands beside.
    pub fn finish(&mut self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path).with_context(|| format!("could not write {}", path.display()))?;
        self.path = path.into();
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends rows of CSV; the header stands before the first.
    pub fn csv<T: Serialize>(&mut self, rows: impl IntoIterator<Item = T>) -> Result<()> {
        let empty = self.file.metadata()?.len() == 0;
        let mut writer = csv::WriterBuilder::new().has_headers(empty).from_writer(Vec::new());
        for row in rows {
            writer.serialize(row)?;
        }
        let bytes = writer.into_inner().context("could not write a table")?;
        self.append(&bytes)
    }

    /// Appends what is there.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("could not write {}", self.path.display()))
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A folder that is new or empty, so that nothing measured earlier is lost.
pub fn empty_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("could not make the folder {}", path.display()))?;
    let mut entries = fs::read_dir(path).with_context(|| format!("could not read {}", path.display()))?;
    if entries.next().is_some() {
        bail!("{} is not empty; name a new folder with --out", path.display());
    }
    Ok(())
}

/// Where a file grows until it is whole.
fn part_of(path: &Path) -> Result<PathBuf> {
    let mut name = path.file_name().context("not the name of a file")?.to_os_string();
    name.push(".part");
    Ok(path.with_file_name(name))
}

fn parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder)
            .with_context(|| format!("could not make the folder {}", folder.display())),
        _ => Ok(()),
    }
}

/// A document of another schema is told as such, before its unknown keys are.
fn schema_first(path: &Path, text: &str, known: u32) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Schema {
        schema: u32,
    }
    // A text without a readable schema is refused by its own type.
    if let Ok(Schema { schema }) = serde_json::from_str(text) {
        splitscale_spec::check_schema("document", schema, known)
            .with_context(|| format!("{} cannot be used", path.display()))?;
    }
    Ok(())
}
