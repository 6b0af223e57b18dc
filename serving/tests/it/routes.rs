//! What each route answers, asked in memory.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use splitscale_serving::proxy::{Proxy, serve_proxy};
use splitscale_serving::stage::StageServer;
use splitscale_serving::wire::{PodsState, SlotsState};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::double::{
    Double, Gate, PAYLOAD, factory, images, port, proxy_options, stage_options, towards, until,
};
use crate::pth;

fn stage_a(double: &Arc<Double>) -> StageServer {
    let nowhere = "http://127.0.0.1:9".to_owned();
    let downstream = towards(nowhere.clone(), nowhere);
    StageServer::a(stage_options(2), downstream, factory(double)).unwrap()
}

fn stage_b(double: &Arc<Double>) -> StageServer {
    StageServer::b(stage_options(2), factory(double)).unwrap()
}

fn proxy() -> Router {
    Proxy::new(proxy_options("http://127.0.0.1:9", 1)).unwrap().app()
}

async fn ask(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    (status, String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap())
}

/// Asks and expects an `{"error": ...}` or a problem document; its text.
async fn refused(app: &Router, request: Request<Body>, expected: u16) -> String {
    let (status, body) = ask(app, request).await;
    assert_eq!(status.as_u16(), expected, "{body}");
    let json: Value = serde_json::from_str(&body).unwrap();
    let text = json["error"].as_str().or(json["detail"].as_str());
    text.unwrap_or_else(|| panic!("no error text in {body}")).to_owned()
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).body(body.into()).unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn form(path: &str, field: &str, file: &[u8]) -> Request<Body> {
    let head =
        format!("--edge\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"x.jpg\"\r\n\r\n");
    let body = [head.as_bytes(), file, b"\r\n--edge--\r\n"].concat();
    Request::post(path)
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn a_refuses_what_is_no_image() {
    // Somebody who gives credits, for A asks before it looks at the image.
    let (listener, url) = port().await;
    let options = proxy_options("http://127.0.0.1:9", 1);
    let next = tokio::spawn(serve_proxy(listener, options, CancellationToken::new()));
    let downstream = towards(url.clone(), url);
    let stage = StageServer::a(stage_options(2), downstream, factory(&Double::sleeping(0))).unwrap();
    let app = stage.app();
    for path in ["/predict", "/predict-proxy", "/predict-proxy?wait=true"] {
        let text = refused(&app, form(path, "file", b"GIF89a"), 400).await;
        assert!(text.contains("not a usable image"), "{text}");
        let text = refused(&app, form(path, "picture", b"image1"), 400).await;
        assert!(text.contains("no form field `file`"), "{text}");
        let text = refused(&app, form(path, "file", b""), 400).await;
        assert!(text.contains("empty"), "{text}");
        let text = refused(&app, post(path, "image1"), 400).await;
        assert!(text.contains("multipart"), "{text}");
        let text = refused(&app, form(path, "file", &vec![0; (10 << 20) + 1]), 413).await;
        assert!(text.contains("10485760"), "{text}");
        refused(&app, form(path, "file", &vec![0; 11 << 20]), 413).await;
    }
    refused(&app, form("/predict-proxy?wait=maybe", "file", b"image1"), 400).await;
    refused(&app, get("/predict"), 405).await;
    refused(&app, get("/nowhere"), 404).await;
    stage.close().await;
    next.abort();
    let stage = stage_a(&Double::sleeping(0));
    let text = refused(&stage.app(), form("/predict", "file", &images([1])[0].1), 502).await;
    assert!(text.contains("127.0.0.1:9"), "{text}");
    stage.close().await;
}

#[tokio::test]
async fn b_refuses_what_is_no_activation_of_its_cut() {
    let stage = stage_b(&Double::sleeping(0));
    let app = stage.app();
    for bytes in [0, PAYLOAD - 1, PAYLOAD + 1] {
        let text = refused(&app, post("/complete", vec![1; bytes]), 400).await;
        assert!(text.contains(&bytes.to_string()) && text.contains("4096"), "{text}");
    }
    let mut other_cut = post("/complete", vec![1; PAYLOAD]);
    other_cut.headers_mut().insert("x-cut", "layer1".parse().unwrap());
    let text = refused(&app, other_cut, 400).await;
    assert!(text.contains("layer1") && text.contains("layer3"), "{text}");
    for name in ["x-cut", "x-stage-a"] {
        let mut garbled = post("/complete", vec![1; PAYLOAD]);
        garbled.headers_mut().insert(name, HeaderValue::from_bytes(b"layer3\xb4").unwrap());
        let text = refused(&app, garbled, 400).await;
        assert!(text.contains(name) && text.contains("plain text"), "{text}");
    }

    let (status, body) = ask(&app, post("/complete", vec![7; PAYLOAD])).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&answer["class_id"], &answer["class_name"]), (&7.into(), &"class_7".into()));
    assert!(answer["inference_time_b"].as_f64().unwrap() >= 0.0);
    stage.close().await;
}

