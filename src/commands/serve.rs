//! `splitscale serve a | proxy | b`: one server, until it is told to stop.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use splitscale_serving::engine::{EngineFactory, Half};
use splitscale_serving::proxy::{Balance, BandwidthSteps, ProxyOptions, serve_proxy};
use splitscale_serving::stage::{Downstream, StageOptions, serve_a, serve_b};
use splitscale_serving::wire::format::{Container, Format, encoding_of};
use splitscale_serving::{Ending, QueueBound};
use splitscale_sim::trace::BandwidthTrace;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::pod;
use crate::cli::{BalanceName, EngineName, Listen, Pods, Serve, ServeA, ServeB, ServeProxy};
use crate::{files, interrupt};

/// Longest that an answer to A may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);
/// Most transfer slots that may be asked for.
const SLOTS_MAX: u32 = 1024;

/// Serves until SIGINT, SIGTERM, or (with `--exit-with-stdin`) the end of standard input.
pub fn run(server: Serve) -> Result<()> {
    interrupt::run(async |stop| match server {
        Serve::A(args) => a(args, stop).await,
        Serve::Proxy(args) => proxy(args, stop).await,
        Serve::B(args) => b(args, stop).await,
    })
}

async fn a(args: ServeA, stop: CancellationToken) -> Result<()> {
    let listener = listen(&args.listen, args.port, &stop).await?;
    let downstream = Downstream {
        b: at(&args.b.container_b_host, args.b.container_b_port),
        proxy: at(&args.proxy_host, args.proxy_port),
        timeout: ANSWER_LIMIT,
        format: Format {
            encoding: encoding_of(&args.encoding)?,
            compression: args.compression.parse()?,
            container: Container::Safetensors,
        },
        fresh_connections: args.b.fresh_connections,
    };
    let options = stage(&args.pods, &args.listen)?;
    let factory = factory(&args.pods, Half::A)?;
    announce(&listener)?;
    Ok(serve_a(listener, options, downstream, factory, stop).await?)
}

async fn b(args: ServeB, stop: CancellationToken) -> Result<()> {
    let listener = listen(&args.listen, args.port, &stop).await?;
    let options = stage(&args.pods, &args.listen)?;
    let factory = factory(&args.pods, Half::B)?;
    announce(&listener)?;
    Ok(serve_b(listener, options, factory, stop).await?)
}

async fn proxy(args: ServeProxy, stop: CancellationToken) -> Result<()> {
    let listener = listen(&args.listen, args.port, &stop).await?;
    let options = ProxyOptions {
        b: match args.next.is_empty() {
            true => vec![at(&args.b.container_b_host, args.b.container_b_port)],
            false => args.next,
        },
        balance: match args.balance {
            BalanceName::OneQueue => Balance::OneQueue,
            BalanceName::RoundRobin => Balance::RoundRobin,
            BalanceName::Random => Balance::Random,
            BalanceName::LeastOutstanding => Balance::LeastOutstanding,
        },
        b_limit: args.next_limit,
        balance_seed: args.balance_seed,
        slots: args.threads,
        slots_max: SLOTS_MAX,
        slot_bandwidth_mbit_s: args.slot_bandwidth,
        link_bandwidth: match &args.link_trace {
            Some(file) => Some(trace(file)?),
            None => args.link_bandwidth.map(BandwidthSteps::constant),
        },
        rtt: Duration::from_secs_f64(args.rtt),
        sleep: Duration::from_secs_f64(args.sleep_time),
        b_timeout: Duration::from_secs_f64(args.b_timeout),
        fresh_connections: args.b.fresh_connections,
        queue: queue(&args.listen),
        ending: ending(&args.listen),
    };
    options.validate()?;
    announce(&listener)?;
    Ok(serve_proxy(listener, options, stop).await?)
}

/// A recorded bandwidth, as the simulator reads and repeats it.
fn trace(file: &Path) -> Result<BandwidthSteps> {
    let name = file.display().to_string();
    let BandwidthTrace { steps, period_ns, notes: _ } =
        BandwidthTrace::from_text(&name, &files::read(file)?)?;
    let steps = steps.into_iter().map(|(from_ns, mbit_s)| (Duration::from_nanos(from_ns), mbit_s)).collect();
    Ok(BandwidthSteps { steps, period: Duration::from_nanos(period_ns) })
}

/// Binds, and watches standard input if asked to.
async fn listen(listen: &Listen, port: u16, stop: &CancellationToken) -> Result<TcpListener> {
    let address = format!("{}:{port}", listen.host);
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("could not listen on {address}; name another port with --port"))?;
    if listen.exit_with_stdin {
        let stop = stop.clone();
        // A thread of its own: the runtime would wait for a blocked read before it ends.
        std::thread::spawn(move || {
            let mut sink = [0; 64];
            while std::io::stdin().read(&mut sink).is_ok_and(|n| n > 0) {}
            stop.cancel();
        });
    }
    Ok(listener)
}

/// The base URL of a server; the address of IPv6 in brackets.
fn at(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("http://[{host}]:{port}"),
        false => format!("http://{host}:{port}"),
    }
}

/// Says on standard output that everything that can be wrong with the flags is right.
fn announce(listener: &TcpListener) -> Result<()> {
    println!("listening on http://{}", listener.local_addr()?);
    Ok(())
}

fn stage(pods: &Pods, listen: &Listen) -> Result<StageOptions> {
    if pods.pods > pods.pods_max {
        bail!(
            "--pods {} is above --pods-max {}; raise --pods-max, or start with fewer",
            pods.pods,
            pods.pods_max
        );
    }
    Ok(StageOptions {
        pods: pods.pods,
        pods_max: pods.pods_max,
        cpu_share: pods.cpu_share,
        rated_cpu: pods.rated_cpu.map(Duration::from_secs_f64),
        queue: queue(listen),
        ending: ending(listen),
    })
}

fn queue(listen: &Listen) -> QueueBound {
    QueueBound { requests: listen.queue, bytes: listen.queue_mb << 20 }
}

fn ending(listen: &Listen) -> Ending {
    let seconds = Duration::from_secs_f64;
    Ending { delay: seconds(listen.drain_delay), grace: seconds(listen.grace) }
}

fn factory(pods: &Pods, half: Half) -> Result<Arc<dyn EngineFactory>> {
    let emulated = pods.engine.engine == EngineName::Emulated;
    if emulated && pods.rated_cpu.is_some() {
        bail!("--rated-cpu is for engines that compute; an emulated one has --service-time");
    }
    let factory = match pods.pod_processes {
        true => pod::processes(&pods.engine, half)?,
        false => pod::factory(&pods.engine, half)?,
    };
    if emulated {
        tracing::warn!("--engine emulated: nothing is computed, and the answers mean nothing");
    } else if pods.engine.module.is_none() && pods.engine.weights.is_none() {
        tracing::warn!("no --weights: the weights are a formula, and the class names mean nothing");
    }
    Ok(factory)
}
