//! Why a request was not answered, and how that is said.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::{self, FormatError};
use super::header;

/// An error on the wire: a status and `{"error": "..."}`, on the routes of the original.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// HTTP status.
    #[serde(skip)]
    pub status: StatusCode,
    /// What is wrong and what to do.
    #[serde(alias = "detail")]
    pub error: String,
    /// When to try again \[s\], from the rate that was measured.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

/// What the next server answered.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// The answer itself.
    pub(crate) body: Bytes,
    /// When it wants to be asked again \[s\].
    retry_after_s: Option<u64>,
}

/// The same on all other routes: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem(pub(crate) Failure);

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemDocument {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: Option<&'static str>,
    /// HTTP status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
}

impl Said {
    /// Reads a whole answer.
    ///
    /// # Errors
    /// It broke off.
    pub(crate) async fn read(answer: reqwest::Response) -> Result<Said, reqwest::Error> {
        let status = answer.status();
        let retry_after_s = header(answer.headers(), &RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        Ok(Said { status, body: answer.bytes().await?, retry_after_s })
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Failure { status, error: error.into(), retry_after_s: None }
    }

    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn unavailable(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    pub(crate) fn bad_gateway(error: impl Into<String>) -> Self {
        Failure::new(StatusCode::BAD_GATEWAY, error)
    }

    /// The queue is full, and will have shrunk by one after so long.
    pub(crate) fn full(error: impl Into<String>, retry_after_s: f64) -> Self {
        let retry_after_s = Some(retry_after_s.clamp(1.0, 3600.0).ceil() as u64);
        Failure { retry_after_s, ..Failure::new(StatusCode::TOO_MANY_REQUESTS, error) }
    }

    /// Whoever sent it no longer waits: it has had no turn there, or not all of it.
    pub(crate) fn expired(place: &str) -> Self {
        let error = format!("the request's time was up before {place} had a turn for it");
        Failure::new(StatusCode::GATEWAY_TIMEOUT, error)
    }

    /// What the next server would not do.
    pub(crate) fn relayed(name: &str, said: &Said) -> Self {
        let Said { status, body, retry_after_s } = said;
        let why = serde_json::from_slice::<Failure>(body)
            .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |failure| failure.error);
        let why = format!("{name} answered {status}: {why}");
        match *status {
            // Theirs to say: the client sent what they cannot take, or too much, or too late.
            StatusCode::TOO_MANY_REQUESTS => Failure::full(why, retry_after_s.unwrap_or(1) as f64),
            StatusCode::GATEWAY_TIMEOUT | StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::new(*status, why),
            _ => Failure::bad_gateway(why),
        }
    }

    /// An answer with the headers that belong to the failure.
    pub(crate) fn with_headers(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let headers = response.headers_mut();
            headers.insert(ACCEPT, HeaderValue::from_static(format::ACCEPTED_TYPES));
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(format::ACCEPTED_COMPRESSIONS));
        }
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.with_headers((self.status, Json(&self)).into_response())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem(failure) = self;
        let body = Json(ProblemDocument {
            r#type: "about:blank",
            title: failure.status.canonical_reason(),
            status: failure.status.as_u16(),
            detail: failure.error.clone(),
        });
        let media_type = [(CONTENT_TYPE, "application/problem+json")];
        failure.with_headers((failure.status, media_type, body).into_response())
    }
}

impl<E: Into<Failure>> From<E> for Problem {
    fn from(error: E) -> Self {
        Problem(error.into())
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        let status = match error {
            FormatError::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FormatError::Damaged(_) => StatusCode::BAD_REQUEST,
            FormatError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Failure::new(status, error.to_string())
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        Failure::new(rejection.status(), rejection.body_text())
    }
}
