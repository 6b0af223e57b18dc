//! One traffic level: what its data allow to be said.
//!
//! | status | when | what is given |
//! |---|---|---|
//! | `INSUFFICIENT` | fewer than three pod counts, or no more than three measurements | the means |
//! | `FLAT` | "pods make no difference" is not rejected at `alpha` | the mean over all measurements |
//! | `LINE` | there is a trend, and the profile interval of b is bounded and holds zero | the straight line |
//! | `EXP` | the interval is bounded and excludes zero, the times fall | a, b, c |
//! | `RISING` | the same, and the times rise: more pods cost time | a, b, c |
//! | `STEP` | all of the change is between two neighbouring pod counts: b has a bound on one side alone | the bound |
//! | `RATE_NOT_IDENTIFIED` | all else | the curve's values at the measured pods |
//!
//! a, b and c are there for `EXP` and `RISING` alone. "Pods make no difference" is tested against the straight line and
//! against the curve (F-tests at 1 - alpha, Bonferroni). Repeats weigh as their scatter says ([`crate::noise`]); beside
//! that fit stand the one where all measurements count alike, and the robust one where it sets any aside.

use splitscale_spec::Level;

use crate::data::{Data, Measured};
use crate::noise::Noise;
use crate::report::{FitMethod, OtherFit, SetAside};
use crate::robust;
use crate::verdict::Verdict;

/// How much it takes to say something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Error probability of the tests; 1 - alpha is the level of intervals and bands.
    pub alpha: f64,
    /// Times cannot rise with pods: a level where they do is given its mean, and keeps its status.
    pub monotone: bool,
    /// The robust fit is the one that counts, where it sets anything aside.
    pub robust: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { alpha: 0.05, monotone: false, robust: false }
    }
}

/// A measurement that the robust fit gives less than this part of its weight is told of.
const SET_ASIDE: f64 = 0.5;

/// Fits one level, all measurements alike, and in other ways beside; `slots` stay absent.
///
/// `times` are (pods, time \[s\]) in any order, each time finite and above zero.
pub fn fit_level(times: &[(u32, f64)], options: &Options) -> (Level, Vec<OtherFit>) {
    fit_weighted(times, None, options)
}

/// Fits one level, its repeats weighed by a law of scatter where there is one.
pub(crate) fn fit_weighted(
    times: &[(u32, f64)],
    noise: Option<&Noise>,
    options: &Options,
) -> (Level, Vec<OtherFit>) {
    let alike: Vec<Measured> = times.iter().map(|&(pods, y_s)| Measured { pods, y_s, weight: 1.0 }).collect();
    let weighed = noise.map(|noise| noise.weigh(&alike));
    let plain = weighed.as_ref().unwrap_or(&alike);
    let robust = robust::reweighted(plain).map(|robust| (set_aside(plain, &robust), robust));
    let robust = robust.filter(|(aside, _)| !aside.is_empty());

    let all = Data::new(plain);
    let chosen = robust.as_ref().filter(|_| options.robust).map_or(plain, |(_, robust)| robust);
    let verdict = Verdict::of(Data::new(chosen), options);
    let mut others = Vec::new();
    if weighed.is_some() {
        others.push(Verdict::of(Data::new(&alike), options).beside(FitMethod::Unweighted, vec![], &all));
    }
    if let Some((aside, robust)) = &robust {
        let (method, shown) =
            if options.robust { (FitMethod::Plain, plain) } else { (FitMethod::Robust, robust) };
        others.push(Verdict::of(Data::new(shown), options).beside(method, aside.clone(), &all));
    }
    (verdict.level(&all), others)
}

/// What the robust fit gives less than half of its weight.
fn set_aside(before: &[Measured], after: &[Measured]) -> Vec<SetAside> {
    let pairs = before.iter().zip(after).map(|(b, a)| (b, a.weight / b.weight));
    let aside = pairs.filter(|(_, weight)| *weight < SET_ASIDE);
    aside.map(|(m, weight)| SetAside { pods: m.pods, y_s: m.y_s, weight }).collect()
}
