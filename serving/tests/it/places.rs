//! Places in the queues: taken before a body is read and before a half is computed, given up however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use splitscale_serving::QueueBound;
use splitscale_serving::proxy::{Proxy, ProxyOptions};
use splitscale_serving::stage::{StageOptions, StageServer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::double::{
    Double, PAYLOAD, QUEUE, factory, images, port, proxy_options, stage_options, towards, until,
};

const ONE_WAITS: QueueBound = QueueBound { requests: 1, ..QUEUE };

/// A next server that gives credits as it is let, and answers everything well.
#[derive(Default)]
struct Giver {
    asked: AtomicU32,
    given_back: AtomicU32,
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
        let takes_back = {
            let giver = Arc::clone(self);
            async move || {
                giver.given_back.fetch_add(1, Ordering::SeqCst);
                StatusCode::NO_CONTENT
            }
        };
        let app = Router::new()
            .route("/credits", post(gives))
            .route("/credits/release", post(takes_back))
            .route("/complete", post(async |_: Bytes| axum::Json(json!({ "message": "queued" }))));
        let (listener, url) = port().await;
        tokio::spawn(async move { axum::serve(listener, app).await });
        (url, may)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn given_back(&self) -> u32 {
        self.given_back.load(Ordering::SeqCst)
    }
}

fn a(options: StageOptions, b: &str, proxy: &str, double: &Arc<Double>) -> StageServer {
    let downstream = towards(b, proxy);
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

fn activation(path: &str) -> Request<Body> {
    Request::post(path).header("x-cut", "layer3").body(vec![1; PAYLOAD].into()).unwrap()
}

/// The same, of whose body the first byte comes and nothing more.
fn half_open(request: Request<Body>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    head.headers.insert("content-length", PAYLOAD.into());
    let chunks = body.into_data_stream().map(|chunk| chunk.unwrap().slice(..1)).take(1);
    let chunks = chunks.chain(stream::pending()).map(Ok::<_, std::convert::Infallible>);
    Request::from_parts(head, Body::from_stream(chunks))
}

fn with(mut request: Request<Body>, name: &'static str, value: impl ToString) -> Request<Body> {
    request.headers_mut().insert(name, value.to_string().parse().unwrap());
    request
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

#[tokio::test]
async fn a_credit_that_comes_when_whoever_asked_has_left_goes_back() {
    let giver = Arc::new(Giver::default());
    let (next, answers) = giver.start(0).await;
    let stage = a(stage_options(1), &next, &next, &Double::sleeping(0));
    let app = stage.app();
    for _ in 0..3 {
        assert_eq!(ask(&app, with(form("/predict-proxy"), "x-request-timeout", 0.05)).await.0, 504);
    }
    let left = tokio::time::timeout(Duration::from_millis(50), ask(&app, form("/predict-proxy")));
    assert!(left.await.is_err(), "no credit, no answer");
    until("all four have asked", async || giver.asked() == 4).await;
    assert_eq!(giver.given_back(), 0);
    answers.add_permits(4);
    until("all four go back", async || giver.given_back() == 4).await;
    stage.close().await;
}

#[tokio::test]
async fn a_credit_goes_back_where_its_activation_is_too_late_to_be_sent() {
    let giver = Arc::new(Giver::default());
    let (next, _) = giver.start(1000).await;
    let stage = a(stage_options(1), &next, &next, &Double::sleeping(100));
    let app = stage.app();
    stage.ready().await.unwrap();
    for (path, count) in [("/predict-proxy", 1), ("/predict", 2)] {
        assert_eq!(ask(&app, with(form(path), "x-request-timeout", 0.05)).await.0, 504);
        until("it goes back", async || giver.given_back() == count).await;
    }
    assert_eq!(ask(&app, form("/predict-proxy")).await.0, 200);
    assert_eq!((giver.asked(), giver.given_back()), (3, 2), "that one was used up");
    stage.close().await;
}

/// A, the proxy and B, each with room for one, and what each takes.
async fn each(double: &Arc<Double>) -> [(Router, Request<Body>); 3] {
    let giver = Arc::new(Giver::default());
    let (next, _) = giver.start(1000).await;
    let options = StageOptions { queue: ONE_WAITS, ..stage_options(1) };
    let [stage_a, stage_b] =
        [a(options.clone(), &next, &next, double), StageServer::b(options, factory(double)).unwrap()];
    stage_a.ready().await.unwrap();
    stage_b.ready().await.unwrap();
    let proxy = ProxyOptions { queue: ONE_WAITS, ..proxy_options("http://127.0.0.1:9", 1) };
    let proxy = Proxy::new(proxy).unwrap();
    [
        (stage_a.app(), form("/predict-proxy")),
        (proxy.app(), activation("/complete")),
        (stage_b.app(), activation("/complete")),
    ]
}

fn clone_of(request: &Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    if path == "/predict-proxy" { form(path) } else { activation(path) }
}

#[tokio::test]
async fn a_place_is_had_before_the_body_is_read_and_given_up_with_it() {
    for (app, request) in each(&Double::sleeping(0)).await {
        let path = request.uri().path().to_owned();
        let mut comes = Box::pin(ask(&app, half_open(clone_of(&request))));
        assert!((&mut comes).now_or_never().is_none(), "{path}: half of it is not all");
        let (status, said) = ask(&app, clone_of(&request)).await;
        assert_eq!(status, 429, "{path}: {said}");
        // It is no request that waits yet.
        let metrics = app.clone().oneshot(Request::get("/metrics").body(Body::empty()).unwrap());
        let metrics = to_bytes(metrics.await.unwrap().into_body(), usize::MAX).await.unwrap();
        let metrics = String::from_utf8(metrics.to_vec()).unwrap();
        let depth = metrics.lines().find(|line| line.starts_with("split_queue_depth{")).unwrap();
        assert!(depth.ends_with(" 0"), "{depth}");
        drop(comes);
        assert_eq!(ask(&app, request).await.0, 200, "{path}: whoever left keeps no place");
    }
}

#[tokio::test]
async fn a_body_that_is_not_here_by_the_deadline_is_given_up() {
    for (app, request) in each(&Double::sleeping(0)).await {
        let path = request.uri().path().to_owned();
        let late = with(half_open(clone_of(&request)), "x-request-timeout", 0.05);
        let (status, said) = ask(&app, late).await;
        assert_eq!(status, 504, "{path}");
        assert!(said["error"].as_str().unwrap().contains("before its body had come"), "{path}: {said}");
        assert_eq!(ask(&app, request).await.0, 200, "{path}: it keeps no place");
    }
}

#[tokio::test]
async fn a_body_is_heard_out_whatever_is_wrong_with_its_head() {
    for (which, (app, request)) in each(&Double::sleeping(0)).await.into_iter().enumerate() {
        let path = request.uri().path().to_owned();
        let wrong_query = |mut request: Request<Body>| {
            *request.uri_mut() = format!("{path}?wait=maybe").parse().unwrap();
            request
        };
        let mut wrong = vec![with(clone_of(&request), "x-request-timeout", "soon")];
        // B takes no query.
        wrong.extend((which < 2).then(|| wrong_query(clone_of(&request))));
        for wrong in wrong {
            let heard = Arc::new(AtomicU32::new(0));
            let last = {
                let heard = Arc::clone(&heard);
                stream::once(
                    async move { Bytes::from(vec![0; heard.fetch_add(1, Ordering::SeqCst) as usize]) },
                )
            };
            let (head, body) = wrong.into_parts();
            let chunks = body.into_data_stream().map(Result::unwrap).chain(last);
            let body = Body::from_stream(chunks.map(Ok::<_, std::convert::Infallible>));
            let (status, said) = ask(&app, Request::from_parts(head, body)).await;
            assert_eq!((status, heard.load(Ordering::SeqCst)), (400, 1), "{path}: {said}");
        }
        assert_eq!(ask(&app, request).await.0, 200, "{path}: it keeps no place");
    }
}

#[tokio::test]
async fn what_is_late_is_told_so_in_time_though_a_pod_still_has_it_or_none_is_free() {
    let (double, gate) = Double::gated();
    let giver = Arc::new(Giver::default());
    let (next, _) = giver.start(1000).await;
    let [stage_a, stage_b] = [
        a(stage_options(1), &next, &next, &double),
        StageServer::b(stage_options(1), factory(&double)).unwrap(),
    ];
    for (stage, request, computed) in
        [(stage_a, form("/predict-proxy"), 2), (stage_b, activation("/complete"), 4)]
    {
        stage.ready().await.unwrap();
        let app = stage.app();
        // The first is at the pod, the second waits for it; neither moves.
        for _ in 0..2 {
            let (status, said) = ask(&app, with(clone_of(&request), "x-request-timeout", 0.05)).await;
            assert_eq!(status, 504, "{said}");
        }
        assert_eq!((&pods(&app).await["busy"], &pods(&app).await["queued"]), (&json!(1), &json!(1)));
        gate.let_through(2);
        assert_eq!(ask(&app, request).await.0, 200, "the one that waited is not computed");
        assert_eq!(double.tags().len(), computed);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_credit_is_used_up_whatever_is_wrong_with_what_came_on_it() {
    let [_, (proxy, _), (b, _)] = each(&Double::sleeping(0)).await;
    let wrong = |which: u32| match which {
        0 => with(activation("/complete"), "x-encoding", "f99"),
        1 => with(activation("/complete"), "content-length", 65 << 20),
        2 => with(activation("/complete?wait=maybe"), "x-cut", "layer1"),
        _ => Request::post("/complete").header("x-cut", "layer1").body(Body::empty()).unwrap(),
    };
    for (app, number) in [(&proxy, 0), (&proxy, 1), (&proxy, 2), (&proxy, 3), (&b, 0), (&b, 1), (&b, 3)] {
        let wanted = || Request::post("/credits").body(r#"{"bytes":4096}"#.into()).unwrap();
        let (status, given) = ask(app, wanted()).await;
        assert_eq!(status, 200, "{number}: the one before is used up");
        assert_eq!(ask(app, wanted()).await.0, 429);
        let (status, said) = ask(app, with(wrong(number), "x-credit", &given["credit"])).await;
        assert!((400..=415).contains(&status), "{number}: {status}, {said}");
    }
}
