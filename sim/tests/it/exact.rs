//! The exact solvers against values published or worked out independently, and against each other.

use proptest::prelude::*;
use splitscale_sim::exact::*;

/// Name, value of the solver, value expected to 6 digits or as many as are written.
type Row = (&'static str, f64, f64);

/// Half a unit of the sixth decimal or of the sixth digit.
#[track_caller]
fn agree(rows: &[Row]) {
    for (name, value, expected) in rows {
        let tolerance = 0.51e-6_f64.max(0.51e-6 * expected.abs());
        assert!((value - expected).abs() <= tolerance, "{name}: {value}, expected {expected}");
    }
}

#[track_caller]
fn same(name: &str, value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-8, "{name}: {value}, expected {expected}");
}

/// At 80 % of `servers` that take 1 s, unless it says otherwise.
fn loaded(servers: u32) -> Station {
    Station { rate_per_s: 0.8 * f64::from(servers), service_s: 1.0, servers }
}

fn single(rate_per_s: f64) -> Station {
    Station { rate_per_s, service_s: 1.0, servers: 1 }
}

fn mmc(station: Station) -> Mmc {
    Mmc::new(station).unwrap()
}

#[test]
fn erlang() {
    let (one, two, four, ten) = (mmc(loaded(1)), mmc(loaded(2)), mmc(loaded(4)), mmc(loaded(10)));
    let bench = mmc(Station { rate_per_s: 10.0, service_s: 0.25, servers: 3 });
    let (five, room) = (mmck(loaded(1), 5).unwrap(), mmck(loaded(4), 10).unwrap());
    agree(&[
        ("M/M/1 Wq", one.steady().wait_s, 4.0),
        ("M/M/1 W", one.steady().sojourn_s, 5.0),
        ("M/M/1 Lq", one.steady().waiting, 3.2),
        ("M/M/1 L", one.steady().number, 4.0),
        ("M/M/1 p95 of the sojourn", one.sojourn_quantile(0.95).unwrap(), 14.978661),
        ("M/M/1 p99 of the sojourn", one.sojourn_quantile(0.99).unwrap(), 23.025851),
        ("M/M/1 at 0.5 W", mmc(single(0.5)).steady().sojourn_s, 2.0),
        ("M/M/1 at 0.9 W", mmc(single(0.9)).steady().sojourn_s, 10.0),
        ("M/M/1 from empty, 10 s", number_at(single(0.8), 10.0).unwrap(), 2.030282),
        ("M/M/1 from empty, 50 s", number_at(single(0.8), 50.0).unwrap(), 3.405039),
        ("M/M/2 C", two.wait_probability(), 0.711111),
        ("M/M/2 Wq", two.steady().wait_s, 1.777778),
        ("M/M/4 C", four.wait_probability(), 0.596432),
        ("M/M/4 Wq", four.steady().wait_s, 0.745541),
        ("M/M/4 L", four.steady().number, 5.585730),
        ("M/M/4 p95 of the wait", four.wait_quantile(0.95).unwrap(), 3.098679),
        ("M/M/10 C", ten.wait_probability(), 0.409180),
        ("M/M/10 Wq", ten.steady().wait_s, 0.204590),
        ("M/M/3 C", bench.wait_probability(), 0.702247),
        ("M/M/3 Wq", bench.steady().wait_s, 0.351124),
        ("M/M/3 L", bench.steady().number, 6.011236),
        ("B(4, 3.2)", erlang_b(4, 3.2).unwrap(), 0.228145),
        ("B(10, 8)", erlang_b(10, 8.0).unwrap(), 0.121661),
        ("B(100, 90)", erlang_b(100, 90.0).unwrap(), 0.026957),
        ("B(5, 3)", erlang_b(5, 3.0).unwrap(), 0.110054),
        ("M/M/1/5 p0", five.probabilities[0], 0.271056),
        ("M/M/1/5 pK", five.probabilities[5], 0.088819),
        ("M/M/1/5 L", five.steady.number, 1.868332),
        ("M/M/1/5 W", five.steady.sojourn_s, 2.563065),
        ("M/M/1/5 X", five.steady.rate_per_s, 0.728944),
        ("M/M/4/10 p0", room.probabilities[0], 0.031206),
        ("M/M/4/10 pK", room.probabilities[10], 0.035741),
        ("M/M/4/10 L", room.steady.number, 4.239839),
        ("M/M/4/10 Wq", room.steady.wait_s, 0.374059),
        ("M/M/4/10 X", room.steady.rate_per_s, 3.085630),
    ]);
}

