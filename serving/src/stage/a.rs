//! The routes of stage A: image in, activation on to B or the proxy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError, MultipartRejection};
use axum::extract::rejection::QueryRejection;
use axum::extract::{self, DefaultBodyLimit, FromRequest, Query, State};
use axum::handler::Handler;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::credit::{HeldCredit, Turn};
use super::{Asked, Next, StageServer};
use crate::activation::elements;
use crate::admission::Admission;
use crate::bodies::{announced, broke_off, expected, in_time, turned_away};
use crate::openapi::{Api, does};
use crate::pod::{Output, Served, Work};
use crate::pool::Unqueued;
use crate::serve::explain;
use crate::wire::envelope::{Envelope, wanted_format};
use crate::wire::format::{Compression, Container, Format, Packed};
use crate::wire::{
    COMPRESSION, DEADLINE, ENCODING, Failure, IMAGE_BYTES_MAX, Message, PipelineAnswer, Prediction,
    SERVER_TIMING, Said, StageTimes, TailAnswer, Wait, checked_query, deadline, request_id, server_timing,
};

/// Whom A sends an activation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Towards {
    B,
    Proxy { wait: bool },
}

/// What came to A.
struct Request<'a> {
    id: String,
    format: Format,
    work: Work,
    asked: Asked,
    unqueued: Unqueued<'a>,
}

/// Largest form that A takes \[bytes\]: around the image it has some too; the file itself is checked after it.
const FORM_BYTES_MAX: usize = IMAGE_BYTES_MAX + 64 * 1024;

/// Counts a request while it lives, so that one on its way from a pod to the next server is seen too.
struct Forwarding<'a>(&'a AtomicU64);

pub(super) fn routes() -> Api<StageServer> {
    let limit = DefaultBodyLimit::max(FORM_BYTES_MAX);
    let classifies = |summary| does(summary).takes_file().reads(&[DEADLINE, ENCODING, COMPRESSION]).timed();
    let direct = classifies("Classify an image, asking B directly.")
        .gives::<Prediction>("The class.")
        .fails(&[400, 408, 413, 415, 422, 429, 500, 502, 503, 504]);
    let piped = classifies("Classify an image through the proxy; answer once it is queued there.")
        .waits()
        .gives_either::<Message, PipelineAnswer>("It is queued; with ?wait=true, how it went.")
        .fails(&[400, 408, 413, 422, 500, 503])
        .or_run::<Failure>(&[415, 429, 502, 504]);
    Api::new("splitscale, stage A: image in, activation on")
        .post("/predict", predict.layer(limit), direct)
        .post("/predict-proxy", predict_proxy.layer(limit), piped)
}

async fn predict(
    State(stage): State<StageServer>,
    incoming: extract::Request,
) -> Result<impl IntoResponse, Failure> {
    let request = stage.request(incoming).await?;
    let arrived = request.asked.arrived;
    let (times, said) = stage.forward(request, Towards::B).await?;
    let total_time = arrived.elapsed().as_secs_f64();
    if !said.status.is_success() {
        return Err(Failure::relayed("stage B", &said));
    }
    let answer: TailAnswer = serde_json::from_slice(&said.body)
        .map_err(|e| Failure::bad_gateway(format!("stage B's answer is none: {e}")))?;
    let transfer_s = total_time - times.residence_s() - answer.stage_b.residence_s();
    let phases =
        [&times.phases_of_a()[..], &[("transfer", transfer_s)], &answer.stage_b.phases_of_b()].concat();
    let answer = Prediction {
        class_id: answer.class_id,
        class_name: answer.class_name,
        total_time,
        inference_time_a: times.service_s(),
        inference_time_b: answer.inference_time_b,
        emulated: times.emulated || answer.stage_b.emulated,
        stage_a: times,
        transfer_s,
        stage_b: answer.stage_b,
    };
    Ok(([(SERVER_TIMING, server_timing(&phases))], Json(answer)))
}

