//! A desk over HTTP: the page, the API that it is made of, and what Prometheus and Kubernetes ask. `docs/scaler-api.md` is its table.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use splitscale_policy::{Decision, End, Mode};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::meters::{Meters, exposed};

/// The page, whole.
const PAGE: &str = include_str!("../page/index.html");
/// Media type of what `/metrics` says.
pub(crate) const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Decisions that are given at once, where nobody says how many.
const DECISIONS: usize = 100;
/// Most that is read of the body of a request \[bytes\].
const BODY_LIMIT: usize = 4096;
/// Longest silence on a stream of events: what lies between must not take it for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longest that a request may take until it is answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Most streams of events at once: others that look, and probes, find a connection.
const STREAMS: usize = 128;
/// When a stream of events that broke off is to be asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// What the page may do: run what stands in it, ask where it came from, and nothing else.
static PAGE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let text =
            PAGE.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        BASE64_STANDARD.encode(Sha256::digest(text.map_or("", |(text, _)| text)))
    };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    HeaderValue::try_from(policy).expect("visible ASCII")
});

/// What the routes share.
#[derive(Clone)]
struct Shown {
    desk: Desk,
    /// What opens the mode, or in words why nothing does.
    key: Result<Arc<Key>, &'static str>,
    stop: CancellationToken,
    streams: Arc<Semaphore>,
}

/// What opens the mode: the hash of a token. Hashes are compared, so that the time it takes tells nothing of the token.
struct Key([u8; 32]);

/// An error on the wire: `application/problem+json` (RFC 9457).
#[derive(Debug)]
struct Problem(StatusCode, String);

/// Which decisions are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    before: Option<u64>,
    limit: Option<usize>,
}

/// From where on events are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    last: Option<u64>,
}

/// Which mode is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    mode: Mode,
}

/// Whoever follows the decisions, and how far he is.
struct Follower {
    shown: Shown,
    news: broadcast::Receiver<Arc<Decision>>,
    waiting: VecDeque<Arc<Decision>>,
    last: u64,
    /// Its place among the streams, given up with it.
    _place: Option<OwnedSemaphorePermit>,
}

/// The routes of a desk. The mode is switched with this token, and without one by nobody; streams of events end with `stop`.
pub fn app(desk: Desk, token: Option<&str>, stop: CancellationToken) -> Router {
    let nobody = "the mode is not switched here: the scaler was started without --token-file FILE";
    app_switched(desk, token.ok_or(nobody), stop)
}

/// The same; without a token it is said why.
pub(crate) fn app_switched(desk: Desk, token: Result<&str, &'static str>, stop: CancellationToken) -> Router {
    let key = token.map(|token| Arc::new(Key::of(token)));
    let shown = Shown { desk, key, stop, streams: Arc::new(Semaphore::new(STREAMS)) };
    let problem = |status, words: &'static str| move || async move { Problem(status, words.to_owned()) };
    Router::new()
        .route("/", get(page))
        .route("/api/status", get(status))
        .route("/api/decisions", get(decisions))
        .route("/api/decisions/{id}", get(decision))
        .route("/api/events", get(events))
        .route("/api/mode", post(mode))
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .fallback(problem(StatusCode::NOT_FOUND, "no such route"))
        .method_not_allowed_fallback(problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "this route does not take this method",
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(in_time))
        .layer(map_response(guarded))
        .with_state(shown)
}

/// An answer, or the beginning of a stream of events, within its time.
async fn in_time(request: Request, next: Next) -> Response {
    let late = || Problem(StatusCode::REQUEST_TIMEOUT, "the request did not come whole in time".to_owned());
    tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await.unwrap_or_else(|_| late().into_response())
}

/// Headers of every answer.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_SECURITY_POLICY, PAGE_POLICY.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, Html(PAGE))
}

async fn status(State(Shown { desk, key, .. }): State<Shown>) -> Json<Value> {
    let (setup, latest) = (desk.setup(), desk.latest());
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "policy": setup.policy.name,
        "baseline": setup.baseline.as_ref().map(|baseline| &baseline.name),
        "bounds": setup.bounds,
        "budget": setup.shell.budget,
        "mode": desk.mode(),
        "switchable": key.is_ok(),
        "interval_s": desk.interval().as_secs_f64(),
        "max_age_s": setup.shell.max_age_s,
        "latest": latest.as_deref(),
        "latest_age_s": latest.as_ref().map(|_| desk.quiet().as_secs_f64()),
        "countdown_s": latest.as_deref().map(countdown),
        "meters": counted(&desk.meters()),
    }))
}

