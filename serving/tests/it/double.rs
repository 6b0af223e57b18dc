//! A double of the engine, which sleeps, burns or waits as it is told, and a whole pipeline of doubles on
//! loopback.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use splitscale_serving::activation::Activation;
use splitscale_serving::client::{Endpoints, PipelineClient};
use splitscale_serving::engine::{About, Engine, EngineError, EngineFactory, Head, Input, Tail};
use splitscale_serving::load::Image;
use splitscale_serving::proxy::{Balance, ProxyOptions, serve_proxy};
use splitscale_serving::stage::{Downstream, StageOptions, serve_a, serve_b};
use splitscale_serving::wire::format::{Compression, Container, Format};
use splitscale_serving::{Ending, QueueBound, ServeError};
use splitscale_spec::Encoding;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Bytes of an activation of the double.
pub(crate) const PAYLOAD: usize = 4096;
/// Its shape.
pub(crate) const SHAPE: [usize; 2] = [8, 128];
/// Bare values, so that a test can tell sizes.
pub(crate) const BARE: Format =
    Format { encoding: Encoding::F32, container: Container::Raw, compression: Compression::None };
/// More than any test but those of the bound itself lets wait.
pub(crate) const QUEUE: QueueBound = QueueBound { requests: 1000, bytes: 1 << 30 };
/// Stops at once, and finishes what it has.
pub(crate) const ENDING: Ending = Ending { delay: Duration::ZERO, grace: LONG };
/// Longest that any test waits for anything: far beyond what it takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What an engine does with each request, besides noting its tag: the last byte of an image, the first of
/// an activation.
#[derive(Default)]
pub(crate) struct Double {
    /// Sleeps so long in the forward pass.
    pub(crate) sleep: Duration,
    /// Then burns so much CPU.
    pub(crate) burn: Duration,
    /// Takes nothing before the gate lets it through.
    pub(crate) gate: Option<Arc<Gate>>,
    /// No engine starts before this gate lets it through.
    pub(crate) start_gate: Option<Arc<Gate>>,
    /// Engines that start before the others fail to; absent for no such.
    pub(crate) starts: Option<u32>,
    /// Tag of the request that fails.
    pub(crate) fails: Option<u8>,
    /// Tag of the request that panics.
    pub(crate) panics: Option<u8>,
    /// Tags of requests under which the engine's process is told to have ended, each as often as it is here.
    pub(crate) ends: Mutex<Vec<u8>>,
    pub(crate) started: AtomicU32,
    pub(crate) seen: Mutex<Vec<u8>>,
}

/// Lets so many through.
#[derive(Default)]
pub(crate) struct Gate {
    permits: Mutex<u64>,
    more: Condvar,
}

struct DoubleEngine(Arc<Double>);

/// A factory of doubles.
pub(crate) struct Doubles(pub(crate) Arc<Double>);

impl Gate {
    pub(crate) fn let_through(&self, requests: u64) {
        *self.permits.lock().unwrap() += requests;
        self.more.notify_all();
    }

    fn pass(&self) {
        let mut permits =
            self.more.wait_while(self.permits.lock().unwrap(), |permits| *permits == 0).unwrap();
        *permits -= 1;
    }
}

impl Double {
    pub(crate) fn sleeping(ms: u64) -> Arc<Double> {
        Arc::new(Double { sleep: Duration::from_millis(ms), ..Double::default() })
    }

    pub(crate) fn gated() -> (Arc<Double>, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        (Arc::new(Double { gate: Some(Arc::clone(&gate)), ..Double::default() }), gate)
    }

    pub(crate) fn tags(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }

    /// Seconds of its forward pass.
    fn work(&self, tag: u8) -> Result<f64, EngineError> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        self.seen.lock().unwrap().push(tag);
        assert_ne!(self.panics, Some(tag), "told to panic");
        let mut ends = self.ends.lock().unwrap();
        if let Some(place) = ends.iter().position(|ends| *ends == tag) {
            ends.remove(place);
            return Err(EngineError::Gone("told to end".into()));
        }
        drop(ends);
        if self.fails == Some(tag) {
            return Err(EngineError::Failed("told to fail".into()));
        }
        let begin = Instant::now();
        std::thread::sleep(self.sleep);
        let burning = thread_cpu();
        while thread_cpu() - burning < self.burn {
            std::hint::spin_loop();
        }
        Ok(begin.elapsed().as_secs_f64())
    }
}

fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

impl Engine for DoubleEngine {
    fn head(&mut self, input: Input<'_>) -> Result<Head, EngineError> {
        let Input::Image(image) = input else {
            return Err(EngineError::BadActivation("a double takes images".into()));
        };
        if image.starts_with(b"\x89PNG") {
            // The warm-up.
            return Ok(Head { activation: Activation::zeros(&SHAPE), decode_s: 0.0, forward_s: 0.0 });
        }
        if image == b"torn" {
            return Err(EngineError::BadImage { status: 422, why: "it is torn".into() });
        }
        let tag = image.strip_prefix(b"image").and_then(<[u8]>::last);
        let tag = *tag.ok_or_else(|| EngineError::BadImage {
            status: 400,
            why: "it does not begin with `image`".into(),
        })?;
        let forward_s = self.0.work(tag)?;
        Ok(Head {
            activation: Activation::new(SHAPE.to_vec(), vec![tag; PAYLOAD].into()),
            decode_s: 0.0,
            forward_s,
        })
    }

    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
        if activation.shape() != SHAPE {
            return Err(EngineError::BadActivation(format!("its shape is {:?}", activation.shape())));
        }
        let tag = activation.data()[0];
        // The warm-up is all zeros.
        let forward_s = if tag == 0 { 0.0 } else { self.0.work(tag)? };
        let class_name = format!("class_{tag}");
        Ok(Tail { class_id: tag.into(), class_name, logit: 1.0, forward_s })
    }
}

