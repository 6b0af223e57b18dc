//! What is played, as a document.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Deserialize;
use splitscale_policy::{Bounds, ShellConfig};
use splitscale_sim::{ArrivalTimes, Arrivals, SimTime};
use splitscale_spec::{Invalid, Pipeline, PipelineConfig, Replicas, at_least_one, check_schema, positive};

use crate::cli::{Cli, Command, EngineName, Serve};
use crate::files;
use crate::servers::{self, Local};

/// Most transfer slots that a proxy takes.
const SLOTS_MAX: u32 = 1024;
/// The longest contest, and the longest of its times \[s\].
const LONGEST_S: f64 = 1e6;

/// A contest as it is written down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    #[serde(default = "one")]
    seed: u64,
    phases: Vec<Phase>,
    arrivals: Arrivals,
    pods: Replicas,
    timeout_s: f64,
    #[serde(default = "interval_s")]
    interval_s: f64,
    #[serde(default = "window_s")]
    window_s: f64,
    #[serde(default)]
    together: bool,
    servers: Words,
    pipeline: PipelineConfig,
    #[serde(default)]
    shells: BTreeMap<String, ShellConfig>,
}

/// Words of the three servers, behind `serve a`, `serve proxy` and `serve b`, with blanks between.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Words {
    a: String,
    proxy: String,
    b: String,
}

/// A stretch of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Transfer slots: few are heavy traffic.
    pub slots: u32,
    /// How long \[s\].
    pub seconds: f64,
}

/// A contest that was checked.
#[derive(Debug)]
pub struct Plan {
    /// Traffic, one stretch after the other.
    pub phases: Vec<Phase>,
    /// When each request is due, from the start; before the end of the last phase.
    pub times: Vec<Duration>,
    /// How long a client waits for its answer.
    pub timeout: Duration,
    /// Time between two decisions \[s\].
    pub interval_s: f64,
    /// The window that each looks at \[s\].
    pub window_s: f64,
    /// Whether all pipelines are there at the same time.
    pub together: bool,
    /// Words of the servers of each pipeline.
    pub servers: Local,
    /// What `scale` is to know of each.
    pub pipeline: Pipeline,
    /// What holds a policy back, by its name.
    pub shells: BTreeMap<String, ShellConfig>,
}

// === impl Plan ===

impl Plan {
    /// The schema this build reads.
    pub const SCHEMA: u32 = 1;

    /// Reads and checks one for so many policies.
    pub fn read(path: &Path, policies: usize) -> Result<Self> {
        let mut document: Document = files::read_toml(path)?;
        let unusable = || format!("{} cannot be used", path.display());
        check_schema("contest", document.schema, Self::SCHEMA).with_context(unusable)?;
        // Traces are named beside the document.
        let folder = path.parent().unwrap_or(Path::new(""));
        document.arrivals.load::<anyhow::Error>(&mut |file| files::read(&folder.join(file)))?;
        document.check(policies).with_context(unusable)
    }

    /// From the start to the end of the last phase.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.phases.iter().map(|phase| phase.seconds).sum())
    }
}

// === impl Document ===

