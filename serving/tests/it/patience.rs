//! How long the proxy waits: for a body, for a B, and for its answer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::double::{Double, PAYLOAD};
use crate::several::{Before, stage_b};

#[tokio::test]
async fn the_time_of_a_request_runs_while_its_body_comes() {
    let double = Double::sleeping(0);
    let before = Before::start(&[&stage_b(&double, 1).await], 1, |_| ()).await;
    let mut socket = TcpStream::connect(before.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /complete?wait=true HTTP/1.1\r\nhost: proxy\r\nx-cut: layer3\r\nx-request-timeout: 0.02\r\n\
         expect: 100-continue\r\ncontent-length: {PAYLOAD}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // It is said once the body is being read.
    let mut said = [0; 25];
    socket.read_exact(&mut said).await.unwrap();
    assert_eq!(said.as_slice(), b"HTTP/1.1 100 Continue\r\n\r\n");
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    socket.write_all(&[1; PAYLOAD]).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 504");
    assert!(double.tags().is_empty());
}
