//! The emulated link in real time: whoever transfers waits here until the link has carried it.
//!
//! One thread sleeps until the next transfer is through; it wakes to tens of microseconds, which tokio's timer
//! of a millisecond does not, and costs a wake a transfer, however many are under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::link::{BandwidthSteps, Link};

/// Carries; dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Carrier {
    shared: Arc<Shared>,
    /// The thread starts with the first transfer that has to wait.
    started: Once,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    link: Link<oneshot::Sender<()>>,
    over: bool,
}

/// A transfer on the link; one that is given up before it is through takes nothing from the others any more.
struct UnderWay<'a> {
    shared: &'a Shared,
    through: bool,
}

// === impl Carrier ===

impl Carrier {
    pub(super) fn new(slot_mbit_s: Option<f64>, shared: Option<BandwidthSteps>) -> Self {
        let state = State { link: Link::new(Instant::now(), slot_mbit_s, shared), over: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Carrier { shared, started: Once::new() }
    }

    /// Waits until so many bytes have been carried.
    pub(super) async fn carry(&self, bytes: usize) {
        let (through, heard) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if state.link.is_free() {
                return;
            }
            state.link.begin(Instant::now(), bytes, through).into_iter().for_each(tell);
        }
        let mut under_way = UnderWay { shared: &self.shared, through: false };
        self.started.call_once(|| {
            let shared = Arc::clone(&self.shared);
            std::thread::spawn(move || shared.run());
        });
        self.shared.changed.notify_one();
        // The other end is dropped only where the proxy is.
        let _ = heard.await;
        under_way.through = true;
    }

    /// Bandwidth of a slot now \[Mbit/s\].
    pub(super) fn slot_mbit_s(&self) -> Option<f64> {
        self.shared.lock().link.slot_mbit_s()
    }

    /// Bandwidth of the link now \[Mbit/s\].
    pub(super) fn link_mbit_s(&self) -> Option<f64> {
        self.shared.lock().link.shared_mbit_s(Instant::now())
    }

    /// Sets the bandwidth of a slot, of the link, or of both; none in a pair takes the bound away.
    pub(super) fn set(&self, slot_mbit_s: Option<Option<f64>>, link_mbit_s: Option<Option<f64>>) {
        let mut state = self.shared.lock();
        let now = Instant::now();
        if let Some(mbit_s) = slot_mbit_s {
            state.link.set_slot(now, mbit_s).into_iter().for_each(tell);
        }
        if let Some(mbit_s) = link_mbit_s {
            state.link.set_shared(now, mbit_s).into_iter().for_each(tell);
        }
        self.shared.changed.notify_one();
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.through {
            // Whoever waited for it is gone before this.
            let given_up = oneshot::Sender::is_closed;
            self.shared.lock().link.forget(Instant::now(), given_up).into_iter().for_each(tell);
            self.shared.changed.notify_one();
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Tells each transfer when it is through, until the carrier is dropped.
    fn run(&self) {
        /// Longest that it sleeps where nothing is to be done: a change wakes it.
        const IDLE: Duration = Duration::from_secs(3600);
        let mut state = self.lock();
        while !state.over {
            let now = Instant::now();
            state.link.advance(now).into_iter().for_each(tell);
            let sleep = state.link.next().map_or(IDLE, |next| next.saturating_duration_since(now));
            if !sleep.is_zero() {
                let woken = self.changed.wait_timeout(state, sleep);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock leaves the state half changed when it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(through: oneshot::Sender<()>) {
    // Whoever transferred may have been given up.
    let _ = through.send(());
}
