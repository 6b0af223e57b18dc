//! Output analysis on series whose answers are known.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use splitscale_sim::analysis::{Interval, Paired, QuantileInterval, Stopping, batch_means, mser5};
use splitscale_sim::{Arrivals, Setup, replicate};

use crate::{constant, exponential, setup};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Above zero, at most one.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Of mean 0 and variance 1, by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * uniform(rng).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// A stationary AR(1) of mean 10 and variance 1: x = 10 + phi * (x before - 10) + sqrt(1 - phi^2) * noise.
fn autoregressive(phi: f64, n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut deviation = normal(rng);
    let mut next = || {
        let now = deviation;
        deviation = phi * deviation + (1.0 - phi * phi).sqrt() * normal(rng);
        10.0 + now
    };
    (0..n).map(|_| next()).collect()
}

/// A share near `expected`, within 4 standard errors of `n` experiments.
#[track_caller]
fn agree(name: &str, hits: usize, n: usize, expected: f64) {
    let share = hits as f64 / n as f64;
    let error = (expected * (1.0 - expected) / n as f64).sqrt();
    println!("{name}: covered {share:.4} of {expected:.4}");
    assert!((share - expected).abs() < 4.0 * error, "{name}: {share} against {expected} +- {error}");
}

fn count(n: usize, mut hit: impl FnMut(usize) -> bool) -> usize {
    (0..n).filter(|i| hit(*i)).count()
}

#[test]
fn an_interval_by_hand() {
    // s^2 = 11 / 3, n = 4, t(3, 0.975) = 3.182446305.
    let interval = Interval::of(&[1.0, 1.0, 5.0, 3.0], 0.95).unwrap();
    let s = (11.0_f64 / 3.0).sqrt();
    assert_eq!((interval.mean, interval.n, interval.confidence), (2.5, 4, 0.95));
    assert!((interval.half_width - 3.182_446_305 * s / 2.0).abs() < 1e-9, "{interval:?}");
    assert!(interval.contains(2.5) && !interval.contains(interval.high() + 1e-9));
    assert_eq!(Interval::of(&[7.0, 7.0], 0.95).unwrap().half_width, 0.0);
}

#[test]
fn intervals_of_normal_values_cover_what_they_say() {
    let mut rng = rng(1);
    for (n, confidence) in [(2, 0.95), (5, 0.90), (20, 0.99)] {
        let hits = count(4000, |_| {
            let values: Vec<f64> = (0..n).map(|_| 3.0 + 2.0 * normal(&mut rng)).collect();
            Interval::of(&values, confidence).unwrap().contains(3.0)
        });
        agree(&format!("t of {n}"), hits, 4000, confidence);
    }
}

/// M/M/1 with rho = 0.3, mean service 1 s: an experiment is 10 replications of 1000 customers from empty, of
/// which the mean time in the system is 1 / 0.7 s.
///
/// From empty, the expected waits fall short of the steady state by rho / (mu (1 - rho)^3) = 0.87 s over all
/// customers together (Spitzer's identity summed), which is 0.0009 s in a mean of 1000, and the half-width is
/// 0.06 s: 1.5 %, which costs less than 0.1 % of coverage. So no warm-up is deleted.
#[test]
fn the_interval_of_mm1_covers() {
    const EXPERIMENTS: u32 = 1000;
    const REPLICATIONS: u32 = 10;
    let (rho, customers) = (0.3, 1000);
    let exact_s = 1.0 / (1.0 - rho);
    let bias_s = rho / (1.0_f64 - rho).powi(3) / f64::from(customers);
    let arrivals = Arrivals::Poisson { rate_per_s: rho, requests: customers };
    let mut setup = setup(constant, [0.0; 3], (1, 1, 1), arrivals);
    setup.a.service = exponential(1.0);
    let means: Vec<f64> = replicate(&setup, 1, EXPERIMENTS * REPLICATIONS, 2)
        .unwrap()
        .iter()
        .map(|outcome| outcome.latency.mean_s)
        .collect();
    let intervals: Vec<Interval> =
        means.chunks(REPLICATIONS as usize).map(|ten| Interval::of(ten, 0.95).unwrap()).collect();
    let hits = intervals.iter().filter(|interval| interval.contains(exact_s)).count();
    let coverage = hits as f64 / f64::from(EXPERIMENTS);
    let half_width_s = intervals.iter().map(|i| i.half_width).sum::<f64>() / f64::from(EXPERIMENTS);
    println!(
        "M/M/1, rho {rho}: the 95 % interval covers {:.1} % of {EXPERIMENTS} experiments, mean half-width \
         {half_width_s:.4} s, bias {bias_s:.4} s",
        coverage * 100.0
    );
    let all = Interval::of(&means, 0.95).unwrap();
    assert!((all.mean - (exact_s - bias_s)).abs() < 2.0 * all.half_width, "{all:?} against {exact_s}");
    assert!(bias_s < 0.05 * half_width_s, "{bias_s} of {half_width_s}");
    assert!((0.93..=0.97).contains(&coverage), "{coverage}");
}

