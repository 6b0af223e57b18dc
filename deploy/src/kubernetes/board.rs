//! Where all pipelines of an operator are looked at: a desk each under `/pipelines/NAMESPACE/NAME/`, and what Kubernetes and
//! Prometheus ask of all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt;

use crate::desk::Desk;
use crate::http::{self, EXPOSITION_TYPE};
use crate::meters::{Family, escaped, families, text};

use super::lease::Leader;
use super::ledger::Ledger;

/// Whoever looks at a page of an operator is told how the mode is switched there.
const SWITCH: &str =
    "the mode is not switched here: it is spec.mode of the SplitPipeline (kubectl edit splitpipeline)";

/// The desks of an operator. Cheap to clone: all clones are the same.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    /// By namespace and name.
    desks: BTreeMap<(String, String), Pipeline>,
    /// Namespaces whose pipelines are known.
    watched: BTreeSet<String>,
    /// Namespaces whose pipelines are to be known.
    namespaces: BTreeSet<String>,
    leader: Option<Leader>,
}

struct Pipeline {
    desk: Desk,
    ledger: Arc<Ledger>,
    app: Router,
    /// Ends the streams of events of whoever looks.
    stop: CancellationToken,
}

impl Board {
    /// Of these namespaces.
    pub fn new(namespaces: &[String]) -> Board {
        let shown = Shown { namespaces: namespaces.iter().cloned().collect(), ..Shown::default() };
        Board(Arc::new(Mutex::new(shown)))
    }

    pub(crate) fn led_by(&self, leader: Leader) {
        self.shown().leader = Some(leader);
    }

    /// The pipelines of a namespace are known.
    pub(crate) fn watched(&self, namespace: &str) {
        self.shown().watched.insert(namespace.to_owned());
    }

    /// A pipeline is looked at here.
    pub fn show(&self, namespace: &str, name: &str, desk: Desk, ledger: Arc<Ledger>) {
        let stop = CancellationToken::new();
        let app = http::app_switched(desk.clone(), Err(SWITCH), stop.clone());
        let before = self
            .shown()
            .desks
            .insert((namespace.to_owned(), name.to_owned()), Pipeline { desk, ledger, app, stop });
        before.iter().for_each(|before| before.stop.cancel());
    }

    /// A pipeline is scaled no more.
    pub fn hide(&self, namespace: &str, name: &str) {
        let before = self.shown().desks.remove(&(namespace.to_owned(), name.to_owned()));
        before.iter().for_each(|before| before.stop.cancel());
    }

    /// The routes.
    pub fn app(&self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/metrics", get(metrics))
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/pipelines/{namespace}/{name}", get(slash))
            .route("/pipelines/{namespace}/{name}/", any(pipeline))
            .route("/pipelines/{namespace}/{name}/{*rest}", any(pipeline))
            .with_state(self.clone())
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leads(&self) -> bool {
        self.shown().leader.as_ref().is_some_and(Leader::leads)
    }
}

async fn index(State(board): State<Board>) -> Response {
    let shown = board.shown();
    let row = |((namespace, name), pipeline): (&(String, String), &Pipeline)| {
        let mode = pipeline.desk.mode().name();
        format!("<li><a href=\"pipelines/{namespace}/{name}/\">{namespace}/{name}</a>, {mode}</li>")
    };
    let rows: String = shown.desks.iter().map(row).collect();
    let leads = shown.leader.as_ref().is_some_and(Leader::leads);
    let told = match (leads, rows.is_empty()) {
        (true, false) => format!("<ul>{rows}</ul>"),
        (true, true) => "<p>There is no SplitPipeline yet.</p>".to_owned(),
        (false, _) => "<p>This replica does not lead: another one does, or the lease cannot be had, of which the log says why.</p>".to_owned(),
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>splitscale</title></head>\
         <body><h1>Pipelines</h1>{told}</body></html>"
    );
    let headers = [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, Html(page)).into_response()
}

async fn metrics(State(board): State<Board>) -> impl IntoResponse {
    let leads = Family::gauge(
        "split_operator_leads",
        "1 while this replica leads, 0 while it stands by.",
        f64::from(u8::from(board.leads())),
    );
    let shown = board.shown();
    let each = shown.desks.iter().map(|((namespace, name), pipeline)| {
        let labels = format!("namespace=\"{}\",pipeline=\"{}\"", escaped(namespace), escaped(name));
        let mut metrics = families(&pipeline.desk);
        metrics.push(conditions(&pipeline.ledger));
        (labels, metrics)
    });
    let own = [(String::new(), vec![leads])];
    let all: Vec<(String, Vec<Family>)> = own.into_iter().chain(each).collect();
    ([(CONTENT_TYPE, EXPOSITION_TYPE)], text(all))
}

/// The conditions of a pipeline but that of the calibration, which its decisions tell.
fn conditions(ledger: &Ledger) -> Family {
    let told = ledger.conditions().into_iter().filter(|(kind, _)| kind != "CalibrationStale");
    let samples = told.filter_map(|(kind, holds)| {
        let holds = f64::from(u8::from(holds?));
        Some((format!("type=\"{kind}\""), holds))
    });
    Family::condition(samples.collect())
}

/// Whether every loop still turns. Whoever stands by has none.
async fn live(State(board): State<Board>) -> Response {
    let stuck: Vec<String> = board
        .shown()
        .desks
        .iter()
        .filter(|(_, pipeline)| !pipeline.desk.alive())
        .map(|((namespace, name), pipeline)| {
            format!("{namespace}/{name}: no decision for {:.0} s", pipeline.desk.quiet().as_secs_f64())
        })
        .collect();
    match stuck.is_empty() {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, stuck.join("\n")).into_response(),
    }
}

/// Whether the pipelines are known, so that it could lead.
async fn ready(State(board): State<Board>) -> Response {
    let shown = board.shown();
    let missing: Vec<&str> = shown.namespaces.difference(&shown.watched).map(String::as_str).collect();
    let leads = shown.leader.as_ref().map(Leader::leads);
    match (missing.is_empty(), leads) {
        (true, Some(true)) => "ready, leads\n".into_response(),
        (true, Some(false)) => "ready, stands by\n".into_response(),
        _ => {
            let words = format!("SplitPipelines are not known yet in {}", missing.join(", "));
            (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
        }
    }
}

async fn slash(uri: Uri) -> Redirect {
    // The page asks for what is beside it.
    Redirect::permanent(&format!("{}/", uri.path()))
}

/// A pipeline's own routes, below its name.
async fn pipeline(
    State(board): State<Board>,
    Path(at): Path<BTreeMap<String, String>>,
    mut request: Request,
) -> Response {
    let (namespace, name) = (at["namespace"].clone(), at["name"].clone());
    let app =
        board.shown().desks.get(&(namespace.clone(), name.clone())).map(|pipeline| pipeline.app.clone());
    let Some(app) = app else {
        let words = match board.leads() {
            true => format!("no SplitPipeline {namespace}/{name} is scaled here"),
            false => "another replica leads; this one stands by".to_owned(),
        };
        return (StatusCode::NOT_FOUND, words).into_response();
    };
    let rest = at.get("rest").map_or("", String::as_str);
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    match format!("/{rest}{query}").parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    }
    app.oneshot(request).await.into_response()
}
