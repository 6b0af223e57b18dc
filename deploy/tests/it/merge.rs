//! Many servers as one.

use splitscale_deploy::{Exposition, Flocks, Merge, Of, Reading, Scraped, Series, Server};

fn counter() -> Of {
    Of::Counter(Series::new("requests_total", &[]))
}

fn reading(into: &'static str, of: Of) -> Reading {
    Reading { into, labels: &[], pods: Server::A, of }
}

fn pod(name: &str, metrics: &str) -> Scraped {
    Scraped {
        pod: name.into(),
        ready: true,
        started_s: Some(-100.0),
        answer: Some(Exposition::parse(metrics).unwrap()),
    }
}

fn silent(name: &str, ready: bool) -> Scraped {
    Scraped { pod: name.into(), ready, started_s: Some(-100.0), answer: None }
}

fn a(pods: Vec<Scraped>) -> Flocks {
    Flocks { a: pods, ..Flocks::default() }
}

/// The merged value of a counter, round by round.
fn counted(rounds: Vec<Vec<Scraped>>) -> Vec<Option<f64>> {
    let mut merge = Merge::new(vec![reading("all", counter())]);
    let each = rounds.into_iter().enumerate();
    each.map(|(now_s, pods)| merge.round(now_s as f64, &a(pods))?.value("all", &[])).collect()
}

#[test]
fn counters_are_the_growth_of_all_pods_and_never_run_backwards() {
    let one = |n: u32| {
        pod("one", &format!("requests_total{{code=\"200\"}} {n}\nrequests_total{{code=\"500\"}} 1\n"))
    };
    let two = |n: u32| pod("two", &format!("requests_total {n}\n"));
    let young = |n: u32| Scraped { started_s: Some(2.5), ..pod("young", &format!("requests_total {n}\n")) };
    let moved = |n: u32| pod("moved", &format!("requests_total {n}\n"));
    let told = counted(vec![
        vec![one(100), two(50)],
        vec![one(110), two(55)],
        // One was started anew, and counts from zero again.
        vec![one(3), two(55)],
        // A pod that began under way counts from its first request on.
        vec![one(3), two(55), young(7)],
        // One that nobody saw begin counts from when it was first asked.
        vec![one(3), two(55), young(7), moved(1000)],
        // Who leaves takes nothing with him.
        vec![one(3), young(8), moved(1002)],
    ]);
    // The first round is a beginning; then 10 + 5, then the 4 that it counted since, and so on.
    assert_eq!(told, [0.0, 15.0, 19.0, 26.0, 26.0, 29.0].map(Some));
}

#[test]
fn a_counter_that_comes_with_its_first_request_counts_it() {
    let told = counted(vec![
        vec![pod("one", "")],
        vec![pod("one", "requests_total 2\n")],
        vec![pod("one", "requests_total 5\n")],
    ]);
    assert_eq!(told, [None, Some(2.0), Some(5.0)]);
}

#[test]
fn a_part_is_not_the_whole() {
    let one = |n: u32| pod("one", &format!("requests_total {n}\n"));
    let told = counted(vec![
        vec![one(10), pod("two", "requests_total 10\n")],
        // A pod that takes requests did not answer: nothing is told, and nothing is lost.
        vec![one(20), silent("two", true)],
        vec![one(30), pod("two", "requests_total 40\n")],
        // One on its way out, or in, may be silent.
        vec![one(31), silent("two", false)],
        // Nobody is not zero.
        vec![],
        vec![silent("one", false)],
    ]);
    assert_eq!(told, [Some(0.0), None, Some(50.0), Some(51.0), None, None]);
}

#[test]
fn gauges_are_added_up_and_integrated() {
    let queue = || Series::new("waiting", &[("queue", "in")]);
    let mut merge = Merge::new(vec![
        reading("depth", Of::Gauge(queue())),
        reading("depth_seconds", Of::Integral(queue())),
        reading("pods_with_it", Of::Count(queue())),
        reading("ready_seconds", Of::Ready),
    ]);
    let waiting =
        |name: &str, n: f64| pod(name, &format!("waiting{{queue=\"in\"}} {n}\nwaiting{{queue=\"out\"}} 9\n"));
    let mut round = |now_s: f64, pods: Vec<Scraped>| {
        let told = merge.round(now_s, &a(pods)).unwrap();
        ["depth", "depth_seconds", "pods_with_it", "ready_seconds"].map(|name| told.value(name, &[]))
    };
    assert_eq!(round(0.0, vec![waiting("one", 2.0), pod("two", "")]), [2.0, 0.0, 0.0, 0.0].map(Some));
    let told = round(2.0, vec![waiting("one", 2.0), waiting("two", 4.0)]);
    // From 2 to 6 over two seconds, from one pod to two, with two of them ready.
    assert_eq!(told, [6.0, 8.0, 3.0, 4.0].map(Some));
    // Where nobody has it, it is missing.
    assert_eq!(round(3.0, vec![pod("one", "waiting{queue=\"in\"} NaN\n")])[..2], [None, None]);
}

#[test]
fn histograms_are_added_up_bucket_by_bucket() {
    let buckets = Series::new("took_bucket", &[("route", "/")]);
    let mut merge = Merge::new(vec![Reading { into: "latency_bucket", ..reading("", Of::Buckets(buckets)) }]);
    let took = |name: &str, low: u32, all: u32| {
        pod(
            name,
            &format!(
                "took_bucket{{route=\"/\",code=\"200\",le=\"0.1\"}} {low}\ntook_bucket{{route=\"/\",code=\"200\",le=\"+Inf\"}} {all}\n\
                 took_bucket{{route=\"/health\",le=\"0.1\"}} 900\n"
            ),
        )
    };
    merge.round(0.0, &a(vec![took("one", 1, 2), took("two", 1, 1)])).unwrap();
    let told = merge.round(1.0, &a(vec![took("one", 4, 6), took("two", 2, 3)])).unwrap();
    let found: Vec<(&str, f64)> = told.by_label("latency_bucket", "le").collect();
    assert_eq!(found, [("+Inf", 6.0), ("0.1", 4.0)]);
}

#[test]
fn what_stands_at_other_pods_waits_for_them() {
    let of_proxy = Reading { pods: Server::Proxy, ..reading("answers", counter()) };
    let mut merge = Merge::new(vec![reading("all", counter()), of_proxy]);
    let one = || vec![pod("one", "requests_total 1\n")];
    assert_eq!(merge.round(0.0, &a(one())), None);
    let both = Flocks { a: one(), proxy: vec![pod("proxy", "requests_total 5\n")], b: vec![] };
    let told = merge.round(1.0, &both).unwrap();
    assert_eq!((told.value("all", &[]), told.value("answers", &[])), (Some(0.0), Some(0.0)));
    assert_eq!(Merge::new(vec![]).round(0.0, &both), None, "what is read of nobody says nothing");
}
