//! The route of stage B: activation in, class out.

use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::{Asked, StageServer};
use crate::openapi::{Api, does, gives_credit, takes_credit_back};
use crate::pod::{Output, Served, Work};
use crate::wire::envelope::Envelope;
use crate::wire::format::Packed;
use crate::wire::{
    ACTIVATION_BYTES_MAX, CREDIT, CUT, Credit, CreditWanted, DEADLINE, Failure, Problem, SERVER_TIMING,
    TailAnswer, parse, server_timing,
};

pub(super) fn routes() -> Api<StageServer> {
    let completes = does("Classify an activation.")
        .reads(&[CUT, CONTENT_ENCODING, DEADLINE, CREDIT])
        .takes_activation()
        .gives::<TailAnswer>("The class.")
        .timed()
        .fails(&[400, 413, 415, 429, 500, 503, 504]);
    Api::new("splitscale, stage B: activation in, class out")
        .post("/complete", complete, completes)
        .post("/credits", credits, gives_credit().problems(&[503]))
        .post("/credits/release", release, takes_credit_back())
}

async fn complete(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Failure> {
    let body = stage.bodies.collect(&headers, body, ACTIVATION_BYTES_MAX).await?;
    let arrived = Instant::now();
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
