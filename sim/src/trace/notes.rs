//! What a reader saw.

use std::fmt;

/// What was read, and what was odd about it. Displays as one line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Notes {
    /// What a row is: stamps, bins, windows or samples.
    pub what: &'static str,
    /// Rows read.
    pub read: u64,
    /// Rows with the time of the row before.
    pub repeated: u64,
    /// Bins that had no row and were filled with zero.
    pub filled: u64,
    /// Longest time from one row to the next \[s\].
    pub longest_gap_s: f64,
    /// What the trace covers \[s\]: from the first stamp to the last, all bins, all windows, one period of a
    /// bandwidth.
    pub span_s: f64,
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} over {} s, longest gap {} s, {} repeated, {} filled",
            self.read, self.what, self.span_s, self.longest_gap_s, self.repeated, self.filled
        )
    }
}
