//! What is planned for: a rate, or a recorded load, as it is and so many times as dense.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use splitscale_sim::{ArrivalTimes, Arrivals, Recorded, Scale};
use splitscale_spec::ServiceLaw;

use crate::cli::Plan;
use crate::files;
use splitscale_calibration::fnv1a;

/// Over so long the busiest part of a recorded load is looked for \[s\].
const PEAK_S: f64 = 60.0;
/// Share of a steady load's requests that are its warm-up.
const WARM_UP: f64 = 0.1;
/// Requests for each square of a CV, below which the time of all may vary so much that a seed ends within the warm-up: the
/// sum of n gamma gaps is gamma with the shape n / CV^2, and one of shape 16 is below a tenth of its mean once in 1e10.
const REQUESTS_A_CV2: f64 = 16.0;

/// The load.
#[derive(Debug, Clone)]
pub struct Traffic {
    arrivals: Arrivals,
    /// Requests of a replication.
    pub requests: u32,
    /// Arrivals a second, on average over all of it \[1/s\].
    pub mean_per_s: f64,
    /// The same over the busiest minute of a recorded load; of a steady one the mean \[1/s\].
    pub peak_per_s: f64,
    /// How long a recorded load lasts \[s\]; a steady one goes on.
    pub span_s: Option<f64>,
    /// The file and its hash.
    pub file: Option<(PathBuf, String)>,
    /// In words.
    pub words: String,
    /// Requests of each replication and how long they come \[s\], where chance makes them differ; else of one. None of a
    /// steady load.
    lengths: Vec<(u32, f64)>,
}

impl Traffic {
    /// The one that was asked for.
    ///
    /// # Errors
    /// A file that cannot be read, by its name, line and field.
    pub fn of(args: &Plan) -> Result<Traffic> {
        let recorded = |path: &Path| path.display().to_string();
        let scale = Scale::default();
        let arrivals = match (&args.trace, &args.rates, &args.counts) {
            (Some(path), ..) => {
                let trace = Recorded { file: recorded(path), from_s: 0.0, data: None };
                Arrivals::Stamps { trace, column: None, scale }
            }
            (_, Some(path), _) => {
                Arrivals::Windows { trace: Recorded { file: recorded(path), from_s: 0.0, data: None }, scale }
            }
            (.., Some(path)) => {
                Arrivals::Counts { trace: Recorded { file: recorded(path), from_s: 0.0, data: None }, scale }
            }
            _ => return Traffic::steady(args),
        };
        Traffic::recorded(args, arrivals)
    }

    fn steady(args: &Plan) -> Result<Traffic> {
        let rate_per_s = args.rate.context("--rate or a recorded load is needed")?;
        let requests = args.requests;
        let (arrivals, words) = match args.cv.filter(|&cv| cv != 1.0) {
            None => (Arrivals::Poisson { rate_per_s, requests }, "a Poisson stream".to_string()),
            Some(cv) => {
                let gap = ServiceLaw::Gamma { mean_s: 1.0 / rate_per_s, cv };
                gap.validate("--cv")?;
                let least = (REQUESTS_A_CV2 * cv * cv).ceil();
                if f64::from(requests) < least {
                    bail!(
                        "--requests {requests}: gaps with a CV of {cv} differ so much that the warm-up, a tenth of the expected time, \
                         may outlast a replication of them; write --requests {least} or more, or a lower --cv"
                    );
                }
                (Arrivals::Renewal { gap, requests }, format!("gamma gaps with a CV of {cv}"))
            }
        };
        let words = format!("{rate_per_s} requests/s ({words})");
        Ok(Traffic {
            arrivals,
            requests,
            mean_per_s: rate_per_s,
            peak_per_s: rate_per_s,
            span_s: None,
            file: None,
            words,
            lengths: vec![],
        })
    }

