//! `run.json` of a measurement: what was measured, on what, when.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use splitscale_serving::client::PipelineState;

use crate::cli::Grid;
use crate::commands::Machine;

/// What stands beside the rows of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Schema number.
    pub schema: u32,
    /// When it began, in UTC.
    pub date: String,
    /// The machine that sent.
    pub host: String,
    /// Engines of A and of B.
    pub engine: String,
    /// Where the network was cut.
    pub cut: String,
    /// Shares of a core that pods of A and of B compute with.
    pub cpu_share: [f64; 2],
    /// CPU time \[s\] that requests are rated at there, if they are.
    #[serde(default)]
    pub rated_cpu_s: [Option<f64>; 2],
    /// What was measured.
    pub grid: Grid,
    /// Seed of the order.
    pub seed: u64,
    /// Version of splitscale, and the commit it was built from.
    pub splitscale: String,
}

impl Measurement {
    /// The schema this build reads and writes.
    pub const SCHEMA: u32 = 1;

    /// One that begins now.
    pub fn begin(state: &PipelineState, grid: &Grid, seed: u64) -> Self {
        Measurement {
            schema: Self::SCHEMA,
            date: now(),
            host: Machine::here().to_string(),
            engine: match state.a.engine == state.b.engine {
                true => state.a.engine.clone(),
                false => format!("{} and {}", state.a.engine, state.b.engine),
            },
            cut: state.a.cut.clone(),
            cpu_share: [state.a.cpu_share, state.b.cpu_share],
            rated_cpu_s: [state.a.rated_cpu_s, state.b.rated_cpu_s],
            grid: grid.clone(),
            seed,
            splitscale: version(),
        }
    }

    /// Refuses to go on with `other` where it is another measurement; the machine, the day and the version may differ.
    pub fn same(&self, other: &Measurement) -> Result<()> {
        let told = |m: &Measurement| {
            [
                ("slots", format!("{:?}", m.grid.slots)),
                ("pods", format!("{:?}", m.grid.pods)),
                ("burst", m.grid.burst.to_string()),
                ("repeats", m.grid.repeats.to_string()),
                ("seed", m.seed.to_string()),
                ("engine", m.engine.clone()),
                ("cut", m.cut.clone()),
                ("cpu_share", format!("{:?}", m.cpu_share)),
                ("rated_cpu_s", format!("{:?}", m.rated_cpu_s)),
            ]
        };
        for ((field, begun), (_, asked)) in told(self).into_iter().zip(told(other)) {
            if begun != asked {
                bail!(
                    "{field}: the measurement was begun with {begun}, and is to go on with {asked}; give it what it was begun with, or name a new folder"
                );
            }
        }
        Ok(())
    }
}

/// The time in UTC, to the second.
pub fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Version of splitscale and the commit it was built from.
pub fn version() -> String {
    format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("SPLITSCALE_COMMIT"))
}
