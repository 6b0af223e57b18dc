//! `decisions.jsonl`: a line that says who decides, then decisions; another such line where somebody else takes over. A decision
//! that changes something is written before it is carried out, and what came of it on a line of its own after it: whoever goes on
//! after a scaler that was killed in between knows what may be half done.

use serde::{Deserialize, Serialize};
use serde_json::{Result, Value};

use crate::decision::Decision;
use crate::setup::Setup;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// Who decides from here on.
    Setup(Box<Setup>),
    /// A decision.
    Decision(Box<Decision>),
    /// What came of one.
    Outcome(Outcome),
}

/// What came of a decision that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The decision's number.
    pub of: u64,
    /// How it ended.
    pub end: End,
    /// In words.
    pub why: String,
}

/// How the carrying out of a decision ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Both stages were told, at once.
    Done,
    /// One of them may not have been told; the next tick goes on with it.
    Half,
    /// The other stage was told at the next tick.
    Finished,
    /// The next tick could not, and took back what was done.
    RolledBack,
    /// Nor could it be taken back: the stages have what they say, and the next decisions begin with that.
    GivenUp,
}

impl End {
    /// All of them.
    pub const ALL: [End; 5] = [End::Done, End::Half, End::Finished, End::RolledBack, End::GivenUp];

    /// Its name, as in documents and labels of metrics.
    pub fn name(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Half => "half",
            End::Finished => "finished",
            End::RolledBack => "rolled_back",
            End::GivenUp => "given_up",
        }
    }

    /// Whether the pods were changed in full.
    pub fn carried_out(self) -> bool {
        matches!(self, End::Done | End::Finished)
    }
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Line> {
        // Told apart first, so that what is wrong is said of the one that was meant.
        let value: Value = serde_json::from_str(text)?;
        if value.get("shell").is_some() {
            serde_json::from_str(text).map(Line::Setup)
        } else if value.get("end").is_some() {
            serde_json::from_str(text).map(Line::Outcome)
        } else {
            serde_json::from_str(text).map(Line::Decision)
        }
    }
}

impl Decision {
    /// Takes note of what came of it.
    pub fn ended(&mut self, outcome: &Outcome) {
        self.carried_out = Some(outcome.end.carried_out());
        self.why.push(outcome.why.clone());
    }
}