#[test]
fn other_laws() {
    let pk = |scv| pollaczek_khinchine(0.8, 1.0, scv).unwrap().wait_s;
    let constant = gim1(0.8, 1.0, deterministic_gap(0.8)).unwrap().wait_s;
    let erlang = gim1(0.8, 1.0, gamma_gap(0.8, 2.0)).unwrap().wait_s;
    let sigma = |wait_s: f64| wait_s / (1.0 + wait_s);
    let shared = |rate_per_s| processor_sharing(Station { rate_per_s, service_s: 0.2, servers: 1 });
    agree(&[
        ("M/D/1 by Pollaczek and Khinchine", pk(0.0), 2.0),
        ("M/U(0.5, 1.5)/1", pk(1.0 / 12.0), 2.166667),
        ("M/LN(0.25)/1", pk(0.0625), 2.125),
        ("M/E2/1", pk(0.5), 3.0),
        ("M/G/1, scv 4", pk(4.0), 10.0),
        ("M/D/1", mdc(loaded(1)).unwrap().wait_s, 2.0),
        ("M/D/2", mdc(loaded(2)).unwrap().wait_s, 0.903284),
        ("M/D/4", mdc(loaded(4)).unwrap().wait_s, 0.386095),
        ("M/D/4 approximately", allen_cunneen(loaded(4), 1.0, 0.0).unwrap(), 0.372770),
        ("M/LN(0.25)/4 approximately", allen_cunneen(loaded(4), 1.0, 0.0625).unwrap(), 0.396068),
        ("M/M/4 approximately", sakasegawa(loaded(4), 1.0, 1.0).unwrap(), 0.771549),
        ("D/M/1 Wq", constant, 1.692731),
        ("D/M/1 sigma", sigma(constant), 0.628630),
        ("E2/M/1 Wq", erlang, 2.843980),
        ("E2/M/1 sigma", sigma(erlang), 0.739853),
        ("M/M/1-PS at 3", shared(3.0).unwrap().sojourn_s, 0.5),
        ("M/M/1-PS at 4", shared(4.0).unwrap().sojourn_s, 1.0),
        ("M/M/1 with set-up", set_up(single(0.5), 10.0).unwrap().sojourn_s, 12.0),
    ]);
}

#[test]
fn balancers() {
    let turn = round_robin(loaded(4)).unwrap();
    agree(&[
        ("4 at random", random(loaded(4)).unwrap().sojourn_s, 5.0),
        ("4 in turn", turn.sojourn_s, 3.267384),
        ("4 in turn, sigma", turn.wait_s / turn.sojourn_s, 0.693945),
        ("4 from one queue", mmc(loaded(4)).steady().sojourn_s, 1.745541),
        ("2 at random", random(loaded(2)).unwrap().sojourn_s, 5.0),
        ("2 from one queue", mmc(loaded(2)).steady().sojourn_s, 2.777778),
    ]);
    for servers in 2..=5 {
        for share in [0.3, 0.8, 0.9] {
            let station = Station { rate_per_s: share * f64::from(servers), ..loaded(servers) };
            let shortest = join_shortest_queue(station).unwrap();
            println!("shortest of {servers} at {share}: {shortest:?}");
            assert!(mmc(station).steady().number < shortest.number);
            assert!(shortest.number < round_robin(station).unwrap().number);
        }
    }
}

fn stations(rates: [f64; 3], servers: [u32; 3], service_s: [f64; 3]) -> Vec<Station> {
    (0..3).map(|i| Station { rate_per_s: rates[i], service_s: service_s[i], servers: servers[i] }).collect()
}

