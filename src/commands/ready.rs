//! `splitscale ready`: what the health check of a container calls, which holds no other program.

use std::time::Duration;

use anyhow::Result;
use splitscale_serving::client;

use crate::cli::Ready;
use crate::interrupt::{self, Interrupted};

/// Succeeds where the server takes requests.
pub fn run(args: &Ready) -> Result<()> {
    let timeout = Duration::from_secs_f64(args.timeout);
    interrupt::run(async |stop| {
        tokio::select! {
            ready = client::ready(&args.server, timeout) => Ok(ready?),
            () = stop.cancelled() => Err(Interrupted("the server had not answered yet".into()).into()),
        }
    })
}
