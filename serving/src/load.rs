//! Load on the pipeline: a burst, a closed loop, an open loop. Every request becomes a record, whatever becomes
//! of it.
//!
//! | status | when |
//! |---|---|
//! | answered | a class came back |
//! | refused | A could not be connected to, or said 429 or 503 |
//! | failed | an error came back, from whichever server |
//! | lost | nothing came back: the connection broke, the time was up, or the pipeline no longer knows it |
//! | dropped | an open loop had too many under way, and did not send it |
//!
//! All times are the client's monotonic clock; `back` is what the servers' phases leave of done - sent.

mod burst;
mod closed;
mod open;
mod record;
mod request;
mod sender;

use std::fmt;
use std::time::{Duration, Instant};

use splitscale_spec::RequestRecord;
use tokio_util::sync::CancellationToken;

use crate::client::ClientError;

pub use self::burst::burst;
pub use self::closed::closed_loop;
pub use self::open::open_loop;

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
    /// Requests that they send together; without it they go on until they are told to stop.
    pub requests: Option<u32>,
    /// What each request is given.
    pub patience: Patience,
    /// Instant from which the records count.
    pub origin: Instant,
}

/// Requests at times of their own, whatever becomes of those before.
#[derive(Debug, Clone, Copy)]
pub struct OpenSpec {
    /// Goes into every record.
    pub run_id: u32,
    /// Most requests under way; what comes on top of them is dropped.
    pub under_way_max: usize,
    /// What each request is given.
    pub patience: Patience,
}

/// How long a request is waited for, and how often it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Counted from when the request is due; after that it is lost. The servers are told what is left of it.
    pub timeout: Duration,
    /// How often one that is answered 429 or 503 is sent again, each time when the answer says (`Retry-After`),
    /// or after 1 s where it does not.
    pub retries: u32,
}

/// How a load is ended from outside.
#[derive(Debug, Clone, Default)]
pub struct Halt {
    /// No more requests are sent; those under way are waited for.
    pub stop: CancellationToken,
    /// Those under way are lost at once.
    pub abandon: CancellationToken,
}

/// A request at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// What became of it. Where it was sent again, `sent_ns` is when it was sent last.
    pub record: RequestRecord,
    /// How long after it was due it was first sent; zero of one that was never sent.
    pub late: Duration,
    /// How often it was sent again.
    pub retries: u32,
    /// Why there is no answer, where there is none.
    pub miss: Option<Miss>,
}

/// What stands in the place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// In a word.
    pub reason: Reason,
    /// In the words of whoever said it; may be empty.
    pub said: String,
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// This HTTP status came back; of 2xx, a body that holds no class.
    Http(u16),
    /// A could not be connected to.
    NoConnection,
    /// The time was up.
    TimedOut,
    /// The connection broke.
    Broken,
    /// It was not sent: too many were under way.
    Dropped,
    /// The load was ended before it was.
    Abandoned,
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
    /// The system gives no thread to keep the time.
    #[error("no thread to keep the time: {0}")]
    Thread(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Http(status @ 200..300) => write!(f, "HTTP {status} without a class"),
            Reason::Http(status) => write!(f, "HTTP {status}"),
            Reason::NoConnection => f.write_str("no connection"),
            Reason::TimedOut => f.write_str("no answer in time"),
            Reason::Broken => f.write_str("connection broke"),
            Reason::Dropped => f.write_str("dropped, too many under way"),
            Reason::Abandoned => f.write_str("abandoned, the load was ended"),
        }
    }
}
