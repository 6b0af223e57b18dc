//! What a request costs in CPU time, end to end: an image posted to A, through the proxy, answered by B, over
//! loopback; servers and client in this process, so the client's share is in it.
//!
//! Beside the engines stands an emulated one that does not wait: what is left is the hop, every byte of it
//! moved, nothing computed.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use splitscale_serving::engine::emulated::Emulated;
use splitscale_serving::engine::libtorch::{self, Libtorch};
use splitscale_serving::engine::{Choice, Cut, EngineConfig, EngineFactory, Half};
use splitscale_serving::proxy::{Balance, ProxyOptions, serve_proxy};
use splitscale_serving::stage::{Downstream, StageOptions, serve_a, serve_b};
use splitscale_serving::wire::format::Format;
use splitscale_serving::{Ending, QueueBound};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const QUEUE: QueueBound = QueueBound { requests: 64, bytes: 1 << 28 };
const LONG: Duration = Duration::from_secs(60);
const ENDING: Ending = Ending { delay: Duration::ZERO, grace: LONG };
const CUT: Cut = Cut::Layer2;
const STAGE: StageOptions =
    StageOptions { pods: 1, pods_max: 1, cpu_share: 1.0, rated_cpu: None, queue: QUEUE, ending: ENDING };

/// The photo-like JPEG of the other benchmarks is drawn there; here its size is all that matters.
fn jpeg() -> Vec<u8> {
    let drawn = image::RgbImage::from_fn(500, 375, |x, y| {
        let level = |by: u32| (128.0 + 90.0 * ((x + by) as f32 / 23.0).sin() * (y as f32 / 19.0).cos()) as u8;
        image::Rgb([level(0), level(9), level(40)])
    });
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 85).encode_image(&drawn).unwrap();
    file
}

/// CPU time of this process so far, all threads.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Starts a pipeline of these halves; the URL of A.
async fn start(halves: [Arc<dyn EngineFactory>; 2], stop: &CancellationToken) -> String {
    let ((at_a, a), (at_proxy, proxy), (at_b, b)) = (listen().await, listen().await, listen().await);
    let [half_a, half_b] = halves;
    tokio::spawn(serve_b(at_b, STAGE, half_b, stop.clone()));
    let options = ProxyOptions {
        b: vec![b.clone()],
        balance: Balance::OneQueue,
        b_limit: None,
        balance_seed: 1,
        slots: 8,
        slots_max: 8,
        slot_bandwidth_mbit_s: None,
        link_bandwidth: None,
        rtt: Duration::ZERO,
        sleep: Duration::ZERO,
        b_timeout: LONG,
        fresh_connections: false,
        queue: QUEUE,
        ending: ENDING,
    };
    tokio::spawn(serve_proxy(at_proxy, options, stop.clone()));
    let next = Downstream {
        b: b.clone(),
        proxy: proxy.clone(),
        format: Format::default(),
        timeout: LONG,
        fresh_connections: false,
    };
    tokio::spawn(serve_a(at_a, STAGE, next, half_a, stop.clone()));
    for url in [&a, &proxy, &b] {
        while reqwest::get(format!("{url}/readyz")).await.map_or(true, |answer| !answer.status().is_success())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    a
}

/// CPU time of `count` images, one after the other.
async fn predict(http: &reqwest::Client, a: &str, file: &[u8], count: u64) -> Duration {
    let begin = cpu();
    for _ in 0..count {
        let part = reqwest::multipart::Part::bytes(file.to_vec()).file_name("photo.jpg");
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = http.post(format!("{a}/predict-proxy?wait=true")).multipart(form);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        black_box(answer.bytes().await.unwrap());
    }
    cpu() - begin
}

fn pipeline(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (http, file) = (reqwest::Client::new(), jpeg());
    let torch = |choice| {
        let load =
            |half| Libtorch::load(&EngineConfig { choice, ..EngineConfig::resnet50(half, CUT) }).unwrap();
        [Half::A, Half::B].map(|half| Arc::new(load(half)) as Arc<dyn EngineFactory>)
    };
    let idle = || [Half::A, Half::B].map(|half| Arc::new(Emulated::new(half, CUT, Box::new(|| 0.0))) as _);
    let mut group = criterion.benchmark_group("cpu");
    let mut measure = |name: &str, halves: [Arc<dyn EngineFactory>; 2]| {
        let stop = CancellationToken::new();
        let a = runtime.block_on(start(halves, &stop));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| runtime.block_on(predict(&http, &a, &file, count)));
        });
        stop.cancel();
    };
    measure("hop_layer2", idle());
    measure("reference_layer2", torch(Choice::Reference));
    measure("f32_layer2", torch(Choice::F32));
    if libtorch::computes_bf16() {
        measure("bf16_layer2", torch(Choice::Bf16));
    }
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
