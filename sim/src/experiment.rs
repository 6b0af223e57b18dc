//! An experiment as a TOML document: a setup, what of it is swept, and how often each point is run.
//!
//! ```toml
//! schema = 1
//! name = "slots-x-pods"
//! title = "what it shows, in one line"
//! seed = 1
//! replications = 200               # or stop = { relative_half_width = 0.01, maximum = 1000 }
//! slo_s = 2.0                      # optional: count the answers within it
//! calibration = "calibration.json" # optional: what was measured stands where the setup says nothing
//!
//! [setup]                          # a Setup, and pods_change = [{ at_s = 10.0, a = 4, b = 4 }]
//!
//! [[sweep]]                        # axes; the points are their product, the first the slowest
//! fields = ["a.pods", "b.pods"]    # below setup, or seed; several get the same value
//! values = [2, 4, 8]
//!
//! [[sweep]]                        # an axis of named cases
//! name = "cut"
//! cases = [{ label = "layer3", set = { "link.slots" = 2, "a.service.exponential.mean_s" = 1.1 } }]
//! ```
//!
//! All points share the seed, and with it the demands of every request and its arrival (common random numbers).

mod axis;
mod hash;
mod point;

use std::collections::BTreeMap;

use serde::Deserialize;
use splitscale_spec::{Calibration, Invalid, Laws, ServiceLaw, check_schema, positive};
use toml::{Table, Value};

use crate::analysis::Stopping;
use crate::error::SimError;
use crate::recorded::TextOf;
use crate::setup::{Setup, node_of, whole_link};
use crate::trace::TraceError;
use axis::{Axis, Sweep};
use hash::Fnv1a;
pub use point::{PodsStep, Point, Steps};

/// An experiment that was read; [`plan`](Experiment::plan) makes its points.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// A short name, for the output.
    pub name: String,
    /// What it shows, in one line.
    pub title: String,
    /// How often each point is run.
    pub replications: Replications,
    /// Answers within this are good ones \[s\].
    pub slo_s: Option<f64>,
    seed: u64,
    calibration: Option<String>,
    setup: Table,
    axes: Vec<Axis>,
    /// The document as it was written, for the hash and for the lines of errors.
    document: Table,
    file: String,
    text: String,
}

/// How often a point is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Replications {
    /// So often.
    Fixed(u32),
    /// Until the mean latency is known well enough.
    Until(Stop),
}

/// When there are enough replications: when the half-width of the mean latency is small against it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Relative error of the mean latency; see [`Stopping`].
    pub relative_half_width: f64,
    /// Confidence of the interval.
    #[serde(default = "usual_confidence")]
    pub confidence: f64,
    /// Fewest replications.
    #[serde(default = "usual_minimum")]
    pub minimum: u32,
    /// Most replications, whatever the interval.
    pub maximum: u32,
}

/// Every point of an experiment, its files read and its fields checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names of the axes.
    pub axes: Vec<String>,
    /// The points, the first axis the slowest.
    pub points: Vec<Point>,
    /// FNV-1a over the experiment and all files it reads, 16 hexadecimal digits: it follows the content, not
    /// spaces, comments or the order of keys.
    pub hash: String,
}

/// What is wrong with an experiment.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{file}{}: {field}: {problem}", line.map_or(String::new(), |line| format!(":{line}")))]
pub struct ExperimentError {
    /// Name of the file.
    pub file: String,
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, by its path.
    pub field: String,
    /// What is wrong and what to do, lower case.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "schema")]
    _schema: u32,
    name: String,
    title: String,
    seed: u64,
    replications: Option<u32>,
    stop: Option<Stop>,
    slo_s: Option<f64>,
    calibration: Option<String>,
    setup: Table,
    #[serde(default)]
    sweep: Vec<Sweep>,
}

/// The document again, to learn the line of what is wrong in a setup.
#[derive(Deserialize)]
struct WithSetup {
    #[serde(rename = "setup")]
    _setup: Setup,
}

/// Most points of one experiment.
const MAX_POINTS: usize = 100_000;

// === impl Experiment ===

