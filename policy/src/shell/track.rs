//! What was wanted of each stage and what it had, as far back as a limit looks.

use serde::{Deserialize, Serialize};
use splitscale_spec::Replicas;

use super::config::{Rate, ShellConfig};

const HOUR_S: f64 = 3600.0;

/// What the shell remembers. Bounded: of a window only what may still become its least or its most is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellMemory {
    /// First wish after the start, or after the lead was won \[s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) began_s: Option<f64>,
    /// Last decision \[s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_s: Option<f64>,
    /// When a change failed, of which nobody knows what it left \[s\]: what the stages said before that is not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsure_s: Option<f64>,
    /// Since when the policy sees too little \[s\].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unseen_since_s: Option<f64>,
    #[serde(skip_serializing_if = "Track::is_new")]
    pub(super) a: Track,
    #[serde(skip_serializing_if = "Track::is_new")]
    pub(super) b: Track,
}

/// What the shell remembers of one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Track {
    /// What it was last told, and when \[s\]; absent while nothing is carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<(f64, u32)>,
    #[serde(skip_serializing_if = "Window::is_empty")]
    wanted_least: Window,
    #[serde(skip_serializing_if = "Window::is_empty")]
    wanted_most: Window,
    #[serde(skip_serializing_if = "Window::is_empty")]
    had_least: Window,
    #[serde(skip_serializing_if = "Window::is_empty")]
    had_most: Window,
    /// Whether it last grew; absent before the first change.
    #[serde(skip_serializing_if = "Option::is_none")]
    grew: Option<bool>,
    /// When it turned \[s\].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<f64>,
    /// Whether it had grown before it was last told, and how many turns it had: kept while that may not have come to pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    untold: Option<(Option<bool>, usize)>,
}

/// The least, or the most, of a sliding window: a monotone queue of (time, value), the answer first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Window(Vec<(f64, u32)>);

impl ShellMemory {
    /// Begins a decision. A clock that was set back moves what is remembered along: no window becomes shorter by it.
    /// Says whether it was set back.
    pub(crate) fn begin(&mut self, now_s: f64) -> bool {
        let back_s = self.last_s.map_or(0.0, |last_s| (last_s - now_s).max(0.0));
        if back_s > 0.0 {
            let times = [&mut self.began_s, &mut self.unseen_since_s, &mut self.unsure_s];
            for at_s in times.into_iter().flatten() {
                *at_s -= back_s;
            }
            self.a.shift(back_s);
            self.b.shift(back_s);
        }
        self.last_s = Some(now_s);
        back_s > 0.0
    }

    /// What both stages were told, by what each said and when \[s\], or by us since.
    pub(crate) fn desired(&self, a: (f64, u32), b: (f64, u32)) -> Replicas {
        let of = |track: &Track, (sampled_s, says): (f64, u32)| match track.told {
            Some((at_s, pods)) if sampled_s <= at_s => pods,
            _ => says,
        };
        Replicas { a: of(&self.a, a), b: of(&self.b, b) }
    }

    /// Takes note of what both stages are told to have. What is only recommended is no change, and is not noted.
    pub(crate) fn told(&mut self, now_s: f64, from: Replicas, to: Replicas) {
        self.a.note(now_s, from.a, to.a);
        self.b.note(now_s, from.b, to.b);
    }

    /// Takes note of a change that another process carried out last, and of what there was before. What there is now the stages
    /// are to say themselves.
    pub(crate) fn resume(&mut self, changed: Option<(f64, Replicas, Replicas)>) {
        if let Some((at_s, from, to)) = changed {
            for (track, from) in [(&mut self.a, from.a), (&mut self.b, from.b)] {
                track.had_least.note(at_s, from, u32::lt);
                track.had_most.note(at_s, from, u32::gt);
            }
            self.told(at_s, from, to);
        }
        (self.a.told, self.b.told) = (None, None);
    }

    /// What was last told may have been done in part: what the stages have they are to say anew.
    pub(crate) fn unsure(&mut self) {
        self.unsure_s = self.last_s;
    }

    /// Whether a stage has said what it has since a change failed; by what it said at `sampled_s` \[s\].
    pub(crate) fn sure(&self, sampled_s: f64) -> bool {
        self.unsure_s.is_none_or(|unsure_s| sampled_s > unsure_s)
    }

    /// Both stages have said what they have: after a change that failed, that is what came of it.
    pub(crate) fn heard(&mut self, there: Replicas) {
        if let Some(failed_s) = self.unsure_s.take() {
            self.undo(failed_s, there);
        }
    }

    /// So many are there, and not what was told last.
    pub(crate) fn untold(&mut self, there: Replicas) {
        if let Some(last_s) = self.last_s {
            self.undo(last_s, there);
        }
    }

    /// What was told at `told_s` and is not there was no change, and no turn either \[s\].
    fn undo(&mut self, told_s: f64, there: Replicas) {
        for (track, there) in [(&mut self.a, there.a), (&mut self.b, there.b)] {
            if let Some((at_s, told)) = track.told
                && at_s == told_s
                && told != there
            {
                track.told = Some((at_s, there));
                if let Some((grew, turns)) = track.untold.take() {
                    track.grew = grew;
                    track.turns.truncate(turns);
                }
            }
        }
    }

    /// What was told last came to pass, unless that is not known yet.
    pub(crate) fn came_to_pass(&mut self) {
        if self.unsure_s.is_none() {
            (self.a.untold, self.b.untold) = (None, None);
        }
    }

