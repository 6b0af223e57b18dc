//! The proxy: a queue, N transfer slots, the emulated link, and the responses.
//!
//! ```text
//! A ─▶ queue ─▶ slot: sleep + RTT + bytes*8/bandwidth ─▶ POST B ─▶ B's answer ─▶ slot free
//!                                                                     └─▶ /responses, /events, waiting A
//! ```
//!
//! | route | |
//! |---|---|
//! | `POST /complete` | queues an activation; answers at once, with `?wait=true` when the pipeline has (502 where it failed, 504 where its time was up, 429 where no B had room) |
//! | `POST /set_threads` | `{"thread_count": n}`: the number of slots, at once and without waiting |
//! | `POST /set_bandwidth` | `{"slot_bandwidth_mbit_s": x, "link_bandwidth_mbit_s": y}`: either or both, at once; `null` for no bound |
//! | `POST /set_queue_threshold`, `/clear_responses` | `{"queue_threshold": n}`; begin a new epoch |
//! | `POST /set_b` | `{"b": ["http://HOST:PORT", ...]}`: the B there are from now on |
//! | `GET /responses`, `/response_count`, `/request_count` | responses since the clearing; how many; activations waiting for a slot |
//! | `GET /events` | WebSocket of [`Event`](crate::wire::Event) |
//! | `/socket.io/` | the same over Socket.IO |
//! | `GET /slots`, `/metrics`, `/livez`, `/readyz`, `/docs`, `/openapi.json` | |

mod balance;
mod carrier;
mod link;
mod routes;
mod transfer;
mod upstream;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use splitscale_spec::{Encoding, Invalid};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::balance::Balance;
use self::balance::Target;
use self::carrier::Carrier;
pub use self::link::BandwidthSteps;
use self::transfer::Activation;
use self::upstream::Upstream;
use crate::admission::{Gate, QueueBound};
use crate::bodies::Bodies;
use crate::events::Board;
use crate::metrics::Histogram;
use crate::serve::{Ending, ServeError, finish_routes, http_client_for, serve, within_grace};
use crate::slots::Slots;
use crate::wire::format::ENCODINGS;
use crate::wire::{BState, Failure, SlotsState, TailAnswer};

/// How the proxy transfers.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyOptions {
    /// Where B are: `http://HOST:PORT`, or `dns://HOST:PORT` for all addresses of a name, resolved every few
    /// seconds.
    pub b: Vec<String>,
    /// How activations are spread over them.
    pub balance: Balance,
    /// Most activations under way to one B where the balance is one queue; none: as many as it has pods in use.
    pub b_limit: Option<u32>,
    /// Seed of the random balance.
    pub balance_seed: u64,
    /// Transfer slots to start with.
    pub slots: u32,
    /// Most slots that may be asked for.
    pub slots_max: u32,
    /// Emulated bandwidth of a slot \[Mbit/s\]; none: as fast as the wire is.
    pub slot_bandwidth_mbit_s: Option<f64>,
    /// Emulated bandwidth of the link that all slots share; none: as fast as the wire is.
    pub link_bandwidth: Option<BandwidthSteps>,
    /// Fixed time added to every transfer.
    pub rtt: Duration,
    /// The original's SLEEP_TIME: a pause before every transfer, the slot being held.
    pub sleep: Duration,
    /// How long an activation may wait for a B with room, and how long B may take to answer, its queue included.
    /// A request that gives less time has no more.
    pub b_timeout: Duration,
    /// Each activation goes to its B on a connection of its own: for an address that stands for several B, where whoever gives
    /// them out gives out connections.
    pub fresh_connections: bool,
    /// What may wait; more is refused with 429.
    pub queue: QueueBound,
    /// What happens when it is asked to stop.
    pub ending: Ending,
}

