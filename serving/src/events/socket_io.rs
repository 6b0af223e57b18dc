//! The events over Socket.IO, as the original pushed them: each under its name, its data the one argument.
//!
//! Socket.IO 5 over Engine.IO 4, by polling and WebSocket, in the namespace `/`. What a client sends is ignored.

use std::time::Duration;

use axum::routing::{MethodRouter, get_service};
use serde::Deserialize;
use serde_json::Value;
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError, SocketIo, TransportType};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Listener, text};
use crate::wire::Event;

/// Where it is; clients expect it there.
pub(crate) const PATH: &str = "/socket.io/";
/// Largest message taken from a client \[bytes\]: none has anything to say.
const PAYLOAD_MAX: u64 = 4096;
/// Pause before a client whose buffer is full is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// How the clients' connections end, with the server.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// No new connection is taken any more: a client that polls could not come back.
    pub(crate) closing: CancellationToken,
    /// Everything has been said.
    pub(crate) silence: CancellationToken,
    /// Who still has to be told so.
    pub(crate) listeners: TaskTracker,
}

/// An event as it was pushed.
#[derive(Deserialize)]
struct Told {
    event: String,
    data: Value,
}

/// A route that tells every client what `listen` gives.
pub(crate) fn route<S: Clone + Send + Sync + 'static>(
    listen: impl Fn() -> Listener + Clone + Send + Sync + 'static,
    ends: Ends,
) -> MethodRouter<S> {
    let (service, io) = SocketIo::builder().max_payload(PAYLOAD_MAX).build_svc();
    let pushes = TaskTracker::new();
    io.ns("/", move |socket: SocketRef, io: SocketIo| {
        let (listener, ends, pushes) = (listen(), ends.clone(), pushes.clone());
        async move {
            let _listens = ends.listeners.token();
            let pushing = pushes.token();
            push(&socket, listener, &ends).await;
            drop(pushing);
            if ends.silence.is_cancelled() {
                // Closing tells whatever is still in the buffers, of every client.
                pushes.close();
                pushes.wait().await;
                io.close().await;
            }
        }
    });
    get_service(service.clone()).post_service(service)
}

/// Pushes messages to one client until it leaves, or there will be no more.
async fn push(socket: &SocketRef, (hello, mut messages): Listener, ends: &Ends) {
    let gone = CancellationToken::new();
    socket.on_disconnect({
        let gone = gone.clone();
        async move || gone.cancel()
    });
    let polls = || socket.transport_type() == TransportType::Polling;
    let mut next = Some(hello);
    loop {
        if let Some(message) = next.take()
            && !tell(socket, &message).await
        {
            return;
        }
        // In this order: what has been pushed before the end is sent before it.
        tokio::select! {
            biased;
            message = messages.recv() => next = match message {
                Ok(message) => Some(message),
                Err(RecvError::Lagged(missed)) => Some(text(&Event::Lagged { missed })),
                Err(RecvError::Closed) => return,
            },
            () = gone.cancelled() => return,
            () = ends.closing.cancelled(), if polls() => {
                // It fails only where the client has gone.
                let _ = socket.clone().disconnect();
                return;
            },
            () = ends.silence.cancelled() => return,
        }
    }
}

/// Sends one message, once there is room for it; false where the client has gone.
async fn tell(socket: &SocketRef, message: &str) -> bool {
    let Told { event, data } = serde_json::from_str(message).expect("events have a name and data");
    loop {
        match socket.emit(&event, &data) {
            Ok(()) => return true,
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                tokio::time::sleep(FULL_PAUSE).await;
            }
            Err(error) => {
                tracing::debug!("a Socket.IO client was not told {event}: {error}");
                return false;
            }
        }
    }
}
