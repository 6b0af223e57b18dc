//! Places in the queues: taken before a half is computed, given up however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use splitscale_serving::stage::{Downstream, StageOptions, StageServer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::double::{BARE, Double, LONG, factory, images, port, stage_options, until};

/// A next server that gives credits as it is let, and answers everything well.
#[derive(Default)]
struct Giver {
    asked: AtomicU32,
    fails: bool,
}

impl Giver {
    /// Its base URL; each question takes a permit.
    async fn start(self: &Arc<Self>, permits: usize) -> (String, Arc<Semaphore>) {
        let may = Arc::new(Semaphore::new(permits));
        let gives = {
            let (giver, may) = (Arc::clone(self), Arc::clone(&may));
            async move || {
                let number = giver.asked.fetch_add(1, Ordering::SeqCst);
                may.acquire().await.unwrap().forget();
                if giver.fails {
                    return Err((StatusCode::INTERNAL_SERVER_ERROR, "told to fail"));
                }
                Ok(axum::Json(json!({ "credit": number })))
            }
        };
        let app = Router::new()
            .route("/credits", post(gives))
            .route("/credits/release", post(async || StatusCode::NO_CONTENT))
            .route("/complete", post(async |_: Bytes| axum::Json(json!({ "message": "queued" }))));
        let (listener, url) = port().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        (url, may)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn a(options: StageOptions, b: &str, proxy: &str, double: &Arc<Double>) -> StageServer {
    let downstream = Downstream { b: b.into(), proxy: proxy.into(), timeout: LONG, format: BARE };
    StageServer::a(options, downstream, factory(double)).unwrap()
}

fn form(path: &str) -> Request<Body> {
    let head = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.jpg\"\r\n\r\n";
    let body = [head.as_bytes(), &images([1])[0].1, b"\r\n--edge--\r\n"].concat();
    Request::post(path)
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(body.into())
        .unwrap()
}

async fn ask(app: &Router, request: Request<Body>) -> (u16, Value) {
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn pods(app: &Router) -> Value {
    ask(app, Request::get("/pods").body(Body::empty()).unwrap()).await.1
}

#[tokio::test]
async fn a_credit_is_taken_when_a_pod_is_about_to_be_free_and_not_before() {
    let giver = Arc::new(Giver::default());
    let (next, _) = giver.start(1000).await;
    let (double, gate) = Double::gated();
    let stage = a(stage_options(1), &next, &next, &double);
    let app = stage.app();
    let mut sent = JoinSet::new();
    for _ in 0..12 {
        let app = app.clone();
        sent.spawn(async move { ask(&app, form("/predict-proxy")).await.0 });
    }
    until("one is at the pod and all others wait", async || {
        let pods = pods(&app).await;
        (&pods["busy"], &pods["queued"]) == (&json!(1), &json!(11))
    })
    .await;
    until("the next one has its credit too", async || giver.asked() >= 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // At the pod, next at the pod, and one that asked while the one before it was on its way into the queue.
    assert!(giver.asked() <= 3, "{} places are kept from others for nothing", giver.asked());
    gate.let_through(12);
    assert_eq!(sent.join_all().await, [200; 12]);
    assert_eq!(giver.asked(), 12);
    stage.close().await;
}

#[tokio::test]
async fn a_dead_server_fails_all_that_wait_for_it_and_none_that_waits_for_the_other() {
    let (dead, good) = (Arc::new(Giver { fails: true, ..Giver::default() }), Arc::new(Giver::default()));
    let ((b, answers), (proxy, _)) = (dead.start(0).await, good.start(1000).await);
    let stage = a(stage_options(1), &b, &proxy, &Double::sleeping(0));
    let app = stage.app();
    let mut sent = JoinSet::new();
    for _ in 0..5 {
        let app = app.clone();
        sent.spawn(async move { ask(&app, form("/predict")).await });
    }
    until("one asks and all wait", async || dead.asked() == 1 && pods(&app).await["forwarding"] == 5).await;
    // Another server, another line.
    assert_eq!(ask(&app, form("/predict-proxy")).await.0, 200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    answers.add_permits(1);
    for (status, said) in sent.join_all().await {
        assert_eq!(status, 500);
        assert!(said["error"].as_str().unwrap().contains("told to fail"), "{said}");
    }
    assert_eq!(dead.asked(), 1, "nobody asked again");
    answers.add_permits(1);
    assert_eq!(ask(&app, form("/predict")).await.0, 500);
    assert_eq!(dead.asked(), 2, "whoever comes later asks for himself");
    stage.close().await;
}
