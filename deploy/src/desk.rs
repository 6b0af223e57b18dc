//! What a running scaler shows, and what it may be told: shared between the loop and whoever looks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use splitscale_policy::{Decision, Mode, Outcome, Setup};
use tokio::sync::{broadcast, watch};

use crate::meters::Meters;

/// Decisions that are kept to be looked at: a quarter of an hour of them, one a second.
const KEPT: usize = 900;
/// Decisions that whoever follows may be behind before he misses some.
const BEHIND: usize = 64;
/// Ticks that may be missed before the loop counts as stuck.
const TICKS_MISSED: u32 = 10;
/// Time that it may take anyway: three servers that do not answer, and two that do not take their pods.
const STUCK: Duration = Duration::from_secs(15);

/// Where a scaler is looked at. Cheap to clone: all clones are the same desk.
#[derive(Debug, Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    interval: Duration,
    book: Mutex<Book>,
    news: broadcast::Sender<Arc<Decision>>,
    mode: watch::Sender<Mode>,
}

#[derive(Debug)]
struct Book {
    recent: VecDeque<Arc<Decision>>,
    meters: Meters,
    ticked: Instant,
}

impl Desk {
    /// The desk of a scaler that decides so, every `interval`, and begins in this mode.
    pub fn new(setup: Setup, interval: Duration, mode: Mode) -> Desk {
        let book = Book { recent: VecDeque::new(), meters: Meters::default(), ticked: Instant::now() };
        let shared = Shared {
            setup,
            interval,
            book: Mutex::new(book),
            news: broadcast::Sender::new(BEHIND),
            mode: watch::Sender::new(mode),
        };
        Desk { shared: Arc::new(shared) }
    }

    /// What decides.
    pub fn setup(&self) -> &Setup {
        &self.shared.setup
    }

    /// Time between two decisions.
    pub fn interval(&self) -> Duration {
        self.shared.interval
    }

    /// What is to be done with decisions from the next one on.
    pub fn mode(&self) -> Mode {
        *self.shared.mode.borrow()
    }

    /// Asks for another mode: the next decision is taken in it.
    pub fn ask(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// The latest decisions, oldest first.
    pub fn recent(&self) -> Vec<Arc<Decision>> {
        self.book().recent.iter().cloned().collect()
    }

    /// The latest decision; absent before the first.
    pub fn latest(&self) -> Option<Arc<Decision>> {
        self.book().recent.back().cloned()
    }

    /// One of the latest decisions.
    pub fn decision(&self, id: u64) -> Option<Arc<Decision>> {
        self.book().recent.iter().rev().find(|decision| decision.id == id).cloned()
    }

    /// Every decision from now on; one that was carried out comes a second time, with what came of it.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Decision>> {
        self.shared.news.subscribe()
    }

    /// What was counted so far.
    pub fn meters(&self) -> Meters {
        self.book().meters.clone()
    }

    /// Time since the latest decision, or since the desk was set up.
    pub fn quiet(&self) -> Duration {
        self.book().ticked.elapsed()
    }

    /// Whether the loop still turns.
    pub fn alive(&self) -> bool {
        self.quiet() < STUCK + self.shared.interval * TICKS_MISSED
    }

    /// A decision was taken.
    pub(crate) fn show(&self, decision: &Decision) {
        let decision = Arc::new(decision.clone());
        let mut book = self.book();
        let last = book.recent.back().cloned();
        book.meters.decided(last.as_deref(), &decision);
        book.ticked = Instant::now();
        if book.recent.len() == KEPT {
            book.recent.pop_front();
        }
        book.recent.push_back(Arc::clone(&decision));
        // Nobody may be looking.
        let _ = self.shared.news.send(decision);
    }

    /// Something came of a decision.
    pub(crate) fn ended(&self, outcome: &Outcome) {
        let mut book = self.book();
        let found = book.recent.iter_mut().rev().find(|decision| decision.id == outcome.of);
        let ended = found.map(|decision| {
            let mut ended = Decision::clone(decision);
            ended.ended(outcome);
            *decision = Arc::new(ended);
            Arc::clone(decision)
        });
        book.meters.ended(outcome, ended.as_deref());
        if let Some(decision) = ended {
            let _ = self.shared.news.send(decision);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code under the lock leaves it half changed when it panics.
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
