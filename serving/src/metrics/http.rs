//! How long every server took over its HTTP requests, by route, method and status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::{Exposition, Histogram, process};

/// Route, method, status.
type Series = (String, &'static str, u16);

/// The durations of one server; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpMeters(Arc<Mutex<BTreeMap<Series, Histogram>>>);

impl HttpMeters {
    /// Times a request, from its head to the head of the answer. One whose client left before is not counted.
    pub(crate) async fn time(State(meters): State<HttpMeters>, request: Request, next: Next) -> Response {
        let begin = Instant::now();
        // Paths that are no route would make series without end.
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
        let method = known(request.method());
        let response = next.run(request).await;
        let series = (route, method, response.status().as_u16());
        let mut meters = meters.0.lock().unwrap_or_else(PoisonError::into_inner);
        meters.entry(series).or_insert_with(Histogram::http).add(begin.elapsed().as_secs_f64());
        response
    }

    /// Adds them, and what the process takes.
    pub(crate) fn expose(&self, text: &mut Exposition) {
        let help = "Head of an HTTP request to head of its answer.";
        text.metric("http_server_request_duration_seconds", "histogram", help);
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, method, status), durations) in meters.iter() {
            let labels = [
                ("http_request_method", *method),
                ("http_route", route),
                ("http_response_status_code", &status.to_string()),
            ];
            text.histogram(&labels, durations);
        }
        process::expose(text);
    }
}

/// A method's name, and `_OTHER` for what a client made up.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}
