//! The measurement: a burst in every cell of slots x pods, again and again, in random order.

use std::error::Error;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_spec::{Invalid, Replicas, RequestRecord, Stage};

use crate::client::{ClientError, PipelineClient};
use crate::load::{BurstSpec, Image, LoadError, burst};

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Numbers of transfer slots.
    pub slots: Vec<u32>,
    /// Numbers of pods, of A and of B alike.
    pub pods: Vec<u32>,
    /// Requests of a burst.
    pub images_per_burst: u32,
    /// Bursts of each cell.
    pub repeats: u32,
    /// Bursts before the first, thrown away, in the cell of most slots and most pods.
    pub warm_up: u32,
    /// Seed of the order.
    pub seed: u64,
    /// How long a burst, and each wait between two, may take.
    pub burst_timeout: Duration,
    /// Bursts of the order that an earlier measurement has already.
    pub done: u32,
}

/// One burst of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Transfer slots.
    pub slots: u32,
    /// Pods of each stage.
    pub pods: u32,
    /// Which repeat, from 0.
    pub repeat: u32,
}

/// Why a measurement ended early. What it had measured was handed out.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A plan that cannot be.
    #[error(transparent)]
    Plan(#[from] Invalid),
    /// The pipeline cannot be set.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A burst cannot be fired.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Whoever took the results wants no more.
    #[error("what was measured could not be kept: {0}")]
    Kept(#[source] Box<dyn Error + Send + Sync>),
}

/// Measures every cell of the plan: starts the most pods once, then only changes the slots and which pods
/// are used. Each burst is handed to `on_burst` as soon as it is measured, its `run_id` its place in the order,
/// its times from the start of this call. Dropping the future ends the measurement.
///
/// # Errors
/// The first thing that makes going on senseless. Requests that fail do not: they are in the records.
pub async fn collect(
    plan: &Plan,
    client: &PipelineClient,
    images: &[Image],
    mut on_burst: impl FnMut(Cell, &[RequestRecord]) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<(), CollectError> {
    plan.validate()?;
    let origin = Instant::now();
    let most = plan.most();
    client.set_pods(Replicas { a: most.pods, b: most.pods }, plan.burst_timeout).await?;
    let fire = async |cell: Cell, run_id: u32| {
        // Nothing of the burst before may still be under way.
        client.wait_idle(plan.burst_timeout).await?;
        client.set_threads(cell.slots).await?;
        client.use_pods(Replicas { a: cell.pods, b: cell.pods }).await?;
        let spec = BurstSpec { run_id, size: plan.images_per_burst, timeout: plan.burst_timeout, origin };
        Ok::<_, CollectError>(burst(client, images, &spec).await?)
    };
    for _ in 0..plan.warm_up {
        fire(most, 0).await?;
    }
    for (cell, run_id) in plan.order().into_iter().zip(0..).skip(plan.done as usize) {
        let mut records = fire(cell, run_id).await?;
        // A server that is one of several knows of itself alone.
        records.iter_mut().for_each(|record| (record.pods_a, record.pods_b) = (cell.pods, cell.pods));
        on_burst(cell, &records).map_err(CollectError::Kept)?;
    }
    Ok(())
}

/// One pod that came or went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodChange {
    /// Of which stage.
    pub stage: Stage,
    /// It came; otherwise it went.
    pub started: bool,
    /// Pods of the stage afterwards.
    pub pods: u32,
    /// From the request for the change until the stage had it; asked for every 20 ms.
    pub took: Duration,
}

/// Takes a pod away from each stage in turn and gives it back, `times` times, from `most` pods on, nothing else under
/// way. Each change is handed to `on_change`.
///
/// # Errors
/// A stage that does not change.
pub async fn pod_changes(
    client: &PipelineClient,
    most: u32,
    times: u32,
    limit: Duration,
    mut on_change: impl FnMut(PodChange) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<(), CollectError> {
    let all = Replicas { a: most, b: most };
    client.wait_idle(limit).await?;
    client.set_pods(all, limit).await?;
    for _ in 0..times {
        for stage in [Stage::A, Stage::B] {
            let fewer = match stage {
                Stage::A => Replicas { a: most - 1, ..all },
                Stage::B => Replicas { b: most - 1, ..all },
            };
            for (pods, started) in [(fewer, false), (all, true)] {
                let begun = Instant::now();
                client.set_pods(pods, limit).await?;
                client.wait_drained(limit).await?;
                let count = if stage == Stage::A { pods.a } else { pods.b };
                let change = PodChange { stage, started, pods: count, took: begun.elapsed() };
                on_change(change).map_err(CollectError::Kept)?;
            }
        }
    }
    Ok(())
}

impl Plan {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (field, values) in [("slots", &self.slots), ("pods", &self.pods)] {
            if values.is_empty() {
                return Err(Invalid::new(field, "empty; it takes at least one number"));
            }
            if values.contains(&0) {
                return Err(Invalid::new(field, "zero; it takes at least 1"));
            }
        }
        for (field, value) in [("images_per_burst", self.images_per_burst), ("repeats", self.repeats)] {
            if value == 0 {
                return Err(Invalid::new(field, "zero; it takes at least 1"));
            }
        }
        if self.burst_timeout.is_zero() {
            return Err(Invalid::new("burst_timeout", "zero; a burst takes time"));
        }
        Ok(())
    }

    /// The bursts in the order in which they are measured: all cells in random order, then all of them
    /// again in another (randomised complete blocks: a machine that drifts touches all cells alike, and a
    /// measurement cut short has every cell about equally often).
    pub fn order(&self) -> Vec<Cell> {
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed);
        let block = |repeat| {
            let cells = self
                .slots
                .iter()
                .flat_map(move |&slots| self.pods.iter().map(move |&pods| Cell { slots, pods, repeat }));
            let mut cells: Vec<Cell> = cells.collect();
            // Fisher and Yates. The modulo's bias is below 1e-15 for any table that can be measured.
            for last in (1..cells.len()).rev() {
                cells.swap(last, (chance.next_u64() % (last as u64 + 1)) as usize);
            }
            cells
        };
        (0..self.repeats).flat_map(block).collect()
    }

    fn most(&self) -> Cell {
        let most = |values: &[u32]| values.iter().copied().max().unwrap_or(1);
        Cell { slots: most(&self.slots), pods: most(&self.pods), repeat: 0 }
    }
}
