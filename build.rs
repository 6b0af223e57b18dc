//! Lets the binary and its tests find libtorch without LD_LIBRARY_PATH, and tells them their commit.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_some()
        && let Ok(libtorch) = std::env::var("LIBTORCH")
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = commit.ok().filter(|git| git.status.success()).map(|git| git.stdout);
    let commit = commit.and_then(|bytes| String::from_utf8(bytes).ok());
    println!("cargo:rustc-env=SPLITSCALE_COMMIT={}", commit.as_deref().map_or("unknown", str::trim));
}
