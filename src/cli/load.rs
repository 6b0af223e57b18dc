//! What `load` takes.

use std::path::PathBuf;

use clap::Args;

use super::value::positive;
use super::{Servers, count, interval, number, seconds};

/// `load`
#[derive(Debug, Args)]
pub struct Load {
    /// The load:
    /// burst:N, all at once, or burst:N,SECONDS, again and again;
    /// closed:CLIENTS, each sending when it has its answer;
    /// poisson:RATE; gamma:RATE,CV;
    /// trace:FILE, recorded arrival times (.csv, .jsonl);
    /// rates:FILE, lines of time [s] and rate [1/s] (.txt), or windows of rate, CV and family (.csv);
    /// counts:FILE, arrivals a bin (.csv)
    #[arg(value_name = "LOAD", value_parser = shape)]
    pub load: Shape,
    #[command(flatten)]
    pub servers: Servers,
    /// Send for so long [s]; by default 30, or all of a trace, or one burst
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    pub duration: Option<f64>,
    /// Send at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: Option<u32>,
    /// Leave what is due in the first seconds out of the figures; records have it [s]
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds)]
    pub warm_up: f64,
    /// Seed of the arrival times; a simulation with it has the same
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Run a trace so many times as fast
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = positive)]
    pub compress: f64,
    /// How long a request is waited for once it is due [s]; the servers are told (x-request-timeout)
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS", value_parser = interval)]
    pub timeout: f64,
    /// How often a request that is answered 429 or 503 is sent again, each time after its Retry-After
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub retry: u32,
    /// Most requests under way; what comes on top is dropped, and counted
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = count)]
    pub outstanding: usize,
    /// Answers within so long make the goodput [s]
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    pub slo: Option<f64>,
    /// Folder of JPEG and PNG files to send, or a file that lists some, one a line; without it a few that the
    /// program draws itself
    #[arg(long, value_name = "PATH")]
    pub images: Option<PathBuf>,
    /// Where a row a request goes as it ends, in the columns of collect's records.csv; a new file
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
    /// Send each request on a connection of its own: for an address that stands for several A and spreads connections, such as
    /// a Service of Kubernetes
    #[arg(long)]
    pub fresh_connections: bool,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// When requests are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// So many at once, again after so many seconds.
    Burst(u32, Option<f64>),
    /// So many clients, each sending when it has its answer.
    Closed(u32),
    /// Requests a second.
    Poisson(f64),
    /// Requests a second, and the CV of the gaps between them.
    Gamma(f64, f64),
    /// As they were recorded.
    Recorded(Trace, PathBuf),
}

/// What a recorded trace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// The time of each arrival.
    Times,
    /// The rate from each time on.
    Rates,
    /// Arrivals a bin.
    Counts,
}

fn shape(text: &str) -> Result<Shape, String> {
    const FORMS: &str = "write burst:N, burst:N,SECONDS, closed:CLIENTS, poisson:RATE, gamma:RATE,CV, \
                         trace:FILE, rates:FILE or counts:FILE";
    let (kind, rest) = text.split_once(':').ok_or(FORMS)?;
    let whole = |text: &str| match text.parse::<u32>() {
        Ok(n @ 1..=1_000_000) => Ok(n),
        _ => Err(format!("{text:?} must be a whole number, 1 to 1000000")),
    };
    // Beyond, the gaps are too short, or too long, for a clock.
    let rate = |text: &str| match number(text) {
        Ok(v) if (1e-6..=1e6).contains(&v) => Ok(v),
        _ => Err(format!("{text:?} must be a rate of 1e-6 to 1e6 a second")),
    };
    let file = |trace| match rest {
        "" => Err("name a file".to_string()),
        path => Ok(Shape::Recorded(trace, path.into())),
    };
    let pair = rest.split_once(',');
    match kind {
        "burst" => match pair {
            None => Ok(Shape::Burst(whole(rest)?, None)),
            Some((size, every)) => Ok(Shape::Burst(whole(size)?, Some(interval(every)?))),
        },
        "closed" => whole(rest).map(Shape::Closed),
        "poisson" => rate(rest).map(Shape::Poisson),
        "gamma" => {
            let (per_s, cv) = pair.ok_or("write gamma:RATE,CV")?;
            match number(cv) {
                Ok(cv) if (0.01..=100.0).contains(&cv) => Ok(Shape::Gamma(rate(per_s)?, cv)),
                _ => Err(format!("{cv:?} must be a CV of 0.01 to 100")),
            }
        }
        "trace" => file(Trace::Times),
        "rates" => file(Trace::Rates),
        "counts" => file(Trace::Counts),
        _ => Err(FORMS.into()),
    }
}
