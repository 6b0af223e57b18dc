//! The live loop: scrape, decide, apply.
//!
//! ```text
//!   every interval:  backend.scrape ─▶ Observer ─▶ Controller.decide ─▶ Decision ─▶ backend.apply
//!                    (three /metrics)  (scrape.rs)  (policy crate)                   (/set_pods of A, B)
//! ```
//!
//! The decision itself has no I/O and lives in the policy crate; nothing here links libtorch.

mod connections;
mod desk;
mod exposition;
mod http;
mod local;
pub mod manifests;
mod meters;
mod scaler;
mod scrape;

pub use connections::serve;
pub use desk::Desk;
pub use exposition::{Exposition, NotExposition};
pub use http::app;
pub use local::{ApplyError, Endpoints, LocalBackend, SetupError};
pub use meters::Meters;
pub use scaler::{Half, Refused, Scaler};
pub use scrape::{Observer, Round};
