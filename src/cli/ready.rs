//! What can be typed to ask a server.

use clap::Args;

use super::seconds;

/// `ready`
#[derive(Debug, Args)]
pub struct Ready {
    /// Base URL of the server, such as http://127.0.0.1:5000
    #[arg(value_name = "URL")]
    pub server: String,
    /// How long the answer may take [s]
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: f64,
}