#[test]
fn networks() {
    let next = [vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0], vec![0.0; 3]];
    let tandem = |rate| jackson(&stations([rate, 0.0, 0.0], [4, 4, 3], [0.05, 0.06, 0.03]), &next).unwrap();
    let (thirty, forty) = (tandem(30.0), tandem(40.0));
    let back = [
        Station { rate_per_s: 0.5, service_s: 1.0, servers: 1 },
        Station { rate_per_s: 0.0, service_s: 0.5, servers: 1 },
    ];
    let feedback = jackson(&back, &[vec![0.0, 1.0], vec![0.25, 0.0]]).unwrap();
    let demands: Vec<ClosedStation> =
        [0.05, 0.06, 0.03].map(|demand_s| ClosedStation { demand_s, servers: 1 }).to_vec();
    let rounds = |clients| closed(&demands, 0.0, clients).unwrap().rate_per_s;
    let repairman = closed(&[ClosedStation { demand_s: 1.0, servers: 1 }], 10.0, 5).unwrap();
    agree(&[
        ("tandem at 30, L", thirty.number, 4.379928),
        ("tandem at 30, W", thirty.sojourn_s, 0.145998),
        ("tandem at 30, A", thirty.stations[0].number, 1.544751),
        ("tandem at 30, transfer", thirty.stations[1].number, 1.905164),
        ("tandem at 30, B", thirty.stations[2].number, 0.930012),
        ("tandem at 40, L", forty.number, 6.298595),
        ("tandem at 40, W", forty.sojourn_s, 0.157465),
        ("feedback, L", feedback.number, 2.5),
        ("feedback, W", feedback.sojourn_s, 5.0),
        ("closed, 1", rounds(1), 7.142857),
        ("closed, 2", rounds(2), 10.526316),
        ("closed, 3", rounds(3), 12.429907),
        ("closed, 4", rounds(4), 13.611500),
        ("repairman L", repairman.stations[0].number, 0.639522),
        ("repairman X", repairman.rate_per_s, 0.436048),
    ]);
}

const PAPER: [f64; 3] = [0.05, 0.06, 0.03];
const ONES: [f64; 3] = [1.0; 3];

fn pipeline(means: [f64; 3], width: [u32; 3]) -> Pipeline {
    let ([a_s, transfer_s, b_s], [pods_a, slots, pods_b]) = (means, width);
    Pipeline { a_s, transfer_s, b_s, pods_a, slots, pods_b, hold_slot: true, hold_a: false }
}

#[test]
fn pipelines() {
    let slots = |means, width| pipeline(means, width).slots_throughput_per_s().unwrap();
    let bound = |means, width| pipeline(means, width).bound_per_s().unwrap();
    let ones = pipeline(ONES, [2, 3, 2]).open(1.0).unwrap();
    let paper = pipeline(PAPER, [4, 4, 3]).open(30.0).unwrap();
    let held = Pipeline { hold_a: true, ..pipeline(ONES, [2, 3, 2]) };
    agree(&[
        ("slots 3/2", slots(ONES, [9, 3, 2]), 1.411765),
        ("slots 3/2, bound", bound(ONES, [9, 3, 2]), 1.5),
        ("slots 4/3", slots(PAPER, [9, 4, 3]), 44.262295),
        ("slots 4/3, bound", bound(PAPER, [9, 4, 3]), 44.444444),
        ("slots 8/2", slots(PAPER, [9, 8, 2]), 63.577677),
        ("slots 8/2, bound", bound(PAPER, [9, 8, 2]), 66.666667),
        ("slots 2/1", slots(ONES, [9, 2, 1]), 0.8),
        ("open, L", ones.number, 4.352513),
        ("open, W", ones.sojourn_s, 4.352513),
        ("open, wait for a slot", ones.transfer.wait_s, 0.931117),
        ("open, wait for B", ones.b.wait_s, 0.088063),
        ("open, slots busy", ones.slots_busy, 0.488379),
        ("open at 30, W", paper.sojourn_s, 0.163579),
        ("open at 30, wait for a slot", paper.transfer.wait_s, 0.021869),
        ("open at 30, wait for B", paper.b.wait_s, 0.000219),
        ("A held", held.throughput_per_s().unwrap(), 1.268050),
    ]);
}

