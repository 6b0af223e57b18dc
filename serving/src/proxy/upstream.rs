//! The B there are, kept up to date, and the one queue before them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use splitscale_spec::Invalid;
use tokio::sync::{Notify, oneshot};

use super::balance::{Balance, Target, Targets};

/// How often names are resolved anew.
const RESOLVED_EVERY: Duration = Duration::from_secs(3);
/// Longest that a name may take to resolve.
const RESOLVED_WITHIN: Duration = Duration::from_secs(3);

/// Where B are to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// One B, by its base URL.
    Url(Arc<str>),
    /// All B that a name stands for: `HOST:PORT`.
    Dns(Arc<str>),
}

/// Gives each activation a B.
#[derive(Debug)]
pub(super) struct Upstream {
    state: Mutex<State>,
    /// The sources were changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    sources: Vec<Source>,
    /// What the names stood for when last asked.
    resolved: Vec<(Arc<str>, Vec<Arc<str>>)>,
    targets: Targets,
    waiting: VecDeque<Waiting>,
    /// When those that wait are seen to again, as a full B, or one that was passed over, is asked again.
    waking: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    not: Option<Arc<str>>,
    give: oneshot::Sender<Lease>,
}

/// A B, for one activation; dropped, the next has it.
#[derive(Debug)]
pub(super) struct Lease {
    upstream: Arc<Upstream>,
    /// Absent only where it was never given away.
    url: Option<Arc<str>>,
}

// === impl Source ===

impl Source {
    fn parse(text: &str) -> Result<Source, Invalid> {
        let bad = || {
            let problem = format!("{text:?} is neither http://HOST:PORT nor dns://HOST:PORT");
            Err(Invalid::new("b", problem))
        };
        if let Some(name) = text.strip_prefix("dns://") {
            let port = name.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            return match port.map(|(_, port)| port.parse::<u16>()) {
                Some(Ok(_)) => Ok(Source::Dns(name.into())),
                _ => bad(),
            };
        }
        match text.strip_prefix("http://") {
            Some(rest) if !rest.trim_end_matches('/').is_empty() && !rest.contains(char::is_whitespace) => {
                Ok(Source::Url(text.trim_end_matches('/').into()))
            }
            _ => bad(),
        }
    }
}

/// Reads a list of B.
pub(super) fn parse(texts: &[String]) -> Result<Vec<Source>, Invalid> {
    if texts.is_empty() {
        return Err(Invalid::new("b", "no B at all; give at least one URL"));
    }
    texts.iter().map(|text| Source::parse(text)).collect()
}

