//! The one binary: what was typed, one command, an exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted, 141 nobody reads standard output any more.

#![allow(unreachable_pub)] // nothing of a binary is reachable from outside

mod cli;
mod cluster;
mod commands;
mod files;
mod images;
mod interrupt;
mod journal;
mod measurement;
mod page;
mod progress;
mod servers;
mod shard;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    end_with_standard_output();
    let cli = cli::Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // Where nobody takes a line of the log there is nobody to tell that either.
        .log_internal_errors(false)
        .with_env_filter(
            // What a client of Kubernetes says of each failed call, watch and renewal, whoever asked says once, in words of his own.
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "info,kube_client=off,kube_runtime=error,kube_lease_manager=off".into()),
        )
        .init();
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<interrupt::Interrupted>() => {
            tell(&format!("interrupted: {error}"));
            ExitCode::from(130)
        }
        Err(error) => {
            tell(&format!("error: {}", words(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Tells why it ends, to whoever still listens.
fn tell(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// `println!` panics where standard output does not take it: that is no bug of ours. A pipe that was closed, as by `head`, ends
/// the program as it does any other (128 + SIGPIPE); a full disk is told. Where standard error is what was closed, nobody can be
/// told.
fn end_with_standard_output() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        if words.starts_with("failed printing to stderr") {
            std::process::exit(1);
        }
        let Some(why) = words.strip_prefix("failed printing to stdout: ") else { return told(panic) };
        if why.contains("Broken pipe") {
            std::process::exit(141);
        }
        tell(&format!("error: could not write to standard output: {why}"));
        std::process::exit(1);
    }));
}

/// The chain of an error; a cause that the message before it already tells is not told again.
fn words(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}
