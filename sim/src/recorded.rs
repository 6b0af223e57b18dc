//! A recorded trace that a setup names by its file.

use std::sync::Arc;

use serde::Deserialize;
use splitscale_spec::Invalid;

use crate::trace::{Later, TraceError};

/// The text of a file, by the name the setup gives it.
pub type TextOf<'a, E> = &'a mut dyn FnMut(&str) -> Result<String, E>;

/// A trace: where it is, and, once loaded, what it holds. The simulator opens no files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(deserialize = ""))]
pub struct Recorded<T> {
    /// Name of the file.
    pub file: String,
    /// How far into the trace the run begins \[s\], in the time of the file: a window of a long trace.
    #[serde(default)]
    pub from_s: f64,
    /// What it holds; absent before [`Setup::load`](crate::Setup::load).
    #[serde(skip)]
    pub data: Option<Arc<T>>,
}

impl<T> Recorded<T> {
    /// A trace that needs no file.
    pub fn of(name: impl Into<String>, data: T) -> Self {
        Recorded { file: name.into(), from_s: 0.0, data: Some(Arc::new(data)) }
    }

    /// Whether the other names the same stretch of the same trace.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.file == other.file && self.from_s == other.from_s
    }

    pub(crate) fn load<E: From<TraceError>>(
        &mut self,
        text_of: TextOf<E>,
        read: impl FnOnce(&str, &str) -> Result<T, TraceError>,
    ) -> Result<(), E>
    where
        T: Later,
    {
        if self.data.is_none() {
            let text = text_of(&self.file)?;
            let whole = read(&self.file, &text)?;
            let windowed = match self.from_s {
                0.0 => Some(whole),
                from_s if from_s > 0.0 && from_s < 1e9 => whole.later((from_s * 1e9) as u64),
                _ => None,
            };
            let data = windowed.ok_or_else(|| TraceError {
                file: self.file.clone(),
                line: 1,
                field: "from_s".into(),
                problem: format!("{} s is not within the trace; take a time that it covers", self.from_s),
            })?;
            self.data = Some(Arc::new(data));
        }
        Ok(())
    }

    pub(crate) fn loaded(&self, field: &str) -> Result<&Arc<T>, Invalid> {
        self.data.as_ref().ok_or_else(|| Invalid::new(field, format!("{} was not loaded", self.file)))
    }
}