/// The base URLs that a name stands for, in order: that of an answer is chance. None where it does not resolve.
async fn resolve(name: &str) -> Option<Vec<Arc<str>>> {
    let problem = match tokio::time::timeout(RESOLVED_WITHIN, tokio::net::lookup_host(name)).await {
        Ok(Ok(addresses)) => {
            let mut urls: Vec<Arc<str>> = addresses.map(|at| format!("http://{at}").into()).collect();
            urls.sort();
            return Some(urls);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!("dns://{name} was not resolved, and its last addresses are kept: {problem}");
    None
}

// === impl Upstream ===

impl Upstream {
    /// # Errors
    /// No source, or one that is none.
    pub(super) fn new(
        b: &[String],
        balance: Balance,
        limit: Option<u32>,
        seed: u64,
    ) -> Result<Arc<Self>, Invalid> {
        let mut state = State {
            sources: parse(b)?,
            resolved: Vec::new(),
            targets: Targets::new(balance, limit, seed),
            waiting: VecDeque::new(),
            waking: None,
        };
        state.list();
        Ok(Arc::new(Upstream { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// These from now on. What is under way to others goes on.
    ///
    /// # Errors
    /// No source, or one that is none; nothing was changed then.
    pub(super) fn set(self: &Arc<Self>, b: &[String]) -> Result<(), Invalid> {
        let sources = parse(b)?;
        let mut state = self.lock();
        state.sources = sources;
        state.list();
        self.pass_on(&mut state);
        self.changed.notify_one();
        Ok(())
    }

    /// A B, another than `not` if there is one; waits where the balance says so, in the order of arrival: what was
    /// `refused` has waited before.
    pub(super) async fn lease(self: &Arc<Self>, not: Option<Arc<str>>, refused: bool) -> Option<Lease> {
        let (give, given) = oneshot::channel();
        {
            let mut state = self.lock();
            let waiting = Waiting { not, give };
            if refused {
                state.waiting.push_front(waiting);
            } else {
                state.waiting.push_back(waiting);
            }
            self.pass_on(&mut state);
        }
        // It fails only where the proxy is gone.
        given.await.ok()
    }

    /// All B, and how many activations wait for one.
    pub(super) fn all(&self) -> (Vec<Target>, usize) {
        let state = self.lock();
        (state.targets.all().to_vec(), state.waiting.iter().filter(|one| !one.give.is_closed()).count())
    }

    /// Resolves the names every few seconds, for ever. A name that does not resolve keeps its last addresses.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            let names = self.lock().names();
            for name in names {
                let Some(found) = resolve(&name).await else { continue };
                let mut state = self.lock();
                state.resolved.retain(|(known, _)| *known != name);
                state.resolved.push((name, found));
                state.list();
                self.pass_on(&mut state);
            }
            // Over early where the sources were changed.
            let _ = tokio::time::timeout(RESOLVED_EVERY, self.changed.notified()).await;
        }
    }

    /// Gives B to those that wait, while there are both. One that has to go elsewhere than to a B that is there
    /// keeps back nobody who has not.
    fn pass_on(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        state.waiting.retain(|one| !one.give.is_closed());
        let mut at = 0;
        while let Some(one) = state.waiting.get(at) {
            let Some(url) = state.targets.take(now, one.not.as_deref()) else {
                if one.not.is_none() {
                    break;
                }
                at += 1;
                continue;
            };
            let lease = Lease { upstream: Arc::clone(self), url: Some(url) };
            let given = state.waiting.remove(at).map(|one| one.give.send(lease));
            // It left just now: the lease must not be dropped with its B, for this is under the lock.
            if let Some(Err(mut lease)) = given
                && let Some(url) = lease.url.take()
            {
                state.targets.release(&url);
            }
        }
        if !state.waiting.is_empty() {
            self.wake(now, state);
        }
    }

    /// Has those that wait seen to again when a full B, or one that is passed over, is asked again, if there is one.
    fn wake(self: &Arc<Self>, now: Instant, state: &mut State) {
        let Some(at) = state.targets.asked_again(now) else { return };
        if state.waking.is_some_and(|sooner| sooner <= at) {
            return;
        }
        // Where the runtime ends, nobody waits any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            state.waking = Some(at);
            let upstream = Arc::clone(self);
            runtime.spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                let mut state = upstream.lock();
                if state.waking == Some(at) {
                    state.waking = None;
                }
                upstream.pass_on(&mut state);
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock leaves the state half changed when it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn names(&self) -> Vec<Arc<str>> {
        let name = |source: &Source| if let Source::Dns(name) = source { Some(name.clone()) } else { None };
        self.sources.iter().filter_map(name).collect()
    }

    /// Brings the targets in line with the sources, each address once.
    fn list(&mut self) {
        let mut urls: Vec<Arc<str>> = Vec::new();
        for source in &self.sources {
            let found = match source {
                Source::Url(url) => std::slice::from_ref(url),
                Source::Dns(name) => {
                    let known = self.resolved.iter().find(|(known, _)| known == name);
                    known.map_or(&[][..], |(_, found)| found)
                }
            };
            for url in found {
                if !urls.contains(url) {
                    urls.push(url.clone());
                }
            }
        }
        self.targets.replace(&urls);
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn url(&self) -> &Arc<str> {
        self.url.as_ref().expect("a lease that was given has its B")
    }

    /// It answered, and had so many pods in use.
    pub(super) fn answered(&self, pods: u32) {
        self.upstream.lock().targets.answered(self.url(), pods);
    }

    /// It had no room for this one.
    pub(super) fn refused(&self) {
        self.upstream.lock().targets.refused(Instant::now(), self.url());
    }

    /// It is gone or going, or hangs: others are asked for a while.
    pub(super) fn eject(&self) {
        self.upstream.lock().targets.eject(Instant::now(), self.url());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(url) = self.url.take() {
            let mut state = self.upstream.lock();
            state.targets.release(&url);
            self.upstream.pass_on(&mut state);
        }
    }
}
