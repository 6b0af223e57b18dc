//! What can be typed: clap types and nothing else. Each flag says its unit.

// The comments are the help on the terminal, where `[s]` is a unit and an escape would show.
#![allow(rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod calibrate;
mod contest;
mod deploy;
mod engine;
mod fidelity;
mod knee;
mod load;
mod operator;
mod plan;
mod ready;
mod scale;
mod shard;
mod simulate;
mod value;

pub use calibrate::Calibrate;
pub use contest::{Contest, Deployed};
pub use deploy::Deploy;
pub use engine::{EngineFlags, EngineName, HalfName, Pod};
pub use fidelity::Fidelity;
pub use knee::{CutName, Knee, ServiceName};
pub use load::{Load, Shape, Trace};
pub use operator::Operator;
pub use plan::{Calibrated, Plan};
pub use ready::Ready;
pub use scale::{Backend, Explain, Kept, Replay, Scale, ScaleMode};
pub use shard::{Merge, ShardFlags, Sweep, Swept};
pub use simulate::{Bursts, ExperimentFlags, Simulate, Verify};

use value::{bandwidth, count, host, interval, number, seconds, share};

/// Serves a network cut in two, and scales its pods by what the link between them can carry.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order in which a pipeline meets them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one server of the pipeline: stage A, the proxy, or stage B
    #[command(subcommand)]
    Serve(Serve),
    /// One pod of a server, as the server itself starts it
    #[command(hide = true)]
    Pod(Pod),
    /// Ask one server whether it takes requests; exit code 1 where it does not
    Ready(Ready),
    /// Measure a running pipeline: bursts over transfer slots x pods
    Collect(Collect),
    /// Load a running pipeline and say how it answers: bursts, clients, or requests at times of their own
    Load(Load),
    /// Fit curves of time against pods, and the laws the simulator draws from
    Calibrate(Calibrate),
    /// Say how many pods a rate takes, with which cut and encoding: the cheapest that keeps a promise on latency
    Plan(Plan),
    /// Simulate an experiment, or a calibrated pipeline beside its measurements
    Simulate(Simulate),
    /// Send the same arrivals through real servers and through the simulator, and compare
    Fidelity(Fidelity),
    /// Learn how many pods to have at each number of slots
    Train(Train),
    /// Write an experiment or a training as a Job of Kubernetes that does it in shards, on as many nodes as there are
    Sweep(Sweep),
    /// Join the shards of an experiment or of a training to what one run would have written
    Merge(Merge),
    /// Judge policies side by side, under the same requests
    Evaluate(Evaluate),
    /// Put simulations beside exact answers; exit code 1 where |z| > 4 or a 95 % half-width is above 1 %
    Verify(Verify),
    /// Say how many pods are useful, in closed form beside the simulator's own knee
    Knee(Knee),
    /// Watch a running pipeline and change its pods
    Scale(Scale),
    /// Scale the SplitPipelines of a Kubernetes cluster, as `scale` does a pipeline on this machine
    Operator(Operator),
    /// Play the same arrivals and traffic to a pipeline a policy, each scaled by its own, and say what each came to
    Contest(Contest),
    /// Write a pipeline as manifests of Kubernetes
    Deploy(Deploy),
    /// Tell a logged decision in sentences, and take it again
    Explain(Explain),
    /// Take logged decisions again, or let another policy take them
    Replay(Replay),
    /// Draw what a folder of results holds, as SVG and PNG
    Figures(Figures),
    /// Do all of the above, one after the other, on real servers on this machine
    Demo(Demo),
}

/// The three servers.
#[derive(Debug, Subcommand)]
pub enum Serve {
    /// Stage A: images in, activations out (/predict, /predict-proxy)
    A(ServeA),
    /// The proxy: a queue and N transfer slots (/complete, /set_threads, /events)
    Proxy(ServeProxy),
    /// Stage B: activations in, answers out (/complete)
    B(ServeB),
}

/// Where a server listens, and when it stops.
#[derive(Debug, Clone, Args)]
pub struct Listen {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Most requests that may wait; one more is answered 429
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = count)]
    pub queue: usize,
    /// Most MiB of bodies that may wait
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = count)]
    pub queue_mb: usize,
    /// Seconds a stopping server says that it is not ready, and still takes requests
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds)]
    pub drain_delay: f64,
    /// Seconds a stopping server then gives to requests it has accepted
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS", value_parser = seconds)]
    pub grace: f64,
    /// Stop when standard input closes: a server that must not outlive what started it
    #[arg(long)]
    pub exit_with_stdin: bool,
}