impl Document {
    fn check(self, policies: usize) -> Result<Plan, Invalid> {
        if self.phases.is_empty() {
            return Err(Invalid::new("phases", "empty; a contest has at least one"));
        }
        for (at, phase) in self.phases.iter().enumerate() {
            at_least_one(&format!("phases[{at}].slots"), phase.slots)?;
            if phase.slots > SLOTS_MAX {
                let problem = format!("{} is more than the {SLOTS_MAX} that a proxy takes", phase.slots);
                return Err(Invalid::new(format!("phases[{at}].slots"), problem));
            }
            duration(&format!("phases[{at}].seconds"), phase.seconds)?;
        }
        let length_s: f64 = self.phases.iter().map(|phase| phase.seconds).sum();
        duration("phases", length_s)?;
        duration("timeout_s", self.timeout_s)?;
        duration("interval_s", self.interval_s)?;
        duration("window_s", self.window_s)?;
        let pipeline = self.pipeline.validate().map_err(|wrong| within("pipeline", wrong))?;
        let bounds = Bounds::from(&pipeline);
        if bounds.clamp(self.pods) != self.pods {
            let Replicas { a, b } = self.pods;
            return Err(Invalid::new("pods", format!("a {a}, b {b} are out of the pipeline's bounds")));
        }
        for (name, shell) in &self.shells {
            shell.validate(&bounds).map_err(|wrong| within(&format!("shells.{name}"), wrong))?;
        }
        let times: Vec<Duration> = ArrivalTimes::of(&self.arrivals, self.seed)?
            .map(|at: SimTime| Duration::from_nanos(at.as_nanos()))
            .take_while(|at| at.as_secs_f64() < length_s)
            .collect();
        if times.is_empty() {
            return Err(Invalid::new("arrivals", format!("none within the {length_s} s of all phases")));
        }
        let servers = self.servers.of(self.pods, self.phases[0].slots);
        let emulated = emulated(&servers, bounds.pods_max)?;
        if self.together && policies > 1 && !emulated {
            let problem = "pipelines that compute would take each other's cores; give both stages --engine emulated, or say false";
            return Err(Invalid::new("together", problem));
        }
        Ok(Plan {
            phases: self.phases,
            times,
            timeout: Duration::from_secs_f64(self.timeout_s),
            interval_s: self.interval_s,
            window_s: self.window_s,
            together: self.together,
            servers,
            pipeline,
            shells: self.shells,
        })
    }
}

impl Words {
    /// With what a contest says itself.
    fn of(&self, pods: Replicas, slots: u32) -> Local {
        let words = |own: &str, flag: &str, value: u32| -> Vec<String> {
            own.split_whitespace().map(String::from).chain([flag.into(), value.to_string()]).collect()
        };
        Local {
            a: words(&self.a, "--pods", pods.a),
            proxy: words(&self.proxy, "--threads", slots),
            b: words(&self.b, "--pods", pods.b),
        }
    }
}

/// Whether neither stage computes; what a server would not take, or too few pods for the bounds, is told by its field.
fn emulated(servers: &Local, most: Replicas) -> Result<bool, Invalid> {
    let mut emulated = true;
    for (name, words) in [("a", &servers.a), ("proxy", &servers.proxy), ("b", &servers.b)] {
        let field = format!("servers.{name}");
        let line = ["splitscale", "serve", name].into_iter().chain(words.iter().map(String::as_str));
        let cli = Cli::try_parse_from(line.chain(servers::OWN_WORDS)).map_err(|error| {
            let words = error.to_string();
            Invalid::new(&field, words.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        let (pods, most) = match cli.command {
            Command::Serve(Serve::A(stage)) => (stage.pods, most.a),
            Command::Serve(Serve::B(stage)) => (stage.pods, most.b),
            _ => continue,
        };
        if pods.pods_max < most {
            let problem =
                format!("--pods-max {} is below the {most} of pipeline.{name}.pods_max", pods.pods_max);
            return Err(Invalid::new(field, problem));
        }
        emulated &= pods.engine.engine == EngineName::Emulated;
    }
    Ok(emulated)
}

/// A time that a clock can hold and a loop can keep.
fn duration(field: &str, seconds: f64) -> Result<(), Invalid> {
    positive(field, seconds)?;
    if (0.01..=LONGEST_S).contains(&seconds) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{seconds} is not 0.01 to {LONGEST_S} s")))
}

fn within(table: &str, wrong: Invalid) -> Invalid {
    Invalid::new(format!("{table}.{}", wrong.field), wrong.problem)
}

fn one() -> u64 {
    1
}

fn interval_s() -> f64 {
    1.0
}

fn window_s() -> f64 {
    5.0
}
