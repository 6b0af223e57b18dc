//! `summary.json`: what a demo found, for scripts.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use serde::Serialize;
use splitscale_spec::{RequestRecord, Status};

/// Everything a script may want to know of a demo.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Measured against simulated makespans, by slots and pods.
    pub cells: Vec<Cell>,
    /// Learnt pods by slots.
    pub policy: BTreeMap<u32, u32>,
    /// Best pods by slots.
    pub optimum: BTreeMap<u32, u32>,
    /// (J - J*) / |J*| of the learnt policy.
    pub regret: f64,
    /// Decisions that took pods away from the live pipeline.
    pub scale_downs: u32,
    /// Decisions that gave it pods.
    pub scale_ups: u32,
    /// Requests of the live phase.
    pub requests: Requests,
    /// Seed of everything that was drawn.
    pub seed: u64,
    /// What it ran on and was built from.
    pub machine: Machine,
    /// Versions of what took part.
    pub versions: BTreeMap<&'static str, String>,
    /// Wall time of each step \[s\].
    pub seconds: BTreeMap<&'static str, f64>,
}

/// One cell of the grid.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Transfer slots.
    pub slots: u32,
    /// Pods of A and of B.
    pub pods: u32,
    /// Mean measured makespan \[s\].
    pub measured_s: f64,
    /// Mean simulated makespan \[s\].
    pub simulated_s: f64,
    /// Whether the laws were fitted without it.
    pub held_out: bool,
}

/// How requests ended.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// All.
    pub sent: u32,
    /// With a result.
    pub answered: u32,
    /// Turned away.
    pub refused: u32,
    /// With an error.
    pub failed: u32,
    /// Without any answer.
    pub lost: u32,
}

/// The machine, as far as it says.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores this program may use.
    pub cores: usize,
    /// Operating system and architecture.
    pub os: String,
}

impl Requests {
    /// Counts one.
    pub fn count(&mut self, record: &RequestRecord) {
        self.sent += 1;
        *match record.status {
            Status::Answered => &mut self.answered,
            // A closed loop drops nothing.
            Status::Refused | Status::Dropped => &mut self.refused,
            Status::Failed => &mut self.failed,
            Status::Lost => &mut self.lost,
        } += 1;
    }
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Machine {
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_string(),
            cores: available_parallelism().map_or(0, usize::from),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} cores, {}", self.cpu, self.cores, self.os)
    }
}
