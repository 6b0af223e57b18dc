//! Every family that has an exact answer, simulated with enough power to tell; and what has none.

use std::ops::ControlFlow;

use splitscale_sim::verify::{CASES, Row, Runs, VerifyError, exact, solver_only, verify};
use splitscale_sim::{
    Arrivals, CpuLimit, Experiment, Failure, Point, Replications, Setup, SlotsChange, SlotsStep, Transfer,
};
use splitscale_spec::{Balancer, ServiceLaw};

use crate::{Means, PAPER, Width, constant, exponential, setup};

const ONES: Means = [1.0; 3];

fn poisson(rate_per_s: f64, requests: u32) -> Arrivals {
    Arrivals::Poisson { rate_per_s, requests }
}

/// `servers` of A at 80 %, mean service 1; the other stations take no time.
fn station(service: ServiceLaw, servers: u32, requests: u32) -> Setup {
    let arrivals = poisson(0.8 * f64::from(servers), requests);
    let mut setup = Setup { warm_up_s: 1000.0, ..setup(constant, [0.0; 3], (servers, 1, 1), arrivals) };
    setup.a.service = service;
    setup
}

fn pipeline(means: Means, width: Width, arrivals: Arrivals) -> Setup {
    let warm_up_s = if matches!(arrivals, Arrivals::Burst(_)) { 0.0 } else { 200.0 };
    Setup { warm_up_s, ..setup(exponential, means, width, arrivals) }
}

fn clients(clients: u32, requests: u32) -> Arrivals {
    Arrivals::ClosedLoop { clients, requests, think: constant(0.0) }
}

fn run(setup: &Setup, replications: u32, threads: usize) -> Vec<Row> {
    let after_each = &|| ControlFlow::Continue(());
    verify(setup, &Runs { seed: 7, replications, threads, after_each }).unwrap()
}

/// Each row agrees, and the widest of them is so wide that this says something.
#[track_caller]
fn agree(setup: &Setup, replications: u32, expected: &[(&str, f64)]) {
    let rows = run(setup, replications, 2);
    for row in &rows {
        let (half_width, z) = (row.half_width.unwrap() / row.exact, row.z.unwrap());
        println!("{}: {:.6}, +- {:.2} %, z {z:.2}", row.name, row.exact, half_width * 100.0);
        assert!(row.agrees(), "{row:?}");
        assert!(half_width < 0.05, "{row:?}: too wide to say anything");
    }
    for (name, value) in expected {
        let row = rows.iter().find(|row| row.name == *name).unwrap_or_else(|| panic!("{name} in {rows:?}"));
        assert!((row.exact - value).abs() < 1e-6, "{row:?}, expected {value}");
    }
}

#[test]
fn a_queue_with_several_servers() {
    let recorded = Setup { records: true, ..station(exponential(1.0), 4, 100_000) };
    agree(
        &recorded,
        20,
        &[
            ("M/M/4: Wq at A [s]", 0.745541),
            ("M/M/4: L", 5.585730),
            ("M/M/4: share that waits at A", 0.596432),
            ("M/M/4: p95 of the wait at A [s]", 3.098679),
        ],
    );
}

#[test]
fn the_same_queue_at_every_station() {
    let by_slots = |release| {
        let mut setup = station(constant(0.0), 2, 100_000);
        setup.link.slots = 2;
        setup.link.release_after_transfer = release;
        setup
    };
    let mut transfer = by_slots(true);
    transfer.link.transfer = Transfer::Law(exponential(1.0));
    transfer.link.slots = 2;
    agree(&transfer, 20, &[("M/M/2: Wq at the slots [s]", 1.777778)]);
    let mut b = by_slots(true);
    (b.b.service, b.b.pods) = (exponential(1.0), 2);
    agree(&b, 20, &[("M/M/2: Wq at B [s]", 1.777778)]);
    let mut held = by_slots(false);
    (held.b.service, held.b.pods) = (exponential(1.0), 3);
    agree(&held, 20, &[("M/M/2: Wq at the slots [s]", 1.777778)]);
}

