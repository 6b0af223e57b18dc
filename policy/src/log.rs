//! `decisions.jsonl`: a line that says who decides, then decisions; another such line where somebody else takes over.

use serde_json::{Result, Value};

use crate::decision::Decision;
use crate::setup::Setup;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Who decides from here on.
    Setup(Box<Setup>),
    /// A decision.
    Decision(Box<Decision>),
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Line> {
        // Told apart first, so that what is wrong is said of the one that was meant.
        let value: Value = serde_json::from_str(text)?;
        match value.get("shell") {
            Some(_) => serde_json::from_str(text).map(Line::Setup),
            None => serde_json::from_str(text).map(Line::Decision),
        }
    }
}