async fn predict_proxy(
    State(stage): State<StageServer>,
    query: Result<Query<Wait>, QueryRejection>,
    incoming: extract::Request,
) -> Result<Response, Failure> {
    let request = stage.request(incoming).await?;
    let wait = match checked_query(query) {
        Ok(Wait { wait }) => wait,
        Err(failure) => return Err(request.unqueued.failed(failure)),
    };
    let (times, said) = stage.forward(request, Towards::Proxy { wait }).await?;
    // A pipeline run that failed is passed on as the proxy tells it, with its phases.
    let run = serde_json::from_slice::<PipelineAnswer>(&said.body).ok();
    if !said.status.is_success() && run.is_none() {
        return Err(Failure::relayed("the proxy", &said));
    }
    let mut phases = times.phases_of_a().to_vec();
    if let Some(run) = run {
        phases.extend([("queue_proxy", run.queue_proxy_s), ("transfer", run.transfer_s)]);
        phases.extend(run.stage_b.iter().flat_map(StageTimes::phases_of_b));
    }
    let timing = server_timing(&phases);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (SERVER_TIMING, timing)];
    let answer = (said.status, headers, said.body.clone()).into_response();
    if said.status.is_success() {
        return Ok(answer);
    }
    Ok(Failure::relayed("the proxy", &said).with_headers(answer))
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
    /// A place in the queue for a form, and what it asks for.
    async fn request(&self, incoming: extract::Request) -> Result<Request<'_>, Failure> {
        let began = Instant::now();
        let headers = incoming.headers().clone();
        let place = match self.pool.admit(None, expected(&headers, FORM_BYTES_MAX)) {
            Ok(place) => place,
            Err(failure) => {
                return Err(turned_away(failure, &headers, incoming.into_body(), FORM_BYTES_MAX).await);
            }
        };
        let unqueued = self.pool.unqueued();
        match self.form(&headers, incoming, began, place).await {
            Ok((format, work, asked)) => {
                Ok(Request { id: request_id(&headers), format, work, asked, unqueued })
            }
            Err(failure) => Err(unqueued.failed(failure)),
        }
    }

    /// A form that has its place. Its body is read whatever is wrong with its head: a sender whose connection is
    /// closed while it still sends may never read the answer.
    async fn form(
        &self,
        headers: &HeaderMap,
        incoming: extract::Request,
        began: Instant,
        mut place: Admission,
    ) -> Result<(Format, Work, Asked), Failure> {
        announced(headers, FORM_BYTES_MAX)?;
        let format = wanted_format(headers, self.next().downstream.format);
        let deadline = deadline(headers, began);
        let form = Multipart::from_request(incoming, &()).await;
        let end = deadline.as_ref().ok().copied().flatten();
        let file = in_time(began, end, expected(headers, FORM_BYTES_MAX), file(form)).await;
        let (format, deadline, (media_type, file)) = (format?, deadline?, file?);
        let arrived = Instant::now();
        place.came(arrived, file.len());
        let asked = Asked { arrived, deadline, place };
        let work = match Container::of_media_type(media_type.as_deref()) {
            Ok(container @ Container::Safetensors) => {
                Work::Tensor(Packed { container, compression: Compression::None, body: file }, format)
            }
            _ => Work::Image(file, format),
        };
        Ok((format, work, asked))
    }

    /// Takes a credit for the activation, runs A's half and posts it: A's times, and what the next server
    /// answered.
    async fn forward(&self, request: Request<'_>, towards: Towards) -> Result<(StageTimes, Said), Failure> {
        let _forwarding = Forwarding::count(&self.pool.forwarding);
        let Request { id, format, work, asked, unqueued } = request;
        let (next, deadline) = (self.next(), asked.deadline);
        let server = next.server(towards);
        let elements = elements(&self.about().shape) as u64;
        let bytes = elements * format.encoding.bytes_per_element();
        let credit = match HeldCredit::take(self, towards, bytes, deadline).await {
            Ok(credit) => credit,
            Err(failure) => return Err(unqueued.failed(failure)),
        };
        unqueued.queued();
        let Served { output: Output::Activation(packed), times } = self.compute(work, asked).await? else {
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the engine is not A's half"));
        };
        let url = match towards {
            Towards::B => format!("{server}/complete"),
            Towards::Proxy { wait } => format!("{server}/complete?wait={wait}"),
        };
        let cut = Some(self.about().cut.clone());
        let envelope = Envelope { id, cut, format, stage_a: Some(times), deadline, credit: credit.number() };
        let post = || async {
            let limit =
                left(deadline).map_or(next.downstream.timeout, |left| left.min(next.downstream.timeout));
            let request = next.http(towards).post(&url).headers(envelope.headers()).timeout(limit);
            let answer = request.body(packed.body.clone()).send().await?;
            Ok::<_, reqwest::Error>((times, Said::read(answer).await?))
        };
        let answer = match post().await {
            // A connection that broke before an answer: whoever had it is gone, another may be there.
            Err(error) if !error.is_timeout() && matches!(towards, Towards::B) => post().await,
            answer => answer,
        };
        if answer.is_ok() {
            credit.used_up();
        }
        answer.map_err(|e| match left(deadline) {
            Some(left) if e.is_timeout() && left.is_zero() => Failure::expired("the next server"),
            _ => Failure::bad_gateway(format!("no answer: {}", explain(&e))),
        })
    }

    pub(super) fn next(&self) -> &Next {
        self.next.as_ref().expect("A knows what comes next")
    }
}

impl Next {
    /// Whom this goes to.
    pub(super) fn server(&self, towards: Towards) -> &str {
        match towards {
            Towards::B => &self.downstream.b,
            Towards::Proxy { .. } => &self.downstream.proxy,
        }
    }

    /// By what it goes there.
    pub(super) fn http(&self, towards: Towards) -> &reqwest::Client {
        match towards {
            Towards::B => &self.http_b,
            Towards::Proxy { .. } => &self.http_proxy,
        }
    }

    /// The line before it.
    pub(super) fn turn(&self, towards: Towards) -> &Turn {
        match towards {
            Towards::B => &self.turn_b,
            Towards::Proxy { .. } => &self.turn_proxy,
        }
    }

    /// Whether whoever promises a place there is who will be sent the activation.
    pub(super) fn gives_credit(&self, towards: Towards) -> bool {
        !(self.downstream.fresh_connections && matches!(towards, Towards::B))
    }
}

/// How long whoever asked still waits.
fn left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// The field `file`: its media type, where it says one, and its bytes.
async fn file(form: Result<Multipart, MultipartRejection>) -> Result<(Option<String>, Bytes), Failure> {
    let mut form = form.map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
    let broken = |e: MultipartError| match e.status() {
        // axum takes a body that stands still or ends too early for a failure of ours.
        status if status.is_server_error() => broke_off(&e),
        status => Failure::new(status, e.body_text()),
    };
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