#[test]
fn bounded_queues_and_deadlines() {
    let mut bounded = station(exponential(1.0), 4, 50_000);
    bounded.a.queue_limit = Some(6);
    agree(&bounded, 30, &[("M/M/4/10: share refused", 0.035741), ("M/M/4/10: X [1/s]", 3.085630)]);
    let mut lost = station(ServiceLaw::Lognormal { mean_s: 1.0, cv: 0.5 }, 4, 50_000);
    lost.a.queue_limit = Some(0);
    agree(&lost, 20, &[("M/G/4/4: share refused", 0.228145)]);
    for servers in [1, 3] {
        let late = Setup { deadline_s: Some(2.5), ..station(exponential(1.0), servers, 50_000) };
        agree(&late, 20, &[]);
    }
    // One server, by hand: p0 exp(-(mu - lambda) D) in service, rho times as many in the queue.
    let late = Setup { deadline_s: Some(2.5), ..station(exponential(1.0), 1, 1) };
    let e = (-0.2_f64 * 2.5).exp();
    let lost = 1.8 * (1.0 - 0.8) / (1.0 - 0.64 * e) * e;
    assert!((exact(&late).unwrap()[0].value - lost).abs() < 1e-12);
}

#[test]
fn laws_of_service() {
    let two = |value: f64| [("M/G/1: Wq at A [s]", value)];
    agree(&station(constant(1.0), 1, 100_000), 20, &two(2.0));
    let uniform = ServiceLaw::Empirical { quantiles_s: vec![0.5, 1.5] };
    agree(&station(uniform, 1, 100_000), 20, &two(2.0 + 1.0 / 6.0));
    agree(&station(ServiceLaw::Lognormal { mean_s: 1.0, cv: 0.25 }, 1, 100_000), 20, &two(2.125));
    agree(&station(ServiceLaw::Erlang { stages: 2, mean_s: 1.0 }, 1, 100_000), 20, &two(3.0));
    agree(&station(ServiceLaw::Weibull { mean_s: 1.0, cv: 1.5 }, 1, 200_000), 20, &two(6.5));
    agree(&station(constant(1.0), 4, 100_000), 20, &[("M/D/4: Wq at A [s]", 0.386095)]);
}

#[test]
fn laws_of_arrival() {
    let renewal = |gap: ServiceLaw| {
        let mut setup = station(exponential(1.0), 1, 1);
        setup.arrivals = Arrivals::Renewal { gap, requests: 100_000 };
        setup
    };
    let constant = Setup { records: true, ..renewal(constant(1.25)) };
    agree(&constant, 20, &[("D/M/1: Wq at A [s]", 1.692731), ("D/M/1: share that waits at A", 0.628630)]);
    let erlang = renewal(ServiceLaw::Erlang { stages: 2, mean_s: 1.25 });
    agree(&erlang, 20, &[("E/M/1: Wq at A [s]", 2.843980)]);
    agree(
        &renewal(ServiceLaw::Gamma { mean_s: 1.25, cv: 0.5_f64.sqrt() }),
        20,
        &[("Gamma/M/1: Wq at A [s]", 2.843980)],
    );
    agree(&renewal(exponential(1.25)), 20, &[("M/M/1: W [s]", 5.0)]);
}

#[test]
fn balancers_and_shared_cores() {
    let balanced = |balancer| {
        let mut setup = station(exponential(1.0), 4, 200_000);
        setup.a.balancer = balancer;
        setup
    };
    agree(&balanced(Balancer::Random), 20, &[("4 M/G/1 at random: W [s]", 5.0)]);
    agree(&balanced(Balancer::RoundRobin), 20, &[("4 M/M/1 in turn: W [s]", 3.267384)]);
    agree(&balanced(Balancer::ShortestQueue), 20, &[]);
    let shared = |service, pods| {
        let mut setup = station(service, 1, 100_000);
        (setup.a.pods, setup.a.cores) = (pods, Some(1));
        setup
    };
    agree(&shared(exponential(1.0), 4), 20, &[("M/M/1-PS: W [s]", 5.0)]);
    agree(&shared(ServiceLaw::Erlang { stages: 2, mean_s: 1.0 }, 100), 20, &[("M/G/1-PS: W [s]", 5.0)]);
}

