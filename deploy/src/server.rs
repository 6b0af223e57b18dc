//! Which server answers: three addresses are easily swapped, and a stage that is looked for where the proxy is never answers.

use std::fmt;

use crate::exposition::Exposition;
use crate::scrape::{SLOTS, desired};

/// A server of the pipeline, or the pods that stand for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// Stage A.
    A,
    /// What is between.
    Proxy,
    /// Stage B.
    B,
}

impl Server {
    /// All of them, in the order of a request.
    pub const ALL: [Server; 3] = [Server::A, Server::Proxy, Server::B];

    /// Whose metrics these are; absent where they tell of none.
    pub(crate) fn of(metrics: &Exposition) -> Option<Server> {
        match (desired(metrics, "a"), desired(metrics, "b"), metrics.value(SLOTS, &[])) {
            (Some(_), None, None) => Some(Server::A),
            (None, None, Some(_)) => Some(Server::Proxy),
            (None, Some(_), None) => Some(Server::B),
            _ => None,
        }
    }

    /// The flag that says where it is.
    pub fn flag(self) -> &'static str {
        match self {
            Server::A => "--a",
            Server::Proxy => "--proxy",
            Server::B => "--b",
        }
    }

    /// In words what is wrong where `answers` answers in its place.
    pub(crate) fn swapped(self, answers: Server) -> String {
        format!("{answers} answers there, not {self}; is its address that of {}?", answers.flag())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::A => "stage A",
            Server::Proxy => "the proxy",
            Server::B => "stage B",
        })
    }
}
