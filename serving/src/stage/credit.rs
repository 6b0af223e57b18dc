//! A's credit at the next server, taken before A's half runs.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::Next;
use crate::serve::explain;
use crate::wire::{Credit, CreditWanted, Failure};

/// How often the one whose turn it is asks a server that has no room.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest that the question itself may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A credit that was given; dropped before its use, it goes back.
pub(super) struct HeldCredit {
    http: reqwest::Client,
    server: String,
    number: Option<u64>,
}

impl HeldCredit {
    /// Waits until `server` has room for an activation of so many bytes; those that wait, wait in the order of
    /// their arrival. A server that knows no credits is sent activations without.
    ///
    /// # Errors
    /// No answer, or another than yes or no room; the deadline, or the time-out of an answer, has passed.
    pub(super) async fn take(
        next: &Next,
        server: &str,
        bytes: u64,
        deadline: Option<Instant>,
    ) -> Result<HeldCredit, Failure> {
        let limit = Instant::now() + next.downstream.timeout;
        let limit = deadline.map_or(limit, |deadline| deadline.min(limit));
        let asking = async {
            let _turn = next.turn.lock().await;
            loop {
                if let Some(number) = ask(next, server, bytes).await? {
                    return Ok(HeldCredit { http: next.http.clone(), server: server.to_owned(), number });
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let asked = tokio::time::timeout_at(limit.into(), asking).await;
        asked.unwrap_or_else(|_| Err(Failure::expired("the next server")))
    }

    /// The credit, now to be sent with the activation.
    pub(super) fn use_up(&mut self) -> Option<u64> {
        self.number.take()
    }
}

/// Absent where there is no room now, and a credit that may be none where the server knows none.
async fn ask(next: &Next, server: &str, bytes: u64) -> Result<Option<Option<u64>>, Failure> {
    let wanted = CreditWanted { bytes: bytes as usize };
    let request = next.http.post(format!("{server}/credits")).timeout(ANSWER).json(&wanted);
    let answer = async {
        let answer = request.send().await?;
        Ok((answer.status(), answer.bytes().await?))
    };
    let (status, body) = answer
        .await
        .map_err(|e: reqwest::Error| Failure::bad_gateway(format!("no answer: {}", explain(&e))))?;
    match status {
        StatusCode::OK => match serde_json::from_slice::<Credit>(&body) {
            Ok(Credit { credit }) => Ok(Some(Some(credit))),
            Err(error) => Err(Failure::bad_gateway(format!("{server}/credits gave no credit: {error}"))),
        },
        StatusCode::TOO_MANY_REQUESTS => Ok(None),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(Some(None)),
        status => {
            let said = serde_json::from_slice::<Failure>(&body)
                .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |failure| failure.error);
            Err(Failure::new(status, format!("the next server answered {status}: {said}")))
        }
    }
}

impl Drop for HeldCredit {
    fn drop(&mut self) {
        let Some(credit) = self.number else { return };
        let request = self.http.post(format!("{}/credits/release", self.server)).timeout(ANSWER);
        // Where the runtime ends, the credit becomes void by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(request.json(&Credit { credit }).send());
        }
    }
}
