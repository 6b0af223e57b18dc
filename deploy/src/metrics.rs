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
    /// What is answered is none.
    Wrong(String),
}

/// What a server says at this address.
pub(crate) async fn metrics(http: &Client, url: &str) -> Result<Exposition, NoMetrics> {
    let silent = |_| NoMetrics::Silent;
    let mut answer = http.get(url).send().await.map_err(silent)?;
    if !answer.status().is_success() {
        return Err(NoMetrics::Wrong(format!("status {}", answer.status().as_u16())));
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
