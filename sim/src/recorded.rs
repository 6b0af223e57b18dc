//! A recorded trace that a setup names by its file.

use std::sync::Arc;

use serde::Deserialize;
use splitscale_spec::Invalid;

use crate::trace::TraceError;

/// The text of a file, by the name the setup gives it.
pub type TextOf<'a, E> = &'a mut dyn FnMut(&str) -> Result<String, E>;

/// A trace: where it is, and, once loaded, what it holds. The simulator opens no files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(deserialize = ""))]
pub struct Recorded<T> {
    /// Name of the file.
    pub file: String,
    /// What it holds; absent before [`Setup::load`](crate::Setup::load).
    #[serde(skip)]
    pub data: Option<Arc<T>>,
}

impl<T> Recorded<T> {
    /// A trace that needs no file.
    pub fn of(name: impl Into<String>, data: T) -> Self {
        Recorded { file: name.into(), data: Some(Arc::new(data)) }
    }

    pub(crate) fn load<E: From<TraceError>>(
        &mut self,
        text_of: TextOf<E>,
        read: impl FnOnce(&str, &str) -> Result<T, TraceError>,
    ) -> Result<(), E> {
        if self.data.is_none() {
            let text = text_of(&self.file)?;
            self.data = Some(Arc::new(read(&self.file, &text)?));
        }
        Ok(())
    }

    pub(crate) fn loaded(&self, field: &str) -> Result<&Arc<T>, Invalid> {
        self.data.as_ref().ok_or_else(|| Invalid::new(field, format!("{} was not loaded", self.file)))
    }
}