impl Experiment {
    /// Reads a document. `file` is its name, for errors.
    ///
    /// # Errors
    /// The first key that is unknown, missing or of another type, by its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, ExperimentError> {
        let at = |error: &toml::de::Error| error.span().map(|span| line_of(text, span.start));
        let whole = |error: toml::de::Error| {
            let (line, problem) = (at(&error), error.message().to_owned());
            ExperimentError { file: file.into(), line, field: "experiment".into(), problem }
        };
        let document: Table = text.parse().map_err(whole)?;
        if let Some(schema) = document.get("schema").and_then(Value::as_integer) {
            let schema = u32::try_from(schema).unwrap_or(u32::MAX);
            check_schema("experiment", schema, 1).map_err(|invalid| named(file, invalid))?;
        }
        let parsed: Document = toml::from_str(text).map_err(whole)?;
        let replications = replications(&parsed).map_err(|invalid| named(file, invalid))?;
        let axes = parsed.sweep.into_iter().enumerate().map(|(i, sweep)| Axis::of(i, sweep));
        let axes = axes.collect::<Result<Vec<_>, _>>().map_err(|invalid| named(file, invalid))?;
        axis::disjoint(&axes).map_err(|invalid| named(file, invalid))?;
        if parsed.name.contains(['/', '\\']) || parsed.name.starts_with('.') || parsed.name.is_empty() {
            let problem =
                format!("`{}` cannot name a file; leave slashes and leading dots away", parsed.name);
            return Err(named(file, Invalid::new("name", problem)));
        }
        Ok(Experiment {
            name: parsed.name,
            title: parsed.title,
            replications,
            slo_s: parsed.slo_s,
            seed: parsed.seed,
            calibration: parsed.calibration,
            setup: parsed.setup,
            axes,
            document,
            file: file.into(),
            text: text.into(),
        })
    }

    /// Puts another value into a field below `setup`, into `seed` or into `replications`: a value as TOML
    /// writes it, or else a string.
    ///
    /// # Errors
    /// A path that leads through something that holds no fields, or that is swept.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), ExperimentError> {
        if let Some(axis) = self.axes.iter().find(|axis| axis.sets(path)) {
            let problem = format!("swept on axis `{}`; change its values in the file", axis.name);
            return Err(named(&self.file, Invalid::new(path, problem)));
        }
        let typed = format!("value = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("value"));
        let value = typed.unwrap_or_else(|| Value::String(value.to_owned()));
        let done = match path {
            "seed" => seed_of(&value).map(|seed| self.seed = seed),
            "replications" => replications_of(&value).map(|n| self.replications = Replications::Fixed(n)),
            _ => axis::put(&mut self.setup, path, value.clone()),
        };
        done.map_err(|invalid| named(&self.file, invalid))?;
        if path == "replications" {
            self.document.remove("stop");
            self.document.insert(path.into(), value);
        }
        self.document.insert("seed".into(), Value::Integer(self.seed as i64));
        self.document.insert("setup".into(), Value::Table(self.setup.clone()));
        Ok(())
    }

    /// Makes every point: overrides its fields, reads the files it names and checks it. `text_of` gives the
    /// text of a file, by the name the experiment gives it; each is read once.
    ///
    /// # Errors
    /// What `text_of` says, what is wrong in a file, or a field of the experiment or of a point.
    pub fn plan<E>(&self, text_of: TextOf<E>) -> Result<Plan, E>
    where
        E: From<ExperimentError> + From<TraceError>,
    {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let mut text_of = |name: &str| match texts.get(name) {
            Some(text) => Ok(text.clone()),
            None => text_of(name).inspect(|text| drop(texts.insert(name.to_owned(), text.clone()))),
        };
        let mut base = self.setup.clone();
        if let Some(name) = &self.calibration {
            let text = text_of(name)?;
            let laws = laws(&text).map_err(|problem| self.error(format!("calibration: {name}"), problem))?;
            fill(&mut base, &laws, &self.axes).map_err(|invalid| named(&self.file, invalid))?;
        }
        let count = self.axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.len()));
        let Some(count) = count.filter(|&count| count <= MAX_POINTS) else {
            let problem = format!("more than {MAX_POINTS} points; sweep over less");
            return Err(self.error("sweep", problem).into());
        };
        let mut points: Vec<Point> = Vec::with_capacity(count);
        for index in 0..count {
            let mut point = self.point(&base, index, count)?;
            point.share_traces(points.last());
            point.setup.load(&mut text_of)?;
            point.check().map_err(|error| self.point_error(&point.labels, &error))?;
            point.setup.slo_s = point.setup.slo_s.or(self.slo_s);
            points.push(point);
        }
        let mut hash = Fnv1a::new();
        hash.text(&serde_json::to_string(&self.document).unwrap_or_default());
        for (name, text) in &texts {
            hash.text(name);
            hash.text(text);
        }
        let axes = self.axes.iter().map(|axis| axis.name.clone()).collect();
        Ok(Plan { axes, points, hash: hash.value() })
    }

    /// One point, its traces not read yet.
    fn point(&self, base: &Table, index: usize, count: usize) -> Result<Point, ExperimentError> {
        let (mut setup, mut seed, mut labels) = (base.clone(), self.seed, Vec::new());
        let mut block = count;
        for axis in &self.axes {
            block /= axis.len();
            let (label, sets) = axis.case(index / block % axis.len());
            for (path, value) in sets {
                let done = if *path == "seed" {
                    seed_of(value).map(|value| seed = value)
                } else {
                    axis::put(&mut setup, path, (*value).clone())
                };
                done.map_err(|invalid| {
                    named(&self.file, Invalid::new(format!("sweep `{}`", axis.name), invalid.to_string()))
                })?;
            }
            labels.push((axis.name.clone(), label));
        }
        Point::of(index, labels.clone(), setup, seed).map_err(|error| {
            let told = self.point_error(&labels, &error);
            // The same mistake in the text itself has a line, and is no matter of the sweep.
            let typed = toml::from_str::<WithSetup>(&self.text).err();
            match typed.filter(|typed| told.problem.starts_with(typed.message())).and_then(|t| t.span()) {
                Some(span) => {
                    let line = Some(line_of(&self.text, span.start));
                    ExperimentError { line, ..self.point_error(&[], &error) }
                }
                None => told,
            }
        })
    }

    /// Names the point, and with it the axis, where there is more than one.
    fn point_error(&self, labels: &[(String, String)], error: &SimError) -> ExperimentError {
        let at: Vec<String> = labels.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
        let place = if at.is_empty() { String::new() } else { format!(" (where {})", at.join(", ")) };
        match error {
            SimError::Invalid(invalid) => {
                let field = format!("setup.{}", invalid.field);
                self.error(format!("{}{place}", field.trim_end_matches('.')), invalid.problem.clone())
            }
            other => self.error(format!("setup{place}"), other.to_string()),
        }
    }

    fn error(&self, field: impl Into<String>, problem: impl Into<String>) -> ExperimentError {
        named(&self.file, Invalid::new(field, problem))
    }
}

