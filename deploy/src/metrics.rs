//! One scrape of one server, within bounds: a server that answers without end takes no memory without end.

use reqwest::Client;

use crate::exposition::Exposition;

/// Most that is read of one answer \[bytes\].
const LIMIT: usize = 16 << 20;

/// What a server says at this address; absent where it does not answer, or answers no metrics.
pub(crate) async fn metrics(http: &Client, url: &str) -> Option<Exposition> {
    let mut answer = http.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.ok()? {
        if body.len() + part.len() > LIMIT {
            tracing::warn!("{url}: more than {LIMIT} bytes, which are not read");
            return None;
        }
        body.extend_from_slice(&part);
    }
    match Exposition::parse(&String::from_utf8_lossy(&body)) {
        Ok(exposition) => Some(exposition),
        Err(error) => {
            tracing::warn!("{url}: {error}");
            None
        }
    }
}