#[tokio::test]
async fn b_takes_the_originals_json() {
    let stage = stage_b(&Double::sleeping(0));
    let app = stage.app();
    let json = |data: &str| {
        let body = format!(r#"{{"data": "{data}", "start_time": 1726000000.5}}"#);
        let request = Request::post("/complete").header("content-type", "application/json");
        request.body(Body::from(body)).unwrap()
    };
    let tensor = |shape: &[u32], strides: &[u32]| STANDARD.encode(pth::tensor(shape, strides, &[7; PAYLOAD]));
    let (status, body) = ask(&app, json(&tensor(&[1, 8, 128], &[1024, 128, 1]))).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["class_id"], 7);
    for (data, says) in [
        (tensor(&[2, 4, 128], &[512, 128, 1]), "a batch of 1 comes first"),
        (tensor(&[1, 4, 256], &[1024, 256, 1]), "its shape is [4, 256]"),
        (
            STANDARD.encode(pth::zip(&pth::pickle(&[("w", 1, 0, &[1], &[1])]), &[&[0; 4]])),
            "a dict of tensors",
        ),
        (STANDARD.encode(b"tensor"), "a zip that is cut short"),
        ("tensor!".into(), "base64"),
    ] {
        let text = refused(&app, json(&data), 400).await;
        assert!(text.contains(says), "{text}");
    }
    stage.close().await;
}

