//! The live loop: scrape, decide, apply.
//!
//! ```text
//!   every interval:  backend.scrape ─▶ Observer ─▶ Controller.decide ─▶ Decision ─▶ backend.apply
//!                    (three /metrics)  (scrape.rs)  (policy crate)                   (/set_pods of A, B)
//! ```
//!
//! On Kubernetes ([`kubernetes`]) the servers are many pods, merged into one each ([`Merge`]), and `apply` writes the scale of two
//! Deployments.
//!
//! The decision itself has no I/O and lives in the policy crate; nothing here links libtorch.

mod asked;
mod backend;
mod connections;
mod desk;
mod exposition;
mod http;
pub mod kubernetes;
mod local;
pub mod manifests;
mod merge;
mod meters;
mod metrics;
mod scaler;
mod scrape;
mod server;

pub use axum::Router;

pub use asked::{Answer, Field};
pub use backend::{Backend, NotApplied};
pub use connections::serve;
pub use desk::Desk;
pub use exposition::{Exposition, NotExposition};
pub use http::app;
pub use local::{ApplyError, Endpoints, LocalBackend, SetupError, Somebody, Taken};
pub use merge::{Flocks, Merge, Of, Reading, Scraped, Series};
pub use meters::Meters;
pub use scaler::{Half, Refused, Scaler};
pub use scrape::{Kept, Observer, Round};
pub use server::Server;
