//! What `contest` takes.

use std::path::PathBuf;

use clap::Args;

use super::value::kubernetes_name;

/// A pipeline on Kubernetes that somebody else scales.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// What it is called in the results.
    pub name: String,
    /// The namespace of its Deployments `splitscale-a` and `splitscale-b`.
    pub namespace: String,
    /// Base URL of A.
    pub a: String,
    /// Base URL of its proxy.
    pub proxy: String,
}

/// `contest`
#[derive(Debug, Args)]
pub struct Contest {
    /// What is played (TOML): phases of traffic, arrivals, servers, pipeline; deploy/contests/ has one
    pub file: PathBuf,
    /// The policies (JSON), a pipeline of its own for each
    #[arg(required_unless_present = "deployed", conflicts_with = "deployed", value_name = "POLICY")]
    pub policies: Vec<PathBuf>,
    /// In place of policies: pipelines that run on Kubernetes and are scaled by whoever does, several times. Requests are sent, and
    /// slots are set and given back; `pods` and `servers` of the file are checked and say nothing then
    #[arg(long, value_name = "NAME=NAMESPACE,A-URL,PROXY-URL", value_parser = deployed)]
    pub deployed: Vec<Deployed>,
    /// A file that is written anew at each look: `NAMESPACE-a-busy 3`, the pods of each stage at work, as the test bed's API of
    /// external metrics reads it (`cluster up --external-metrics FILE`)
    #[arg(long, requires = "deployed", value_name = "FILE")]
    pub busy_file: Option<PathBuf>,
    /// The policy that decides where a learnt one is not to be trusted; by default the HPA as Kubernetes sets it up
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// What holds back each policy that the file has no shell for (TOML); by default that of `scale`
    #[arg(long, value_name = "FILE")]
    pub shell: Option<PathBuf>,
    /// A calibration (JSON): the pods that are useful become the cap, of every policy; without it, of `useful` alone
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Folder of JPEG and PNG files to send, or a file that lists some, one a line; without it a few that the
    /// program draws itself
    #[arg(long, value_name = "PATH")]
    pub images: Option<PathBuf>,
    /// Folder for contest.csv, contest-timeline.csv, figures/ and a folder a policy; new or empty
    #[arg(long, default_value = "out/contest", value_name = "DIR")]
    pub out: PathBuf,
}

fn deployed(text: &str) -> Result<Deployed, String> {
    let (name, rest) = text.split_once('=').ok_or("write NAME=NAMESPACE,A-URL,PROXY-URL")?;
    let [namespace, a, proxy] = rest.split(',').collect::<Vec<_>>()[..] else {
        return Err("write NAME=NAMESPACE,A-URL,PROXY-URL".to_owned());
    };
    let own = |text: &str| text.trim().to_owned();
    let namespace = kubernetes_name(namespace.trim())?;
    Ok(Deployed { name: own(name), namespace, a: own(a), proxy: own(proxy) })
}

#[cfg(test)]
mod tests {
    use super::deployed;

    #[test]
    fn a_pipeline_there_is_a_name_a_namespace_and_two_addresses() {
        let of = deployed("hpa=splitscale-hpa,http://10.0.0.1:30510,http://10.0.0.2:6000").unwrap();
        assert_eq!([of.name, of.namespace], ["hpa", "splitscale-hpa"]);
        assert_eq!([of.a, of.proxy], ["http://10.0.0.1:30510", "http://10.0.0.2:6000"]);
        assert!(deployed("hpa=,http://a,http://b").unwrap_err().contains("no name in Kubernetes"));
        for wrong in ["hpa", "hpa=x,http://a", "hpa=x,http://a,http://b,c"] {
            assert!(deployed(wrong).unwrap_err().contains("NAME=NAMESPACE"), "{wrong}");
        }
    }
}