#[test]
fn stopping_stops_at_the_first_narrow_enough() {
    let mut rng = rng(2);
    let values: Vec<f64> = (0..5000).map(|_| 10.0 + 4.0 * normal(&mut rng)).collect();
    let mut stopping = Stopping::new(0.05, 0.95, 10).unwrap();
    assert_eq!(stopping.interval(), None);
    let n = 1 + values.iter().position(|value| stopping.add(*value).unwrap()).unwrap();
    let narrow = |n: usize| {
        let interval = Interval::of(&values[..n], 0.95).unwrap();
        interval.half_width / interval.mean.abs() <= 0.05 / 1.05
    };
    assert_eq!(n, (10..).find(|n| narrow(*n)).unwrap());
    assert_eq!(stopping.interval(), Some(Interval::of(&values[..n], 0.95).unwrap()));
    // (1.96 * 4 / (10 * 0.05 / 1.05))^2 = 271 values are expected.
    assert!((200..350).contains(&n), "{n}");

    let mut still = Stopping::new(0.05, 0.95, 3).unwrap();
    assert_eq!([0.0; 3].map(|zero| still.add(zero).unwrap()), [false, false, true]);
}

/// What the correction is for: the error relative to the true mean is within gamma as often as was asked.
#[test]
fn stopping_keeps_its_word() {
    let mut rng = rng(3);
    let hits = count(1000, |_| {
        let mut stopping = Stopping::new(0.1, 0.90, 10).unwrap();
        while !stopping.add(1.0 + normal(&mut rng)).unwrap() {}
        (stopping.interval().unwrap().mean - 1.0).abs() <= 0.1
    });
    println!("stopping at 10 %: within in {} of 1000", hits);
    // 4 standard errors below the nominal 90 %, and one per cent for stopping at lucky variances.
    assert!(hits > 900 - 38 - 10, "{hits}");
}

/// The variance of the mean of n values of an AR(1) of variance 1 is
/// 1/n * ((1 + phi) / (1 - phi) - 2 phi (1 - phi^n) / (n (1 - phi)^2)).
#[test]
fn batch_means_know_the_variance_of_an_autoregressive_mean() {
    const EXPERIMENTS: usize = 1000;
    let (phi, n) = (0.8_f64, 6000);
    let length = n as f64;
    let exact = ((1.0 + phi) / (1.0 - phi)
        - 2.0 * phi * (1.0 - phi.powf(length)) / (length * (1.0 - phi).powi(2)))
        / length;
    let mut rng = rng(4);
    let (mut hits, mut naive, mut sum) = (0, 0, 0.0);
    for _ in 0..EXPERIMENTS {
        let series = autoregressive(phi, n, &mut rng);
        let interval = batch_means(&series, 20, 0.95).unwrap();
        assert_eq!(interval.n, 20);
        hits += usize::from(interval.contains(10.0));
        naive += usize::from(Interval::of(&series, 0.95).unwrap().contains(10.0));
        // t(19, 0.975) = 2.093024054.
        sum += (interval.half_width / 2.093_024_054).powi(2);
    }
    let estimated = sum / EXPERIMENTS as f64;
    println!("AR(1): variance of the mean {estimated:.6}, exact {exact:.6}; naive covers {naive} of 1000");
    // A batch of 300 remembers a little, and 20 batches of 1000 series leave an error of 1 %.
    assert!((estimated / exact - 1.0).abs() < 0.05, "{estimated} against {exact}");
    agree("batch means", hits, EXPERIMENTS, 0.95);
    assert!(naive < 700, "values that depend on one another were covered {naive} times");
}