impl EngineFactory for Doubles {
    fn about(&self) -> &About {
        static ABOUT: LazyLock<About> = LazyLock::new(|| About {
            engine: "double".into(),
            device: "cpu".into(),
            model: "double".into(),
            cut: "layer3".into(),
            input: None,
            shape: SHAPE.to_vec(),
            emulated: false,
        });
        &ABOUT
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        if let Some(gate) = &self.0.start_gate {
            gate.pass();
        }
        let number = self.0.started.fetch_add(1, Ordering::SeqCst);
        if self.0.starts.is_some_and(|starts| number >= starts) {
            return Err(EngineError::Failed("told not to start".into()));
        }
        Ok(Box::new(DoubleEngine(Arc::clone(&self.0))))
    }
}

pub(crate) fn factory(double: &Arc<Double>) -> Arc<dyn EngineFactory> {
    Arc::new(Doubles(Arc::clone(double)))
}

/// Images with these tags.
pub(crate) fn images(tags: impl IntoIterator<Item = u8>) -> Vec<Image> {
    tags.into_iter().map(|tag| (format!("{tag}.jpg"), [&b"image"[..], &[tag]].concat())).collect()
}

pub(crate) fn stage_options(pods: u32) -> StageOptions {
    StageOptions { pods, pods_max: 8, cpu_share: 1.0, rated_cpu: None, queue: QUEUE, ending: ENDING }
}

pub(crate) fn proxy_options(b: &str, slots: u32) -> ProxyOptions {
    ProxyOptions {
        b: vec![b.into()],
        balance: Balance::OneQueue,
        b_limit: None,
        balance_seed: 1,
        slots,
        slots_max: 16,
        slot_bandwidth_mbit_s: None,
        link_bandwidth: None,
        rtt: Duration::ZERO,
        sleep: Duration::ZERO,
        b_timeout: LONG,
        fresh_connections: false,
        queue: QUEUE,
        ending: ENDING,
    }
}

/// An A that sends bare values there.
pub(crate) fn towards(b: impl Into<String>, proxy: impl Into<String>) -> Downstream {
    Downstream { b: b.into(), proxy: proxy.into(), timeout: LONG, format: BARE, fresh_connections: false }
}

/// A base URL where nobody listens.
pub(crate) async fn nobody() -> String {
    let (_, url) = port().await;
    url
}

pub(crate) async fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A pipeline of doubles.
pub(crate) struct Line {
    pub(crate) client: PipelineClient,
    pub(crate) endpoints: Endpoints,
    pub(crate) stop_a: CancellationToken,
    pub(crate) stop_proxy: CancellationToken,
    pub(crate) stop_b: CancellationToken,
    pub(crate) servers: Vec<JoinHandle<Result<(), ServeError>>>,
}

/// A pipeline of `pods` pods a stage and `slots` slots, once it is ready.
pub(crate) async fn line(a: &Arc<Double>, b: &Arc<Double>, pods: u32, slots: u32) -> Line {
    line_with(a, b, pods, |b| proxy_options(b, slots)).await
}

pub(crate) async fn line_with(
    a: &Arc<Double>,
    b: &Arc<Double>,
    pods: u32,
    proxy: impl FnOnce(&str) -> ProxyOptions,
) -> Line {
    let ((port_a, url_a), (port_proxy, url_proxy), (port_b, url_b)) =
        (port().await, port().await, port().await);
    let [stop_a, stop_proxy, stop_b] = std::array::from_fn(|_| CancellationToken::new());
    let downstream = towards(url_b.clone(), url_proxy.clone());
    let servers = vec![
        tokio::spawn(serve_a(port_a, stage_options(pods), downstream, factory(a), stop_a.clone())),
        tokio::spawn(serve_proxy(port_proxy, proxy(&url_b), stop_proxy.clone())),
        tokio::spawn(serve_b(port_b, stage_options(pods), factory(b), stop_b.clone())),
    ];
    let endpoints = Endpoints { a: url_a, proxy: url_proxy, b: url_b };
    let client = PipelineClient::new(endpoints.clone()).unwrap();
    client.wait_ready(LONG).await.unwrap();
    Line { client, endpoints, stop_a, stop_proxy, stop_b, servers }
}

impl Line {
    /// Stops all servers, front to back, and waits until they have ended well.
    pub(crate) async fn stop(self) {
        for (stop, server) in [self.stop_a, self.stop_proxy, self.stop_b].into_iter().zip(self.servers) {
            stop.cancel();
            tokio::time::timeout(LONG, server).await.expect("a server that stops").unwrap().unwrap();
        }
    }
}

/// Waits until a condition holds that will.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
