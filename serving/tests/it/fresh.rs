//! Several B behind one address that spreads connections, as a Service of Kubernetes does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use splitscale_serving::stage::{Downstream, serve_a};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::double::{Double, factory, nobody, port, stage_options, towards, until};
use crate::several::{Before, stage_b};

/// One address before these servers, which gets each connection on to the next of them; how many there were.
async fn service(servers: [String; 2]) -> (String, Arc<AtomicUsize>) {
    let (listener, url) = port().await;
    let connections = Arc::new(AtomicUsize::new(0));
    tokio::spawn(spread(listener, servers, Arc::clone(&connections)));
    (url, connections)
}

async fn spread(listener: TcpListener, servers: [String; 2], connections: Arc<AtomicUsize>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let turn = connections.fetch_add(1, Ordering::SeqCst) % servers.len();
        let server = servers[turn].trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            let mut server = TcpStream::connect(server).await.unwrap();
            // Either side may end it.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// Two B of one pod, and one address for both.
async fn two() -> ([Arc<Double>; 2], String, Arc<AtomicUsize>) {
    let doubles = [Double::sleeping(0), Double::sleeping(0)];
    let (url, connections) = service([stage_b(&doubles[0], 1).await, stage_b(&doubles[1], 1).await]).await;
    (doubles, url, connections)
}

#[tokio::test]
async fn the_proxy_reaches_every_b_behind_one_address_with_connections_of_their_own() {
    for (fresh, shares) in [(false, [6, 0]), (true, [3, 3])] {
        let (doubles, url, connections) = two().await;
        let before = Before::start(&[&url], 2, |options| options.fresh_connections = fresh).await;
        for tag in 1..=6 {
            assert_eq!(before.complete(tag).await.0, 200);
        }
        assert_eq!(doubles.map(|double| double.tags().len()), shares, "fresh: {fresh}");
        assert_eq!(connections.load(Ordering::SeqCst), if fresh { 6 } else { 1 });
    }
}

#[tokio::test]
async fn a_takes_no_place_at_a_b_that_another_connection_may_not_reach() {
    let (doubles, url, connections) = two().await;
    let (listener, a) = port().await;
    let downstream = Downstream { fresh_connections: true, ..towards(url, nobody().await) };
    tokio::spawn(serve_a(
        listener,
        stage_options(1),
        downstream,
        factory(&Double::sleeping(0)),
        CancellationToken::new(),
    ));
    until("A is ready", async || reqwest::get(format!("{a}/readyz")).await.is_ok_and(|a| a.status() == 200))
        .await;
    for tag in 1..=6 {
        let part = reqwest::multipart::Part::bytes([&b"image"[..], &[tag]].concat());
        let form = reqwest::multipart::Form::new().part("file", part);
        let answer =
            reqwest::Client::new().post(format!("{a}/predict")).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    assert_eq!(doubles.map(|double| double.tags().len()), [3, 3]);
    assert_eq!(connections.load(Ordering::SeqCst), 6, "nothing but the activations was sent");
}