#[test]
fn networks() {
    let released = |arrivals, width| {
        let mut setup = pipeline(PAPER, width, arrivals);
        setup.link.release_after_transfer = true;
        setup
    };
    agree(
        &released(poisson(30.0, 50_000), (4, 4, 3)),
        20,
        &[("Jackson: L", 4.379928), ("Jackson: W [s]", 0.145998)],
    );
    for (n, rate) in [(1, 7.142857), (2, 10.526316), (3, 12.429907), (4, 13.611500)] {
        agree(&released(clients(n, 20_000), (1, 1, 1)), 20, &[("closed network: X [1/s]", rate)]);
    }
    // The repairman.
    let mut repairs = station(exponential(1.0), 1, 1);
    repairs.arrivals = Arrivals::ClosedLoop { clients: 5, requests: 20_000, think: exponential(10.0) };
    agree(&repairs, 20, &[("closed network: X [1/s]", 0.436048), ("closed network: L", 0.639522)]);
}

#[test]
fn the_pipeline_whose_slots_are_held() {
    let open = Setup { records: true, ..pipeline(ONES, (2, 3, 2), poisson(1.0, 50_000)) };
    agree(
        &open,
        20,
        &[
            ("open pipeline: W [s]", 4.352513),
            ("open pipeline: Wq at the slots [s]", 0.931117),
            ("open pipeline: Wq at B [s]", 0.088063),
            ("open pipeline: share that waits at the slots", 0.488379),
        ],
    );
    let saturated = |a_s: f64, width| {
        let mut setup = pipeline(ONES, width, clients(12, 20_000));
        setup.a.service = if a_s > 0.0 { exponential(a_s) } else { constant(0.0) };
        setup
    };
    agree(&saturated(0.0, (1, 3, 2)), 20, &[("saturated pipeline: X [1/s]", 24.0 / 17.0)]);
    let mut fast = saturated(0.05, (1, 3, 2));
    fast.arrivals = clients(20, 20_000);
    agree(&fast, 20, &[("saturated pipeline: X [1/s]", 24.0 / 17.0)]);
    let mut held = saturated(1.0, (2, 3, 2));
    held.link.hold_a = true;
    agree(&held, 20, &[("saturated pipeline: X [1/s]", 1.268050)]);
    // Any laws, where nobody waits at B.
    let mut wide = setup(constant, [0.0, 0.06, 0.03], (1, 4, 4), clients(12, 20_000));
    (wide.warm_up_s, wide.b.service) = (10.0, ServiceLaw::Erlang { stages: 3, mean_s: 0.03 });
    agree(&wide, 20, &[("saturated pipeline: X [1/s]", 4.0 / 0.09)]);
}

#[test]
fn bursts() {
    let burst = pipeline(PAPER, (4, 4, 3), Arrivals::Burst(100));
    agree(
        &burst,
        4_000,
        &[
            ("burst: makespan [s]", 2.371167),
            ("burst: sd of the makespan [s]", 0.180006),
            ("burst: W [s]", 1.196786),
        ],
    );
    let constant = setup(constant, PAPER, (4, 4, 3), Arrivals::Burst(100));
    let rows = run(&constant, 20, 2);
    let told: Vec<_> = rows.iter().map(|row| (row.exact, row.simulated, row.half_width, row.z)).collect();
    assert_eq!(told.len(), 2, "{rows:?}");
    for (row, value) in rows.iter().zip([2.33, 1.2275]) {
        assert!(
            (row.exact - value).abs() < 1e-9 && row.z == Some(0.0) && row.half_width == Some(0.0),
            "{row:?}"
        );
    }
}

#[test]
fn threads_change_nothing() {
    let setup = pipeline(PAPER, (4, 4, 3), Arrivals::Burst(10));
    assert_eq!(run(&setup, 50, 1), run(&setup, 50, 3));
}