#[test]
fn batch_means_leave_out_the_oldest() {
    let series = [1e9, 1.0, 3.0, 5.0, 7.0];
    assert_eq!(batch_means(&series, 2, 0.9).unwrap(), Interval::of(&[2.0, 6.0], 0.9).unwrap());
    assert_eq!(batch_means(&series, 5, 0.9).unwrap(), Interval::of(&series, 0.9).unwrap());
}

/// MSER-5 as it is written, with two passes a cut.
fn mser5_by_definition(series: &[f64]) -> usize {
    let fives: Vec<f64> = series.chunks_exact(5).map(|five| five.iter().sum::<f64>() / 5.0).collect();
    let k = fives.len();
    let mser = |d: usize| {
        let left = (k - d) as f64;
        let mean = fives[d..].iter().sum::<f64>() / left;
        fives[d..].iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (left * left)
    };
    5 * (0..=k / 2).min_by(|a, b| mser(*a).total_cmp(&mser(*b))).unwrap()
}

#[test]
fn mser5_is_the_published_formula() {
    let mut rng = rng(5);
    for case in 0..300 {
        let n = 10 + case;
        let level = [0.0, 3.0, 30.0][case % 3];
        let series: Vec<f64> =
            (0..n).map(|i| level * (-8.0 * i as f64 / n as f64).exp() + normal(&mut rng)).collect();
        assert_eq!(mser5(&series).unwrap().delete, mser5_by_definition(&series), "case {case}");
    }
    let fives = |means: &[f64]| means.iter().flat_map(|mean| [*mean; 5]).collect::<Vec<f64>>();
    // MSER(0) = 80.1 / 10^2, MSER(1) = 8.89 / 9^2, MSER(2) = 8 / 8^2.
    let jump = fives(&[9.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
    assert_eq!(mser5(&jump).unwrap().delete, 5);
    // The variance alone is least at d = 2: 3.38 / 20 against 2.88 / 18. Over the square it is least at 0.
    let mut quiet = [0.4, -0.4].repeat(10);
    (quiet[0], quiet[1]) = (0.5, -0.5);
    assert_eq!(mser5(&fives(&quiet)).unwrap().delete, 0);
    assert_eq!(mser5(&[4.0; 40]).unwrap().delete, 0);
}

#[test]
fn mser5_finds_a_transient() {
    const TRANSIENT: usize = 200;
    let n = 2000;
    let mut rng = rng(6);
    let mut worst = 0;
    for _ in 0..200 {
        let mut series =
            |level: fn(usize) -> f64| -> Vec<f64> { (0..n).map(|i| level(i) + normal(&mut rng)).collect() };
        let warm_up = mser5(&series(|i| if i < TRANSIENT { 5.0 } else { 0.0 })).unwrap();
        assert!(warm_up.delete >= TRANSIENT && !warm_up.too_short, "{warm_up:?}");
        worst = worst.max(warm_up.delete);
        // It rises to the end and never settles.
        assert!(mser5(&series(|i| i as f64 * 0.01)).unwrap().too_short);
    }
    println!("MSER-5: {TRANSIENT} values of transient, at most {worst} deleted");
    assert!(worst <= TRANSIENT + n / 10, "{worst}");

    // An AR(1) begun 10 standard deviations off: the bias is 10 * 0.9^i, gone to 1 % of a standard deviation
    // after 66 values.
    let mut error = [0.0, 0.0];
    for _ in 0..200 {
        let mut series = autoregressive(0.9, 1000, &mut rng);
        for (i, value) in series.iter_mut().enumerate() {
            *value += 10.0 * 0.9_f64.powi(i as i32);
        }
        let cut = mser5(&series).unwrap().delete;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        error[0] += mean(&series) - 10.0;
        error[1] += mean(&series[cut..]) - 10.0;
    }
    let [raw, cut] = error.map(|sum| sum / 200.0);
    println!("MSER-5 on AR(1): bias {raw:.4} before, {cut:.4} after");
    assert!(cut.abs() < 0.3 * raw.abs(), "bias {raw} before, {cut} after");
}

/// Sum of the binomial probabilities of `from..to`, each from logarithms of factorials.
fn binomial(n: u64, p: f64, from: u64, to: u64) -> f64 {
    let ln_factorial = |k: u64| libm::lgamma(k as f64 + 1.0);
    let ln_choose = |k: u64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let ln_mass = |k: u64| ln_choose(k) + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln();
    (from..to).map(|k| ln_mass(k).exp()).sum()
}

fn first_numbers(n: u64) -> Vec<f64> {
    (1..=n).map(|i| i as f64).collect()
}

#[test]
fn quantile_intervals_have_their_exact_ranks() {
    // Tables of ranks for the median, such as Conover, Practical Nonparametric Statistics.
    let medians = [(6, (1, 6), 0.968_75), (10, (2, 9), 0.978_515_625), (100, (40, 61), 0.964_799_8)];
    for (n, ranks, coverage) in medians {
        let interval = QuantileInterval::of(&first_numbers(n), 0.5, 0.95).unwrap();
        assert_eq!(interval.ranks, ranks);
        assert!((interval.coverage - coverage).abs() < 1e-6, "{interval:?}");
        assert_eq!((interval.low, interval.high), (ranks.0 as f64, ranks.1 as f64));
    }
    let cases =
        [(59, 0.95, 0.90), (100, 0.9, 0.95), (300, 0.99, 0.90), (1000, 0.95, 0.99), (20_000, 0.3, 0.95)];
    for (n, p, confidence) in cases.into_iter().chain([(1_000_000, 0.5, 0.95), (1_000_000, 0.999, 0.95)]) {
        let interval = QuantileInterval::of(&first_numbers(n), p, confidence).unwrap();
        let ((r, s), miss) = (interval.ranks, (1.0 - confidence) / 2.0);
        let exact = binomial(n, p, r, s);
        assert!((interval.coverage - exact).abs() < 1e-7, "{n} {p}: {interval:?}, exact {exact}");
        assert!(exact >= confidence);
        // Both sides are as tight as they can be.
        assert!(binomial(n, p, 0, r) <= miss && binomial(n, p, 0, r + 1) > miss, "{n} {p}: {interval:?}");
        assert!(binomial(n, p, s, n + 1) <= miss && binomial(n, p, s - 1, n + 1) > miss, "{n} {p}");
        assert_eq!(interval.estimate, (n as f64 * p).ceil());
    }
}

#[test]
fn quantile_intervals_cover_exactly_what_they_say() {
    let mut rng = rng(7);
    for (n, p) in [(80, 0.5), (150, 0.95)] {
        let exact = -(1.0_f64 - p).ln();
        let mut coverage = 0.0;
        let hits = count(4000, |_| {
            let values: Vec<f64> = (0..n).map(|_| -uniform(&mut rng).ln()).collect();
            let interval = QuantileInterval::of(&values, p, 0.9).unwrap();
            coverage = interval.coverage;
            interval.low <= exact && exact <= interval.high
        });
        agree(&format!("{p} quantile of {n}"), hits, 4000, coverage);
    }
}

/// b = a + noise, with var(a) = 9 and var(noise) = 1: the reduction is (9 + 10) / 1.
#[test]
fn pairs_gain_what_they_share() {
    let mut rng = rng(8);
    let a: Vec<f64> = (0..20_000).map(|_| 3.0 * normal(&mut rng)).collect();
    let b: Vec<f64> = a.iter().map(|a| a - 0.5 + normal(&mut rng)).collect();
    let paired = Paired::of(&a, &b, 0.99).unwrap();
    assert!(paired.difference.contains(0.5), "{paired:?}");
    assert!((paired.variance_reduction / 19.0 - 1.0).abs() < 0.05, "{paired:?}");
    let exact = Paired::of(&[1.0, 2.0, 4.0], &[0.0, 1.0, 3.0], 0.95).unwrap();
    assert_eq!((exact.difference.mean, exact.difference.half_width), (1.0, 0.0));
    assert_eq!(exact.variance_reduction, f64::INFINITY);
    assert_eq!(Paired::of(&[1.0, 1.0], &[2.0, 2.0], 0.95).unwrap().variance_reduction, 1.0);
}

#[test]
fn common_random_numbers_pay_in_the_pipeline() {
    let run = |slots| {
        let setup: Setup = setup(exponential, crate::PAPER, (4, slots, 3), Arrivals::Burst(100));
        let outcomes = replicate(&setup, 9, 200, 2).unwrap();
        outcomes.iter().map(|outcome| outcome.makespan_s).collect::<Vec<f64>>()
    };
    let paired = Paired::of(&run(4), &run(5), 0.95).unwrap();
    println!("4 against 5 slots: {:?}", paired);
    assert!(paired.difference.low() > 0.0, "{paired:?}");
    assert!(paired.variance_reduction > 2.0, "{paired:?}");
}

#[test]
fn bad_input_is_named() {
    let fields = [
        Interval::of(&[1.0], 0.95).unwrap_err(),
        Interval::of(&[1.0, f64::NAN], 0.95).unwrap_err(),
        Interval::of(&[1.0, 2.0], 1.0).unwrap_err(),
        Interval::of(&[1.0, 2.0], f64::NAN).unwrap_err(),
        Stopping::new(0.0, 0.95, 10).unwrap_err(),
        Stopping::new(0.1, 95.0, 10).unwrap_err(),
        Stopping::new(0.1, 0.95, 1).unwrap_err(),
        Stopping::new(0.1, 0.95, 2).unwrap().add(f64::INFINITY).unwrap_err(),
        batch_means(&[1.0; 9], 10, 0.95).unwrap_err(),
        batch_means(&[1.0; 9], 1, 0.95).unwrap_err(),
        mser5(&[1.0; 9]).unwrap_err(),
        QuantileInterval::of(&[1.0, 2.0], 1.0, 0.95).unwrap_err(),
        QuantileInterval::of(&[], 0.5, 0.95).unwrap_err(),
        Paired::of(&[1.0, 2.0], &[1.0, 2.0, 3.0], 0.95).unwrap_err(),
    ];
    let expected = [
        "values",
        "values[1]",
        "confidence",
        "confidence",
        "relative",
        "confidence",
        "minimum",
        "values[0]",
        "series",
        "batches",
        "series",
        "p",
        "values",
        "b",
    ];
    assert_eq!(fields.map(|invalid| invalid.field), expected);
    // 0.95^n <= 0.025 takes n = 72.
    let few = QuantileInterval::of(&[1.0; 71], 0.95, 0.95).unwrap_err();
    assert_eq!(few.to_string(), "values: 71 values; this quantile takes at least 72");
    assert_eq!(QuantileInterval::of(&first_numbers(72), 0.95, 0.95).unwrap().ranks.1, 72);
}
