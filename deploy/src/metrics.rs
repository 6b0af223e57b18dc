//! One scrape of one server, within bounds: a server that answers without end takes no memory without end.

use reqwest::Client;

use crate::exposition::Exposition;

/// Most that is read of one answer \[bytes\].
const LIMIT: usize = 16 << 20;

/// Why there are no metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoMetrics {
    /// Nobody answers, or not in time.
    Silent,
    /// Somebody answers that he cannot now.
    Down(String),
    /// What is answered is none.
    Wrong(String),
}

/// What a server says at this address.
pub(crate) async fn metrics(http: &Client, url: &str) -> Result<Exposition, NoMetrics> {
    let silent = |_| NoMetrics::Silent;
    let mut answer = http.get(url).send().await.map_err(silent)?;
    let status = answer.status();
    if !status.is_success() {
        let words = format!("status {}", status.as_u16());
        return Err(if status.is_server_error() { NoMetrics::Down(words) } else { NoMetrics::Wrong(words) });
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(silent)? {
        if body.len() + part.len() > LIMIT {
            return Err(NoMetrics::Wrong(format!("more than {LIMIT} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Exposition::parse(&String::from_utf8_lossy(&body)).map_err(|error| NoMetrics::Wrong(error.to_string()))
}
