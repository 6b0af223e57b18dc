//! A burst through a proxy that forgets what it took, or keeps its answers to itself.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use splitscale_serving::client::{Endpoints, PipelineClient};
use splitscale_serving::load::burst;
use splitscale_serving::stage::serve_a;
use splitscale_serving::wire::{BoardState, Event, PipelineAnswer, SlotsState};
use splitscale_spec::{Encoding, RequestRecord, Status};
use tokio_util::sync::CancellationToken;

use crate::double::{Double, LONG, factory, images, line, port, stage_options, towards};
use crate::trouble::{count, spec};

/// A proxy in front of a pipeline's A that forgets what it gets, or keeps its answers to itself.
async fn false_proxy(answers: bool, pushes: bool) -> String {
    let known: Arc<Mutex<Vec<PipelineAnswer>>> = Arc::default();
    let board = BoardState {
        epoch: 0,
        request_count: 0,
        response_count: 0,
        threshold: None,
        threshold_reached: false,
    };
    let state = SlotsState {
        slots: 1,
        held: 0,
        queued: 0,
        bandwidth_mbit_s: None,
        link_bandwidth_mbit_s: None,
        b: Vec::new(),
        board: board.clone(),
    };
    let takes = {
        let known = Arc::clone(&known);
        async move |headers: HeaderMap, body: Bytes| {
            if answers {
                let id = headers["x-request-id"].to_str().unwrap().to_owned();
                known.lock().unwrap().push(answer(id, body.len() as u64));
            }
            "{}"
        }
    };
    let app = axum::Router::new()
        .route("/complete", post(takes))
        .route("/clear_responses", post(async || "{}"))
        .route("/set_queue_threshold", post(async || "{}"))
        .route("/slots", get(async move || Json(state)))
        .route("/responses", get(async move || Json(known.lock().unwrap().clone())))
        .route(
            "/events",
            get(async move |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async move |mut socket| {
                    let hello = serde_json::to_string(&Event::Hello(board)).unwrap();
                    socket.send(Message::Text(hello.into())).await.unwrap();
                    if pushes {
                        // Stays connected, and says nothing more.
                        while socket.recv().await.is_some() {}
                    }
                })
            }),
        );
    let (listener, url) = port().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn answer(request_id: String, bytes: u64) -> PipelineAnswer {
    PipelineAnswer {
        request_id,
        epoch: 0,
        status: Status::Answered,
        error: None,
        class_id: Some(1),
        class_name: None,
        inference_time_a: None,
        inference_time_b: None,
        total_time: None,
        cut: "layer3".into(),
        encoding: Encoding::F32,
        bytes,
        slots: 1,
        bandwidth_mbit_s: None,
        queue_proxy_s: 0.0,
        transfer_s: 0.0,
        stage_a: None,
        stage_b: None,
    }
}

/// A burst of four through a false proxy.
async fn burst_through(answers: bool, pushes: bool) -> Vec<RequestRecord> {
    let behind = line(&Double::sleeping(0), &Double::sleeping(0), 1, 1).await;
    let proxy = false_proxy(answers, pushes).await;
    let (listener, a) = port().await;
    let stop = CancellationToken::new();
    let downstream = towards(behind.endpoints.b.clone(), proxy.clone());
    let server = tokio::spawn(serve_a(
        listener,
        stage_options(1),
        downstream,
        factory(&Double::sleeping(0)),
        stop.clone(),
    ));
    let client = PipelineClient::new(Endpoints { a, proxy, b: behind.endpoints.b.clone() }).unwrap();
    client.wait_ready(LONG).await.unwrap();
    let records = burst(&client, &images([1]), &spec(4)).await.unwrap();
    stop.cancel();
    server.await.unwrap().unwrap();
    behind.stop().await;
    records
}

#[tokio::test]
async fn requests_that_the_proxy_forgets_are_lost_and_the_burst_ends() {
    let records = burst_through(false, true).await;
    assert_eq!(count(&records, Status::Lost), 4);
}

#[tokio::test]
async fn events_that_stop_coming_are_made_up_for_by_asking() {
    assert_eq!(count(&burst_through(true, false).await, Status::Answered), 4, "the connection ends");
    assert_eq!(count(&burst_through(true, true).await, Status::Answered), 4, "the connection is silent");
}
