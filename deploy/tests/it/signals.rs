//! Anybody's metrics as the signals of an observation.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use splitscale_deploy::kubernetes::{Asking, Plan, Signals, SplitPipeline};
use splitscale_deploy::{Answer, Exposition, Field, Flocks, Merge, Observer, Round, Scraped, Server};
use splitscale_spec::{Observation, Signal};
use std::time::Duration;

fn signals(value: Value) -> Signals {
    serde_json::from_value(value).unwrap()
}

/// What is observed by a plan at the last of some rounds, a second apart.
fn observed(plan: &Plan, rounds: impl Fn(f64) -> [String; 3], seconds: u32) -> Observation {
    let mut merges = [&plan.a, &plan.proxy, &plan.b].map(|readings| Merge::new(readings.clone()));
    let mut observer = Observer::new(5.0);
    let mut seen = Observation::default();
    for second in 0..=seconds {
        let now_s = f64::from(second);
        let [a, proxy, b] = rounds(now_s).map(|text| {
            let answer = Some(Exposition::parse(&text).unwrap());
            vec![Scraped { pod: text.len().to_string(), ready: true, started_s: None, answer }]
        });
        // One pod each, whatever it says.
        let named = |name: &str, mut pods: Vec<Scraped>| {
            pods[0].pod = name.to_owned();
            pods
        };
        let flocks = Flocks { a: named("a", a), proxy: named("proxy", proxy), b: named("b", b) };
        let [a, proxy, b] = &mut merges;
        let round = Round {
            a: a.round(now_s, &flocks),
            proxy: proxy.round(now_s, &flocks),
            b: b.round(now_s, &flocks),
            ..Round::default()
        };
        seen = observer.observe(now_s, round);
    }
    seen
}

fn near(found: Option<Signal<f64>>, value: f64) {
    let found = found.expect("it is there").value;
    assert!((found - value).abs() < 1e-9, "{found} is not {value}");
}

#[test]
fn anybodys_metrics_become_the_signals_of_an_observation() {
    let plan = Plan::of(Some(&signals(json!({
        "proxy": {"service": "gateway"},
        "arrivals": {"counter": "http_requests_total", "labels": {"route": "/v1"}},
        "answers": {"pods": "b", "counter": "done_total"},
        "queueA": {"gauge": "inbox"},
        "queueProxy": {"gauge": "link_waiting"},
        "busyA": {"counter": "gpu_busy_seconds_total"},
        "busySlots": {"gauge": "link_share"},
        "busyB": {"gauge": "busy_ratio"},
        "slots": {"gauge": "streams"},
        "latency": {"histogram": "request_seconds"},
        "link": {"bytes": "sent_bytes_total", "busySeconds": "sending_seconds_total"},
    }))));
    let seen = observed(
        &plan,
        |t| {
            [
                format!(
                    "http_requests_total{{route=\"/v1\",code=\"200\"}} {}\nhttp_requests_total{{route=\"/health\"}} {}\n\
                     inbox 4\ngpu_busy_seconds_total {}\n",
                    8.0 * t,
                    100.0 * t,
                    0.75 * t
                ),
                format!(
                    "link_waiting {t}\nlink_share 0.5\nstreams 6\nsent_bytes_total {}\nsending_seconds_total {}\n\
                     request_seconds_bucket{{le=\"1\"}} {}\nrequest_seconds_bucket{{le=\"+Inf\"}} {}\n",
                    1e6 * t,
                    0.2 * t,
                    10.0 * t,
                    10.0 * t
                ),
                format!("done_total {}\nbusy_ratio 0.25\n", 7.0 * t),
            ]
        },
        6,
    );
    near(seen.arrivals_per_s, 8.0);
    near(seen.answers_per_s, 7.0);
    near(seen.busy_a, 0.75);
    near(seen.busy_slots, 0.5);
    near(seen.busy_b, 0.25);
    near(seen.latency_p50_s, 0.5);
    assert_eq!(seen.queue_a.unwrap().value.mean, 4.0);
    // It grew from 1 to 6 over the window.
    let queue = seen.queue_proxy.unwrap().value;
    assert_eq!((queue.mean, queue.last), (3.5, 6.0));
    assert_eq!(seen.slots.unwrap().value, 6);
    assert!((seen.link.unwrap().mbit_s - 40.0).abs() < 1e-9);
    // What was not named is that of our servers, which these are not.
    assert_eq!(seen.queue_b, None);
    assert!(
        !plan.expected.contains(&Field::QueueB) && plan.expected.contains(&Field::QueueA),
        "{:?}",
        plan.expected
    );
}

