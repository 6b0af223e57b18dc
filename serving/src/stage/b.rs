//! The route of stage B: activation in, class out.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};

use super::{Asked, StageServer};
use crate::pod::{Output, Served, Work};
use crate::wire::envelope::Envelope;
use crate::wire::format::Packed;
use crate::wire::{
    ACTIVATION_BYTES_MAX, Credit, CreditWanted, Failure, Problem, SERVER_TIMING, TailAnswer, parse,
    server_timing,
};

pub(super) fn routes() -> Router<StageServer> {
    Router::new()
        .route("/complete", post(complete))
        .layer(DefaultBodyLimit::max(ACTIVATION_BYTES_MAX))
        .route("/credits", post(credits))
        .route("/credits/release", post(release))
}

async fn complete(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Failure> {
    let arrived = Instant::now();
    let body = body?;
    let Envelope { cut, format, deadline, credit, .. } = Envelope::of(&headers)?;
    if let Some(cut) = cut.filter(|cut| *cut != stage.about().cut) {
        return Err(Failure::bad(format!(
            "this activation is cut after {cut}, stage B serves {}",
            stage.about().cut
        )));
    }
    let place = stage.pool.admit(credit, body.len())?;
    let packed = Packed { container: format.container, compression: format.compression, body };
    let Served { output: Output::Class { id, name, logit }, times } =
        stage.compute(Work::Tail(packed), Asked { arrived, deadline, place }).await?
    else {
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine is not B's half"));
    };
    let answer = TailAnswer {
        class_id: id,
        class_name: name,
        logit,
        inference_time_b: times.service_s(),
        stage_b: times,
    };
    Ok(([(SERVER_TIMING, server_timing(&times.phases_of_b()))], Json(answer)))
}

async fn credits(
    State(stage): State<StageServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Credit>, Problem> {
    let CreditWanted { bytes } = parse(body)?;
    Ok(Json(Credit { credit: stage.pool.promise(bytes.min(ACTIVATION_BYTES_MAX))? }))
}

async fn release(
    State(stage): State<StageServer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let Credit { credit } = parse(body)?;
    stage.pool.release(credit);
    Ok(StatusCode::NO_CONTENT)
}