    fn recorded(args: &Plan, mut arrivals: Arrivals) -> Result<Traffic> {
        let mut file = None;
        arrivals.load::<anyhow::Error>(&mut |name| {
            let text = files::read(name.as_ref())?;
            file = Some((PathBuf::from(name), fnv1a(text.as_bytes())));
            Ok(text)
        })?;
        let name = file.as_ref().map_or(String::new(), |(path, _)| path.display().to_string());
        let times = ArrivalTimes::of(&arrivals, args.seed)
            .with_context(|| format!("{name} cannot be planned for"))?;
        let (mut window, mut most, mut requests, mut last_s) = (VecDeque::new(), 0, 0u32, 0.0);
        for at_s in times.map(|at| at.as_nanos() as f64 * 1e-9) {
            window.push_back(at_s);
            while window.front().is_some_and(|&first_s| first_s <= at_s - PEAK_S) {
                window.pop_front();
            }
            (most, requests, last_s) = (most.max(window.len()), requests + 1, at_s);
        }
        // A trace of one instant says nothing of a rate; its requests come within the time they may take.
        let span = |last_s: f64| if last_s > 0.0 { last_s } else { args.slo };
        let span_s = span(last_s);
        let mut lengths = vec![(requests, span_s)];
        if !matches!(arrivals, Arrivals::Stamps { .. }) {
            for replication in 1..u64::from(args.seeds) {
                let times = ArrivalTimes::of_replication(&arrivals, args.seed, replication)?;
                let (requests, last_s) =
                    times.fold((0, 0.0), |(n, _), at| (n + 1, at.as_nanos() as f64 * 1e-9));
                lengths.push((requests, span(last_s)));
            }
        }
        let mean_per_s = f64::from(requests) / span_s;
        let peak_per_s = if span_s > PEAK_S { most as f64 / PEAK_S } else { mean_per_s };
        let words = format!(
            "{name}, {requests} requests in {span_s:.0} s: {mean_per_s:.2}/s on average, {peak_per_s:.2}/s in the busiest minute"
        );
        Ok(Traffic { arrivals, requests, mean_per_s, peak_per_s, span_s: Some(span_s), file, words, lengths })
    }

    /// The load so many times as dense, and how long its warm-up is \[s\]: a recorded one runs so many times as fast, its
    /// bursts stay bursts.
    pub fn times(&self, factor: f64) -> (Arrivals, f64) {
        let mut arrivals = self.arrivals.clone();
        match &mut arrivals {
            Arrivals::Poisson { rate_per_s, .. } => *rate_per_s *= factor,
            Arrivals::Renewal { gap: ServiceLaw::Gamma { mean_s, .. }, .. } => *mean_s /= factor,
            Arrivals::Stamps { scale, .. }
            | Arrivals::Windows { scale, .. }
            | Arrivals::Counts { scale, .. } => {
                scale.compress *= factor;
            }
            _ => {}
        }
        let warm_up_s = match self.span_s {
            None => WARM_UP * f64::from(self.requests) / (self.mean_per_s * factor),
            Some(_) => 0.0,
        };
        (arrivals, warm_up_s)
    }

    /// The load so many times as dense, as a load of its own.
    pub fn denser(&self, factor: f64) -> Traffic {
        Traffic {
            arrivals: self.times(factor).0,
            mean_per_s: self.mean_per_s * factor,
            peak_per_s: self.peak_per_s * factor,
            span_s: self.span_s.map(|span_s| span_s / factor),
            lengths: self.lengths.iter().map(|&(requests, span_s)| (requests, span_s / factor)).collect(),
            ..self.clone()
        }
    }

    /// Requests a second that must be carried, or fewer than `target` of all are answered within `slo_s`: of a steady load
    /// all that come; of a load that ends so many as can be answered from its start to `slo_s` after its end, in the replication
    /// that takes fewest: what carries less misses in every one.
    pub fn least_per_s(&self, target: f64, slo_s: f64) -> f64 {
        let least = |&(requests, span_s): &(u32, f64)| target * f64::from(requests) / (span_s + slo_s);
        self.lengths.iter().map(least).min_by(f64::total_cmp).unwrap_or(self.mean_per_s)
    }
}