impl From<TraceError> for ExperimentError {
    fn from(error: TraceError) -> Self {
        let TraceError { file, line, field, problem } = error;
        ExperimentError { file, line: Some(line as usize), field, problem }
    }
}

fn named(file: &str, invalid: Invalid) -> ExperimentError {
    ExperimentError { file: file.into(), line: None, field: invalid.field, problem: invalid.problem }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

fn seed_of(value: &Value) -> Result<u64, Invalid> {
    let seed = value.as_integer().and_then(|seed| u64::try_from(seed).ok());
    seed.ok_or_else(|| Invalid::new("seed", format!("{value} is not a whole number of zero or more")))
}

fn replications_of(value: &Value) -> Result<u32, Invalid> {
    let replications = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
    replications
        .ok_or_else(|| Invalid::new("replications", format!("{value} is not a whole number above zero")))
}

fn replications(document: &Document) -> Result<Replications, Invalid> {
    if let Some(slo_s) = document.slo_s {
        positive("slo_s", slo_s)?;
    }
    match (document.replications, document.stop) {
        (Some(0), None) => Err(Invalid::new("replications", "zero; a point is run at least once")),
        (Some(replications), None) => Ok(Replications::Fixed(replications)),
        (None, Some(stop)) => {
            let in_stop = |invalid: Invalid| Invalid::new(format!("stop.{}", invalid.field), invalid.problem);
            stop.rule().map_err(in_stop)?;
            if stop.maximum < stop.minimum {
                let problem = format!("{} is below minimum {}", stop.maximum, stop.minimum);
                return Err(Invalid::new("stop.maximum", problem));
            }
            Ok(Replications::Until(stop))
        }
        (Some(_), Some(_)) => Err(Invalid::new("stop", "set beside replications; say one of the two")),
        (None, None) => {
            let problem = "missing, and so is stop; say how often a point is run, such as replications = 100";
            Err(Invalid::new("replications", problem))
        }
    }
}

/// The laws of a calibration.
fn laws(text: &str) -> Result<Laws, String> {
    let calibration: Calibration = serde_json::from_str(text).map_err(|error| error.to_string())?;
    calibration.validate().map_err(|invalid| invalid.to_string())?;
    calibration.laws.ok_or_else(|| "has no laws; calibrate with --records".into())
}

/// Puts what was measured where the setup says nothing.
fn fill(setup: &mut Table, laws: &Laws, axes: &[Axis]) -> Result<(), Invalid> {
    let value = |path: &str, law: &ServiceLaw| {
        Value::try_from(law).map_err(|error| Invalid::new(path, error.to_string()))
    };
    let says = |setup: &Table, path: &str| axis::get(setup, path).is_some();
    let put = |setup: &mut Table, holds: &str, path: &str, value: Value| match says(setup, holds) {
        false => axis::put(setup, path, value),
        true => Ok(()),
    };
    let slot = laws.slot.filter(|slot| slot.shared);
    if let Some((mbit_s, rtt_s)) = slot.map(|slot| whole_link(laws, &slot)) {
        let bandwidth = Table::from_iter([("whole_mbit_s".to_string(), mbit_s.into())]);
        let bytes = Table::from_iter([
            ("bandwidth".to_string(), Value::from(bandwidth)),
            ("rtt_s".to_string(), rtt_s.into()),
        ]);
        put(setup, "link.transfer", "link.transfer.bytes", bytes.into())?;
    }
    for (path, holds, law) in [
        ("a.service", "a.service", &laws.service_a),
        ("link.transfer.law", "link.transfer", &laws.transfer),
        ("b.service", "b.service", &laws.service_b),
        ("overhead", "overhead", &laws.overhead),
    ] {
        put(setup, holds, path, value(path, law)?)?;
    }
    for (stage, cores, start_up) in
        [("a", laws.cores_a, &laws.start_up_a), ("b", laws.cores_b, &laws.start_up_b)]
    {
        // One of the two alone would mean something else, and so would a node of each stage's own where it is one.
        let node = [format!("{stage}.cores"), format!("{stage}.cpu_share")];
        if let Some((cores, share)) = cores.map(node_of)
            && node.iter().all(|path| !says(setup, path) && !axes.iter().any(|axis| axis.sets(path)))
            && axis::get(setup, "one_node").and_then(Value::as_bool) != Some(true)
        {
            axis::put(setup, &node[0], i64::from(cores).into())?;
            axis::put(setup, &node[1], share.into())?;
        }
        if let Some(law) = start_up {
            let path = format!("{stage}.start_up");
            put(setup, &path, &path, value(&path, law)?)?;
        }
    }
    if let Some(slot) = laws.slot {
        let bytes = Table::from_iter([("bytes".to_string(), Value::from(slot.bytes.round() as i64))]);
        put(setup, "link.payload", "link.payload", bytes.into())?;
        let path = "link.release_after_transfer";
        put(setup, path, path, (!slot.held_until_answer).into())?;
    }
    Ok(())
}

fn usual_confidence() -> f64 {
    0.95
}

fn usual_minimum() -> u32 {
    10
}

// === impl Stop ===

impl Stop {
    /// The rule, before the first replication.
    ///
    /// # Errors
    /// As [`Stopping::new`].
    pub fn rule(&self) -> Result<Stopping, Invalid> {
        Stopping::new(self.relative_half_width, self.confidence, self.minimum.into())
    }
}
