//! The route of stage B: activation in, class out.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};

use super::StageServer;
use crate::pod::{Output, Served, Work};
use crate::wire::envelope::Envelope;
use crate::wire::format::Packed;
use crate::wire::{ACTIVATION_BYTES_MAX, Failure, TailAnswer};

pub(super) fn routes() -> Router<StageServer> {
    Router::new().route("/complete", post(complete)).layer(DefaultBodyLimit::max(ACTIVATION_BYTES_MAX))
}

async fn complete(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<TailAnswer>, Failure> {
    let body = body?;
    let Envelope { cut, format, .. } = Envelope::of(&headers)?;
    if let Some(cut) = cut.filter(|cut| *cut != stage.about().cut) {
        return Err(Failure::bad(format!(
            "this activation is cut after {cut}, stage B serves {}",
            stage.about().cut
        )));
    }
    let packed = Packed { container: format.container, compression: format.compression, body };
    let Served { output: Output::Class { id, name, logit }, times } =
        stage.compute(Work::Tail(packed)).await?
    else {
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
