//! What `plan` takes.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use splitscale_spec::Encoding;

use super::value::{bandwidth, number, positive, seconds, share};

/// `plan`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("load").required(true).args(["rate", "trace", "rates", "counts"]))]
pub struct Plan {
    /// Calibrations with laws (JSON), one for each cut that may be chosen. A name before it, as in layer2=FILE, stands
    /// in the plan; layer2:f32=FILE says also what its activations travelled as, where the calibration does not
    #[arg(required = true, value_name = "[NAME[:ENCODING]=]CALIBRATION", value_parser = calibrated)]
    pub calibrations: Vec<Calibrated>,
    /// Requests a second to plan for, a Poisson stream [1/s]
    #[arg(long, value_name = "PER_S", value_parser = rate, help_heading = "The load, one of")]
    pub rate: Option<f64>,
    /// Recorded arrival times (.csv, .jsonl) to plan for
    #[arg(long, value_name = "FILE", help_heading = "The load, one of")]
    pub trace: Option<PathBuf>,
    /// Lines of time [s] and rate [1/s] (.txt), or windows of rate, CV and family (.csv)
    #[arg(long, value_name = "FILE", help_heading = "The load, one of")]
    pub rates: Option<PathBuf>,
    /// Arrivals a bin (.csv)
    #[arg(long, value_name = "FILE", help_heading = "The load, one of")]
    pub counts: Option<PathBuf>,
    /// CV of the gaps between the arrivals of --rate, in place of a Poisson stream's 1: gamma gaps
    #[arg(long, value_name = "CV", value_parser = positive, conflicts_with_all = ["trace", "rates", "counts"])]
    pub cv: Option<f64>,
    /// Transfer slots of the proxy
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slots: u32,
    /// Bandwidth of one slot [Mbit/s]; without it and --link-bandwidth, the link is as it was measured
    #[arg(long, value_name = "MBIT_S", value_parser = bandwidth)]
    pub slot_bandwidth: Option<f64>,
    /// Bandwidth of the one link that all slots share [Mbit/s]
    #[arg(long, value_name = "MBIT_S", value_parser = bandwidth, conflicts_with = "slot_bandwidth")]
    pub link_bandwidth: Option<f64>,
    /// Round-trip time that comes on top of what was measured, in each transfer [s]
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds)]
    pub rtt: f64,
    /// What activations may travel as, separated by commas; by default what was measured
    #[arg(long, value_name = "ENCODINGS", value_delimiter = ',', value_parser = encoding)]
    pub encodings: Vec<Encoding>,
    /// The promise: an answer within so long [s]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub slo: f64,
    /// Share of the requests that it is kept to, in (0, 1)
    #[arg(long, default_value_t = 0.99, value_name = "SHARE", value_parser = target)]
    pub target: f64,
    /// Most pods of each stage
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub pods_max: u32,
    /// Replications that each candidate is simulated, under common random numbers
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=1000))]
    pub seeds: u32,
    /// Seed of them
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = seed)]
    pub seed: u64,
    /// Requests of each replication of --rate, the first tenth its warm-up; a trace is simulated from end to end
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub requests: u32,
    /// Threads; no number depends on them. By default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Folder for plan.json, candidates.csv, pipeline.toml, answer.toml, pareto.svg, pareto.png and pareto.csv: new, empty, or of an
    /// earlier plan
    #[arg(long, default_value = "out/plan", value_name = "DIR")]
    pub out: PathBuf,
}

/// A calibration as it is typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// What the plan calls it.
    pub name: Option<String>,
    /// What its activations travelled as.
    pub encoding: Option<Encoding>,
    /// The document.
    pub file: PathBuf,
}

fn calibrated(text: &str) -> Result<Calibrated, String> {
    let bare = |file: &str| Calibrated { name: None, encoding: None, file: file.into() };
    // What stands before an = in the name of a folder is no name.
    let Some((before, file)) = text.split_once('=').filter(|(before, _)| !before.contains('/')) else {
        return Ok(bare(text));
    };
    let (name, measured) = before.split_once(':').map_or((before, None), |(name, rest)| (name, Some(rest)));
    if name.is_empty() || file.is_empty() {
        return Err("write NAME=FILE or NAME:ENCODING=FILE, such as layer2:f32=calibration.json".into());
    }
    Ok(Calibrated {
        name: Some(name.into()),
        encoding: measured.map(encoding).transpose()?,
        file: file.into(),
    })
}

/// What an encoding is called where it is typed.
fn encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "f32" => Ok(Encoding::F32),
        "bf16" => Ok(Encoding::Bf16),
        "u8" => Ok(Encoding::U8),
        _ => Err(format!("{text:?} is no encoding; there are f32, bf16 and u8")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    number(text).and_then(|v| {
        if (1e-6..=1e6).contains(&v) { Ok(v) } else { Err("must be 1e-6 to 1e6 a second".into()) }
    })
}

/// The answer is written as a TOML document, whose whole numbers are signed.
fn seed(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(seed) if i64::try_from(seed).is_ok() => Ok(seed),
        _ => Err("must be a whole number from 0 to 9223372036854775807 (2^63 - 1), the most that answer.toml holds".into()),
    }
}

/// Nobody can show by a finite number of requests that all are kept.
fn target(text: &str) -> Result<f64, String> {
    share(text).and_then(|v| if v < 1.0 { Ok(v) } else { Err("must be below 1; 0.99 is usual".into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_encoding_may_stand_before_a_calibration() {
        let of = |text: &str| calibrated(text).map(|c| (c.name, c.encoding, c.file));
        let named = |name: &str| Some(name.to_string());
        assert_eq!(of("out/c.json"), Ok((None, None, "out/c.json".into())));
        assert_eq!(of("out/a=b/c.json"), Ok((None, None, "out/a=b/c.json".into())));
        assert_eq!(of("layer2=c.json"), Ok((named("layer2"), None, "c.json".into())));
        assert_eq!(of("layer2:u8=c.json"), Ok((named("layer2"), Some(Encoding::U8), "c.json".into())));
        assert!(of("layer2:u4=c.json").unwrap_err().contains("f32, bf16 and u8"));
        assert!(of("=c.json").is_err());
    }

    #[test]
    fn a_seed_is_what_a_document_holds() {
        assert_eq!(seed("9223372036854775807"), Ok(i64::MAX as u64));
        for text in ["9223372036854775808", "-1", "x"] {
            assert!(seed(text).unwrap_err().contains("2^63 - 1"), "{text}");
        }
    }
}
