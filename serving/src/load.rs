//! Load on the pipeline: a burst, or a closed loop. Every request becomes a record, whatever becomes of it.
//!
//! | status | when |
//! |---|---|
//! | answered | a class came back |
//! | refused | A could not be connected to, or said 429 or 503 |
//! | failed | an error came back, from whichever server |
//! | lost | nothing came back: the connection broke, the time was up, or the pipeline no longer knows it |
//!
//! All times are the client's monotonic clock; `back` is what the servers' phases leave of done - sent.

mod burst;
mod closed;
mod record;
mod request;

use std::time::{Duration, Instant};

use crate::client::ClientError;

pub use self::burst::burst;
pub use self::closed::closed_loop;

/// An image: its name and its file's bytes.
pub type Image = (String, Vec<u8>);

/// N requests at once.
#[derive(Debug, Clone, Copy)]
pub struct BurstSpec {
    /// Goes into every record.
    pub run_id: u32,
    /// Requests.
    pub size: u32,
    /// What has not come back by then is lost.
    pub timeout: Duration,
    /// Instant from which the records count.
    pub origin: Instant,
}

/// N clients, each sending its next request when the last was answered.
#[derive(Debug, Clone, Copy)]
pub struct ClosedSpec {
    /// Goes into every record.
    pub run_id: u32,
    /// Clients.
    pub clients: u32,
    /// How long each request may take; then it is lost.
    pub timeout: Duration,
    /// Instant from which the records count.
    pub origin: Instant,
}

/// Why there is no load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Nothing to send, or nobody to send it.
    #[error("{0}: zero; it takes at least 1")]
    Zero(&'static str),
    /// A server that does not answer what must be known before.
    #[error(transparent)]
    Client(#[from] ClientError),
}
