//! One request to `/predict-proxy`, and how it ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use reqwest::multipart::{Form, Part};
use splitscale_spec::Status;

use super::{Image, LoadError};
use crate::client::PipelineClient;
use crate::serve::explain;
use crate::wire::{PipelineAnswer, REQUEST_ID};

/// How a request ended.
pub(super) struct End {
    pub(super) done: Instant,
    pub(super) status: Status,
    pub(super) answer: Option<Box<PipelineAnswer>>,
}

/// A request to `/predict-proxy`.
pub(super) struct Shot {
    pub(super) image: (String, Bytes),
    pub(super) id: String,
    pub(super) wait: bool,
    pub(super) limit: Duration,
}

/// A request without a good answer.
pub(super) struct Miss {
    pub(super) status: Status,
    pub(super) why: String,
    pub(super) body: Bytes,
}

impl Shot {
    pub(super) async fn post(self, client: &PipelineClient) -> Result<Bytes, Miss> {
        let url = format!("{}/predict-proxy?wait={}", client.endpoints.a, self.wait);
        let (name, bytes) = self.image;
        let form = Form::new().part("file", Part::stream(bytes).file_name(name));
        let request = client.http.post(url).header(REQUEST_ID, self.id).timeout(self.limit).multipart(form);
        let exchange = async {
            let answer = request.send().await?;
            Ok((answer.status(), answer.bytes().await?))
        };
        match exchange.await {
            Ok((status, body)) if status.is_success() => Ok(body),
            Ok((status, body)) => {
                let turned_away = matches!(status.as_u16(), 429 | 503);
                let why = format!("{status}: {}", String::from_utf8_lossy(&body));
                Err(Miss { status: if turned_away { Status::Refused } else { Status::Failed }, why, body })
            }
            Err(error) => {
                let error: reqwest::Error = error;
                let status = if error.is_connect() { Status::Refused } else { Status::Lost };
                Err(Miss { status, why: explain(&error), body: Bytes::new() })
            }
        }
    }
}

/// What a request that waited for its answer came to. One that failed may bring its phases too.
pub(super) fn waited(posted: Result<Bytes, Miss>, done: Instant) -> End {
    let (status, body) = match posted {
        Ok(body) => (Status::Failed, body),
        Err(miss) => (miss.status, miss.body),
    };
    let answer: Option<Box<PipelineAnswer>> = serde_json::from_slice(&body).ok();
    End { done, status: answer.as_ref().map_or(status, |answer| answer.status), answer }
}

/// The images as the requests share them.
pub(super) fn shared(images: &[Image]) -> Result<Vec<(String, Bytes)>, LoadError> {
    if images.is_empty() {
        return Err(LoadError::Zero("images to send"));
    }
    Ok(images.iter().map(|(name, bytes)| (name.clone(), Bytes::copy_from_slice(bytes))).collect())
}

/// What the ids of one load begin with: unlike those of any other load, of other processes too.
pub(super) fn new_prefix() -> String {
    static LOADS: AtomicU64 = AtomicU64::new(0);
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{:x}.{now_ns:x}.{}-", std::process::id(), LOADS.fetch_add(1, Ordering::Relaxed))
}
