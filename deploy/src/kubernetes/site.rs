//! Plain HTTP and HTTPS to whoever else is asked: the client that reaches the API server knows how, within the same bounds.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use kube::{Client, Config};

/// Most that is read of one answer \[bytes\].
const LIMIT: usize = 16 << 20;

/// Somebody at an address.
#[derive(Clone)]
pub(crate) struct Site {
    client: Client,
    limit: Duration,
}

impl Site {
    /// At this address and below it; an answer that takes longer than `limit` counts as none.
    ///
    /// # Errors
    /// In words what is wrong with the address.
    pub(crate) fn new(url: &str, limit: Duration) -> Result<Site, String> {
        let mut config = Config::new(url.parse().map_err(|error| format!("{error}"))?);
        config.default_retry = false;
        config.connect_timeout = Some(limit);
        without_roots(&mut config);
        Ok(Site { client: Client::try_from(config).map_err(|error| words(&error))?, limit })
    }

    /// What is answered at a path, whatever the status; the status comes first.
    ///
    /// # Errors
    /// In words why there is no answer.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let request =
            Request::get(path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        let answer = async {
            let answer = self.client.send(request).await.map_err(|error| words(&error))?;
            let (head, body) = answer.into_parts();
            let body = to_bytes(Body::new(body), LIMIT).await;
            let body = body
                .map_err(|error| format!("an answer that breaks off, or is above {LIMIT} bytes: {error}"))?;
            Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
        };
        let late = || format!("no answer within {:.1} s", self.limit.as_secs_f64());
        tokio::time::timeout(self.limit, answer).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Plain HTTP needs no certificates, and there may be none: a small image has none.
pub(crate) fn without_roots(config: &mut Config) {
    if config.cluster_url.scheme_str() == Some("http") {
        config.root_cert.get_or_insert_default();
    }
}

/// What went wrong, its causes included where they say more.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !told.contains(&more) {
            told = format!("{told}: {more}");
        }
        cause = error.source();
    }
    told
}