#[test]
fn rows_that_say_nothing_or_something_else_are_told_apart() {
    let row = |exact, simulated, half_width, z| Row {
        name: String::new(),
        exact,
        simulated: Some(simulated),
        half_width: Some(half_width),
        z: Some(z),
    };
    assert!(row(1.0, 1.0, 0.009, -3.9).is_powered() && row(1.0, 1.0, 0.009, -3.9).agrees());
    assert!(!row(-1.0, -1.0, 0.011, 0.0).is_powered());
    assert!(!row(1.0, 1.1, 0.001, -4.1).agrees());
    assert!(!row(1.0, 2.0, 0.0, f64::INFINITY).agrees());
    let mut wide = station(exponential(1.0), 40, 1);
    wide.arrivals = poisson(1.0, 10_000);
    let rows = run(&wide, 20, 2);
    let wait = rows.iter().find(|row| row.name == "M/M/40: Wq at A [s]").unwrap();
    assert!(
        wait.exact > 0.0 && wait.simulated == Some(0.0) && !wait.is_powered() && wait.agrees(),
        "{wait:?}"
    );
    let alone = solver_only().unwrap();
    assert!(alone.iter().all(|row| row.simulated.is_none() && row.agrees() && row.is_powered()));
    let values: Vec<f64> = alone.iter().map(|row| row.exact).collect();
    for (value, expected) in values.iter().zip([2.5, 5.0, 12.0, 2.030282, 3.405039]) {
        assert!((value - expected).abs() < 1e-6, "{values:?}");
    }
}

/// What is said of a setup without an answer.
fn refused(change: impl FnOnce(&mut Setup), setup: Setup) -> String {
    let mut setup = setup;
    change(&mut setup);
    exact(&setup).unwrap_err().to_string()
}

#[test]
fn what_stands_in_the_way_is_named() {
    let single = || station(exponential(1.0), 2, 1000);
    let open = || pipeline(ONES, (2, 3, 2), poisson(1.0, 1000));
    let closed = || pipeline(ONES, (2, 3, 2), clients(4, 1000));
    let burst = || pipeline(ONES, (2, 3, 2), Arrivals::Burst(10));
    let lognormal = || ServiceLaw::Lognormal { mean_s: 1.0, cv: 0.5 };
    let change = || {
        let steps = vec![SlotsStep { at_s: 1.0, slots: 2 }];
        SlotsChange::Schedule { steps, period_s: None }
    };
    let failure = Failure { after: exponential(10.0), restart: exponential(1.0) };
    let told = [
        (refused(|s| s.a.failure = Some(failure), single()), "a.failure"),
        (refused(|s| s.link.slots_change = Some(change()), single()), "link.slots_change"),
        (refused(|s| s.overhead = constant(1.0), single()), "overhead"),
        (
            refused(
                |s| s.a.cores = Some(1),
                Setup { one_node: true, arrivals: poisson(0.1, 10), ..single() },
            ),
            "one_node",
        ),
        (refused(|s| (s.a.pods, s.a.cores) = (4, Some(3)), single()), "a.cores"),
        (refused(|s| s.a.cpu_limit = Some(CpuLimit { cores: 0.9, period_s: 0.1 }), single()), "a.cpu_limit"),
        (refused(|s| s.a.service = constant(0.0), single()), "a.service: takes no time"),
        (refused(|s| s.a.service = lognormal(), single()), "a.service: neither exponential nor constant"),
        (refused(|s| s.deadline_s = Some(1.0), open()), "deadline_s"),
        (refused(|s| s.a.service = lognormal(), open()), "a.service: not exponential"),
        (refused(|s| s.b.queue_limit = Some(3), open()), "b.queue_limit"),
        (refused(|s| s.a.balancer = Balancer::Random, open()), "a.balancer"),
        (refused(|s| s.link.hold_a = true, open()), "link.hold_a"),
        (refused(|s| s.link.transfer = Transfer::Law(constant(0.0)), open()), "link.slots: held over B"),
        (refused(|_| (), closed()), "clients: 4"),
        (refused(|s| s.warm_up_s = 1.0, burst()), "warm_up_s"),
        (refused(|s| s.a.service = constant(0.0), burst()), "a.service"),
        (refused(|s| s.arrivals = Arrivals::Burst(100_000), burst()), "arrivals.burst"),
        (
            refused(
                |s| {
                    s.arrivals = Arrivals::Diurnal {
                        mean_per_s: 1.0,
                        amplitude: 0.5,
                        period_s: 10.0,
                        shift_s: 0.0,
                        requests: 10,
                    }
                },
                single(),
            ),
            "arrivals: known for",
        ),
        (
            refused(|s| s.arrivals = Arrivals::Renewal { gap: constant(1.0), requests: 10 }, single()),
            "arrivals.renewal",
        ),
    ];
    for (said, expected) in told {
        assert!(said.contains(expected), "{said}\nexpected {expected}");
    }
    // All of them at once.
    let both = refused(|s| (s.overhead, s.link.slots_change) = (constant(1.0), Some(change())), single());
    assert!(both.contains("overhead") && both.contains("link.slots_change"), "{both}");
    let unstable = [
        (refused(|s| s.arrivals = poisson(2.2, 10), single()), "a: utilisation 1.1000"),
        (refused(|s| s.arrivals = poisson(1.45, 10), open()), "link.slots: utilisation 1.0271"),
        (refused(|s| s.arrivals = poisson(1.6, 10), open()), "link.slots: utilisation 1.0667"),
    ];
    for (said, expected) in unstable {
        assert!(said.contains(expected), "{said}\nexpected {expected}");
    }
}

