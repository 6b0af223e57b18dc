//! What every server does alike: listen, answer, stop in good order.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use splitscale_spec::Invalid;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::wire::Failure;

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

/// Routes and answers that all servers share.
pub(crate) fn finish_routes(routes: Router) -> Router {
    routes
        .route("/livez", get(|| async { "ok\n" }))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "no such route") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not take this method")
        })
}

/// Serves; once `shutdown` is cancelled takes no new connection, and ends when those that are open have
/// what they asked for.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY on a connection: {error}");
        }
    });
    axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// Awaits `work`, but once `shutdown` is cancelled for no longer than `grace`.
pub(crate) async fn within_grace<T>(
    work: impl Future<Output = T>,
    shutdown: CancellationToken,
    grace: Duration,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = async { shutdown.cancelled().await; tokio::time::sleep(grace).await } => None,
    }
}

/// A client towards the next server: keeps its connections, TCP_NODELAY, knows no system proxy.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).connect_timeout(Duration::from_secs(2)).build()
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