/// What the pods of a stage compute, and with what.
#[derive(Debug, Clone, Args)]
pub struct Pods {
    #[command(flatten)]
    pub engine: EngineFlags,
    /// Pods to start with
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub pods: u32,
    /// Most pods that may ever be asked for
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub pods_max: u32,
    /// Share of one core that a pod computes with, in (0, 1]
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    pub cpu_share: f64,
    /// CPU seconds that a request is taken to cost, in place of what it did: a machine that drifts does not change how
    /// long it holds a pod, which is this over the share
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub rated_cpu: Option<f64>,
    /// Make each pod a process of its own, with weights of its own: one that crashes or is killed takes no request
    /// with it, and another takes its place
    #[arg(long)]
    pub pod_processes: bool,
}

/// Where stage B is.
#[derive(Debug, Clone, Args)]
pub struct ToB {
    /// Host of stage B
    #[arg(long, env = "CONTAINER_B_HOST", default_value = "127.0.0.1", value_name = "HOST", value_parser = host)]
    pub container_b_host: String,
    /// Port of stage B
    #[arg(long, env = "CONTAINER_B_PORT", default_value_t = 5001, value_name = "PORT")]
    pub container_b_port: u16,
    /// Send each request to B on a connection of its own: for an address that stands for several B and spreads connections,
    /// such as a Service of Kubernetes. It costs a handshake each (one RTT), and A takes no place at B beforehand
    #[arg(long)]
    pub fresh_connections: bool,
}

/// `serve a`
#[derive(Debug, Args)]
pub struct ServeA {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub pods: Pods,
    #[command(flatten)]
    pub b: ToB,
    /// Host of the proxy
    #[arg(long, env = "PROXY_HOST", default_value = "127.0.0.1", value_name = "HOST", value_parser = host)]
    pub proxy_host: String,
    /// Port of the proxy
    #[arg(long, env = "PROXY_PORT", default_value_t = 6000, value_name = "PORT")]
    pub proxy_port: u16,
    /// What the values of an activation travel as, where a request's x-encoding asks for nothing else
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16", "u8"])]
    pub encoding: String,
    /// How activations are compressed, where a request's x-compression asks for nothing else
    #[arg(long, default_value = "none", value_parser = ["none", "lz4", "zstd"])]
    pub compression: String,
}

/// `serve b`
#[derive(Debug, Args)]
pub struct ServeB {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 5001)]
    pub port: u16,
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub pods: Pods,
}

/// How activations are spread over several B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BalanceName {
    /// What no B has a free pod for waits in the proxy, in the order of arrival
    OneQueue,
    /// Each B in turn
    RoundRobin,
    /// Any B
    Random,
    /// The B with the fewest under way
    LeastOutstanding,
}

/// `serve proxy`
#[derive(Debug, Args)]
pub struct ServeProxy {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 6000)]
    pub port: u16,
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub b: ToB,
    /// The B to spread activations over, in place of the one above: http://HOST:PORT, or dns://HOST:PORT for
    /// all addresses that a name has, resolved every few seconds; repeated, or separated by commas
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub next: Vec<String>,
    /// How they are spread
    #[arg(long, value_enum, default_value_t = BalanceName::OneQueue, value_name = "BALANCE")]
    pub balance: BalanceName,
    /// Most activations under way to one B with one queue; without it as many as it has pods in use
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub next_limit: Option<u32>,
    /// Seed of the random balance
    #[arg(long, default_value_t = 1)]
    pub balance_seed: u64,
    /// Transfer slots ("threads"): few emulate heavy traffic, many light
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
    /// Bandwidth of one slot [Mbit/s]; without it a transfer takes what the real network takes
    #[arg(long, value_name = "MBIT_S", value_parser = bandwidth)]
    pub slot_bandwidth: Option<f64>,
    /// Bandwidth of the one link that all slots share [Mbit/s]
    #[arg(long, value_name = "MBIT_S", value_parser = bandwidth, conflicts_with = "link_trace")]
    pub link_bandwidth: Option<f64>,
    /// A recorded bandwidth of that link, followed from the start on and repeated for ever: lines of two
    /// numbers, the time [s] and the bandwidth from there on [Mbit/s], zero for an outage
    #[arg(long, value_name = "FILE")]
    pub link_trace: Option<PathBuf>,
    /// Round-trip time added to each transfer [s]
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds)]
    pub rtt: f64,
    /// Wait before each transfer [s]
    #[arg(long, env = "SLEEP_TIME", default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds)]
    pub sleep_time: f64,
    /// Longest that a B may take to answer, its queue included; one that takes longer is passed over for a while [s]
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS", value_parser = interval)]
    pub b_timeout: f64,
}

/// Where a running pipeline is.
#[derive(Debug, Clone, Args)]
pub struct Servers {
    /// Base URL of stage A
    #[arg(long, default_value = "http://127.0.0.1:5000", value_name = "URL")]
    pub a: String,
    /// Base URL of the proxy
    #[arg(long, default_value = "http://127.0.0.1:6000", value_name = "URL")]
    pub proxy: String,
    /// Base URL of stage B
    #[arg(long, default_value = "http://127.0.0.1:5001", value_name = "URL")]
    pub b: String,
}

