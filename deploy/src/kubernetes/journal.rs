//! Where the decisions of a pipeline are written, line by line, for `splitscale explain` and `replay`.

use std::io::{Error, Write};
use std::sync::{Arc, Mutex, PoisonError};

use splitscale_policy::Line;

/// Gives a place for the decisions of a pipeline, by namespace and name, in the form of `decisions.jsonl`.
pub type Journals = Arc<dyn Fn(&str, &str) -> Option<Box<dyn Write + Send>> + Send + Sync>;

/// Where decisions are written; a line that cannot be is told, and stops nothing.
#[derive(Clone)]
pub(super) struct Journal(Arc<Mutex<Option<Box<dyn Write + Send>>>>);

impl Journal {
    pub(super) fn open(journals: &Journals, namespace: &str, name: &str) -> Journal {
        Journal(Arc::new(Mutex::new(journals(namespace, name))))
    }

    pub(super) fn line(&self, line: &Line) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(out) = file.as_mut() else { return };
        let written = serde_json::to_vec(line).map_err(Error::from).and_then(|mut text| {
            text.push(b'\n');
            out.write_all(&text)
        });
        if let Err(error) = written {
            tracing::warn!("decisions are written no more: {error}");
            *file = None;
        }
    }
}
