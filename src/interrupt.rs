//! Ctrl-C and SIGTERM as a token that everything long-running watches.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Told to stop before the work was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(pub String);

/// Runs `work` on a fresh runtime with a token that the first SIGINT or SIGTERM cancels; the second ends
/// the process at once.
pub fn run<T>(work: impl AsyncFnOnce(CancellationToken) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the asynchronous runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let token = stop.clone();
        tokio::spawn(async move {
            for first in [true, false] {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if first {
                    token.cancel();
                } else {
                    std::process::exit(130);
                }
            }
        });
        work(stop).await
    })
}