#[test]
fn runs_that_cannot_tell_are_refused_and_a_break_is_kept() {
    let setup = pipeline(PAPER, (4, 4, 3), Arrivals::Burst(10));
    let go_on = &|| ControlFlow::Continue(());
    let few = verify(&setup, &Runs { seed: 1, replications: 19, threads: 1, after_each: go_on });
    assert!(few.unwrap_err().to_string().contains("replications: 19"));
    let stop = &|| ControlFlow::Break(());
    let stopped = verify(&setup, &Runs { seed: 1, replications: 50, threads: 1, after_each: stop });
    assert_eq!(stopped, Err(VerifyError::Stopped));
    let early = Setup { warm_up_s: 1e6, ..station(exponential(1.0), 1, 10) };
    let early = verify(&early, &Runs { seed: 1, replications: 20, threads: 2, after_each: go_on });
    assert!(early.unwrap_err().to_string().contains("warm_up_s"));
}

/// The points of a committed case and its replications.
fn case(name: &str, text: &str) -> (Vec<Point>, u32) {
    let experiment = Experiment::parse(name, text).unwrap();
    let no_files = &mut |file: &str| Err(format!("{name} names the file {file}").into());
    let plan = experiment.plan::<Box<dyn std::error::Error>>(no_files).unwrap();
    let Replications::Fixed(replications) = experiment.replications else {
        panic!("{name}: stop; a case has a fixed number of replications");
    };
    (plan.points, replications)
}

#[test]
fn every_committed_case_has_exact_answers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("verify");
    let mut files: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<_> = CASES.iter().map(|(name, _)| (*name).to_string()).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
    for (name, text) in CASES {
        let (points, replications) = case(name, text);
        assert!(replications >= 20, "{name}");
        for point in &points {
            let answers = exact(&point.setup).unwrap_or_else(|e| panic!("{name} {:?}: {e}", point.labels));
            assert!(!answers.is_empty() && answers.iter().all(|answer| answer.value > 0.0), "{name}");
        }
    }
}

/// The whole of `splitscale verify --all`.
#[test]
#[ignore = "two minutes in release on two cores"]
fn every_committed_case_agrees() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut wrong = Vec::new();
    for (name, text) in CASES {
        let (points, replications) = case(name, text);
        for point in points {
            let after_each = &|| ControlFlow::Continue(());
            let runs = Runs { seed: point.seed, replications, threads, after_each };
            let rows = verify(&point.setup, &runs).unwrap();
            wrong.extend(rows.into_iter().filter(|row| !row.agrees() || !row.is_powered()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
