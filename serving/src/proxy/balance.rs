//! Which B an activation goes to. Pure; the time is an argument.
//!
//! | balance | goes, of those with room, to |
//! |---|---|
//! | one queue | the B with fewest under way |
//! | round robin | the next in turn |
//! | random | any, from a seed |
//! | least outstanding | the one with fewest under way, in turn where several have as few |
//!
//! A B that is gone, going or hangs is passed over for a while, unless there is no other. Where none has room, it waits in
//! the proxy. One that said that its queue is full has no room beyond what it has taken of ours; every now and then
//! one more is sent to see. Else a B has room, but with one queue only where fewer are under way to it than a limit,
//! or than the pods it said it had in use when it last answered, unless it is alone, for then its own queue is the
//! one queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How long a B that is gone, going or hangs is passed over.
const EJECTED: Duration = Duration::from_secs(2);

/// How long a B that was full is not sent more than it took, before one more is sent to see: at first, and at most. It
/// doubles with each that is refused, as each has crossed the link for nothing.
const FULL: Duration = Duration::from_millis(50);
const FULL_MOST: Duration = Duration::from_secs(1);
/// After how long in which no more was wanted it is forgotten that a B was full.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// How activations are spread over several B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// What no B has a free pod for waits in the proxy, in the order of arrival.
    #[default]
    OneQueue,
    /// Each B in turn.
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest under way.
    LeastOutstanding,
}

/// One B.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) url: Arc<str>,
    /// Activations sent to it and not answered.
    pub(super) outstanding: u32,
    /// Pods in use when it last answered.
    pub(super) pods: u32,
    /// Passed over until then.
    pub(super) ejected: Option<Instant>,
    /// It said that it was.
    full: Option<Full>,
}

/// What a B that is full takes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Full {
    /// Activations under way to it.
    most: u32,
    /// When one more is sent to see.
    until: Instant,
    /// How long after the one before.
    pause: Duration,
    /// One more was sent, and not refused so far.
    seen: bool,
}

/// All B there are.
#[derive(Debug)]
pub(super) struct Targets {
    balance: Balance,
    /// Most under way to one B, where the balance is one queue; none: its pods.
    limit: Option<u32>,
    targets: Vec<Target>,
    turn: usize,
    chance: ChaCha8Rng,
}

impl Target {
    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.ejected.is_some_and(|until| now < until)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.full.is_some_and(|full| now < full.until && self.outstanding >= full.most)
    }

    /// One more goes there.
    fn add(&mut self, now: Instant) {
        self.outstanding += 1;
        if let Some(full) = self.full.filter(|full| self.outstanding > full.most) {
            let pause = if full.seen { FULL } else { full.pause };
            let more = Full { most: self.outstanding, until: now + pause, pause, seen: true };
            self.full = (now < full.until + FORGOTTEN).then_some(more);
        }
    }
}

impl Targets {
    pub(super) fn new(balance: Balance, limit: Option<u32>, seed: u64) -> Self {
        let chance = ChaCha8Rng::seed_from_u64(seed);
        Targets { balance, limit, targets: Vec::new(), turn: 0, chance }
    }

    pub(super) fn all(&self) -> &[Target] {
        &self.targets
    }

    /// These and no others from now on; what is known of those that stay is kept.
    pub(super) fn replace(&mut self, urls: &[Arc<str>]) {
        let new = |url: &Arc<str>| {
            let known = self.targets.iter().find(|target| target.url == *url);
            let fresh = || Target { url: url.clone(), outstanding: 0, pods: 1, ejected: None, full: None };
            known.cloned().unwrap_or_else(fresh)
        };
        self.targets = urls.iter().map(new).collect();
    }

    /// Takes a B for one activation, another than `not` if there is one; none where it has to wait.
    pub(super) fn take(&mut self, now: Instant, not: Option<&str>) -> Option<Arc<str>> {
        let other = |target: &Target| not != Some(&*target.url);
        let good = |target: &Target| other(target) && !target.is_ejected(now);
        let of = |fits: &dyn Fn(&Target) -> bool| -> Vec<usize> {
            (0..self.targets.len()).filter(|&at| fits(&self.targets[at])).collect()
        };
        let mut among = [of(&good), of(&other), of(&|_| true)].into_iter().find(|found| !found.is_empty())?;
        among.retain(|&at| self.has_room(now, &self.targets[at]));
        let chosen = match self.balance {
            _ if among.is_empty() => return None,
            Balance::Random => among[self.chance.next_u64() as usize % among.len()],
            Balance::RoundRobin => self.first_in_turn(&among),
            Balance::OneQueue | Balance::LeastOutstanding => self.least(&among)?,
        };
        self.turn = chosen + 1;
        self.targets[chosen].add(now);
        Some(self.targets[chosen].url.clone())
    }