/// What waits for its time, and how long yet \[s\].
fn countdown(decision: &Decision) -> Value {
    decision.waits.each().map(|(name, left_s)| (name.to_owned(), json!(left_s))).collect()
}

/// What was counted, by name.
fn counted(meters: &Meters) -> Value {
    let of = |[up, down]: [u64; 2]| json!({"up": up, "down": down});
    let ends: Value =
        End::ALL.iter().zip(meters.ends).map(|(end, count)| (end.name().to_owned(), json!(count))).collect();
    json!({
        "decisions": meters.decisions,
        "holds": meters.holds,
        "changes": {"a": of(meters.changes[0]), "b": of(meters.changes[1])},
        "outcomes": ends,
        "pod_seconds": {"a": meters.pod_seconds[0], "b": meters.pod_seconds[1]},
    })
}

async fn decisions(
    State(Shown { desk, .. }): State<Shown>,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Span { before, limit }) = span.map_err(|wrong| Problem(wrong.status(), wrong.body_text()))?;
    let (recent, limit) = (desk.recent(), limit.unwrap_or(DECISIONS));
    let mut asked = recent.iter().rev().filter(|decision| before.is_none_or(|before| decision.id < before));
    let given: Vec<&Decision> = asked.by_ref().take(limit).map(Arc::as_ref).collect();
    Ok(Json(json!({"decisions": given, "more": asked.next().is_some()})))
}

async fn decision(
    State(Shown { desk, .. }): State<Shown>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id.map_err(|wrong| Problem(wrong.status(), wrong.body_text()))?;
    let Some(decision) = desk.decision(id) else {
        let recent = desk.recent();
        let kept = recent.first().zip(recent.last()).map_or_else(
            || "none was taken yet".to_owned(),
            |(first, last)| {
                format!(
                    "{} to {} are kept here, and all of them in the file that --out names",
                    first.id, last.id
                )
            },
        );
        return Err(Problem(StatusCode::NOT_FOUND, format!("no decision {id}: {kept}")));
    };
    let sentences = decision.explained(desk.setup());
    Ok(Json(json!({"decision": &*decision, "sentences": sentences, "countdown_s": countdown(&decision)})))
}

async fn events(
    State(shown): State<Shown>,
    headers: HeaderMap,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Query(Since { last }) = since.map_err(|wrong| Problem(wrong.status(), wrong.body_text()))?;
    // What a browser says when it comes again counts before what the address said at first.
    let told = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let Ok(place) = Arc::clone(&shown.streams).try_acquire_owned() else {
        let words = format!("{STREAMS} streams of events are followed already");
        return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, words));
    };
    let follower = Follower { _place: Some(place), ..Follower::from(shown, told.or(last)) };
    Ok(Sse::new(follower.events()).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

async fn mode(
    State(Shown { desk, key, .. }): State<Shown>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let key = key.map_err(|words| Problem(StatusCode::FORBIDDEN, words.to_owned()))?;
    let bearer = |value: &str| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    };
    let offered = request.headers().get(AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?));
    if !offered.as_ref().is_some_and(|token| key.opens(token)) {
        let words = match offered {
            Some(_) => "this is not the token in the file that --token-file names",
            None => {
                "the mode is switched with the header `authorization: Bearer TOKEN`, the token of --token-file"
            }
        };
        return Err(Problem(StatusCode::UNAUTHORIZED, words.to_owned()));
    }
    // Nothing is read of whoever has no token.
    let Json(Asked { mode }) = Json::from_request(request, &()).await.map_err(|wrong: JsonRejection| {
        let words =
            format!("{}; write {{\"mode\": \"auto\"}}, or recommend, paused, emergency", wrong.body_text());
        Problem(wrong.status(), words)
    })?;
    tracing::info!("mode {}, asked for over HTTP", mode.name());
    desk.ask(mode);
    Ok(Json(json!({"mode": mode})))
}

async fn metrics(State(Shown { desk, .. }): State<Shown>) -> impl IntoResponse {
    ([(CONTENT_TYPE, EXPOSITION_TYPE)], exposed(&desk))
}

async fn live(State(Shown { desk, .. }): State<Shown>) -> Result<&'static str, Problem> {
    let stuck = || {
        Problem(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no decision for {:.0} s", desk.quiet().as_secs_f64()),
        )
    };
    desk.alive().then_some("ok\n").ok_or_else(stuck)
}