    /// Time until the first window is over and a stage that wants fewer pods may have them, as far as stabilisation goes \[s\];
    /// absent where nothing waits for that.
    pub(crate) fn down_left_s(&self, config: &ShellConfig, now_s: f64) -> Option<f64> {
        let settled_s = self.began_s.map(|began_s| began_s + config.settle_s);
        let forgotten_s = [&self.a, &self.b].into_iter().filter_map(|track| {
            // Where the last wish is the most there was, nothing waits.
            let [(most_at_s, most), .., (_, last)] = track.wanted_most.0.as_slice() else { return None };
            (most > last).then_some(most_at_s + config.down_window_s)
        });
        let first_s = forgotten_s.reduce(f64::min);
        let at_s = settled_s.into_iter().chain(first_s).reduce(f64::max)?;
        Some(at_s - now_s).filter(|left_s| *left_s > 0.0)
    }

    /// Whether the first window is over. It begins with the first wish: before, nothing was seen.
    pub(super) fn settled(&mut self, now_s: f64, settle_s: f64) -> bool {
        now_s - *self.began_s.get_or_insert(now_s) >= settle_s
    }
}

impl Track {
    fn is_new(&self) -> bool {
        *self == Track::default()
    }

    /// Between the least and the most that was wanted lately.
    pub(super) fn stabilise(&mut self, config: &ShellConfig, now_s: f64, now: u32, to: u32) -> u32 {
        let least = self.wanted_least.least(now_s, config.up_window_s, to);
        let most = self.wanted_most.most(now_s, config.down_window_s, to);
        now.max(least).min(most)
    }

    /// No turn that the hour has no room for.
    pub(super) fn calm(&mut self, config: &ShellConfig, now_s: f64, now: u32, to: u32) -> u32 {
        self.turns.retain(|&at_s| at_s > now_s - HOUR_S);
        let turns_down = to < now && self.grew == Some(true);
        let room = config.reversals_per_hour.is_none_or(|most| self.turns.len() + 2 <= most as usize);
        if turns_down && !room { now } else { to }
    }

    /// As far as the rates allow from everything it had lately.
    pub(super) fn slow(&mut self, config: &ShellConfig, now_s: f64, now: u32, to: u32) -> u32 {
        let period_s = |rate: Option<Rate>| rate.map_or(0.0, |rate| rate.period_s);
        let least = self.had_least.least(now_s, period_s(config.rate_up), now);
        let most = self.had_most.most(now_s, period_s(config.rate_down), now);
        let high = config.rate_up.map_or(u32::MAX, |rate| least.saturating_add(rate.pods));
        let low = config.rate_down.map_or(0, |rate| most.saturating_sub(rate.pods));
        let high = high.min(now.saturating_add(config.step_up.unwrap_or(u32::MAX)));
        let low = low.max(now.saturating_sub(config.step_down.unwrap_or(u32::MAX)));
        let to = if to > now { to.min(high.max(now)) } else { to.max(low.min(now)) };
        // Where others moved it within the period, both limits may not be kept at once: it stays.
        if (low..=high).contains(&to) { to } else { now }
    }

    /// Takes note of what it was told to have.
    fn note(&mut self, now_s: f64, now: u32, to: u32) {
        if to != now {
            let grows = to > now;
            self.turns.retain(|&at_s| at_s > now_s - HOUR_S);
            self.untold = Some((self.grew, self.turns.len()));
            if self.grew.is_some_and(|grew| grew != grows) {
                self.turns.push(now_s);
            }
            self.grew = Some(grows);
            self.told = Some((now_s, to));
        }
        for (had, better) in
            [(&mut self.had_least, u32::lt as fn(&u32, &u32) -> bool), (&mut self.had_most, u32::gt)]
        {
            if !had.is_empty() {
                had.note(now_s, to, better);
            }
        }
    }

    fn shift(&mut self, back_s: f64) {
        let windows =
            [&mut self.wanted_least, &mut self.wanted_most, &mut self.had_least, &mut self.had_most];
        let noted = windows.into_iter().flat_map(|window| window.0.iter_mut().map(|(at_s, _)| at_s));
        let told = self.told.iter_mut().map(|(at_s, _)| at_s);
        noted.chain(&mut self.turns).chain(told).for_each(|at_s| *at_s -= back_s);
    }
}

impl Window {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes a value and gives the least since `now_s - window_s`.
    fn least(&mut self, now_s: f64, window_s: f64, value: u32) -> u32 {
        self.best(now_s, window_s, value, u32::lt)
    }

    /// The same of the most.
    fn most(&mut self, now_s: f64, window_s: f64, value: u32) -> u32 {
        self.best(now_s, window_s, value, u32::gt)
    }

    fn best(&mut self, now_s: f64, window_s: f64, value: u32, better: fn(&u32, &u32) -> bool) -> u32 {
        self.0.retain(|&(at_s, _)| at_s > now_s - window_s);
        if window_s > 0.0 {
            self.note(now_s, value, better);
        }
        self.0.first().map_or(value, |&(_, best)| best)
    }

    /// What is no better than what came later will never be the answer.
    fn note(&mut self, now_s: f64, value: u32, better: fn(&u32, &u32) -> bool) {
        self.0.retain(|(_, old)| better(old, &value));
        self.0.push((now_s, value));
    }
}
