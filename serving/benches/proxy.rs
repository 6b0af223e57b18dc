//! What the proxy costs: activations of 0.8 MB through it to an emulated B that takes no time, eight under way
//! at once, against the same activations sent to that B directly.
//!
//! Client and B share the cores with the proxy, so they do as little as they can over real sockets: the client
//! writes requests made before, B reads every byte and keeps none.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use splitscale_serving::engine::Cut;
use splitscale_serving::proxy::{Balance, ProxyOptions, serve_proxy};
use splitscale_serving::wire::{StageTimes, TailAnswer};
use splitscale_serving::{Ending, QueueBound};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const AT_ONCE: usize = 8;
const LONG: Duration = Duration::from_secs(60);
/// What is read at once: it stays in the cache.
const SCRATCH: usize = 256 << 10;

/// Reads one message from `socket` to its end, and drops it.
async fn drain(socket: &mut TcpStream, scratch: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    let end = loop {
        filled += match socket.read(&mut scratch[filled..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
        let end = scratch[..filled.min(4096)].windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            break end + 4;
        }
    };
    let head = std::str::from_utf8(&scratch[..end]).expect("heads are ASCII").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.expect("a length").trim().parse().expect("a number");
    let mut left = end + length - filled;
    while left > 0 {
        let most = left.min(scratch.len());
        left -= match socket.read(&mut scratch[..most]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
    }
    Ok(())
}

/// B's side of the wire.
async fn emulated_b(listener: TcpListener) {
    let stage_b = StageTimes {
        pod: 1,
        pods_in_use: 1,
        queue_s: 0.0,
        decode_s: 0.0,
        forward_s: 0.0,
        encode_s: 0.0,
        rest_s: 0.0,
        emulated: true,
    };
    let answer =
        TailAnswer { class_id: 1, class_name: "nothing".into(), logit: 0.0, inference_time_b: 0.0, stage_b };
    let answer = serde_json::to_string(&answer).unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    while let Ok((mut socket, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            socket.set_nodelay(true).unwrap();
            let mut scratch = vec![0; SCRATCH];
            while drain(&mut socket, &mut scratch).await.is_ok() {
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

async fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Starts B and the proxy; their addresses.
async fn start(stop: &CancellationToken) -> (String, String) {
    let ((listener_b, b), (listener_proxy, proxy)) = (port().await, port().await);
    tokio::spawn(emulated_b(listener_b));
    let options = ProxyOptions {
        b: vec![format!("http://{b}")],
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
        fresh_connections: false,
        queue: QueueBound { requests: 1000, bytes: 1 << 30 },
        ending: Ending { delay: Duration::ZERO, grace: LONG },
    };
    tokio::spawn(serve_proxy(listener_proxy, options, stop.clone()));
    (b, proxy)
}

/// Posts `count` activations, eight at once, and waits for all answers.
async fn transfer(address: &str, path: &str, count: u64) -> Duration {
    let length = Cut::Layer3.payload_bytes() as usize;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nX-Cut: layer3\r\nContent-Length: {length}\r\n\r\n"
    );
    let request: Arc<[u8]> = [head.as_bytes(), &vec![1; length]].concat().into();
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE as u64 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let request = Arc::clone(&request);
        clients.spawn(async move {
            let mut scratch = vec![0; 4096];
            for _ in (client..count).step_by(AT_ONCE) {
                socket.write_all(&request).await.unwrap();
                drain(&mut socket, &mut scratch).await.unwrap();
                assert!(black_box(&scratch).starts_with(b"HTTP/1.1 200"));
            }
        });
    }
    clients.join_all().await;
    begin.elapsed()
}

fn proxy(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let (b, proxy) = runtime.block_on(start(&stop));
    let mut group = criterion.benchmark_group("proxy");
    group.throughput(Throughput::Elements(1));
    for (name, address, path) in
        [("transfer_layer3", &proxy, "/complete?wait=true"), ("direct_layer3", &b, "/complete")]
    {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| runtime.block_on(transfer(address, path, count)));
        });
    }
    group.finish();
    stop.cancel();
}

criterion_group!(benches, proxy);
criterion_main!(benches);
