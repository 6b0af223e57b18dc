//! `splitscale load`: requests at a running pipeline, and how it answered.

mod summary;
mod table;

use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use splitscale_serving::client::PipelineClient;
use splitscale_serving::load::{
    ClosedSpec, Ended, Halt, LoadError, OpenSpec, Patience, closed_loop, open_loop,
};
use splitscale_sim::{ArrivalTimes, Arrivals, MAX_REQUESTS, Recorded, Scale, SimTime};
use splitscale_spec::ServiceLaw;

use super::collect::client;
use crate::cli::{Load, Shape, Trace};
use crate::files::{self, Log};
use crate::images::{self, Image};
use crate::interrupt::{self, Interrupted};
use crate::progress;

use summary::{Summary, Tally};

/// How long a load without an end of its own goes on \[s\].
const DURATION_S: f64 = 30.0;
/// How long what is under way may still take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

/// When requests are due, from the start of the load.
type Times = Box<dyn Iterator<Item = Duration> + Send>;

/// Loads the pipeline and prints the figures, whatever ends it.
pub fn run(args: &Load) -> Result<()> {
    let images = images::load(args.images.as_deref())?;
    let times = times(args)?;
    interrupt::run(async |stop| {
        let mut client = client(&args.servers)?;
        if args.fresh_connections {
            client = client.with_fresh_connections()?;
        }
        // Before a file is started.
        client.front().await?;
        let before = client.cpu_s().await;
        let mut log = args.records.as_deref().map(Log::create).transpose()?;
        let (mut tally, mut kept) = (Tally::new(args.warm_up, args.slo), Ok(()));
        let spinner = progress::spinner("sending");
        let halt = Halt { stop: stop.child_token(), ..Halt::default() };
        let end = async {
            if let (Shape::Closed(_), Some(duration_s)) = (&args.load, duration_s(args)) {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs_f64(duration_s)) => halt.stop.cancel(),
                    () = stop.cancelled() => {}
                }
            }
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
            halt.abandon.cancel();
            pending::<()>().await;
        };
        let sending = send(&client, &images, (args, times), halt.clone(), |ended| {
            tally.add(&ended);
            spinner.set_message(format!("sending: {} ended, {} answered", tally.ended(), tally.answered()));
            if let (Some(log), true) = (&mut log, kept.is_ok()) {
                kept = log.csv([&ended.record]);
                // Rows that cannot be kept are not worth more requests.
                if kept.is_err() {
                    halt.stop.cancel();
                }
            }
        });
        tokio::select! { sent = sending => drop(sent?), () = end => {} }
        spinner.finish_and_clear();
        let after = client.cpu_s().await;
        let summary = Summary::of(&tally, args, (before, after));
        if args.json {
            println!("{}", serde_json::to_string_pretty(&summary)?);
        } else {
            print!("{}", table::of(&summary));
        }
        kept?;
        if stop.is_cancelled() {
            let words = match &args.records {
                Some(path) => format!("what was done stands above, and in {}", path.display()),
                None => "what was done stands above".into(),
            };
            return Err(Interrupted(words).into());
        }
        if summary.answered == 0 {
            bail!("none of {} requests was answered; what came instead stands above", summary.due);
        }
        Ok(())
    })
}

/// Sends until the load ends, or is ended.
async fn send(
    client: &PipelineClient,
    images: &[Image],
    (args, times): (&Load, Times),
    halt: Halt,
    on_end: impl FnMut(Ended),
) -> Result<u32, LoadError> {
    let patience = Patience { timeout: Duration::from_secs_f64(args.timeout), retries: args.retry };
    if let Shape::Closed(clients) = args.load {
        let (requests, origin) = (args.requests, Instant::now());
        let spec = ClosedSpec { run_id: 0, clients, requests, patience, origin };
        return closed_loop(client, images, &spec, halt, on_end).await;
    }
    let spec = OpenSpec { run_id: 0, under_way_max: args.outstanding, patience };
    open_loop(client, images, (&spec, times), halt, on_end).await
}

/// When it ends; absent where it ends by itself.
fn duration_s(args: &Load) -> Option<f64> {
    let endless = !matches!(args.load, Shape::Recorded(..) | Shape::Burst(_, None));
    args.duration.or((endless && args.requests.is_none()).then_some(DURATION_S))
}

/// The times of an open load; of a closed loop none.
fn times(args: &Load) -> Result<Times> {
    let requests = args.requests.map_or(usize::MAX, |n| n as usize);
    let until = duration_s(args).map_or(Duration::MAX, Duration::from_secs_f64);
    let bursts = |size: u32, every_s: f64, bursts: u32| -> Times {
        let at = move |burst| Duration::from_secs_f64(f64::from(burst) * every_s);
        Box::new((0..bursts).flat_map(move |burst| std::iter::repeat_n(at(burst), size as usize)))
    };
    let times = match args.load {
        Shape::Closed(_) => Box::new(std::iter::empty()),
        Shape::Burst(size, None) => bursts(size, 0.0, 1),
        Shape::Burst(size, Some(every_s)) => bursts(size, every_s, u32::MAX),
        _ => Box::new(
            ArrivalTimes::of(&arrivals(args)?, args.seed)?
                .map(|at: SimTime| Duration::from_nanos(at.as_nanos())),
        ),
    };
    Ok(Box::new(times.take_while(move |at| *at < until).take(requests)))
}

/// The load as the simulator knows it.
fn arrivals(args: &Load) -> Result<Arrivals> {
    let scale = Scale { compress: args.compress, thin: 1.0 };
    let mut arrivals = match &args.load {
        Shape::Gamma(rate_per_s, cv) => {
            let gap = ServiceLaw::Gamma { mean_s: 1.0 / rate_per_s, cv: *cv };
            Arrivals::Renewal { gap, requests: MAX_REQUESTS }
        }
        Shape::Recorded(trace, path) => {
            let file = path.display().to_string();
            match trace {
                Trace::Times => Arrivals::Stamps {
                    trace: Recorded { file, from_s: 0.0, data: None },
                    column: None,
                    scale,
                },
                Trace::Rates => {
                    Arrivals::Windows { trace: Recorded { file, from_s: 0.0, data: None }, scale }
                }
                Trace::Counts => {
                    Arrivals::Counts { trace: Recorded { file, from_s: 0.0, data: None }, scale }
                }
            }
        }
        Shape::Poisson(rate_per_s) => Arrivals::Poisson { rate_per_s: *rate_per_s, requests: MAX_REQUESTS },
        Shape::Burst(..) | Shape::Closed(_) => bail!("a load whose times are not drawn"),
    };
    arrivals.load::<anyhow::Error>(&mut |file| files::read(file.as_ref()))?;
    Ok(arrivals)
}