#[test]
fn bursts() {
    let burst = |means, width, requests| pipeline(means, width).burst(requests).unwrap();
    let (four, eight) = (burst(PAPER, [4, 4, 3], 100), burst(PAPER, [4, 8, 3], 100));
    let [one, two, three] = [1, 2, 3].map(|requests| burst(ONES, [1, 1, 1], requests));
    let ten = burst(ONES, [2, 3, 2], 10);
    let constant = |means, width, requests| pipeline(means, width).burst_constant(requests).unwrap();
    let paper = |slots| constant(PAPER, [4, slots, 3], 100);
    let (few, many) = (constant(PAPER, [2, 3, 2], 10), constant([0.1; 3], [2, 3, 2], 100));
    agree(&[
        ("100 on 4/4/3, makespan", four.makespan_s, 2.371167),
        ("100 on 4/4/3, sd", four.makespan_sd_s, 0.180006),
        ("100 on 4/4/3, completion", four.completion_s, 1.196786),
        ("100 on 4/8/3, makespan", eight.makespan_s, 1.520875),
        ("100 on 4/8/3, sd", eight.makespan_sd_s, 0.125766),
        ("100 on 4/8/3, completion", eight.completion_s, 0.773398),
        ("1 on 1/1/1, makespan", one.makespan_s, 3.0),
        ("1 on 1/1/1, sd", one.makespan_sd_s, 3_f64.sqrt()),
        ("2 on 1/1/1, makespan", two.makespan_s, 5.25),
        ("2 on 1/1/1, completion", two.completion_s, 4.125),
        ("3 on 1/1/1, makespan", three.makespan_s, 7.375),
        ("3 on 1/1/1, completion", three.completion_s, 5.208333),
        ("10 on 2/3/2, makespan", ten.makespan_s, 9.803158),
        ("10 on 2/3/2, sd", ten.makespan_sd_s, 2.118248),
        ("10 on 2/3/2, completion", ten.completion_s, 5.619972),
        ("constant, 4/4/3, makespan", paper(4).makespan_s, 2.330),
        ("constant, 4/4/3, completion", paper(4).completion_s, 1.2275),
        ("constant, 4/1/3, makespan", paper(1).makespan_s, 9.050),
        ("constant, 4/1/3, completion", paper(1).completion_s, 4.595),
        ("constant, 4/8/3, makespan", paper(8).makespan_s, 1.370),
        ("constant, 4/8/3, completion", paper(8).completion_s, 0.7499),
        ("constant, 10 on 2/3/2, makespan", few.makespan_s, 0.410),
        ("constant, 10 on 2/3/2, completion", few.completion_s, 0.265),
        ("constant, 100 on 2/3/2, makespan", many.makespan_s, 6.900),
        ("constant, 100 on 2/3/2, completion", many.completion_s, 3.567),
    ]);
}

/// The mean number at two replicas of queues up to `most`, neither sorted nor bounded in their difference, by
/// nothing cleverer than jump after jump.
fn shortest_of_two(rate_per_s: f64, most: usize) -> f64 {
    let at = |x: usize, y: usize| x * (most + 1) + y;
    let step = 1.0 / (rate_per_s + 2.0);
    let mut p = vec![0.0; (most + 1) * (most + 1)];
    p[0] = 1.0;
    for _ in 0..8_000 {
        let mut next = vec![0.0; p.len()];
        for x in 0..=most {
            for y in 0..=most {
                let flow = p[at(x, y)] * step;
                let (to_x, to_y) = ((x + 1).min(most), (y + 1).min(most));
                let share = if x == y { 0.5 } else { f64::from(x < y) };
                next[at(to_x, y)] += flow * rate_per_s * share;
                next[at(x, to_y)] += flow * rate_per_s * (1.0 - share);
                next[at(x.saturating_sub(1), y)] += flow;
                next[at(x, y.saturating_sub(1))] += flow;
            }
        }
        p = next;
    }
    (0..=most).flat_map(|x| (0..=most).map(move |y| (x, y))).map(|(x, y)| p[at(x, y)] * (x + y) as f64).sum()
}

#[test]
fn the_shortest_of_two_queues_agrees_with_its_whole_chain() {
    let station = Station { rate_per_s: 1.6, ..loaded(2) };
    same("shortest of 2", join_shortest_queue(station).unwrap().number, shortest_of_two(1.6, 60));
}

/// Crommelin's own series, in the form of Spitzer: Lq = sum E (Poisson(n a) - n c)+ / n.
fn crommelin(station: Station) -> f64 {
    let (a, c) = (station.rate_per_s * station.service_s, f64::from(station.servers));
    let excess = |n: f64| {
        let (mean, start) = (n * a, n * c);
        let logarithm: f64 = (1..=start as u32).map(|k| (mean / f64::from(k)).ln()).sum();
        let (mut p, mut sum) = ((logarithm - mean).exp(), 0.0);
        for j in 1..400 {
            p *= mean / (start + f64::from(j));
            sum += f64::from(j) * p;
        }
        sum
    };
    // Terms fall by 2 % and more at a load of 0.8.
    (1..1500).map(|n| excess(f64::from(n)) / f64::from(n)).sum()
}

#[test]
fn constant_services_agree_with_the_series() {
    for servers in [1, 2, 3, 7, 30] {
        for share in [0.5, 0.8] {
            let station = Station { rate_per_s: share * f64::from(servers), ..loaded(servers) };
            let waiting = mdc(station).unwrap().waiting;
            let series = crommelin(station);
            assert!((waiting - series).abs() < 1e-11, "M/D/{servers} at {share}: {waiting}, series {series}");
        }
    }
}

