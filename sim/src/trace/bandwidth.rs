//! A bandwidth over time.

use super::notes::Notes;
use super::stamp;
use super::timeline::Timeline;
use super::{Later, Place, TraceError, bare, empty, short};

/// A bandwidth, held from each sample to the next and repeated for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct BandwidthTrace {
    /// From when \[ns\], and the bandwidth from there on \[Mbit/s\]; zero is an outage. The first begins at
    /// zero, and times rise.
    pub steps: Vec<(u64, f64)>,
    /// After which it begins again: the last sample is held as long as the one before it \[ns\]. A single
    /// sample is a constant, with a period of 1 s.
    pub period_ns: u64,
    /// What was read. Its gap is that of the samples read, its span the period.
    pub notes: Notes,
}

impl BandwidthTrace {
    /// Mean over a period \[Mbit/s\].
    pub fn mean_mbit_s(&self) -> f64 {
        let ends = self.steps.iter().skip(1).map(|step| step.0).chain([self.period_ns]);
        let bits: f64 = self
            .steps
            .iter()
            .zip(ends)
            .map(|(&(from, mbit_s), to)| mbit_s * to.saturating_sub(from) as f64)
            .sum();
        match self.steps.as_slice() {
            [(_, only)] => *only,
            _ => bits / self.period_ns as f64,
        }
    }

    /// Reads lines of two numbers with TABs or spaces between: the time \[s\] and the bandwidth \[Mbit/s\].
    /// Of samples with one time the last counts; the notes say how many were passed over.
    ///
    /// # Errors
    /// No line, a line that is not two numbers, times that fall, a bandwidth that is negative or not finite,
    /// a bandwidth of zero throughout.
    pub fn from_text(file: &str, text: &str) -> Result<Self, TraceError> {
        let mut timeline = Timeline::default();
        let mut steps: Vec<(u64, f64)> = Vec::new();
        for (line, row) in (1..).zip(bare(text).lines()) {
            let place = |field| Place { file, line, field };
            let fields: Vec<&str> = row.split_whitespace().collect();
            let [time, bandwidth] = fields[..] else {
                if fields.is_empty() {
                    continue;
                }
                let problem = format!("{} fields; write two, time_s and mbit_s", fields.len());
                return Err(place("row").error(problem));
            };
            if stamp::seconds(time).is_none() {
                let problem = format!("`{}` is no time; write seconds", short(time));
                return Err(place("time_s").error(problem));
            }
            let from_ns = timeline.add(place("time_s"), time)?.offset_ns;
            let mbit_s = place("mbit_s").number(bandwidth)?;
            match steps.last_mut() {
                Some(last) if last.0 == from_ns => last.1 = mbit_s,
                _ => steps.push((from_ns, mbit_s)),
            }
        }
        let period_ns = match steps[..] {
            [] => return Err(empty(file, "time_s")),
            [_] => 1_000_000_000,
            [.., (before_ns, _), (last_ns, _)] => last_ns + (last_ns - before_ns),
        };
        if steps.iter().all(|(_, mbit_s)| *mbit_s == 0.0) {
            let problem = "the bandwidth is zero throughout; nothing would ever arrive, give a sample above";
            return Err(timeline.last_place(file, "mbit_s").error(problem));
        }
        Ok(BandwidthTrace { steps, period_ns, notes: timeline.notes("samples", period_ns) })
    }
}

impl Later for BandwidthTrace {
    /// It goes round, so that there is always something left.
    fn later(mut self, from_ns: u64) -> Option<Self> {
        if self.steps.len() == 1 {
            return Some(self);
        }
        let from_ns = from_ns % self.period_ns;
        let first = self.steps.partition_point(|step| step.0 <= from_ns) - 1;
        let cut = self.steps[first];
        self.steps.rotate_left(first);
        for step in &mut self.steps {
            step.0 = (step.0 + self.period_ns - from_ns) % self.period_ns;
        }
        self.steps[0].0 = 0;
        // The step that is cut in two begins again at the end of the round.
        if cut.0 < from_ns {
            self.steps.push((cut.0 + self.period_ns - from_ns, cut.1));
        }
        Some(self)
    }
}
