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
use crate::admission::Admission;
use crate::bodies::{expected, in_time, turned_away};
use crate::openapi::{Api, does, gives_credit, takes_credit_back};
use crate::pod::{Output, Served, Work};
use crate::wire::envelope::{Envelope, credit};
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
        .fails(&[400, 408, 413, 415, 429, 500, 503, 504]);
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
    let began = Instant::now();
    // Before anything can be found wrong: a credit that was used up must not keep its place.
    let place = match stage.pool.admit(credit(&headers), expected(&headers, ACTIVATION_BYTES_MAX)) {
        Ok(place) => place,
        Err(failure) => return Err(turned_away(failure, &headers, body, ACTIVATION_BYTES_MAX).await),
    };
    let unqueued = stage.pool.unqueued();
    let (packed, asked) = match stage.activation(&headers, body, began, place).await {
        Ok(taken) => taken,
        Err(failure) => return Err(unqueued.failed(failure)),
    };
    unqueued.queued();
    let Served { output: Output::Class { id, name, logit }, times } =
        stage.compute(Work::Tail(packed), asked).await?
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

impl StageServer {
    /// An activation that has its place. Its body is read whatever is wrong with its head: a sender whose connection
    /// is closed while it still sends may never read the answer.
    async fn activation(
        &self,
        headers: &HeaderMap,
        body: Body,
        began: Instant,
        mut place: Admission,
    ) -> Result<(Packed, Asked), Failure> {
        let envelope = Envelope::of(headers, began);
        let deadline = envelope.as_ref().ok().and_then(|envelope| envelope.deadline);
        let body = self.bodies.collect(headers, body, ACTIVATION_BYTES_MAX);
        let body = in_time(began, deadline, expected(headers, ACTIVATION_BYTES_MAX), body).await?;
        let arrived = Instant::now();
        place.came(arrived, body.len());
        let Envelope { cut, format, .. } = envelope?;
        if let Some(cut) = cut.filter(|cut| *cut != self.about().cut) {
            return Err(Failure::bad(format!(
                "this activation is cut after {cut}, stage B serves {}",
                self.about().cut
            )));
        }
        let packed = Packed { container: format.container, compression: format.compression, body };
        Ok((packed, Asked { arrived, deadline, place }))
    }
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