/// The proxy; clones are the same one.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    options: ProxyOptions,
    bodies: Bodies,
    carrier: Carrier,
    upstream: Arc<Upstream>,
    /// Activations that were sent a second time.
    retries: AtomicU64,
    http: reqwest::Client,
    /// Bounds what waits.
    gate: Gate,
    inner: Mutex<Inner>,
    transfers: TaskTracker,
    /// Cancelled once it is to stop.
    stopping: CancellationToken,
    /// Cancelled once it takes no new connection.
    closing: CancellationToken,
    /// Ends the transfers.
    end: CancellationToken,
    listeners: TaskTracker,
    /// Ends the listeners, once they have heard how the last transfer ended.
    silence: CancellationToken,
}

struct Inner {
    slots: Slots<Activation>,
    board: Board,
    requests: u64,
    refused: u64,
    answered: u64,
    failed: u64,
    /// Failed before they were queued: the body did not come, or is no activation.
    unread: u64,
    /// Bytes of answered activations, as they travelled, by encoding.
    bytes: [(Encoding, u64); 3],
    transfer_s: f64,
    duration: Histogram,
}

/// Serves the proxy until `shutdown`, then finishes what was accepted within the grace; what is left then
/// ends as failed.
///
/// # Errors
/// Options out of range, a listener that breaks.
pub async fn serve_proxy(
    listener: TcpListener,
    options: ProxyOptions,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let ending = options.ending;
    let proxy = Proxy::new(options)?;
    let (stopping, closing) = (proxy.0.stopping.clone(), proxy.0.closing.clone());
    let stopped = shutdown.clone();
    tokio::spawn(async move {
        stopped.cancelled().await;
        stopping.cancel();
        tokio::time::sleep(ending.delay).await;
        closing.cancel();
    });
    let follow = tokio::spawn(Arc::clone(&proxy.0.upstream).follow());
    let serving = async {
        let served = serve(listener, proxy.app(), shutdown.clone(), ending.delay).await;
        // No new activation can come any more: the tracker is empty once the backlog is through.
        proxy.0.transfers.close();
        proxy.0.transfers.wait().await;
        served
    };
    let served = within_grace(serving, shutdown.clone(), ending).await;
    proxy.close().await;
    follow.abort();
    Ok(served.unwrap_or(Ok(()))?)
}

// === impl ProxyOptions ===

impl ProxyOptions {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        upstream::parse(&self.b)?;
        if self.slots == 0 || self.slots > self.slots_max {
            return Err(Invalid::new("slots", format!("{} is not in 1..={}", self.slots, self.slots_max)));
        }
        if let Some(mbit_s) = self.slot_bandwidth_mbit_s
            && !(mbit_s.is_finite() && mbit_s > 0.0)
        {
            let problem = format!("{mbit_s} is not a finite number above zero");
            return Err(Invalid::new("slot_bandwidth_mbit_s", problem));
        }
        if self.b_limit == Some(0) {
            return Err(Invalid::new("b_limit", "zero; it takes at least 1"));
        }
        if let Some(steps) = &self.link_bandwidth {
            steps.validate()?;
        }
        if self.b_timeout.is_zero() {
            return Err(Invalid::new("b_timeout", "zero; it takes longer"));
        }
        if self.queue.requests == 0 {
            return Err(Invalid::new("queue.requests", "zero; it takes at least 1"));
        }
        Ok(())
    }
}

// === impl Proxy ===

impl Proxy {
    /// A proxy with nothing to transfer yet.
    ///
    /// # Errors
    /// Options out of range.
    pub fn new(options: ProxyOptions) -> Result<Self, ServeError> {
        options.validate()?;
        let upstream = Upstream::new(&options.b, options.balance, options.b_limit, options.balance_seed)?;
        let inner = Inner {
            slots: Slots::new(Instant::now(), options.slots),
            board: Board::new(),
            requests: 0,
            refused: 0,
            answered: 0,
            failed: 0,
            unread: 0,
            bytes: ENCODINGS.map(|encoding| (encoding, 0)),
            transfer_s: 0.0,
            duration: Histogram::new(),
        };
        Ok(Proxy(Arc::new(Shared {
            gate: Gate::new(options.queue),
            bodies: Bodies::default(),
            carrier: Carrier::new(options.slot_bandwidth_mbit_s, options.link_bandwidth.clone()),
            upstream,
            retries: AtomicU64::new(0),
            http: http_client_for(options.fresh_connections)?,
            options,
            inner: Mutex::new(inner),
            transfers: TaskTracker::new(),
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            end: CancellationToken::new(),
            listeners: TaskTracker::new(),
            silence: CancellationToken::new(),
        })))
    }

