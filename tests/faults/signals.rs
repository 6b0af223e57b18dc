//! Metrics that say nothing, or nothing any more.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::place::{Place, policy};
use crate::scaler::Scaler;
use crate::until;
use crate::world::World;

/// Where pods of the machine itself answer: the bed's bridge, which workers and the machine share.
const BRIDGE: &str = "10.99.0.1";

/// What an exporter answers; absent where it leaves whoever asks waiting.
type Page = Option<(u16, String)>;

/// Whatever an exporter answers that is no number, the pods stay. A zero is a number: then they go to the fewest that may be.
pub(crate) async fn what_is_missing_is_never_zero(world: &World) {
    world.install();
    let place = Place::bare(world, "metrics").await;
    let page = |counted: u64, a: &str, b: &str| {
        let text = format!("arrivals_total {counted}\nwaiting_a {a}\nwaiting_b {b}\nbusy 0.5\n");
        Some((200, text))
    };
    let exporter = exporter(&place, page(5000, "8", "6")).await;
    place.policy(&policy(by_queues()).to_string()).await;
    place
        .create(|spec| {
            let of = |kind: &str, name: &str| json!({"pods": "proxy", kind: name});
            // Nothing is left to be looked for at pods that only sleep.
            spec["signals"] = json!({
                "proxy": {"service": "exporter"}, "arrivals": of("counter", "arrivals_total"),
                "queueA": of("gauge", "waiting_a"), "queueB": of("gauge", "waiting_b"),
                "busyA": of("gauge", "busy"), "busyB": of("gauge", "busy"),
            });
            spec["shell"]["maxAgeSeconds"] = json!(2);
            // Soon it is the baseline that decides, an HPA: it has no CPU to go by, and keeps what there is too.
            spec["shell"]["holdSeconds"] = json!(3);
        })
        .await;
    let scaler = place.scaler("one").await;
    place.until_done([4, 3]).await;
    place.until_condition("SignalsFresh", "True", "Fresh").await;
    for (answer, is) in [
        (Some((200, String::new())), "an empty page"),
        (Some((200, "<html>log in first</html>\n".to_owned())), "a page of somebody else"),
        (page(5000, "NaN", "NaN"), "no numbers"),
        (Some((500, "waiting_a 0\nwaiting_b 0\n".to_owned())), "an error"),
        (None, "no answer"),
    ] {
        exporter.send_replace(answer);
        stays(&place, &scaler, is).await;
        exporter.send_replace(page(5000, "8", "6"));
        place.until_condition("SignalsFresh", "True", "Fresh").await;
    }
    // What is no measurement is not believed either.
    exporter.send_replace(page(5000, "-3", "-1"));
    let decisions = scaler.until_decisions(12).await;
    assert_eq!(place.pods().await, [4, 3], "{decisions:?}");
    // It was started anew: what it counts begins at zero.
    exporter.send_replace(page(0, "0", "0"));
    place.until_done([1, 1]).await;
    scaler.until_decisions(10).await;
    assert_eq!(place.pods().await, [1, 1]);
    for decision in scaler.decisions() {
        let seen = &decision["observed"]["arrivals_per_s"]["value"];
        assert!(seen.is_null() || seen == &json!(0.0), "nothing arrived, and {seen} a second are told");
    }
}

/// Nothing is told of what is not known, and the pods stay, long enough for the baseline to decide.
async fn stays(place: &Place<'_>, scaler: &Scaler, is: &str) {
    eprintln!("    {is}");
    // Missing or, for a while, too old.
    until(is, async || place.condition("SignalsFresh").await[0] == "False").await;
    let decisions = scaler.until_decisions(12).await;
    assert_eq!(place.pods().await, [4, 3], "{is}");
    let last = decisions.last().unwrap();
    let wanted = &last["pods"];
    assert!(wanted.is_null() || wanted == &last["from"], "{is}: {last}");
    let status = place.status().await;
    let seen = &status["lastDecision"]["observed"];
    assert!(seen.get("queueA").is_none_or(|queue| queue != &json!(0.0)), "{is}: {seen}");
}

/// KEDA's queue trigger, two waiting a pod, without anything that holds it back.
fn by_queues() -> Value {
    let of =
        |signal: &str| json!({"polling_interval_s": 30.0, "triggers": [{"signal": signal, "target": 2.0}]});
    json!({"keda": {
        "a": of("queue_a"), "b": of("queue_b"), "sync_period_s": 0.5, "tolerance": 0.1, "downscale_stabilization_s": 0.0,
    }})
}

/// Serves a page of metrics behind the Service `exporter`.
async fn exporter(place: &Place<'_>, first: Page) -> watch::Sender<Page> {
    let pages = watch::Sender::new(first);
    let page = Arc::new(pages.subscribe());
    let answer = move || async move {
        let page = page.borrow().clone();
        match page {
            Some((status, text)) => (StatusCode::from_u16(status).unwrap(), text),
            None => std::future::pending().await,
        }
    };
    let listener = TcpListener::bind((BRIDGE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let services = format!("/api/v1/namespaces/{}/services", place.name);
    let service = json!({"metadata": {"name": "exporter"}, "spec": {"ports": [{"port": port}]}});
    place.world.write(Method::POST, &services, service).await;
    let slice = json!({
        "metadata": {"name": "exporter", "labels": {"kubernetes.io/service-name": "exporter"}},
        "addressType": "IPv4", "ports": [{"port": port}], "endpoints": [{"addresses": [BRIDGE], "conditions": {"ready": true}}],
    });
    place.world.write(Method::POST, &place.path("discovery.k8s.io/v1", "endpointslices"), slice).await;
    pages
}
