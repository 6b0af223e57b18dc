//! The routes of stage A: image in, activation on to B or the proxy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError, MultipartRejection};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use super::StageServer;
use crate::pod::{Output, Served, Work};
use crate::serve::explain;
use crate::wire::envelope::{Envelope, wanted_format};
use crate::wire::format::{Compression, Container, Packed};
use crate::wire::{
    Failure, IMAGE_BYTES_MAX, PipelineAnswer, Prediction, StageTimes, TailAnswer, Wait, checked_query,
    request_id,
};

/// Whom A sends an activation.
#[derive(Debug, Clone, Copy)]
enum Towards {
    B,
    Proxy { wait: bool },
}

/// Counts a request while it lives, so that one on its way from a pod to the next server is seen too.
struct Forwarding<'a>(&'a AtomicU64);

pub(super) fn routes() -> Router<StageServer> {
    Router::new()
        .route("/predict", post(predict))
        .route("/predict-proxy", post(predict_proxy))
        // The form around the image takes some bytes too; the file itself is checked below.
        .layer(DefaultBodyLimit::max(IMAGE_BYTES_MAX + 64 * 1024))
}

async fn predict(
    State(stage): State<StageServer>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Prediction>, Failure> {
    let work = stage.work(form, &headers).await?;
    let arrived = Instant::now();
    let (times, status, body) = stage.forward(work, request_id(&headers), Towards::B).await?;
    if !status.is_success() {
        return Err(relayed("stage B", status, &body));
    }
    let answer: TailAnswer = serde_json::from_slice(&body)
        .map_err(|e| Failure::bad_gateway(format!("stage B's answer is none: {e}")))?;
    Ok(Json(Prediction {
        class_id: answer.class_id,
        class_name: answer.class_name,
        total_time: arrived.elapsed().as_secs_f64(),
        inference_time_a: times.service_s(),
        inference_time_b: answer.inference_time_b,
        emulated: times.emulated || answer.stage_b.emulated,
    }))
}

async fn predict_proxy(
    State(stage): State<StageServer>,
    query: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Failure> {
    let Wait { wait } = checked_query(query)?;
    let work = stage.work(form, &headers).await?;
    let (_, status, body) = stage.forward(work, request_id(&headers), Towards::Proxy { wait }).await?;
    // A pipeline run that failed is passed on as the proxy tells it, with its phases.
    if !status.is_success() && serde_json::from_slice::<PipelineAnswer>(&body).is_err() {
        return Err(relayed("the proxy", status, &body));
    }
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

impl<'a> Forwarding<'a> {
    fn count(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Forwarding(count)
    }
}

impl Drop for Forwarding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl StageServer {
    /// What a form asks for: A's half on an image, or on the network's input.
    async fn work(
        &self,
        form: Result<Multipart, MultipartRejection>,
        headers: &HeaderMap,
    ) -> Result<Work, Failure> {
        let next = self.next.as_ref().expect("A knows what comes next");
        let format = wanted_format(headers, next.downstream.format)?;
        let (media_type, file) = file(form).await?;
        Ok(match Container::of_media_type(media_type.as_deref()) {
            Ok(container @ Container::Safetensors) => {
                Work::Tensor(Packed { container, compression: Compression::None, body: file }, format)
            }
            _ => Work::Image(file, format),
        })
    }

    /// Runs A's half and posts the activation: A's times, and what the next server answered.
    async fn forward(
        &self,
        work: Work,
        id: String,
        towards: Towards,
    ) -> Result<(StageTimes, StatusCode, Bytes), Failure> {
        let _forwarding = Forwarding::count(&self.pool.forwarding);
        let (Work::Image(_, format) | Work::Tensor(_, format)) = work else {
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "A has no other work"));
        };
        let Served { output: Output::Activation(packed), times } = self.compute(work).await? else {
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine is not A's half"));
        };
        let next = self.next.as_ref().expect("A knows what comes next");
        let url = match towards {
            Towards::B => format!("{}/complete", next.downstream.b),
            Towards::Proxy { wait } => format!("{}/complete?wait={wait}", next.downstream.proxy),
        };
        let envelope = Envelope { id, cut: Some(self.about().cut.clone()), format, stage_a: Some(times) };
        let request = next
            .http
            .post(&url)
            .headers(envelope.headers())
            .timeout(next.downstream.timeout)
            .body(packed.body);
        let answer = async {
            let answer = request.send().await?;
            Ok((times, answer.status(), answer.bytes().await?))
        };
        answer.await.map_err(|e: reqwest::Error| Failure::bad_gateway(format!("no answer: {}", explain(&e))))
    }
}

/// What the next server would not do.
fn relayed(name: &str, status: StatusCode, body: &[u8]) -> Failure {
    let said = serde_json::from_slice::<Failure>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |failure| failure.error);
    Failure::bad_gateway(format!("{name} answered {status}: {said}"))
}

/// The field `file`: its media type, where it says one, and its bytes.
async fn file(form: Result<Multipart, MultipartRejection>) -> Result<(Option<String>, Bytes), Failure> {
    let mut form = form.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
    let broken = |e: MultipartError| Failure::new(e.status(), e.body_text());
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() != Some("file") {
            continue;
        }
        let media_type = field.content_type().map(str::to_owned);
        let image = field.bytes().await.map_err(broken)?;
        return match image.len() {
            0 => Err(Failure::bad("the form field `file` is empty; it takes an image file")),
            n if n > IMAGE_BYTES_MAX => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the image has {n} bytes; {IMAGE_BYTES_MAX} are the most"),
            )),
            _ => Ok((media_type, image)),
        };
    }
    Err(Failure::bad("no form field `file`; send the image as multipart/form-data"))
}
