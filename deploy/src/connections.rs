//! The connections of the page: bounded, so that whoever looks takes nothing from the loop, and ended with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most connections at once; one more takes the place of the oldest that has asked nothing yet, or else of the oldest.
const CONNECTIONS: usize = 256;
/// Longest that a client may take over the head of a request, and a connection may idle.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// Longest that answers may take once it ends.
const END_LIMIT: Duration = Duration::from_secs(1);
/// Pause after a connection that could not be accepted, as where there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that is open.
struct Open {
    /// Whether it has asked for anything.
    asked: Arc<AtomicBool>,
    /// Ends it; cancelled where it has ended.
    end: CancellationToken,
}

/// Serves until `stop` is cancelled; what is under way then has a second to end.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let (connections, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    let mut open = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection to the page was not accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        open.retain(|open: &Open| !open.end.is_cancelled());
        if places.available_permits() == 0 {
            // Whoever keeps all of them must not keep a probe from its answer.
            give_up_one(&mut open);
        }
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        let (asked, end) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        open.push_back(Open { asked: Arc::clone(&asked), end: end.clone() });
        let app = app.clone().layer(from_fn(move |request: Request, next: Next| {
            asked.store(true, Ordering::Relaxed);
            next.run(request)
        }));
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = end.cancelled() => Ok(()),
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    // Whoever does not read must not keep the scaler from ending.
                    tokio::time::timeout(END_LIMIT, connection).await.unwrap_or(Ok(()))
                }
            };
            if let Err(error) = ended {
                tracing::debug!("a connection to the page ended: {error}");
            }
            end.cancel();
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Ends the oldest connection that has asked nothing yet, or else the oldest: of those that follow, a browser comes back.
fn give_up_one(open: &mut VecDeque<Open>) {
    let silent = open.iter().position(|open| !open.asked.load(Ordering::Relaxed));
    if let Some(given_up) = open.remove(silent.unwrap_or(0)) {
        given_up.end.cancel();
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: page\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    #[tokio::test]
    async fn connections_that_say_nothing_keep_no_probe_from_its_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let app = Router::new().route("/livez", get(|| async { "ok" }));
        let serving = tokio::spawn(serve(listener, app, stop.clone()));
        let mut before = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut before).await.ends_with("ok"));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS + 20 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut probe = TcpStream::connect(address).await.unwrap();
        // Silent ones end by themselves, so late that the kubelet would have given up three times.
        let answer = tokio::time::timeout(HEAD_LIMIT / 2, ask(&mut probe)).await.expect("it finds a place");
        assert!(answer.ends_with("ok"), "{answer}");
        assert!(ask(&mut before).await.ends_with("ok"), "who has asked keeps his place");
        stop.cancel();
        serving.await.unwrap();
    }
}