async fn ready(State(Shown { desk, .. }): State<Shown>) -> Result<&'static str, Problem> {
    let waiting = || Problem(StatusCode::SERVICE_UNAVAILABLE, "no decision was taken yet".to_owned());
    desk.latest().map(|_| "ready\n").ok_or_else(waiting)
}

// === impl Key ===

impl Key {
    fn of(token: &str) -> Key {
        Key(Sha256::digest(token).into())
    }

    fn opens(&self, token: &str) -> bool {
        self.0 == Key::of(token).0
    }
}

// === impl Problem ===

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem(status, detail) = self;
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut response =
            (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

// === impl Follower ===

impl Follower {
    /// Follows on from this decision, which may have been amended and comes again; without one from the latest.
    fn from(shown: Shown, last: Option<u64>) -> Follower {
        // In this order: what is decided in between comes twice rather than never.
        let news = shown.desk.follow();
        let newest = shown.desk.latest().map_or(0, |decision| decision.id);
        // A number that is not reached yet is of a run that is no more: all is new to whoever has it.
        let last = last.map_or(newest, |last| if last > newest { 0 } else { last });
        let mut follower = Follower { shown, news, waiting: VecDeque::new(), last, _place: None };
        follower.catch_up();
        follower
    }

    fn catch_up(&mut self) {
        // What it missed is kept; the news that are left would only say it twice.
        self.news = self.shown.desk.follow();
        let recent = self.shown.desk.recent();
        self.waiting = recent.into_iter().filter(|decision| decision.id >= self.last).collect();
    }

    async fn next(&mut self) -> Option<Arc<Decision>> {
        loop {
            if let Some(decision) = self.waiting.pop_front() {
                self.last = self.last.max(decision.id);
                return Some(decision);
            }
            let news = tokio::select! {
                news = self.news.recv() => news,
                () = self.shown.stop.cancelled() => return None,
            };
            match news {
                Ok(decision) => self.waiting.push_back(decision),
                Err(RecvError::Lagged(_)) => self.catch_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut follower| async move {
            let decision = follower.next().await?;
            let event = Event::default().event("decision").id(decision.id.to_string()).retry(RETRY);
            let event = event
                .json_data(&*decision)
                .unwrap_or_else(|error| Event::default().comment(error.to_string()));
            Some((Ok(event), follower))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitscale_policy::{Bounds, Controller, Policy, Setup, ShellConfig};
    use splitscale_spec::{Observation, Replicas};

    fn desk() -> (Desk, Controller) {
        let bounds = Bounds { pods_min: Replicas { a: 1, b: 1 }, pods_max: Replicas { a: 4, b: 4 } };
        let shell = ShellConfig::default();
        let setup = Setup {
            schema: Setup::SCHEMA,
            policy: Policy::hpa(),
            baseline: None,
            bounds,
            useful: None,
            shell,
        };
        let desk = Desk::new(setup.clone(), Duration::from_secs(1), Mode::Recommend);
        (desk, Controller::new(setup, Mode::Recommend).unwrap())
    }

    #[tokio::test]
    async fn whoever_is_too_slow_for_the_news_gets_what_is_kept() {
        let (desk, mut controller) = desk();
        let streams = Arc::new(Semaphore::new(1));
        let shown = Shown { desk: desk.clone(), key: Err("no"), stop: CancellationToken::new(), streams };
        let mut follower = Follower::from(shown.clone(), None);
        for second in 0..200 {
            let now_s = f64::from(second);
            desk.show(&controller.decide(now_s, &Observation::empty(now_s, 1.0)));
        }
        for id in 1..=200 {
            assert_eq!(follower.next().await.unwrap().id, id);
        }
        shown.stop.cancel();
        assert!(follower.next().await.is_none(), "the end is an end");
    }

    #[test]
    fn the_page_may_run_what_stands_in_it_and_the_key_is_the_whole_token() {
        let policy = PAGE_POLICY.to_str().unwrap();
        let nothing = BASE64_STANDARD.encode(Sha256::digest(""));
        assert!(policy.contains("script-src 'sha256-") && !policy.contains(&nothing), "{policy}");
        let key = Key::of("token");
        assert!(key.opens("token"));
        for other in ["", "toke", "tokens", "Token"] {
            assert!(!key.opens(other), "{other}");
        }
    }
}