    /// When one that is full, or passed over, is asked again, where one is.
    pub(super) fn asked_again(&self, now: Instant) -> Option<Instant> {
        let full = |target: &Target| target.full.filter(|_| target.is_full(now)).map(|full| full.until);
        let ejected = |target: &Target| target.ejected.filter(|until| now < *until);
        self.targets.iter().flat_map(|target| [full(target), ejected(target)]).flatten().min()
    }

    /// One activation less under way to this B; it may be gone from the list.
    pub(super) fn release(&mut self, url: &str) {
        if let Some(target) = self.find(url) {
            target.outstanding = target.outstanding.saturating_sub(1);
        }
    }

    /// It answered, and had so many pods in use.
    pub(super) fn answered(&mut self, url: &str, pods: u32) {
        if let Some(target) = self.find(url) {
            (target.pods, target.ejected) = (pods.max(1), None);
        }
    }

    /// It is gone or going, or hangs.
    pub(super) fn eject(&mut self, now: Instant, url: &str) {
        if let Some(target) = self.find(url) {
            target.ejected = Some(now + EJECTED);
        }
    }

    /// It had no room for one that is still counted as under way to it.
    pub(super) fn refused(&mut self, now: Instant, url: &str) {
        if let Some(target) = self.find(url) {
            let most = target.outstanding.saturating_sub(1);
            let again = target.full.filter(|full| full.seen && now < full.until + FORGOTTEN);
            let pause = again.map_or(FULL, |full| (2 * full.pause).min(FULL_MOST));
            target.full = Some(Full { most, until: now + pause, pause, seen: false });
        }
    }

    fn find(&mut self, url: &str) -> Option<&mut Target> {
        self.targets.iter_mut().find(|target| *target.url == *url)
    }

    fn has_room(&self, now: Instant, target: &Target) -> bool {
        let below_limit = match (self.balance, self.limit) {
            (Balance::OneQueue, Some(limit)) => target.outstanding < limit,
            (Balance::OneQueue, None) => self.targets.len() == 1 || target.outstanding < target.pods,
            _ => true,
        };
        below_limit && !target.is_full(now)
    }

    fn first_in_turn(&self, among: &[usize]) -> usize {
        among.iter().copied().find(|&at| at >= self.turn).unwrap_or(among[0])
    }

