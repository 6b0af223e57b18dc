//! `operator`.

use std::path::PathBuf;

use clap::Args;

use super::value::{dotted_name, kubernetes_name};

/// `operator`
#[derive(Debug, Args)]
pub struct Operator {
    /// Print the definition of the kind SplitPipeline (YAML, for kubectl apply) and end
    #[arg(long, exclusive = true)]
    pub crd: bool,
    /// Namespaces whose pipelines it scales, repeated or separated by commas; by default its own
    #[arg(long, env = "NAMESPACE", value_name = "NS", value_delimiter = ',', value_parser = kubernetes_name)]
    pub namespace: Vec<String>,
    /// ConfigMap of each of the namespaces that declares its pipelines, one as YAML under each key: each is applied where it is not
    /// there, or is declared otherwise than before
    #[arg(long, value_name = "CONFIGMAP", value_parser = dotted_name)]
    pub pipelines: Option<String>,
    /// Where the pages, /metrics, /livez and /readyz are; port 0 takes a free one
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "HOST:PORT")]
    pub listen: String,
    /// Folder for the decisions of each pipeline, NAMESPACE.NAME.jsonl, as `explain` and `replay` read them
    #[arg(long, value_name = "DIR")]
    pub decisions: Option<PathBuf>,
    /// Name of this replica, different from all others': a pod's name
    #[arg(long, env = "HOSTNAME", default_value = "splitscale", value_name = "NAME")]
    pub identity: String,
    /// Name of the lease by which a leader is elected, in the first of the namespaces
    #[arg(long, default_value = "splitscale", value_name = "NAME", value_parser = dotted_name)]
    pub lease: String,
    /// Lead without a lease: only where there is never a second replica, not even while one replaces another
    #[arg(long, conflicts_with = "lease")]
    pub no_leader_election: bool,
}
