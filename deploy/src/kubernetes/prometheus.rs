//! Signals that a Prometheus is asked for: one number each, and how old it is.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::Value;
use splitscale_spec::Signal;

use crate::asked::{Answer, Field};

use super::site::Site;

/// A Prometheus, and what is asked of it.
pub struct Asking {
    site: Site,
    queries: Vec<(Field, String)>,
}

/// An answer of `/api/v1/query`.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Told {
    Success { data: Data },
    Error { error: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// A number as Prometheus writes it: when, and what.
type Number = (f64, String);

#[derive(Debug, Deserialize)]
struct Sample {
    value: Number,
}

impl Asking {
    /// At this address; an answer that takes longer than `limit` counts as none.
    ///
    /// # Errors
    /// In words what is wrong with the address.
    pub fn new(url: &str, queries: Vec<(Field, String)>, limit: Duration) -> Result<Asking, String> {
        let site = Site::new(url, limit);
        let site = site.map_err(|why| format!("signals.prometheus.url {url} cannot be used: {why}"))?;
        Ok(Asking { site, queries })
    }

    /// Asks everything at once; with each answer that is none, in words why.
    pub async fn ask(&self) -> (Vec<(Field, Answer)>, Vec<String>) {
        let asked = self.queries.iter().map(|(field, query)| async move {
            let (answer, why) = self.answer(query).await;
            let why = why.map(|why| format!("{}: the query {query} gives {why}", field.name()));
            ((*field, answer), why)
        });
        let (answers, why): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
        (answers, why.into_iter().flatten().collect())
    }

    /// The number that a query gives. Its age is asked for too, on the clock of Prometheus: by itself it gives a sample of five
    /// minutes ago as if it were of now.
    async fn answer(&self, query: &str) -> (Answer, Option<String>) {
        let age = format!("time() - timestamp({query})");
        let (value, age) = tokio::join!(self.number(query), self.number(&age));
        match value {
            Ok(Some(value)) => {
                // What has no time, as a scalar, is of now.
                let age_s = age.ok().flatten().map_or(0.0, |age_s| age_s.max(0.0));
                (Answer::Value(Signal { value, age_s }), None)
            }
            Ok(None) => (Answer::Nothing, Some("no number".to_owned())),
            Err((answer, why)) => (answer, Some(why)),
        }
    }

    async fn number(&self, query: &str) -> Result<Option<f64>, (Answer, String)> {
        let silent = |why: String| (Answer::Silence, why);
        let address = reqwest::Url::parse_with_params("http://here/api/v1/query", [("query", query)])
            .map_err(|error| silent(error.to_string()))?;
        let path = &address.as_str()["http://here".len()..];
        let (status, body) = self.site.get(path).await.map_err(silent)?;
        let told: Told = serde_json::from_str(&body)
            .map_err(|_| silent(format!("what is no answer of Prometheus, status {status}")))?;
        let data = match told {
            Told::Success { data } => data,
            Told::Error { error } => return Err(silent(format!("an error: {error}"))),
        };
        let number = |(_, text): &Number| text.parse::<f64>().ok().filter(|value| value.is_finite());
        let odd = |error: serde_json::Error| silent(format!("what is no answer of Prometheus: {error}"));
        match data.result_type.as_str() {
            "scalar" => Ok(number(&serde_json::from_value(data.result).map_err(odd)?)),
            "vector" => match serde_json::from_value::<Vec<Sample>>(data.result).map_err(odd)?.as_slice() {
                [] => Ok(None),
                [one] => Ok(number(&one.value)),
                many => {
                    let why = format!("{} series and not one number: sum() or max() them", many.len());
                    Err((Answer::Nothing, why))
                }
            },
            other => Err((Answer::Nothing, format!("a {other} and not one number"))),
        }
    }
}
