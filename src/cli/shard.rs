//! Which share of a sweep is done, and how shards become the whole.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use splitscale_deploy::manifests::Image;

use super::simulate::assignment;
use super::value::{dotted_name, job_name, kubernetes_name};
use crate::shard::Part;

/// Most shards: as many indexes as a Job of Kubernetes has.
const MOST: usize = 100_000;

/// Which share is done.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Of a sweep in shards")]
pub struct ShardFlags {
    /// Do only every N-th point or seed from the I-th on, I from 1, and write a shard, which `merge` joins with the others; N alone
    /// takes the index of a pod of an Indexed Job of Kubernetes
    #[arg(long, value_name = "I/N", value_parser = share)]
    pub shard: Option<Share>,
    /// That index, from 0: shard I is index I - 1
    #[arg(long, env = "JOB_COMPLETION_INDEX", value_name = "INDEX")]
    pub completion_index: Option<usize>,
    /// Print the shard on standard output, too: in a pod its log is all that is left of it
    #[arg(long, requires = "shard")]
    pub print_shard: bool,
}

/// `I/N`, or `N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    shard: Option<usize>,
    of: usize,
}

impl ShardFlags {
    /// The share; what is wrong with it, otherwise.
    pub fn part(&self) -> Result<Option<Part>, String> {
        let Some(Share { shard, of }) = self.shard else { return Ok(None) };
        let shard = match (shard, self.completion_index) {
            (Some(shard), _) => shard,
            (None, Some(index)) if index < of => index + 1,
            (None, Some(index)) => {
                return Err(format!(
                    "--shard {of} has the indexes 0 to {}, and this one is {index} (JOB_COMPLETION_INDEX); give --shard the \
                     completions of the Job",
                    of - 1
                ));
            }
            (None, None) => {
                return Err(format!(
                    "--shard {of} does not say which of the {of}: write --shard 1/{of}, or run it in an Indexed Job, which sets \
                     JOB_COMPLETION_INDEX"
                ));
            }
        };
        Ok(Some(Part { shard, of }))
    }
}

fn share(text: &str) -> Result<Share, String> {
    let number = |text: &str| text.parse::<usize>().ok();
    let share = match text.split_once('/') {
        Some((shard, of)) => {
            number(shard).zip(number(of)).map(|(shard, of)| Share { shard: Some(shard), of })
        }
        None => number(text).map(|of| Share { shard: None, of }),
    };
    let fits =
        |share: &Share| (1..=MOST).contains(&share.of) && (1..=share.of).contains(&share.shard.unwrap_or(1));
    share.filter(fits).ok_or_else(|| format!("write I/N with 1 <= I <= N <= {MOST}, such as 2/8"))
}

/// `merge`
#[derive(Debug, Args)]
pub struct Merge {
    /// Where the whole goes: a file for an experiment, a folder, new or empty, for a training
    pub out: PathBuf,
    /// The shards, in any order: what `--shard` wrote, or logs that hold it
    #[arg(required_unless_present = "job")]
    pub parts: Vec<PathBuf>,
    /// Take the shards that this Job of Kubernetes has done from the logs of its pods, by the kubeconfig
    #[arg(long, value_name = "NAME", value_parser = dotted_name)]
    pub job: Option<String>,
    /// Its namespace
    #[arg(long, default_value = "splitscale", value_name = "NAMESPACE", requires = "job", value_parser = kubernetes_name)]
    pub namespace: String,
}

/// `sweep`
#[derive(Debug, Args)]
pub struct Sweep {
    /// Folder for the Job and its inputs: new, empty, or written by this command before
    #[arg(long, value_name = "DIR")]
    pub render: PathBuf,
    /// What the Job is called
    #[arg(long, value_name = "NAME", value_parser = job_name)]
    pub name: String,
    /// How many shards, one a pod
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    pub shards: u32,
    /// How many pods at a time; by default all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallelism: Option<u32>,
    /// Whole cores of a pod, and its threads
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub cpus: u32,
    /// Memory of a pod [MiB]
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = clap::value_parser!(u32).range(16..))]
    pub memory: u32,
    /// The image, NAME[:TAG][@sha256:DIGEST]; without it those of `cargo xtask images`
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<Image>,
    /// What is swept.
    #[command(subcommand)]
    pub swept: Swept,
}

/// What can be swept.
#[derive(Debug, Clone, Subcommand)]
pub enum Swept {
    /// The points of an experiment
    Simulate {
        /// The experiment (TOML)
        file: PathBuf,
        /// Put another value into a field below setup, such as link.slots=4; may be given several times
        #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
        set: Vec<(String, String)>,
        /// Seed, instead of the experiment's
        #[arg(long)]
        seed: Option<u64>,
        /// Replications of a point, instead of the experiment's
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        replications: Option<u32>,
    },
    /// The seeds of a training
    Train {
        /// A training (TOML), or a calibration (JSON)
        file: PathBuf,
        /// The first seed, in place of the file's
        #[arg(long)]
        seed: Option<u64>,
        /// How many seeds
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
        seeds: Option<u64>,
        /// Episodes of each
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        episodes: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_typed_from_one_and_an_index_counts_from_zero() {
        let part = |shard: &str, completion_index| {
            ShardFlags { shard: Some(share(shard)?), completion_index, print_shard: false }.part()
        };
        let of = |shard, of| Ok(Some(Part { shard, of }));
        assert_eq!(part("2/8", None), of(2, 8));
        assert_eq!(part("2/8", Some(7)), of(2, 8), "what is typed counts");
        assert_eq!(part("8", Some(7)), of(8, 8));
        assert!(part("8", Some(8)).unwrap_err().contains("indexes 0 to 7"));
        assert!(part("8", None).unwrap_err().contains("write --shard 1/8"));
        for wrong in ["0/2", "3/2", "x", "1/", "/2", "1/100001", "0"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ShardFlags { completion_index: Some(3), ..ShardFlags::default() }.part(), Ok(None));
    }
}