#[test]
fn deadlines_lose_by_the_closed_form_at_any_load() {
    for rate in [0.5_f64, 0.99, 1.01, 3.0] {
        for deadline_s in [0.1, 2.0, 9.0] {
            let e = (-(1.0 - rate) * deadline_s).exp();
            let barrer = rate * e * (1.0 - rate) / (1.0 - rate * rate * e);
            same("loss", deadline_loss(single(rate), deadline_s).unwrap(), barrer);
        }
    }
    same("loss at full load", deadline_loss(single(1.0), 2.0).unwrap(), 0.25);
    same("loss of patience without end", deadline_loss(single(4.0), 1e6).unwrap(), 0.75);
    let three = Station { rate_per_s: 3.0, ..loaded(3) };
    same("loss of no patience", deadline_loss(three, 0.0).unwrap(), erlang_b(3, 3.0).unwrap());
}

#[test]
fn what_cannot_be_solved_is_named() {
    let said = |error: splitscale_spec::Invalid| error.to_string();
    let over = Mmc::new(Station { rate_per_s: 5.0, ..loaded(4) }).unwrap_err();
    assert!(said(over).contains("rate_per_s: 5 a second is 1.2500 times the 4.000000"));
    let none = mmck(Station { servers: 0, ..loaded(1) }, 3).unwrap_err();
    assert!(said(none).contains("servers: zero"));
    let slots = pipeline(ONES, [2, 3, 2]).open(1.5).unwrap_err();
    assert!(said(slots).contains("1.0625 times the 1.411765"));
    let nan = pipeline([f64::NAN, 1.0, 1.0], [1, 1, 1]).burst(1).unwrap_err();
    assert!(said(nan).contains("a_s: NaN"));
    let stuck = jackson(&[single(0.1), single(0.1)], &[vec![0.0, 1.0], vec![1.0, 0.0]]).unwrap_err();
    assert!(said(stuck).contains("routing: some requests never leave"));
    assert!(join_shortest_queue(loaded(40)).is_err());
    assert!(number_at(single(0.8), f64::INFINITY).is_err());
    assert!(mmc(loaded(1)).wait_quantile(1.0).is_err());
}

#[test]
fn pipelines_whose_slots_are_free_after_the_transfer() {
    let tandem = Pipeline { hold_slot: false, ..pipeline(PAPER, [4, 4, 3]) };
    agree(&[("open at 30, L", tandem.open(30.0).unwrap().number, 4.379928)]);
    // E of the last passage through 2 x 3 exponentials, by hand.
    let two = Pipeline { hold_slot: false, ..pipeline(ONES, [1, 1, 1]) }.burst(2).unwrap();
    same("2 on 1/1/1, makespan", two.makespan_s, 4.875);
}

