//! Where a scaler is looked at: bound before anything is written, served while it scales.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use splitscale_deploy::{Desk, Router, app, serve};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::files;

/// What opens an address in whatever the user has chosen for it: on Linux, elsewhere.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

/// An address that is taken, and the token that switches the mode there.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<String>,
}

impl Page {
    /// Takes the address.
    pub async fn bind(listen: &str, token_file: Option<&Path>) -> Result<Page> {
        let token = token_file.map(token).transpose()?;
        let taken = TcpListener::bind(listen).await;
        let listener = taken.with_context(|| {
            format!("--listen {listen} cannot be had; name HOST:PORT, or port 0 for a free one")
        })?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            eprintln!(
                "warning: {address} is reached from other machines, and the page has no TLS: whoever is in between reads it{}",
                if token.is_some() { ", and the token" } else { "" }
            );
        }
        Ok(Page { listener, address, token })
    }

    /// Its address in a browser on this machine.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// Shows a desk until `stop`.
    pub async fn show(self, desk: Desk, stop: CancellationToken) {
        let app = app(desk, self.token.as_deref(), stop.clone());
        self.serve(app, stop).await;
    }

    /// Serves these routes until `stop`.
    pub async fn serve(self, app: Router, stop: CancellationToken) {
        serve(self.listener, app, stop).await;
    }
}

/// Opens an address in a browser; that there is none is no failure, but said.
pub async fn open(url: &str) {
    for opener in OPENERS {
        let mut command = Command::new(opener);
        command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status().await {
            Ok(status) if status.success() => return,
            Ok(status) => return println!("{opener} did not open the page ({status}): open {url} yourself"),
            Err(_) => {}
        }
    }
    println!("nothing here opens a page ({}): open {url} yourself", OPENERS.join(", "));
}

/// Reads a token: what stands in the file, without the white space around it.
fn token(path: &Path) -> Result<String> {
    let text = files::read(path)?;
    let token = text.trim();
    if token.is_empty() {
        bail!("{} is empty; write a token into it, such as `openssl rand -hex 16` makes one", path.display());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{}: a token is one word of visible ASCII characters", path.display());
    }
    Ok(token.to_owned())
}