#[tokio::test]
async fn pods_are_counted_in_1_to_the_most() {
    let stage = stage_b(&Double::sleeping(0));
    let app = stage.app();
    for path in ["/set_pods", "/use_pods"] {
        for (body, says) in [
            (r#"{"pod_count": 0}"#, "zero"),
            (r#"{"pod_count": 9}"#, "above the most"),
            (r#"{"pod_count": -1}"#, "-1"),
            (r#"{"pods": 2}"#, "pods"),
            ("two", "JSON"),
        ] {
            let text = refused(&app, post(path, body), 400).await;
            assert!(text.contains(says), "{path} {body}: {text}");
        }
    }
    let text = refused(&app, post("/use_pods", r#"{"pod_count": 3}"#), 400).await;
    assert!(text.contains("/set_pods first"), "{text}");
    let (_, body) = ask(&app, get("/pods")).await;
    let state: PodsState = serde_json::from_str(&body).unwrap();
    assert_eq!(state.desired, 2, "nothing that was refused had an effect");
    stage.close().await;
}

#[tokio::test]
async fn the_proxy_refuses_zero_and_what_it_cannot_pass_on() {
    let app = proxy();
    for (path, body, says) in [
        ("/set_threads", r#"{"thread_count": 0}"#, "zero"),
        ("/set_threads", r#"{"thread_count": 17}"#, "above the most"),
        ("/set_bandwidth", "{}", "slot_bandwidth_mbit_s, link_bandwidth_mbit_s or both"),
        ("/set_bandwidth", r#"{"slot_bandwidth_mbit_s": 0}"#, "slot_bandwidth_mbit_s: 0 is out of range"),
        ("/set_bandwidth", r#"{"link_bandwidth_mbit_s": -1}"#, "link_bandwidth_mbit_s: -1 is out of range"),
        ("/set_bandwidth", r#"{"link_mbit_s": 1}"#, "link_mbit_s"),
        ("/set_bandwidth", r#"{"slot_bandwidth_mbit_s": 1, "link_bandwidth_mbit_s": "x"}"#, "invalid type"),
        ("/set_queue_threshold", r#"{"queue_threshold": 0}"#, "zero"),
        ("/set_queue_threshold", "{}", "queue_threshold"),
        ("/complete", "", "empty"),
        ("/complete", "activation", "x-cut"),
    ] {
        let text = refused(&app, post(path, body), 400).await;
        assert!(text.contains(says), "{path} {body}: {text}");
    }
    refused(&app, get("/events"), 400).await;
    for path in ["/response_count", "/request_count"] {
        assert_eq!(ask(&app, get(path)).await, (StatusCode::OK, r#"{"count":0}"#.into()));
    }
    assert_eq!(ask(&app, get("/responses")).await, (StatusCode::OK, "[]".into()));
    let state: SlotsState = serde_json::from_str(&ask(&app, get("/slots")).await.1).unwrap();
    assert_eq!(
        (state.bandwidth_mbit_s, state.link_bandwidth_mbit_s),
        (None, None),
        "nothing refused was set"
    );
}

#[tokio::test]
async fn bandwidths_are_set_one_by_one_and_taken_away() {
    let app = proxy();
    let set = async |body: &'static str| {
        let (status, said) = ask(&app, post("/set_bandwidth", body)).await;
        assert_eq!(status, 200, "{said}");
        let state: SlotsState = serde_json::from_str(&said).unwrap();
        let metrics = ask(&app, get("/metrics")).await.1;
        for (name, mbit_s) in [("slot", state.bandwidth_mbit_s), ("link", state.link_bandwidth_mbit_s)] {
            let series = format!("split_{name}_bandwidth_mbit_s ");
            let sample = metrics.lines().find_map(|line| line.strip_prefix(&series));
            assert_eq!(sample.map(|value| value.parse::<f64>().unwrap()), mbit_s, "{metrics}");
        }
        (state.bandwidth_mbit_s, state.link_bandwidth_mbit_s)
    };
    assert_eq!(set(r#"{"slot_bandwidth_mbit_s": 50}"#).await, (Some(50.0), None));
    assert_eq!(set(r#"{"link_bandwidth_mbit_s": 100.5}"#).await, (Some(50.0), Some(100.5)));
    assert_eq!(set(r#"{"slot_bandwidth_mbit_s": null}"#).await, (None, Some(100.5)));
    let both = r#"{"slot_bandwidth_mbit_s": 2, "link_bandwidth_mbit_s": null}"#;
    assert_eq!(set(both).await, (Some(2.0), None));
}

#[tokio::test]
async fn ready_means_that_a_pod_has_warmed_up() {
    let gate = Arc::new(Gate::default());
    let double = Arc::new(Double { start_gate: Some(Arc::clone(&gate)), ..Double::default() });
    let stage = stage_b(&double);
    let app = stage.app();
    let text = refused(&app, get("/readyz"), 503).await;
    assert!(text.contains("2 are starting"), "{text}");
    assert_eq!(ask(&app, get("/livez")).await.0, 200);
    gate.let_through(1);
    stage.ready().await.unwrap();
    assert_eq!(ask(&app, get("/readyz")).await.0, 200);
    gate.let_through(1);
    until("both pods are ready", async || {
        serde_json::from_str::<PodsState>(&ask(&app, get("/pods")).await.1).unwrap().ready == 2
    })
    .await;
    stage.close().await;
}

#[tokio::test]
async fn every_server_says_what_an_observation_needs() {
    let (a, b) = (stage_a(&Double::sleeping(0)), stage_b(&Double::sleeping(0)));
    let stage = [
        "split_requests_total{stage=S}",
        "split_answers_total{stage=S,status=\"answered\"}",
        "split_queue_depth{queue=S}",
        "split_queue_depth_seconds_total{queue=S}",
        "split_pods{stage=S,state=\"desired\"}",
        "split_pods{stage=S,state=\"in_use\"}",
        "split_pods{stage=S,state=\"ready\"}",
        "split_pods{stage=S,state=\"starting\"}",
        "split_pods{stage=S,state=\"draining\"}",
        "split_pod_busy_seconds_total{stage=S}",
        "split_pod_ready_seconds_total{stage=S}",
        "split_pod_cpu_seconds_total{stage=S,pod=\"1\"}",
        "split_pod_phase{stage=S,pod=\"1\"}",
        "split_pod_cpu_request_cores{stage=S,pod=\"1\"}",
        "split_build_info{engine=\"double\",emulated=\"false\",",
        "process_cpu_seconds_total ",
    ];
    let proxied = [
        "split_requests_total{stage=S}",
        "split_answers_total{stage=S,status=\"failed\"}",
        "split_queue_depth{queue=S}",
        "split_queue_depth_seconds_total{queue=S}",
        "split_transfer_slots ",
        "split_transfer_slot_seconds_total ",
        "split_transfer_slot_held_seconds_total ",
        "split_transfer_seconds_total ",
        "split_transfer_bytes_total{encoding=\"f32\"}",
        "split_pipeline_duration_seconds_bucket{le=\"+Inf\"}",
        "split_pipeline_duration_seconds_count ",
        "process_cpu_seconds_total ",
    ];
    for (app, name, expected) in
        [(a.app(), "a", &stage[..]), (b.app(), "b", &stage[..]), (proxy(), "proxy", &proxied[..])]
    {
        let (status, body) = ask(&app, get("/metrics")).await;
        assert_eq!(status, 200);
        for series in expected {
            let series = series.replace('S', &format!("\"{name}\""));
            assert!(body.lines().any(|line| line.starts_with(&series)), "no {series} in\n{body}");
        }
    }
    a.close().await;
    b.close().await;
}
