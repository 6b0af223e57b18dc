//! The route of stage B: activation in, class out.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};

use super::StageServer;
use crate::pod::{Output, Served};
use crate::wire::{ACTIVATION_BYTES_MAX, CUT, Failure, TailAnswer, header};

pub(super) fn routes() -> Router<StageServer> {
    Router::new().route("/complete", post(complete)).layer(DefaultBodyLimit::max(ACTIVATION_BYTES_MAX))
}

async fn complete(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<TailAnswer>, Failure> {
    let activation = body?;
    let expected = stage.pool.factory.payload_bytes();
    if let Some(cut) = header(&headers, &CUT).filter(|&cut| cut != stage.cut()) {
        return Err(Failure::bad(format!(
            "this activation is cut after {cut}, stage B serves {}",
            stage.cut()
        )));
    }
    if activation.len() as u64 != expected {
        return Err(Failure::bad(format!(
            "this activation has {} bytes; one cut after {} has {expected}",
            activation.len(),
            stage.cut()
        )));
    }
    let Served { output: Output::Class { id, name, logit }, times } = stage.compute(activation).await? else {
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine is not B's half"));
    };
    Ok(Json(TailAnswer {
        class_id: id,
        class_name: name,
        logit,
        inference_time_b: times.service_s(),
        stage_b: times,
    }))
}