fn any_pipeline() -> impl Strategy<Value = Pipeline> {
    let time = || 0.1..10.0_f64;
    let hold = (any::<bool>(), any::<bool>());
    ([time(), time(), time()], [1..6_u32, 1..8, 1..6], hold).prop_map(
        |(means, width, (hold_slot, hold_a))| Pipeline { hold_slot, hold_a, ..pipeline(means, width) },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_server_is_the_closed_form(rho in 0.01..0.99_f64, service_s in 0.01..100.0_f64) {
        let station = Station { rate_per_s: rho / service_s, service_s, servers: 1 };
        let wait_s = rho * service_s / (1.0 - rho);
        same("Wq", mmc(station).steady().wait_s, wait_s);
        same("median", mmc(station).sojourn_quantile(0.5).unwrap(), service_s / (1.0 - rho) * 2_f64.ln());
        same("M/G/1", pollaczek_khinchine(station.rate_per_s, service_s, 1.0).unwrap().wait_s, wait_s);
        same("GI/M/1", gim1(station.rate_per_s, service_s, gamma_gap(station.rate_per_s, 1.0)).unwrap().wait_s,
            wait_s);
        let same_twice = [(0.3, station.rate_per_s), (0.7, station.rate_per_s)];
        same("H2/M/1",
            gim1(station.rate_per_s, service_s, hyperexponential_gap(&same_twice)).unwrap().wait_s, wait_s);
        same("shortest", join_shortest_queue(station).unwrap().sojourn_s, wait_s + service_s);
        same("in turn", round_robin(station).unwrap().wait_s, wait_s);
    }

    #[test]
    fn a_wide_room_is_an_endless_one(rho in 0.1..0.9_f64, servers in 1..20_u32) {
        let station = Station { rate_per_s: rho * f64::from(servers), service_s: 1.0, servers };
        let (room, endless) = (mmck(station, 400).unwrap(), mmc(station));
        same("L", room.steady.number, endless.steady().number);
        let waits: f64 = room.probabilities[servers as usize..].iter().sum();
        same("C", waits, endless.wait_probability());
        same("B", *mmck(station, servers).unwrap().probabilities.last().unwrap(),
            erlang_b(servers, station.rate_per_s).unwrap());
        // Long after it was empty: the slowest, one server at 0.6, forgets in 20 s.
        if rho < 0.6 {
            same("L in the end", number_at(station, 600.0).unwrap(), endless.steady().number);
        }
    }

    #[test]
    fn a_closed_network_of_enough_servers_never_waits(demand_s in 0.1..5.0_f64, clients in 1..40_u32) {
        let wide = closed(&[ClosedStation { demand_s, servers: clients }], 1.0, clients).unwrap();
        same("X", wide.rate_per_s, f64::from(clients) / (1.0 + demand_s));
        prop_assert!(wide.stations[0].wait_s < 1e-12);
        // The repairman as birth and death: machines down, of M.
        let narrow = closed(&[ClosedStation { demand_s, servers: 2 }], 1.0, clients).unwrap();
        let in_all = narrow.rate_per_s * (narrow.response_s + 1.0);
        same("Little", in_all, f64::from(clients));
    }

    #[test]
    fn throughputs_are_within_their_bound(pipeline in any_pipeline()) {
        let (bound, slots) = (pipeline.bound_per_s().unwrap(), pipeline.slots_throughput_per_s().unwrap());
        let throughput = pipeline.throughput_per_s().unwrap();
        prop_assert!(throughput <= bound * (1.0 + 1e-9));
        prop_assert!(throughput <= slots * (1.0 + 1e-9));
        if pipeline.slots <= pipeline.pods_b && pipeline.hold_slot {
            let held_s = pipeline.transfer_s + pipeline.b_s;
            same("slots alone", slots, f64::from(pipeline.slots) / held_s);
        }
        // To hold A never helps.
        let free = Pipeline { hold_a: false, ..pipeline };
        prop_assert!(throughput <= free.throughput_per_s().unwrap() * (1.0 + 1e-9));
    }

    #[test]
    fn bursts_are_as_long_as_their_parts(pipeline in any_pipeline(), requests in 2..30_u32) {
        let one = pipeline.burst(1).unwrap();
        let times = [pipeline.a_s, pipeline.transfer_s, pipeline.b_s];
        same("makespan of one", one.makespan_s, times.iter().sum());
        same("sd of one", one.makespan_sd_s, times.iter().map(|t| t * t).sum::<f64>().sqrt());
        same("completion of one", one.completion_s, one.makespan_s);
        let all = pipeline.burst(requests).unwrap();
        prop_assert!(all.completion_s < all.makespan_s);
        // A backlog of A held comes to its steady state geometrically: one more costs one more interval.
        let held = Pipeline { hold_a: true, hold_slot: true, ..pipeline };
        let [many, more] = [300, 301].map(|requests| held.burst(requests).unwrap().makespan_s);
        let interval_s = held.throughput_per_s().unwrap().recip();
        prop_assert!(((more - many) / interval_s - 1.0).abs() < 1e-6, "{} for {interval_s}", more - many);
    }

    #[test]
    fn open_pipelines_obey_little(pipeline in any_pipeline(), share in 0.05..0.95_f64) {
        let pipeline = Pipeline { hold_a: false, ..pipeline };
        let rate = share * pipeline.throughput_per_s().unwrap();
        let open = pipeline.open(rate).unwrap();
        prop_assert!(open.a.wait_s >= 0.0 && open.transfer.wait_s >= 0.0 && open.b.wait_s >= 0.0);
        // With enough pods of B, slots are servers of a longer service time: M/G/c, exact at one slot.
        if pipeline.hold_slot && pipeline.slots == 1 {
            let held_s = pipeline.transfer_s + pipeline.b_s;
            let scv = (pipeline.transfer_s.powi(2) + pipeline.b_s.powi(2)) / held_s.powi(2);
            same("M/G/1", open.transfer.wait_s, pollaczek_khinchine(rate, held_s, scv).unwrap().wait_s);
            same("busy", open.slots_busy, rate * held_s);
        }
    }
}
