//! The live loop: scrape, decide, apply.
//!
//! ```text
//!   every interval:  backend.scrape ─▶ Observer ─▶ Controller.decide ─▶ Decision ─▶ backend.apply
//!                    (three /metrics)  (scrape.rs)  (policy crate)                   (/set_pods of A, B)
//! ```
//!
//! The decision itself has no I/O and lives in the policy crate; nothing here links libtorch.

mod exposition;
mod local;
mod scaler;
mod scrape;

pub use exposition::{Exposition, NotExposition};
pub use local::{ApplyError, Endpoints, LocalBackend, SetupError};
pub use scaler::Scaler;
pub use scrape::{Observer, Round};
