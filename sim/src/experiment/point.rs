//! One point of an experiment, ready to run.

use std::collections::VecDeque;

use serde::Deserialize;
use splitscale_spec::{Invalid, Replicas, at_least_one, not_negative};
use toml::{Table, Value};

use crate::arrivals::Arrivals;
use crate::error::SimError;
use crate::event::Event;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::setup::Setup;
use crate::simulation::Simulation;
use crate::time::SimTime;

/// One point of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its number, from 0.
    pub index: usize,
    /// Its place on each axis: name and value.
    pub labels: Vec<(String, String)>,
    /// What is simulated.
    pub setup: Setup,
    /// The seed.
    pub seed: u64,
    /// How the pods asked for change, by rising time.
    pub pods_change: Vec<PodsStep>,
}

/// One change of the pods that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodsStep {
    /// When \[s\].
    pub at_s: f64,
    /// Pods of A from then on.
    pub a: u32,
    /// Pods of B from then on.
    pub b: u32,
}

/// A run, event by event.
#[derive(Debug, Clone)]
pub struct Steps {
    simulation: Simulation,
    model: Model,
    changes: VecDeque<PodsStep>,
}

impl Point {
    /// Of the table of a setup, its traces not read.
    pub(super) fn of(
        index: usize,
        labels: Vec<(String, String)>,
        mut setup: Table,
        seed: u64,
    ) -> Result<Self, SimError> {
        let pods_change = match setup.remove("pods_change") {
            Some(steps) => typed("pods_change", steps)?,
            None => Vec::new(),
        };
        let setup = typed("", Value::Table(setup))?;
        Ok(Point { index, labels, setup, seed, pods_change })
    }

    /// Takes over the recorded load of the point before it where that is the same, so that a sweep holds it
    /// once.
    pub(super) fn share_traces(&mut self, before: Option<&Point>) {
        let Some(before) = before else { return };
        match (&mut self.setup.arrivals, &before.setup.arrivals) {
            (Arrivals::Stamps { trace, column, .. }, Arrivals::Stamps { trace: same, column: of, .. })
                if trace.is(same) && column == of =>
            {
                trace.data.clone_from(&same.data);
            }
            (Arrivals::Counts { trace, .. }, Arrivals::Counts { trace: same, .. }) if trace.is(same) => {
                trace.data.clone_from(&same.data);
            }
            (Arrivals::Windows { trace, .. }, Arrivals::Windows { trace: same, .. }) if trace.is(same) => {
                trace.data.clone_from(&same.data);
            }
            _ => {}
        }
    }

    /// Checks every field.
    pub(super) fn check(&self) -> Result<(), SimError> {
        Model::of(&self.setup)?;
        for (index, step) in self.pods_change.iter().enumerate() {
            let field = |name: &str| format!("pods_change.{index}.{name}");
            not_negative(&field("at_s"), step.at_s)?;
            at_least_one(&field("a"), step.a)?;
            at_least_one(&field("b"), step.b)?;
        }
        if let Some(pair) = self.pods_change.windows(2).find(|pair| pair[1].at_s <= pair[0].at_s) {
            let problem = format!("{} is not after {}", pair[1].at_s, pair[0].at_s);
            return Err(Invalid::new("pods_change.at_s", problem).into());
        }
        Ok(())
    }

    /// The setup, checked; all replications share it.
    ///
    /// # Errors
    /// As [`Model::of`].
    pub fn model(&self) -> Result<Model, SimError> {
        Ok(Model::of(&self.setup)?)
    }

    /// One replication, with its pods changed as they are to be. `model` is [`Point::model`].
    ///
    /// # Errors
    /// As [`Simulation::run_to_end`].
    pub fn run(&self, model: &Model, replication: u64) -> Result<Outcome, SimError> {
        self.run_while(model, replication, &|| true).map(|outcome| outcome.expect("nothing stops it"))
    }

    /// The same as long as `go_on` says so; absent where it was stopped.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_while(
        &self,
        model: &Model,
        replication: u64,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Outcome>, SimError> {
        let mut simulation = Simulation::of(model, self.seed, replication);
        for step in &self.pods_change {
            if !change(&mut simulation, model, *step) {
                break;
            }
        }
        simulation.run_while(go_on)
    }

    /// The same replication, event by event.
    pub fn steps(&self, model: &Model, replication: u64) -> Steps {
        let simulation = Simulation::of(model, self.seed, replication);
        Steps { simulation, model: model.clone(), changes: self.pods_change.iter().copied().collect() }
    }
}

// === impl Steps ===

impl Steps {
    /// Hash of what happened so far; see [`Outcome::fingerprint`].
    pub fn fingerprint(&self) -> u64 {
        self.simulation.fingerprint()
    }
}

impl Iterator for Steps {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while let Some(step) = self.changes.pop_front() {
            // Whether an event comes before the change is known only once it has been handled.
            let mut ahead = self.simulation.clone();
            match ahead.step() {
                Some(event) if event.time <= SimTime::from_secs_f64(step.at_s) => {
                    self.simulation = ahead;
                    self.changes.push_front(step);
                    return Some(event);
                }
                _ if change(&mut self.simulation, &self.model, step) => {}
                _ => self.changes.clear(),
            }
        }
        self.simulation.step()
    }
}

/// Goes to a change of the pods and makes it; false where the run is over by then.
fn change(simulation: &mut Simulation, model: &Model, step: PodsStep) -> bool {
    simulation.advance(SimTime::from_secs_f64(step.at_s));
    let over = model.setup().horizon_s.is_some_and(|horizon_s| horizon_s <= step.at_s);
    // Checked with the point: no stage is left without pods.
    !over && !simulation.is_done() && simulation.apply(Replicas { a: step.a, b: step.b }).is_ok()
}

/// Reads a part of a setup; what is wrong is named by its path, which `toml` puts on a line of its own.
fn typed<'de, T: Deserialize<'de>>(part: &str, value: Value) -> Result<T, SimError> {
    T::deserialize(value).map_err(|error| {
        let words = error.to_string();
        let (problem, path) = words.trim().split_once("\nin `").unwrap_or((words.trim(), ""));
        let path = [part, path.trim_end_matches('`')].into_iter().filter(|p| !p.is_empty());
        let hint = match problem.contains("wanted exactly 1 element") {
            true => {
                "; two kinds of one thing: set the whole of it, such as { exponential = { mean_s = 1.0 } }"
            }
            false => "",
        };
        Invalid::new(path.collect::<Vec<_>>().join("."), format!("{problem}{hint}")).into()
    })
}
