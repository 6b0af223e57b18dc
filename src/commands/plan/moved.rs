//! The law of a transfer, carried to other bytes and another bandwidth.

use splitscale_spec::ServiceLaw;

/// The law of a duration that takes `by_s` longer, or shorter where that is below zero \[s\]: what scattered keeps its
/// standard deviation.
///
/// Quantiles and shifts move exactly, and so does every law that moves up. A family that moves down stays in its family,
/// of gamma where it has no free CV, by its two moments: mean + by, and CV times mean / (mean + by). Nothing falls
/// below zero.
pub fn moved(law: &ServiceLaw, by_s: f64) -> ServiceLaw {
    match law {
        _ if by_s == 0.0 => law.clone(),
        ServiceLaw::Shifted { shift_s, law } if shift_s + by_s > 0.0 => {
            ServiceLaw::Shifted { shift_s: shift_s + by_s, law: law.clone() }
        }
        ServiceLaw::Shifted { shift_s, law } => plainly(law, shift_s + by_s),
        ServiceLaw::Mixture { share, first, second } => {
            let [first, second] = [first, second].map(|part| Box::new(plainly(part, by_s)));
            ServiceLaw::Mixture { share: *share, first, second }
        }
        ServiceLaw::Deterministic { .. } | ServiceLaw::Empirical { .. } => plainly(law, by_s),
        plain if by_s > 0.0 => ServiceLaw::Shifted { shift_s: by_s, law: Box::new(plain.clone()) },
        plain => plainly(plain, by_s),
    }
}

/// The same within one plain law, as the part of a mixture has to be.
fn plainly(law: &ServiceLaw, by_s: f64) -> ServiceLaw {
    let mean_s = law.mean_s() + by_s;
    if mean_s <= 0.0 {
        return ServiceLaw::Deterministic { value_s: 0.0 };
    }
    let sd_s = |cv: f64| cv * law.mean_s();
    // Below it is a constant, and no law has more: see `ServiceLaw::validate`.
    let scattered = |sd_s: f64, of: fn(f64, f64) -> ServiceLaw| match sd_s / mean_s {
        cv if cv < 0.01 => ServiceLaw::Deterministic { value_s: mean_s },
        cv => of(mean_s, cv.min(100.0)),
    };
    let gamma = |mean_s, cv| ServiceLaw::Gamma { mean_s, cv };
    match law {
        ServiceLaw::Empirical { quantiles_s } => {
            ServiceLaw::Empirical { quantiles_s: quantiles_s.iter().map(|q| (q + by_s).max(0.0)).collect() }
        }
        ServiceLaw::Exponential { .. } => scattered(sd_s(1.0), gamma),
        ServiceLaw::Erlang { stages, .. } => scattered(sd_s(f64::from(*stages).sqrt().recip()), gamma),
        ServiceLaw::Gamma { cv, .. } => scattered(sd_s(*cv), gamma),
        ServiceLaw::Lognormal { cv, .. } => {
            scattered(sd_s(*cv), |mean_s, cv| ServiceLaw::Lognormal { mean_s, cv })
        }
        ServiceLaw::Weibull { cv, .. } => {
            scattered(sd_s(*cv), |mean_s, cv| ServiceLaw::Weibull { mean_s, cv })
        }
        // Laws in parts are none of a mixture's parts.
        _ => ServiceLaw::Deterministic { value_s: mean_s },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_law_moves_by_what_it_is_told_and_stays_a_law() {
        let gamma = ServiceLaw::Gamma { mean_s: 0.2, cv: 0.1 };
        let quantiles_s = vec![0.18, 0.2, 0.25];
        let laws = [
            ServiceLaw::Deterministic { value_s: 0.2 },
            ServiceLaw::Exponential { mean_s: 0.2 },
            ServiceLaw::Erlang { stages: 4, mean_s: 0.2 },
            ServiceLaw::Lognormal { mean_s: 0.2, cv: 0.3 },
            ServiceLaw::Weibull { mean_s: 0.2, cv: 0.3 },
            ServiceLaw::Empirical { quantiles_s },
            ServiceLaw::Shifted { shift_s: 0.05, law: Box::new(gamma.clone()) },
            ServiceLaw::Mixture { share: 0.3, first: Box::new(gamma.clone()), second: Box::new(gamma) },
        ];
        for law in laws {
            for by_s in [-0.15, -0.03, 0.0, 0.4] {
                let to = moved(&law, by_s);
                to.validate("law").unwrap_or_else(|e| panic!("{law:?} by {by_s}: {e}"));
                let error = to.mean_s() - law.mean_s() - by_s;
                assert!(error.abs() < 1e-12, "{law:?} by {by_s}: {to:?} is off by {error}");
            }
        }
    }

    #[test]
    fn what_moves_down_keeps_its_standard_deviation() {
        let to = moved(&ServiceLaw::Lognormal { mean_s: 0.2, cv: 0.1 }, -0.15);
        let ServiceLaw::Lognormal { mean_s, cv } = to else { panic!("{to:?}") };
        assert!((mean_s * cv - 0.02).abs() < 1e-15);
        let to = moved(&ServiceLaw::Exponential { mean_s: 0.2 }, -0.1);
        let ServiceLaw::Gamma { mean_s, cv } = to else { panic!("{to:?}") };
        assert!((mean_s * cv - 0.2).abs() < 1e-15);
    }
}
