//! The files of an overlay, as text: each is short, and has its reasons in it.

use std::fmt::Write;

use splitscale_policy::Mode;
use splitscale_spec::{Balancer, Bandwidth, Encoding, Invalid, StageConfig};

use super::{Cut, Manifests, head};

pub(super) const PLAIN: &str = "registry.local/splitscale";
pub(super) const WITH_LIBTORCH: &str = "registry.local/splitscale-torch";
/// What a server takes beside its share \[millicores\]: to load and pack weights, and for HTTP, which the share does not count.
const BESIDE_SHARE: u32 = 500;

/// Names and texts.
pub(super) fn files(asked: &Manifests) -> Result<Vec<(&'static str, String)>, Invalid> {
    let proxy = proxy(asked);
    let mut files = vec![
        ("kustomization.yaml", kustomization(asked, proxy.is_some())?),
        ("pipeline.yaml", pipeline(asked)),
        ("policy.json", asked.policy.clone()),
        ("a.yaml", stage(&asked.pipeline.a, asked.emulated.map(|times| times.a_s))),
        ("b.yaml", stage(&asked.pipeline.b, asked.emulated.map(|times| times.b_s))),
    ];
    files.extend(proxy.map(|proxy| ("proxy.yaml", proxy)));
    Ok(files)
}

pub(super) fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::F32 => "f32",
        Encoding::Bf16 => "bf16",
        Encoding::U8 => "u8",
    }
}

fn kustomization(asked: &Manifests, has_proxy: bool) -> Result<String, Invalid> {
    let cut = Cut::named(&asked.pipeline.cut.name)?;
    let link = &asked.pipeline.link;
    let pinned = if asked.pinned { "components:\n  - ../../components/pinned\n" } else { "" };
    let proxy = if has_proxy { patch("proxy") } else { String::new() };
    Ok(format!(
        "\
{head}resources:
  - ../../base
{pinned}{images}\
configMapGenerator:
  - name: splitscale-settings
    namespace: splitscale
    behavior: merge
    literals:
      - MODEL_VERSION={model_version}
      - ENGINE={engine}
      - ENCODING={encoding}
      - A_CPU_SHARE={share_a}
      - B_CPU_SHARE={share_b}
      - SLOTS={slots}
      - RTT={rtt}
  # Their names stay: the scaler sees what is new in them, and no pod has to start for it.
  - name: splitscale-policy
    namespace: splitscale
    files: [policy.json]
    options: {{ disableNameSuffixHash: true }}
  # The scaler makes the SplitPipeline of it: kubectl knows its kind only after this.
  - name: splitscale-pipelines
    namespace: splitscale
    files: [pipeline.yaml]
    options: {{ disableNameSuffixHash: true }}
patches:
{a}{b}{proxy}\
sortOptions:
  order: legacy
",
        head = head(&asked.words),
        images = images(asked),
        model_version = cut.model_version,
        engine = if asked.emulated.is_some() { "emulated" } else { "auto" },
        encoding = encoding_name(asked.encoding),
        share_a = asked.pipeline.a.cpu_share,
        share_b = asked.pipeline.b.cpu_share,
        slots = link.slots,
        rtt = if asked.real_link { 0.0 } else { link.rtt_s },
        a = patch("a"),
        b = patch("b"),
    ))
}

fn images(asked: &Manifests) -> String {
    match (&asked.image, asked.emulated) {
        (Some(image), _) => format!("images:\n{}{}", image.entry(WITH_LIBTORCH), image.entry(PLAIN)),
        // Nothing is computed, and so nothing is needed to compute it with.
        (None, Some(_)) => format!("images:\n  - name: {WITH_LIBTORCH}\n    newName: {PLAIN}\n"),
        (None, None) => String::new(),
    }
}

fn patch(server: &str) -> String {
    format!("  - path: {server}.yaml\n    target: {{ kind: Deployment, name: splitscale-{server} }}\n")
}