/// Stages that are Deployments of Kubernetes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "On Kubernetes")]
pub struct InCluster {
    /// Namespace in which both stages are Deployments, whose replicas are set and whose pods are asked through the API server of the
    /// kubeconfig; requests are sent to --a and events heard from --proxy. Refused where a SplitPipeline scales them
    #[arg(long, value_name = "NAMESPACE", value_parser = value::kubernetes_name)]
    pub namespace: Option<String>,
    /// The Deployments of A and of B
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 1..=2, requires = "namespace", value_parser = value::dotted_name, default_values = ["splitscale-a", "splitscale-b"])]
    pub deployments: Vec<String>,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Args, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Numbers of transfer slots, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8", value_parser = clap::value_parser!(u32).range(1..))]
    pub slots: Vec<u32>,
    /// Numbers of pods, of A and of B alike, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "2,4,6,8", value_parser = clap::value_parser!(u32).range(1..))]
    pub pods: Vec<u32>,
    /// Images in a burst
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub burst: u32,
    /// Bursts in a cell
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
}

/// `collect`
#[derive(Debug, Args)]
pub struct Collect {
    #[command(flatten)]
    pub servers: Servers,
    #[command(flatten)]
    pub in_cluster: InCluster,
    #[command(flatten)]
    pub grid: Grid,
    /// Folder of JPEG and PNG files to send, or a file that lists some, one a line; without it a few that the
    /// program draws itself
    #[arg(long, value_name = "PATH")]
    pub images: Option<PathBuf>,
    /// Seed of the order of the cells
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Then take a pod away from each stage and give it back so many times, and note how long each takes
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub starts: u32,
    /// Folder for table.csv (one row a burst), records.csv (one row a request), starts.csv and run.json
    #[arg(long, default_value = "out/collect", value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with the measurement in that folder, which was cut off; what it has stays
    #[arg(long)]
    pub resume: bool,
}

/// `train`
#[derive(Debug, Args)]
pub struct Train {
    /// A training (TOML); or a calibration (JSON), whose curves Q-learning is trained on with the original's settings
    pub file: PathBuf,
    /// The first seed, in place of the file's
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many seeds, one run each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: Option<u64>,
    /// Episodes of each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub episodes: Option<u64>,
    /// Threads; what is learnt does not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Folder for policy.json, policies/, learning.csv, seeds.csv, training.json and checkpoints/
    #[arg(long, default_value = "out/train", value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with the checkpoints in that folder, to the same bytes as if nothing had come between
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub shard: ShardFlags,
}

/// `evaluate`
#[derive(Debug, Args)]
pub struct Evaluate {
    /// A training (TOML) on `scaling`: its scenarios are played, best such as no policy was trained on
    pub file: PathBuf,
    /// Policies (JSON)
    #[arg(required = true, value_name = "POLICY")]
    pub policies: Vec<PathBuf>,
    /// The policy (JSON) that decides where a learnt one is not to be trusted; without it the pods stay there
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Training (TOML) on whose scenarios constant pods and the HPA are tuned; by default on those they are judged on, under
    /// other seeds
    #[arg(long, value_name = "FILE")]
    pub tuned_on: Option<PathBuf>,
    /// Episodes of each policy on each scenario
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub seeds: u32,
    /// Seed of them
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Who everybody is compared with: `hpa tuned`, `hpa default`, `static tuned`, `static best here`, or a policy's name
    #[arg(long, default_value = "hpa tuned", value_name = "NAME")]
    pub against: String,
    /// Episodes of each scenario in which is found what was possible: some seconds each; 0 for none
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub referee: u32,
    /// Threads; no number depends on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Folder for judgement.csv, episodes.csv, regret.csv, states.csv, evaluation.json and baselines/
    #[arg(long, default_value = "out/evaluate", value_name = "DIR")]
    pub out: PathBuf,
}

/// `figures`
#[derive(Debug, Args)]
pub struct Figures {
    /// Folder with the CSV files of a demo
    pub folder: PathBuf,
    /// Folder for the pictures; by default `figures` inside it
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Three slots x three pods, 12 images, one repeat: under two minutes
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// The original's grid: slots 1..8 x pods 2..8
    #[arg(long)]
    pub full: bool,
    /// Show the scaler's page in a browser while it scales
    #[arg(long)]
    pub open: bool,
    /// Folder of JPEG and PNG files to send; without it a few that the program draws itself
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// A torchvision ResNet-50 checkpoint (safetensors, or .pth as torch.save writes it)
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for all results, new or empty; by default the next free out/demo-N
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
