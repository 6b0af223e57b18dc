//! [`Scaling`] as it is written down: experiments, whose points are the scenarios, and what is asked on them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use splitscale_policy::document_hash;
use splitscale_sim::trace::TraceError;
use splitscale_sim::{Experiment, ExperimentError, SimError, TextOf};
use splitscale_spec::Invalid;

use crate::scaling::{Scaling, ScalingConfig};

/// A problem and the files it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingProblem {
    /// Experiments of the simulator: every point of each is a scenario. Names are relative to the file that names them.
    pub experiments: Vec<String>,
    /// What is asked.
    pub problem: ScalingConfig,
}

impl ScalingProblem {
    /// The environment, and a hash of everything that it was made of. `text_of` gives the text of a file.
    ///
    /// Horizon, seed and promise of an experiment are not used: the problem has its own.
    ///
    /// # Errors
    /// What `text_of` says, what is wrong in a file, a field out of range, pods that an experiment changes by itself.
    pub fn build<E>(&self, text_of: TextOf<E>) -> Result<(Scaling, String), E>
    where
        E: From<ExperimentError> + From<TraceError> + From<SimError>,
    {
        let (mut setups, mut hashes) = (Vec::new(), Vec::new());
        for file in &self.experiments {
            let experiment = Experiment::parse(file, &text_of(file)?)?;
            let folder = Path::new(file).parent().unwrap_or(Path::new(""));
            let plan = experiment.plan(&mut |name| text_of(&folder.join(name).to_string_lossy()))?;
            for point in plan.points {
                let axes = point.labels.iter().map(|(axis, value)| format!(" {axis}={value}"));
                let name = experiment.name.clone() + &axes.collect::<String>();
                if !point.pods_change.is_empty() {
                    let problem = "whoever plays changes the pods; leave it away";
                    return Err(SimError::from(Invalid::new(format!("{file}: pods_change"), problem)).into());
                }
                if setups.iter().any(|(known, _)| *known == name) {
                    let problem = format!("`{name}` is there twice; give the experiments different names");
                    return Err(SimError::from(Invalid::new(format!("{file}: name"), problem)).into());
                }
                setups.push((name, point.setup));
            }
            hashes.push(plan.hash);
        }
        let hash = document_hash(&(self, hashes));
        Ok((Scaling::new(self.problem.clone(), setups)?, hash))
    }
}