    fn least(&self, among: &[usize]) -> Option<usize> {
        let least = among.iter().map(|&at| self.targets[at].outstanding).min()?;
        let as_few: Vec<usize> =
            among.iter().copied().filter(|&at| self.targets[at].outstanding == least).collect();
        Some(self.first_in_turn(&as_few))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(balance: Balance, limit: Option<u32>, names: &[&str]) -> Targets {
        let mut targets = Targets::new(balance, limit, 7);
        targets.replace(&names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>());
        targets
    }

    fn take(targets: &mut Targets, count: usize) -> String {
        let now = Instant::now();
        (0..count).map(|_| targets.take(now, None).map_or("-".into(), |url| url.to_string())).collect()
    }

    #[test]
    fn each_balance_spreads_as_it_says() {
        assert_eq!(take(&mut targets(Balance::RoundRobin, None, &["a", "b", "c"]), 7), "abcabca");
        let mut least = targets(Balance::LeastOutstanding, None, &["a", "b", "c"]);
        assert_eq!(take(&mut least, 4), "abca");
        least.release("c");
        least.release("c");
        assert_eq!(take(&mut least, 3), "cbc", "none goes below zero, and ties are broken in turn");
        let draw = |seed| {
            let mut random = Targets::new(Balance::Random, None, seed);
            random.replace(&["a", "b"].map(Arc::from));
            take(&mut random, 200)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((70..130).contains(&draw(1).matches('a').count()));
    }

    #[test]
    fn one_queue_gives_no_b_more_than_it_has_pods_for() {
        let mut one = targets(Balance::OneQueue, None, &["a", "b"]);
        assert_eq!(take(&mut one, 3), "ab-");
        one.release("b");
        one.answered("b", 3);
        assert_eq!(take(&mut one, 4), "bbb-");
        assert_eq!(take(&mut targets(Balance::OneQueue, Some(2), &["a", "b"]), 5), "abab-");
        assert_eq!(
            take(&mut targets(Balance::OneQueue, None, &["a"]), 3),
            "aaa",
            "alone, its queue is the one"
        );
        assert_eq!(take(&mut targets(Balance::OneQueue, None, &[]), 1), "-");
    }

    #[test]
    fn a_broken_b_is_passed_over_for_a_while_if_there_is_another() {
        let now = Instant::now();
        let mut turns = targets(Balance::RoundRobin, None, &["a", "b", "c"]);
        turns.eject(now, "b");
        let mut at = |s, not| turns.take(now + Duration::from_secs(s), not).unwrap().to_string();
        assert_eq!([at(0, None), at(0, None), at(1, Some("a"))], ["a", "c", "c"]);
        assert_eq!([at(2, None), at(2, None)], ["a", "b"]);
        let mut one = targets(Balance::OneQueue, None, &["a", "b"]);
        one.eject(now, "a");
        assert_eq!(take(&mut one, 2), "b-");
        assert_eq!(one.asked_again(now), Some(now + EJECTED), "whoever waits need not wait for b");
        assert_eq!(one.asked_again(now + EJECTED), None);
        one.release("b");
        assert_eq!(one.take(now, Some("b")).as_deref(), Some("a"), "there is no third");
        one.eject(now, "b");
        assert_eq!(one.take(now, None).as_deref(), Some("b"), "all are broken, and b has room");
        one.release("b");
        one.answered("b", 1);
        one.replace(&["b", "d"].map(Arc::from));
        assert_eq!((one.all()[0].ejected, one.all()[1].outstanding), (None, 0));
    }

    #[test]
    fn a_full_b_gets_what_it_took_and_now_and_then_one_more() {
        let now = Instant::now();
        for balance in [Balance::OneQueue, Balance::RoundRobin, Balance::Random, Balance::LeastOutstanding] {
            let mut one = targets(balance, None, &["a"]);
            assert_eq!(take(&mut one, 3), "aaa");
            one.refused(now, "a");
            one.release("a");
            let mut at = |at: Instant, say: &mut dyn FnMut(&mut Targets)| {
                say(&mut one);
                (one.take(at, None).is_some(), one.asked_again(at))
            };
            let nothing = &mut |_: &mut Targets| ();
            assert_eq!(at(now, nothing), (false, Some(now + FULL)));
            assert_eq!(at(now, &mut |one| one.release("a")), (true, Some(now + FULL)), "one was answered");
            let later = now + FULL;
            assert_eq!(at(later, nothing), (true, Some(later + FULL)), "to see");
            assert_eq!(at(later, nothing), (false, Some(later + FULL)), "one alone");
            let forgotten = later + FULL + FORGOTTEN;
            assert_eq!([at(forgotten, nothing), at(forgotten, nothing)], [(true, None); 2]);
        }
        // Each that is sent to see and refused doubles the time to the next.
        let mut one = targets(Balance::OneQueue, None, &["a"]);
        assert_eq!(take(&mut one, 2), "aa");
        one.refused(now, "a");
        one.release("a");
        let mut at = now;
        let pauses: Vec<u128> = (0..6)
            .map(|_| {
                let next = one.asked_again(at).unwrap();
                let pause = (next - at).as_millis();
                at = next;
                assert!(one.take(at, None).is_some());
                one.refused(at, "a");
                one.release("a");
                pause
            })
            .collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000]);
        let mut turns = targets(Balance::RoundRobin, None, &["a", "b"]);
        assert_eq!(take(&mut turns, 1), "a");
        turns.refused(now, "a");
        assert_eq!(turns.take(now, None).as_deref(), Some("b"), "it has room, in its turn");
        assert_eq!(turns.take(now, None).as_deref(), Some("b"), "and out of it");
        assert!(!turns.all()[0].is_ejected(now));
    }
}
