//! A's credit at the next server, taken before A's half runs.

use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::a::Towards;
use super::{Next, StageServer};
use crate::serve::explain;
use crate::wire::{Credit, CreditWanted, Failure};

/// How often the one whose turn it is asks a server that has no room.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest that the question itself may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The line before one server: one at a time asks it, in the order of arrival. It keeps how the last question
/// failed that did.
#[derive(Default)]
pub(super) struct Turn(tokio::sync::Mutex<Option<(Instant, Failure)>>);

/// A credit that was given; dropped before it is known to be used up, it goes back.
pub(super) struct HeldCredit {
    http: reqwest::Client,
    server: String,
    number: Option<u64>,
}

impl HeldCredit {
    /// Waits until a pod is about to be free and the next server has room for an activation of so many bytes;
    /// those that wait, wait in the order of their arrival. A credit that were taken earlier would keep its place
    /// from others and grow void in this stage's own queue. A server that knows no credits is sent activations
    /// without; so is an address that stands for several servers.
    ///
    /// # Errors
    /// No answer, or another than yes or no room, to this question or to one that was put while it waited; the
    /// deadline has passed, or there was no room for the time-out of an answer.
    pub(super) async fn take(
        stage: &StageServer,
        towards: Towards,
        bytes: u64,
        deadline: Option<Instant>,
    ) -> Result<HeldCredit, Failure> {
        let (next, came) = (stage.next(), Instant::now());
        let asking = async {
            let mut failed = next.turn(towards).0.lock().await;
            // What a dead server does to one it does to all that wait, and none of them asks it again.
            if let Some((_, failure)) = failed.as_ref().filter(|(at, _)| *at >= came) {
                return Err(failure.clone());
            }
            stage.pool.wants().await;
            let asked = tokio::time::timeout(next.downstream.timeout, until_room(next, towards, bytes)).await;
            let asked = asked.unwrap_or_else(|_| Err(Failure::expired("the next server")));
            *failed = asked.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
            asked
        };
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), asking)
                .await
                .unwrap_or_else(|_| Err(Failure::expired("the next server"))),
            None => asking.await,
        }
    }

    /// The credit, to be sent with the activation.
    pub(super) fn number(&self) -> Option<u64> {
        self.number
    }

    /// What it was sent with was answered. Without an answer nobody knows, and giving back what was used up does
    /// nothing.
    pub(super) fn used_up(mut self) {
        self.number = None;
    }
}

/// Asks until there is room.
async fn until_room(next: &Next, towards: Towards, bytes: u64) -> Result<HeldCredit, Failure> {
    let (http, server) = (next.http(towards), next.server(towards));
    if !next.gives_credit(towards) {
        return Ok(HeldCredit { http: http.clone(), server: server.to_owned(), number: None });
    }
    loop {
        // A task of its own hears the answer: a credit that comes once whoever asked has left goes back.
        let asked = tokio::spawn(ask(http.clone(), server.to_owned(), bytes)).await;
        let ended = |_| Err(Failure::unavailable("the stage ended before this request had its turn"));
        if let Some(credit) = asked.unwrap_or_else(ended)? {
            return Ok(credit);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Absent where there is no room now; without a number where the server knows no credits.
async fn ask(http: reqwest::Client, server: String, bytes: u64) -> Result<Option<HeldCredit>, Failure> {
    let wanted = CreditWanted { bytes: bytes as usize };
    let post = || async {
        let request = http.post(format!("{server}/credits")).timeout(ANSWER).json(&wanted);
        let answer = request.send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
    };
    let answer = match post().await {
        // One connection that broke is no dead server, and all that wait would fail with it.
        Err(error) if !error.is_timeout() => post().await,
        answer => answer,
    };
    let (status, body) = answer.map_err(|e| Failure::bad_gateway(format!("no answer: {}", explain(&e))))?;
    let held = |number| Ok(Some(HeldCredit { http: http.clone(), server: server.clone(), number }));
    match status {
        StatusCode::OK => match serde_json::from_slice::<Credit>(&body) {
            Ok(Credit { credit }) => held(Some(credit)),
            Err(error) => Err(Failure::bad_gateway(format!("{server}/credits gave no credit: {error}"))),
        },
        StatusCode::TOO_MANY_REQUESTS => Ok(None),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => held(None),
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
