//! Many runs on several threads.

use std::thread;

use crate::error::SimError;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::setup::Setup;
use crate::simulation::Simulation;

/// Runs replications 0 to `replications - 1` to their ends, in that order in the answer. The bytes are the
/// same for any number of threads: a replication is a stream of its own.
///
/// # Errors
/// As [`Simulation::new`] and [`Simulation::run_to_end`]; of several, that of the lowest replication.
pub fn replicate(
    setup: &Setup,
    seed: u64,
    replications: u32,
    threads: usize,
) -> Result<Vec<Outcome>, SimError> {
    let model = Model::of(setup)?;
    let run = |replication| Simulation::of(&model, seed, replication).run_to_end();
    let mut outcomes: Vec<Option<Result<Outcome, SimError>>> = vec![None; replications as usize];
    let share = outcomes.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        for (part, slots) in outcomes.chunks_mut(share).enumerate() {
            let run = &run;
            scope.spawn(move || {
                for (offset, slot) in slots.iter_mut().enumerate() {
                    *slot = Some(run((part * share + offset) as u64));
                }
            });
        }
    });
    outcomes.into_iter().flatten().collect()
}