    /// The proxy's routes.
    pub fn app(&self) -> Router {
        finish_routes(routes::routes(self), self.clone())
    }

    /// Ends every transfer, the waiting ones too, as failed, and every listener when it has heard so.
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.end.cancel();
        self.0.transfers.close();
        self.0.transfers.wait().await;
        self.0.silence.cancel();
        self.0.listeners.close();
        // One that does not read its connection is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.listeners.wait()).await;
    }

    /// Starts transfers while there are both a free slot and a waiting activation.
    fn dispatch(&self, inner: &mut Inner) {
        let now = Instant::now();
        while let Some(mut activation) = inner.slots.take(now) {
            activation.place = None;
            let proxy = self.clone();
            self.0.transfers.spawn(async move {
                let outcome = tokio::select! {
                    outcome = activation.transfer(now, &proxy.0) => outcome,
                    () = proxy.0.end.cancelled() => Err(Failure::unavailable("the proxy was shut down before B answered")),
                };
                proxy.finish(activation, now, outcome);
            });
        }
    }

    /// How long one who comes now would wait for a place in a full queue to be free \[s\]: the mean time a slot
    /// was held so far over the slots.
    fn wait_s(inner: &Inner) -> f64 {
        let held_s = inner.slots.busy.total(Instant::now());
        held_s / (inner.answered + inner.failed).max(1) as f64 / f64::from(inner.slots.slots().max(1))
    }

    /// Enters the outcome, tells whoever waits, and passes the slot on.
    fn finish(&self, activation: Activation, acquired: Instant, outcome: Result<TailAnswer, Failure>) {
        let now = Instant::now();
        let held_s = (now - acquired).as_secs_f64();
        let failure = outcome.as_ref().err().cloned();
        let answer = activation.answer(acquired, held_s, outcome);
        let mut inner = self.lock();
        inner.slots.release(now);
        match answer.total_time {
            Some(total_s) => {
                inner.answered += 1;
                let of = inner.bytes.iter_mut().find(|(encoding, _)| *encoding == answer.encoding);
                of.expect("every encoding has its sum").1 += answer.bytes;
                inner.transfer_s += answer.transfer_s;
                inner.duration.add(total_s);
            }
            None => inner.failed += 1,
        }
        inner.board.enter(answer.clone());
        if let Some(waiting) = activation.waiting {
            // Whoever waited may have left.
            let _ = waiting.send((answer, failure));
        }
        self.dispatch(&mut inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock leaves the state half changed when it panics.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn b_states(&self) -> Vec<BState> {
        let now = Instant::now();
        let state = |target: Target| BState {
            ejected: target.is_ejected(now),
            url: target.url.to_string(),
            outstanding: target.outstanding,
            pods: target.pods,
        };
        self.0.upstream.all().0.into_iter().map(state).collect()
    }

    fn state(&self) -> SlotsState {
        let inner = self.lock();
        let queued = inner.slots.queued() as u64;
        SlotsState {
            slots: inner.slots.slots(),
            held: inner.slots.held(),
            queued,
            bandwidth_mbit_s: self.0.carrier.slot_mbit_s(),
            b: self.b_states(),
            link_bandwidth_mbit_s: self.0.carrier.link_mbit_s(),
            board: inner.board.state(queued),
        }
    }
}