#[test]
fn without_a_word_the_signals_are_those_of_our_servers() {
    let plan = Plan::of(None);
    assert_eq!(
        plan.between.as_ref().and_then(|between| between.service.as_deref()),
        Some("splitscale-proxy")
    );
    assert_eq!((plan.expected.len(), plan.queries.len()), (12, 0));
    let stage = |stage: &str, t: f64| {
        format!(
            "split_requests_total{{stage=\"{stage}\"}} {}\nsplit_queue_depth{{queue=\"{stage}\"}} 1\n\
             split_queue_depth_seconds_total{{queue=\"{stage}\"}} {}\nsplit_pod_busy_seconds_total{{stage=\"{stage}\"}} {}\n\
             split_pod_ready_seconds_total{{stage=\"{stage}\"}} {t}\n",
            3.0 * t,
            2.0 * t,
            0.5 * t
        )
    };
    let proxy = |t: f64| {
        format!(
            "split_transfer_slots 4\nsplit_transfer_slot_seconds_total {}\nsplit_transfer_slot_held_seconds_total {t}\n\
             split_transfer_seconds_total {t}\nsplit_transfer_bytes_total{{encoding=\"f32\"}} {}\n\
             split_queue_depth{{queue=\"proxy\"}} 0\nsplit_queue_depth_seconds_total{{queue=\"proxy\"}} 0\n\
             split_pipeline_duration_seconds_bucket{{le=\"+Inf\"}} {t}\nsplit_pipeline_duration_seconds_count {t}\n",
            4.0 * t,
            1e6 * t
        )
    };
    let seen = observed(&plan, |t| [stage("a", t), proxy(t), stage("b", t)], 6);
    near(seen.arrivals_per_s, 3.0);
    near(seen.answers_per_s, 1.0);
    near(seen.busy_a, 0.5);
    near(seen.busy_slots, 0.25);
    assert_eq!(seen.queue_b.unwrap().value.mean, 2.0);
    assert_eq!(seen.slots.unwrap().value, 4);
    assert!((seen.link.unwrap().mbit_s - 8.0).abs() < 1e-9);
}

#[test]
fn without_pods_between_what_stands_at_the_stages_is_read_all_the_same() {
    let plan = Plan::of(Some(&signals(json!({"answers": {"pods": "b", "counter": "done_total"}}))));
    assert_eq!(plan.between, None);
    let seen = observed(&plan, |t| [String::new(), String::new(), format!("done_total {}\n", 2.0 * t)], 6);
    near(seen.answers_per_s, 2.0);
}

#[test]
fn pods_are_read_where_a_signal_is_theirs() {
    let plan = |file: &str| {
        let pipeline: SplitPipeline = serde_saphyr::from_str(file).unwrap();
        Plan::of(pipeline.spec.signals.as_ref())
    };
    let reads = |plan: &Plan| [Server::A, Server::Proxy, Server::B].map(|server| plan.reads(server));
    let scraped = plan(include_str!("../plain/scraped.yaml"));
    assert_eq!((scraped.expected.len(), scraped.queries.len()), (12, 0));
    assert_eq!(reads(&scraped), [true, false, true]);
    let queried = plan(include_str!("../plain/queried.yaml"));
    assert_eq!((queried.expected.len(), queried.queries.len()), (12, 12));
    assert_eq!(reads(&queried), [false; 3], "all is asked of Prometheus");
}