/// What a stage is given, and told.
fn stage(stage: &StageConfig, service_time_s: Option<f64>) -> String {
    let container = "/spec/template/spec/containers/0";
    let resources = |request: u32, limit: u32, [least, most]: [&str; 2]| {
        format!(
            "\
- op: replace
  path: {container}/resources
  value:
    requests: {{ cpu: {request}m, memory: {least}, ephemeral-storage: 16Mi }}
    limits: {{ cpu: {limit}m, memory: {most}, ephemeral-storage: 64Mi }}
"
        )
    };
    let Some(service_time_s) = service_time_s else {
        let share = (stage.cpu_share * 1000.0).ceil() as u32;
        let mut text = format!(
            "\
# A pod asks for its share of a core, and the server keeps to it by itself. The limit is {BESIDE_SHARE}m above: weights are loaded and
# packed before it is ready, and what HTTP takes is not of the share.
"
        );
        text += &resources(share, share + BESIDE_SHARE, ["384Mi", "1Gi"]);
        return text;
    };
    let mut text = "# A forward pass is a wait: it takes no CPU to speak of.\n".to_owned();
    text += &resources(20, BESIDE_SHARE, ["32Mi", "256Mi"]);
    let _ = write!(text, "- op: add\n  path: {container}/args/-\n  value: --service-time={service_time_s}\n");
    text
}

/// What the proxy is told beside the base; absent where that is nothing.
fn proxy(asked: &Manifests) -> Option<String> {
    let mut text = String::new();
    let mut tell = |why: &str, word: String| {
        let _ = write!(
            text,
            "# {why}\n- op: add\n  path: /spec/template/spec/containers/0/args/-\n  value: {word}\n"
        );
    };
    if !asked.real_link {
        let Bandwidth::PerSlot(mbit_s) = asked.pipeline.link.bandwidth;
        tell("The link is emulated: so much for each slot [Mbit/s].", format!("--slot-bandwidth={mbit_s}"));
    }
    let balance = match asked.pipeline.balancer {
        // A connection a request through B's Service, which is what the base does.
        Balancer::Random => None,
        Balancer::CentralQueue => Some("one-queue"),
        Balancer::RoundRobin => Some("round-robin"),
        Balancer::ShortestQueue => Some("least-outstanding"),
    };
    if let Some(balance) = balance {
        tell("The proxy knows each pod of B, by DNS.", "--next=dns://splitscale-b-pods:5001".into());
        tell("How it spreads activations over them.", format!("--balance={balance}"));
    }
    Some(text).filter(|text| !text.is_empty())
}

fn pipeline(asked: &Manifests) -> String {
    let (a, b, slo) = (&asked.pipeline.a, &asked.pipeline.b, &asked.pipeline.slo);
    let mode = match asked.mode {
        Mode::Recommend => "Recommend",
        Mode::Auto => "Auto",
        Mode::Paused => "Paused",
        Mode::Emergency => "Emergency",
    };
    let mut budget = String::new();
    if let Some(most) = asked.budget {
        let _ = writeln!(budget, "  # Most pods of both stages.\n  budget: {most}");
    }
    format!(
        "\
# What the scaler is to do with A and B. It applies this by itself, out of a ConfigMap.
apiVersion: splitscale.io/v1alpha1
kind: SplitPipeline
metadata:
  name: {name}
spec:
  # Recommend: decisions are told in the status, and none is carried out. Auto carries them out.
  mode: {mode}
  stages:
    a: {{ deployment: splitscale-a, minReplicas: {a_min}, maxReplicas: {a_max} }}
    b: {{ deployment: splitscale-b, minReplicas: {b_min}, maxReplicas: {b_max} }}
{budget}  slo: {{ latencySeconds: {latency_s}, target: {target} }}
  policy:
    configMap: {{ name: splitscale-policy, key: policy.json }}
",
        name = asked.name,
        a_min = a.pods_min,
        a_max = a.pods_max,
        b_min = b.pods_min,
        b_max = b.pods_max,
        latency_s = slo.latency_s,
        target = slo.target,
    )
}
