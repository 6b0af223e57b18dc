//! What every server does alike: listen, answer, stop in good order.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use splitscale_spec::Invalid;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::metrics::{Exposition, HttpMeters};
use crate::openapi::{Api, does};
use crate::wire::{Failure, Problem, REQUEST_ID, request_id};

/// Longest that a client may take over the head of a request, and a connection may idle.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// The same once the server takes no new connection.
const HEAD_END_LIMIT: Duration = Duration::from_secs(1);
/// Longest that a client may pause in the middle of a body.
const BODY_PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// How long our own clients keep an idle connection: well below [`HEAD_LIMIT`], so that they never send on one
/// that is just being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// Most that is read from a connection at once: small enough to be copied on from the cache.
const READ_BYTES: usize = 128 << 10;
/// Pause after a connection that could not be accepted, as where there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Media type of what `/metrics` says.
const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why a server could not start, or ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An option that cannot be.
    #[error(transparent)]
    Options(#[from] Invalid),
    /// No pod could start.
    #[error("no pod of the stage could start: {0}")]
    NoPod(String),
    /// The listener or its connections.
    #[error("serving failed: {0}")]
    Io(#[from] std::io::Error),
    /// The client towards the next server.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// How a server ends, once it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// How long it goes on taking requests while it says that it is not ready: whoever sends them must learn
    /// that first.
    pub delay: Duration,
    /// After that: how long what was accepted may take to finish.
    pub grace: Duration,
}

/// What every server says of itself.
pub(crate) trait Server: Clone + Send + Sync + 'static {
    /// Fails where it should get no requests.
    fn ready(&self) -> Result<(), Failure>;

    /// Adds what it counts.
    fn expose(&self, text: &mut Exposition);
}

/// Adds the routes and answers that all servers share.
pub(crate) fn finish_routes<S: Server>(api: Api<S>, server: S) -> Router {
    let meters = HttpMeters::default();
    let metrics = {
        let meters = meters.clone();
        async move |State(server): State<S>| {
            let mut text = Exposition::default();
            server.expose(&mut text);
            meters.expose(&mut text);
            ([(CONTENT_TYPE, EXPOSITION_TYPE)], text.finish())
        }
    };
    let live = async || "ok\n";
    let ready = async |State(server): State<S>| server.ready().map(|()| "ready\n").map_err(Problem);
    let lives = || does("Tell whether the process lives.").gives_text("text/plain", "It does.");
    let readies = || {
        let it = does("Tell whether it takes requests; a full queue does not matter.");
        it.gives_text("text/plain", "It does.").problems(&[503])
    };
    let exposes = does("Tell what was counted and measured, in the Prometheus text format 0.0.4.");
    let routes = api
        .get(
            "/metrics",
            metrics,
            exposes.gives_text("text/plain", "The metrics; docs/metrics.md defines them."),
        )
        .get("/livez", live, lives())
        .get("/readyz", ready, readies())
        .get("/v2/health/live", live, lives())
        .get("/v2/health/ready", ready, readies())
        .finish();
    routes
        .with_state(server)
        .fallback(|| async { Problem(Failure::new(StatusCode::NOT_FOUND, "no such route")) })
        .method_not_allowed_fallback(|| async {
            Problem(Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not take this method"))
        })
        .layer(RequestBodyTimeoutLayer::new(BODY_PAUSE_LIMIT))
        .layer(middleware::from_fn(name))
        .layer(middleware::from_fn_with_state(meters, HttpMeters::time))
}

/// Gives a request its name where it has none, and the answer the same.
async fn name(mut request: Request, next: Next) -> Response {
    let id = HeaderValue::from_str(&request_id(request.headers())).expect("ids are visible ASCII");
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Serves; once `shutdown` is cancelled and the delay over, takes no new connection, and ends when those that
/// are open have what they asked for.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
    delay: Duration,
) -> std::io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(READ_BYTES);
    let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
    let mut over = std::pin::pin!(async {
        shutdown.cancelled().await;
        tokio::time::sleep(delay).await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut over => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY on a connection: {error}");
        }
        let (begun, app) = (Arc::new(AtomicBool::new(false)), TowerToHyperService::new(app.clone()));
        let service = {
            let begun = Arc::clone(&begun);
            service_fn(move |request| {
                begun.store(true, Ordering::Relaxed);
                app.call(request)
            })
        };
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let closing = closing.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    match tokio::time::timeout(HEAD_END_LIMIT, &mut connection).await {
                        Ok(ended) => ended,
                        // Half of its first head is all that ever came: nobody is to be answered.
                        Err(_) if !begun.load(Ordering::Relaxed) => Ok(()),
                        Err(_) => connection.await,
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    closing.cancel();
    connections.close();
    connections.wait().await;
    Ok(())
}

/// Awaits `work`, but once `shutdown` is cancelled for no longer than the ending takes.
pub(crate) async fn within_grace<T>(
    work: impl Future<Output = T>,
    shutdown: CancellationToken,
    ending: Ending,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = async { shutdown.cancelled().await; tokio::time::sleep(ending.delay + ending.grace).await } => None,
    }
}

/// A client towards the next server: keeps its connections, TCP_NODELAY, knows no system proxy.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    http_builder().build()
}

/// The same, but each request is a connection of its own where these are to be `fresh`: whoever balances connections, as a
/// Service of Kubernetes does, then balances requests.
pub(crate) fn http_client_for(fresh: bool) -> Result<reqwest::Client, reqwest::Error> {
    let builder = http_builder();
    if fresh { builder.pool_max_idle_per_host(0) } else { builder }.build()
}

fn http_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(2))
        .pool_idle_timeout(IDLE_LIMIT)
}

/// An error of reqwest with its causes: its own text hides them.
pub(crate) fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