/// A double of Prometheus that gives these answers, by query; a query of the age of another one gives seven seconds.
async fn prometheus(answers: &[(&str, Value)]) -> String {
    let answers: BTreeMap<String, Value> =
        answers.iter().map(|(query, answer)| ((*query).to_owned(), answer.clone())).collect();
    let app = Router::new().route(
        "/prefix/api/v1/query",
        get(|Query(asked): Query<BTreeMap<String, String>>| async move {
            let query = &asked["query"];
            if query.starts_with("time() - timestamp(") {
                return Json(vector(&["7"]));
            }
            if query == "hangs" {
                std::future::pending::<()>().await;
            }
            Json(
                answers
                    .get(query)
                    .cloned()
                    .unwrap_or_else(|| json!({"status": "error", "error": "parse error"})),
            )
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn vector(values: &[&str]) -> Value {
    let samples: Vec<Value> =
        values.iter().map(|value| json!({"metric": {}, "value": [1764237600.0, value]})).collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": samples}})
}

#[tokio::test]
async fn prometheus_gives_a_number_and_its_age_or_in_words_why_not() {
    let url = prometheus(&[
        ("requests_per_second", vector(&["12.5"])),
        ("nothing", vector(&[])),
        ("nan", vector(&["NaN"])),
        ("many", vector(&["1", "2"])),
        ("range", json!({"status": "success", "data": {"resultType": "matrix", "result": []}})),
        (
            "one",
            json!({"status": "success", "data": {"resultType": "scalar", "result": [1764237600.0, "1"]}}),
        ),
    ])
    .await;
    let value = |value| Answer::Value(Signal { value, age_s: 7.0 });
    for (query, answer, words) in [
        ("requests_per_second", value(12.5), None),
        ("one", value(1.0), None),
        ("nothing", Answer::Nothing, Some("no number")),
        ("nan", Answer::Nothing, Some("no number")),
        ("many", Answer::Nothing, Some("2 series and not one number")),
        ("range", Answer::Nothing, Some("a matrix and not one number")),
        ("wrong(", Answer::Silence, Some("an error: parse error")),
        ("hangs", Answer::Silence, Some("no answer within")),
    ] {
        let asking =
            Asking::new(&url, vec![(Field::Arrivals, query.to_owned())], Duration::from_millis(500)).unwrap();
        let (answers, wrong) = asking.ask().await;
        assert_eq!(answers, [(Field::Arrivals, answer)], "{query}");
        match words {
            Some(words) => assert!(wrong[0].contains(words) && wrong[0].contains(query), "{wrong:?}"),
            None => assert!(wrong.is_empty(), "{wrong:?}"),
        }
    }
    let nobody =
        Asking::new("http://127.0.0.1:1", vec![(Field::Link, "x".to_owned())], Duration::from_secs(1))
            .unwrap();
    assert_eq!(nobody.ask().await.0, [(Field::Link, Answer::Silence)]);
}

#[test]
fn what_was_asked_for_takes_the_place_of_what_was_scraped() {
    let mut observer = Observer::new(5.0);
    let mut look = |now_s: f64, asked: Vec<(Field, Answer)>| {
        let proxy = Some(Exposition::parse("split_transfer_slots 4\n").unwrap());
        observer.observe(now_s, Round { proxy, asked, ..Round::default() })
    };
    let value = |value, age_s| Answer::Value(Signal { value, age_s });
    let seen = look(
        10.0,
        vec![
            (Field::Slots, value(9.0, 2.0)),
            (Field::QueueB, value(3.0, 0.0)),
            (Field::Link, value(25.0, 1.0)),
        ],
    );
    assert_eq!(seen.slots.unwrap(), Signal { value: 9, age_s: 2.0 });
    assert_eq!(seen.queue_b.unwrap().value.last, 3.0);
    assert_eq!((seen.link.unwrap().mbit_s, seen.link.unwrap().age_s), (25.0, 1.0));
    // Who does not answer lets it age; who says that there is nothing takes it away, whatever the servers say.
    let seen = look(13.0, vec![(Field::Slots, Answer::Silence), (Field::QueueB, Answer::Nothing)]);
    assert_eq!((seen.slots.unwrap().age_s, seen.queue_b), (5.0, None));
    let seen = look(14.0, vec![(Field::Slots, Answer::Nothing)]);
    assert_eq!(seen.slots, None);
    // What is no count is none.
    assert_eq!(look(15.0, vec![(Field::Slots, value(-1.0, 0.0))]).slots, None);
}
