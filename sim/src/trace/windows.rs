//! Rate, coefficient of variation and family of the gaps, a window.

use super::notes::Notes;
use super::rows::Rows;
use super::timeline::Timeline;
use super::{Later, Place, TraceError, bare, empty, short};

/// How requests arrived, window after window.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    /// In the order of time, without a gap between.
    pub windows: Vec<Window>,
    /// What was read.
    pub notes: Notes,
}

/// A time over which arrivals follow one law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// How long it lasts \[ns\].
    pub duration_ns: u64,
    /// Mean arrivals a second \[1/s\]; zero in an idle window, above zero in any other.
    pub rate_per_s: f64,
    /// Coefficient of variation of the gaps between arrivals, above zero; 1 of exponential gaps and in an
    /// idle window.
    pub cv: f64,
    /// Their law.
    pub family: Family,
}

/// The law of the gaps between arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// No arrivals, whatever family the row names.
    Idle,
    /// Exponential: a Poisson stream.
    Exponential,
    /// Gamma.
    Gamma,
    /// Weibull.
    Weibull,
}

const COLUMNS: [&str; 4] = ["window start", "rate", "cv", "family"];

impl Windows {
    /// Reads a CSV `window_start_s,rate_rps,cv,family,par1,par2` as of ServeGen (Xiang et al. 2025), usually
    /// without a header; the family is Gamma, Weibull or Exponential, or empty in an idle window. A window
    /// lasts until the next begins, the last as long as the one before it. par1 and par2 are a fit to the
    /// same gaps and are not read: the rate and the CV are what was measured, and the fit misses the measured
    /// mean in many windows.
    ///
    /// # Errors
    /// Fewer than two rows, times as in [`super::Stamps::from_csv`], a start that comes twice, a rate that is
    /// negative or not finite, in a window with arrivals a CV that is not above zero or an unknown family, no
    /// arrival at all.
    pub fn from_csv(file: &str, text: &str) -> Result<Self, TraceError> {
        let mut rows = Rows::new(file, text)?;
        let [start, rate, cv, family] = std::array::from_fn(|i| rows.name(i, COLUMNS[i]));
        let mut timeline = Timeline::default();
        let mut windows: Vec<Window> = Vec::new();
        while rows.step()? {
            let step = timeline.add_later(rows.place(&start), rows.cell(0, &start)?)?;
            if let (Some(before), Some(gap_ns)) = (windows.last_mut(), step.gap_ns) {
                before.duration_ns = gap_ns;
            }
            let rate_per_s = rows.place(&rate).number(rows.cell(1, &rate)?)?;
            let family = match rate_per_s {
                0.0 => Family::Idle,
                _ => law(rows.place(&family), rows.optional(3))?,
            };
            let cv = match family {
                Family::Idle | Family::Exponential => 1.0,
                Family::Gamma | Family::Weibull => above_zero(rows.place(&cv), rows.cell(2, &cv)?)?,
            };
            windows.push(Window { duration_ns: 0, rate_per_s, cv, family });
        }
        Self::new(windows, &timeline, (file, &start, &rate))
    }

    /// Reads lines of two numbers with TABs or spaces between: the time \[s\], and the arrivals a second of the
    /// Poisson stream from there on. A window lasts until the next begins, the last as long as the one before it.
    ///
    /// # Errors
    /// Fewer than two lines, a line that is not two numbers, times as in [`super::Stamps::from_csv`], one that
    /// comes twice, a rate that is negative or not finite, no arrival at all.
    pub fn from_text(file: &str, text: &str) -> Result<Self, TraceError> {
        let (start, rate) = ("time_s", "rate_per_s");
        let mut timeline = Timeline::default();
        let mut windows: Vec<Window> = Vec::new();
        for (line, row) in (1..).zip(bare(text).lines()) {
            let place = |field| Place { file, line, field };
            let fields: Vec<&str> = row.split_whitespace().collect();
            let [time, per_s] = fields[..] else {
                if fields.is_empty() {
                    continue;
                }
                let problem = format!("{} fields; write two, {start} and {rate}", fields.len());
                return Err(place("row").error(problem));
            };
            let step = timeline.add_later(place(start), time)?;
            if let (Some(before), Some(gap_ns)) = (windows.last_mut(), step.gap_ns) {
                before.duration_ns = gap_ns;
            }
            let rate_per_s = place(rate).number(per_s)?;
            let family = if rate_per_s > 0.0 { Family::Exponential } else { Family::Idle };
            windows.push(Window { duration_ns: 0, rate_per_s, cv: 1.0, family });
        }
        Self::new(windows, &timeline, (file, start, rate))
    }

    /// Of windows whose last is not ended yet.
    fn new(
        mut windows: Vec<Window>,
        timeline: &Timeline,
        (file, start, rate): (&str, &str, &str),
    ) -> Result<Self, TraceError> {
        match windows.as_mut_slice() {
            [] => return Err(empty(file, start)),
            [_] => {
                let problem = "one row does not say how long its window lasts; give at least two";
                return Err(timeline.last_place(file, start).error(problem));
            }
            [.., before, last] => last.duration_ns = before.duration_ns,
        }
        if windows.iter().all(|window| window.family == Family::Idle) {
            let problem = "every window is idle; give a trace with arrivals";
            return Err(timeline.last_place(file, rate).error(problem));
        }
        let span_ns = windows.iter().map(|window| window.duration_ns).sum();
        Ok(Windows { windows, notes: timeline.notes("windows", span_ns) })
    }
}

fn law(place: Place<'_>, name: &str) -> Result<Family, TraceError> {
    match name {
        "Exponential" => Ok(Family::Exponential),
        "Gamma" => Ok(Family::Gamma),
        "Weibull" => Ok(Family::Weibull),
        _ => {
            let problem = "is no family of a window with arrivals; write Exponential, Gamma or Weibull";
            Err(place.error(format!("`{}` {problem}", short(name))))
        }
    }
}

fn above_zero(place: Place<'_>, cell: &str) -> Result<f64, TraceError> {
    match place.number(cell)? {
        0.0 => Err(place.error("zero, but the window has arrivals; give the CV of their gaps")),
        cv => Ok(cv),
    }
}

impl Later for Windows {
    fn later(mut self, from_ns: u64) -> Option<Self> {
        let mut left_ns = from_ns;
        self.windows.retain_mut(|window| {
            let gone_ns = left_ns.min(window.duration_ns);
            left_ns -= gone_ns;
            window.duration_ns -= gone_ns;
            window.duration_ns > 0
        });
        self.windows.iter().any(|window| window.rate_per_s > 0.0).then_some(self)
    }
}
