//! What the proxy costs: activations of 0.8 MB through it to a B that takes no time, eight under way at
//! once, against the same activations posted to B directly.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use splitscale_serving::activation::Activation;
use splitscale_serving::engine::{About, Cut, Engine, EngineError, EngineFactory, Head, Input, Tail};
use splitscale_serving::proxy::{Balance, ProxyOptions, serve_proxy};
use splitscale_serving::stage::{StageOptions, serve_b};
use splitscale_serving::{Ending, QueueBound};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const QUEUE: QueueBound = QueueBound { requests: 1000, bytes: 1 << 30 };
const ENDING: Ending = Ending { delay: Duration::ZERO, grace: LONG };
const AT_ONCE: usize = 8;
const LONG: Duration = Duration::from_secs(60);

/// B's half that computes nothing.
struct Nothing(About);

impl Engine for Nothing {
    fn head(&mut self, _: Input<'_>) -> Result<Head, EngineError> {
        Err(EngineError::Failed("this is B's half".into()))
    }

    fn tail(&mut self, activation: &Activation) -> Result<Tail, EngineError> {
        let class_id = u32::from(black_box(activation).data()[0]);
        Ok(Tail { class_id, class_name: "nothing".into(), logit: 0.0, forward_s: 0.0 })
    }
}

impl EngineFactory for Nothing {
    fn about(&self) -> &About {
        &self.0
    }

    fn start(&self) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(Nothing(self.0.clone())))
    }
}

async fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Starts B and the proxy; their base URLs.
async fn start(stop: &CancellationToken) -> (String, String) {
    let ((listener_b, b), (listener_proxy, proxy)) = (port().await, port().await);
    let stage = StageOptions { pods: 1, pods_max: 1, cpu_share: 1.0, queue: QUEUE, ending: ENDING };
    let about = About {
        engine: "nothing".into(),
        device: "cpu".into(),
        model: "nothing".into(),
        cut: Cut::Layer3.name().into(),
        input: None,
        shape: Cut::Layer3.shape().to_vec(),
        emulated: true,
    };
    tokio::spawn(serve_b(listener_b, stage, Arc::new(Nothing(about)), stop.clone()));
    let options = ProxyOptions {
        b: vec![b.clone()],
        balance: Balance::OneQueue,
        b_limit: None,
        balance_seed: 1,
        slots: AT_ONCE as u32,
        slots_max: AT_ONCE as u32,
        slot_bandwidth_mbit_s: None,
        link_bandwidth: None,
        rtt: Duration::ZERO,
        sleep: Duration::ZERO,
        b_timeout: LONG,
        queue: QUEUE,
        ending: ENDING,
    };
    tokio::spawn(serve_proxy(listener_proxy, options, stop.clone()));
    while reqwest::get(format!("{b}/readyz")).await.map_or(true, |answer| !answer.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (b, proxy)
}

/// Posts `count` activations, eight at once, and waits for all answers.
async fn transfer(http: &reqwest::Client, url: &str, count: u64) -> Duration {
    let body = axum::body::Bytes::from(vec![1; Cut::Layer3.payload_bytes() as usize]);
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE as u64 {
        let (http, url, body) = (http.clone(), url.to_owned(), body.clone());
        clients.spawn(async move {
            for _ in (client..count).step_by(AT_ONCE) {
                let request = http.post(&url).header("x-cut", "layer3").body(body.clone());
                let answer = request.send().await.unwrap().error_for_status().unwrap();
                black_box(answer.bytes().await.unwrap());
            }
        });
    }
    clients.join_all().await;
    begin.elapsed()
}

fn proxy(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = CancellationToken::new();
    let (b, proxy) = runtime.block_on(start(&stop));
    let http = reqwest::Client::new();
    let mut group = criterion.benchmark_group("proxy");
    group.throughput(Throughput::Elements(1));
    for (name, url) in [
        ("transfer_layer3", format!("{proxy}/complete?wait=true")),
        ("direct_layer3", format!("{b}/complete")),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| runtime.block_on(transfer(&http, &url, count)));
        });
    }
    group.finish();
    stop.cancel();
}

criterion_group!(benches, proxy);
criterion_main!(benches);
