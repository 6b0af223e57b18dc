//! What a sample is taken for, and how well the best law of it does.

use super::curve::Curve;
use super::mixture::Mixture;
use super::sample::Sample;
use super::shift;

/// A family of laws with at most two parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Exponential,
    Erlang,
    Gamma,
    Lognormal,
    Weibull,
}

/// What may be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Plain(Family),
    Shifted(Family),
    /// Of two lognormal laws.
    Mixture,
}

/// The law of largest likelihood.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    pub(super) curve: Curve,
    pub(super) ln_likelihood: f64,
    pub(super) parameters: u32,
}

impl Fit {
    /// Akaike's criterion with its correction for small samples; infinite where n values are too few for it.
    pub(super) fn aicc(&self, n: usize) -> f64 {
        let (p, n) = (f64::from(self.parameters), n as f64);
        let correction = if n > p + 1.0 { 2.0 * p * (p + 1.0) / (n - p - 1.0) } else { f64::INFINITY };
        2.0 * (p - self.ln_likelihood) + correction
    }

    /// Schwarz's criterion.
    pub(super) fn bic(&self, n: usize) -> f64 {
        f64::from(self.parameters) * (n as f64).ln() - 2.0 * self.ln_likelihood
    }
}

const FAMILIES: [(Family, &str); 5] = [
    (Family::Exponential, "exponential"),
    (Family::Erlang, "erlang"),
    (Family::Gamma, "gamma"),
    (Family::Lognormal, "lognormal"),
    (Family::Weibull, "weibull"),
];

impl Model {
    /// All but the mixture.
    pub(super) fn one_kind() -> impl Iterator<Item = Model> {
        let families = || FAMILIES.iter().map(|(family, _)| *family);
        families().map(Model::Plain).chain(families().map(Model::Shifted))
    }

    pub(super) fn name(self) -> String {
        let of = |family| FAMILIES.iter().find(|(f, _)| *f == family).map_or("", |(_, name)| name);
        match self {
            Model::Plain(family) => of(family).into(),
            Model::Shifted(family) => format!("shifted {}", of(family)),
            Model::Mixture => "mixture".into(),
        }
    }

    /// Fits rising values.
    pub(super) fn fit(self, sorted: &[f64]) -> Option<Fit> {
        match self {
            Model::Plain(family) => Sample::new(sorted, 0.0)?.fit(family),
            Model::Shifted(family) => shift::fit(family, sorted),
            Model::Mixture => Mixture::fit(sorted),
        }
    }

    /// Fits values drawn from `truth`, itself a fit of this model.
    pub(super) fn refit(truth: &Curve, sorted: &[f64]) -> Option<Fit> {
        let family = |curve: &Curve| match curve {
            Curve::Exponential(_) => Some(Family::Exponential),
            Curve::Erlang(..) => Some(Family::Erlang),
            Curve::Gamma(_) => Some(Family::Gamma),
            Curve::Lognormal(_) => Some(Family::Lognormal),
            Curve::Weibull(_) => Some(Family::Weibull),
            Curve::Shifted(..) | Curve::Mixture(..) => None,
        };
        match truth {
            Curve::Mixture(share, parts) => Mixture::refit(*share, parts, sorted),
            Curve::Shifted(_, law) => Model::Shifted(family(law)?).fit(sorted),
            plain => Model::Plain(family(plain)?).fit(sorted),
        }
    }

    /// Whether a fit to n values says anything that a simpler one does not.
    pub(super) fn stands(self, fit: &Fit, n: usize) -> bool {
        let exponential = |curve: &Curve| matches!(curve, Curve::Erlang(1, _));
        match &fit.curve {
            Curve::Shifted(shift, law) => *shift > 0.0 && !exponential(law),
            Curve::Mixture(share, _) => Mixture::stands(*share, n),
            plain => !exponential(plain),
        }
    }
}
