//! One request to `/predict-proxy`, and how it ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use splitscale_spec::Status;

use super::{Image, LoadError, Miss, Reason};
use crate::client::PipelineClient;
use crate::serve::explain;
use crate::wire::{DEADLINE, PipelineAnswer, REQUEST_ID, header};

/// Pause before a request is sent again where the answer does not say how long.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How a request ended.
pub(super) struct End {
    pub(super) done: Instant,
    pub(super) status: Status,
    pub(super) http_status: Option<u16>,
    pub(super) answer: Option<Box<PipelineAnswer>>,
    pub(super) miss: Option<Miss>,
}

/// A request to `/predict-proxy`. One that waits for its answer tells the servers how long.
pub(super) struct Shot {
    pub(super) image: (String, Bytes),
    pub(super) id: String,
    pub(super) wait: bool,
    pub(super) limit: Duration,
}

/// What a post came to: an answer of whatever kind, or none.
pub(super) type Posted = Result<Answer, Miss>;

/// What A said.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// When to come again, if it turned the request away.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl Shot {
    pub(super) async fn post(self, client: &PipelineClient) -> Posted {
        let url = format!("{}/predict-proxy?wait={}", client.endpoints.a, self.wait);
        let (name, bytes) = self.image;
        let form = Form::new().part("file", Part::stream(bytes).file_name(name));
        let mut request =
            client.http.post(url).header(REQUEST_ID, self.id).timeout(self.limit).multipart(form);
        if self.wait {
            request = request.header(DEADLINE, format!("{:.3}", self.limit.as_secs_f64()));
        }
        let exchange = async {
            let answer = request.send().await?;
            let (status, retry_after) = (answer.status(), header(answer.headers(), &RETRY_AFTER));
            let pause = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            let retry_after = turned_away(status).then_some(pause.unwrap_or(RETRY_PAUSE));
            Ok(Answer { status, retry_after, body: answer.bytes().await? })
        };
        exchange.await.map_err(|error: reqwest::Error| {
            let reason = match () {
                () if error.is_connect() => Reason::NoConnection,
                () if error.is_timeout() => Reason::TimedOut,
                () => Reason::Broken,
            };
            Miss { reason, said: explain(&error) }
        })
    }
}

fn turned_away(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

// === impl Answer ===

impl Answer {
    /// What it is in the place of a class.
    pub(super) fn miss(&self) -> Miss {
        let said = serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|body| Some(body.get("error")?.as_str()?.to_owned()))
            .unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        Miss { reason: Reason::Http(self.status.as_u16()), said }
    }
}

// === impl End ===

impl End {
    /// Of a request that has no answer.
    pub(super) fn missed(miss: Miss, done: Instant) -> End {
        let (status, http_status) = match miss.reason {
            Reason::Http(code @ (429 | 503)) => (Status::Refused, Some(code)),
            Reason::Http(code) => (Status::Failed, Some(code)),
            Reason::NoConnection => (Status::Refused, None),
            Reason::TimedOut | Reason::Broken | Reason::Abandoned => (Status::Lost, None),
            Reason::Dropped => (Status::Dropped, None),
        };
        End { done, status, http_status, answer: None, miss: Some(miss) }
    }

    /// Of a request that waited for its answer. One that failed may bring its phases too.
    pub(super) fn waited(posted: Posted, done: Instant) -> End {
        let answer = match posted {
            Ok(answer) => answer,
            Err(miss) => return End::missed(miss, done),
        };
        let missed = End::missed(answer.miss(), done);
        match serde_json::from_slice::<Box<PipelineAnswer>>(&answer.body) {
            Ok(run) if run.status == Status::Answered => {
                End { status: run.status, answer: Some(run), miss: None, ..missed }
            }
            Ok(run) => End { status: run.status, answer: Some(run), ..missed },
            Err(_) => missed,
        }
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::Endpoints;

    /// A posts one request to a server that answers in these words; what it read, and what came of it.
    async fn posted(wait: bool, answer: &'static str) -> (String, Posted) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = PipelineClient::new(Endpoints { a: url.clone(), proxy: url.clone(), b: url }).unwrap();
        let image = ("a.jpg".to_string(), Bytes::from_static(b"THE-IMAGE"));
        let shot = Shot { image, id: "seven".into(), wait, limit: Duration::from_secs(20) };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            // The form ends behind the image.
            while !read.windows(9).any(|w| w == b"THE-IMAGE") || !read.ends_with(b"--\r\n") {
                assert!(stream.read_buf(&mut read).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(read).unwrap()
        };
        tokio::join!(server, shot.post(&client))
    }

    #[tokio::test]
    async fn a_request_that_waits_says_how_long_and_hears_when_to_come_again() {
        let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 19\r\n\r\n{\"error\":\"not now\"}";
        let (read, answer) = posted(true, busy).await;
        assert!(read.contains("x-request-timeout: 20.000\r\n"), "{read}");
        assert!(
            read.contains("x-request-id: seven\r\n") && read.contains("/predict-proxy?wait=true"),
            "{read}"
        );
        let answer = answer.unwrap_or_else(|miss| panic!("{miss:?}"));
        assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
        let end = End::waited(Ok(answer), Instant::now());
        assert_eq!((end.status, end.http_status), (Status::Refused, Some(503)));
        assert_eq!(end.miss, Some(Miss { reason: Reason::Http(503), said: "not now".into() }));

        let (read, answer) = posted(false, "HTTP/1.1 429 Full\r\nContent-Length: 0\r\n\r\n").await;
        assert!(!read.contains("x-request-timeout"), "nobody waits for it: {read}");
        assert_eq!(answer.ok().and_then(|answer| answer.retry_after), Some(RETRY_PAUSE));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart() {
        let end = |posted: Posted| End::waited(posted, Instant::now());
        let (_, nothing) = posted(true, "").await;
        let broken = end(nothing);
        assert_eq!(broken.miss.map(|miss| miss.reason), Some(Reason::Broken));
        assert_eq!((broken.status, broken.http_status), (Status::Lost, None));
        let (_, hello) =
            posted(true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nRetry-After: 3\r\n\r\nhello").await;
        assert_eq!(hello.as_ref().ok().and_then(|answer| answer.retry_after), None, "it was not turned away");
        let odd = end(hello);
        assert_eq!((odd.status, odd.http_status), (Status::Failed, Some(200)));
        assert_eq!(odd.miss, Some(Miss { reason: Reason::Http(200), said: "hello".into() }));
        assert_eq!(Reason::Http(200).to_string(), "HTTP 200 without a class");
    }
}
