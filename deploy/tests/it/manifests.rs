//! The manifests as they stand in the tree: what must hold of every one of them, whoever changes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use splitscale_deploy::kubernetes::SplitPipeline;
use splitscale_deploy::manifests::{Manifests, ServiceTimes, Sweep};
use splitscale_policy::Mode;
use splitscale_spec::{Encoding, PipelineConfig};

use crate::crd::wrong;

fn room() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The documents of a file.
fn documents(name: &str, text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// All that stands in the base.
fn base() -> Vec<Value> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(room().join("base")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let all = files.iter().flat_map(|file| documents(&file.display().to_string(), &read(file)));
    all.filter(|document| document["kind"] != "Kustomization").collect()
}

/// Folders that kustomize can build, for whoever has it: the base, every overlay, and one with monitoring.
fn overlays() -> Vec<PathBuf> {
    let overlays = fs::read_dir(room().join("overlays")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = overlays.collect();
    all.sort();
    all.extend(["base", "tests/monitored", "contests/cluster/useful"].map(|name| room().join(name)));
    all
}

/// What kustomize makes of a folder; absent where there is no kubectl.
fn built(folder: &Path) -> Option<Vec<Value>> {
    let Ok(output) = Command::new("kubectl").arg("kustomize").arg(folder).output() else {
        println!("skipped: no kubectl, which builds {}", folder.display());
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", folder.display());
    Some(documents(&folder.display().to_string(), &String::from_utf8_lossy(&output.stdout)))
}

fn named<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = all.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|one| one["kind"] == kind).collect()
}

/// What must hold of manifests, built or not.
fn hold(all: &[Value]) {
    let deployments = of_kind(all, "Deployment");
    let names: Vec<&Value> = deployments.iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["splitscale-a", "splitscale-b", "splitscale-proxy", "splitscale-scaler"]);
    for deployment in deployments {
        let name = deployment["metadata"]["name"].as_str().unwrap();
        let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
        let scaled = ["splitscale-a", "splitscale-b"].contains(&name);
        assert_eq!(spec["replicas"].is_null(), scaled, "{name}: replicas of A and B are the scaler's");
        named(all, "ServiceAccount", pod["serviceAccountName"].as_str().unwrap());
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["shareProcessNamespace"], true, "{name}: SIGTERM is not lost while it starts");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{name}");
            for of in ["requests", "limits"] {
                for resource in ["cpu", "memory", "ephemeral-storage"] {
                    assert!(container["resources"][of][resource].is_string(), "{name}: {of} {resource}");
                }
            }
            for (probe, path) in
                [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
            {
                assert_eq!(container[probe]["httpGet"]["path"], path, "{name}: {probe}");
            }
            let image = container["image"].as_str().unwrap();
            let tag = format!(":{}", env!("CARGO_PKG_VERSION"));
            assert!(image.ends_with(&tag), "{name}: {image} is not of this version");
        }
        let labels = &spec["selector"]["matchLabels"];
        assert_eq!(labels, &spec["template"]["metadata"]["labels"], "{name}");
        for kind in ["Service", "PodDisruptionBudget", "NetworkPolicy"] {
            named(all, kind, name);
        }
        let budget = named(all, "PodDisruptionBudget", name);
        assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels, "{name}");
        assert_eq!(
            &named(all, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"],
            labels,
            "{name}"
        );
    }
    for service in of_kind(all, "Service") {
        let component = &service["spec"]["selector"]["app.kubernetes.io/component"];
        named(all, "Deployment", &format!("splitscale-{}", component.as_str().unwrap()));
    }
    hold_of_rights(all);
}

/// Nothing but what the scaler needs, and that by name.
fn hold_of_rights(all: &[Value]) {
    for kind in ["Secret", "ClusterRole", "ClusterRoleBinding"] {
        assert!(of_kind(all, kind).is_empty(), "{kind}");
    }
    let roles = of_kind(all, "Role");
    let rules: Vec<&Value> = roles.iter().flat_map(|role| role["rules"].as_array().unwrap()).collect();
    let words = |rule: &Value, of: &str| -> BTreeSet<String> {
        let words = rule[of].as_array().map(Vec::as_slice).unwrap_or_default();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    for rule in &rules {
        for of in ["apiGroups", "resources", "verbs"] {
            assert!(!words(rule, of).contains("*"), "{rule}");
        }
        assert!(!words(rule, "resources").contains("secrets"), "{rule}");
        for verb in ["delete", "deletecollection", "escalate", "bind", "impersonate", "update"] {
            assert!(!words(rule, "verbs").contains(verb), "{rule}");
        }
    }
    // A ConfigMap of the same name would have had its hash put here.
    let lease = rules
        .iter()
        .find(|rule| words(rule, "verbs").contains("patch") && words(rule, "resources").contains("leases"));
    assert_eq!(words(lease.expect("a rule of leases"), "resourceNames"), ["splitscale".to_owned()].into());
    let scale: Vec<_> =
        rules.iter().filter(|rule| words(rule, "resources").contains("deployments/scale")).collect();
    assert_eq!(scale.len(), 1, "one rule lets the scaler scale");
    assert_eq!(words(scale[0], "resourceNames"), ["splitscale-a", "splitscale-b"].map(String::from).into());
    assert_eq!(words(scale[0], "verbs"), ["get", "patch"].map(String::from).into());
}

#[test]
fn the_base_asks_for_no_more_than_it_needs() {
    hold(&base());
}

#[test]
fn kustomize_builds_every_overlay_and_the_same_holds() {
    for folder in overlays() {
        let Some(all) = built(&folder) else { return };
        hold(&all);
        let told = |name: &str| {
            let container = &named(&all, "Deployment", name)["spec"]["template"]["spec"]["containers"][0];
            let words: Vec<String> =
                container["args"].as_array().unwrap().iter().map(|word| word.to_string()).collect();
            words.join(" ")
        };
        for name in ["splitscale-a", "splitscale-proxy"] {
            assert!(told(name).contains("--fresh-connections"), "{name}: B is behind a Service");
        }
        // kubectl looks all kinds up before it applies one: an object beside the definition of its kind could not be applied.
        assert_eq!(of_kind(&all, "SplitPipeline").len(), 0, "{}", folder.display());
        let declared = of_kind(&all, "ConfigMap");
        let declared: Vec<&Value> =
            declared.into_iter().filter(|map| map["metadata"]["name"] == "splitscale-pipelines").collect();
        assert_eq!(declared.len(), usize::from(!folder.ends_with("base")), "{}", folder.display());
        assert!(told("splitscale-scaler").contains("--pipelines=splitscale-pipelines"));
        for text in declared.iter().flat_map(|map| map["data"].as_object().unwrap().values()) {
            let pipeline: SplitPipeline = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
            assert_eq!(wrong(&pipeline), "", "{}", folder.display());
            let source = pipeline.spec.policy.config_map.unwrap();
            let held = named(&all, "ConfigMap", &source.name);
            let policy = held["data"][&source.key].as_str().unwrap();
            let policy: splitscale_policy::Policy = serde_json::from_str(policy).unwrap();
            policy.validate().unwrap();
        }
    }
}

#[test]
fn the_pipeline_of_the_hpa_has_no_scaler_of_ours_beside_it() {
    let Some(all) = built(&room().join("contests/cluster/hpa")) else { return };
    assert!(
        all.iter().all(|one| one["metadata"]["name"] != "splitscale-pipelines"),
        "no pipeline is declared"
    );
    assert!(
        all.iter().all(|one| one["metadata"]["name"] != "splitscale-scaler" || one["kind"] != "Deployment")
    );
    let scaled: Vec<&Value> = of_kind(&all, "HorizontalPodAutoscaler");
    let targets: Vec<&Value> = scaled.iter().map(|one| &one["spec"]["scaleTargetRef"]["name"]).collect();
    assert_eq!(targets, ["splitscale-a", "splitscale-b"]);
    let outside = all.iter().filter(|one| one["metadata"]["namespace"] == "splitscale");
    assert_eq!(outside.count(), 0, "beside the pipeline in `splitscale`, not in it");
}

#[test]
fn only_the_demo_keeps_the_stages_to_nodes_that_are_labelled() {
    let required = |overlay: &str| {
        let all = built(&room().join("overlays").join(overlay))?;
        let of = |name: &str| {
            let affinity = &named(&all, "Deployment", name)["spec"]["template"]["spec"]["affinity"];
            let terms = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
            terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"][0].as_str().map(str::to_owned)
        };
        Some(["splitscale-a", "splitscale-proxy", "splitscale-b"].map(of))
    };
    let Some(demo) = required("demo") else { return };
    assert_eq!(demo, ["a", "a", "b"].map(|stage| Some(stage.to_owned())));
    assert_eq!(required("emulated").unwrap(), [None, None, None]);
}

#[test]
fn every_metric_that_is_watched_is_one_that_is_told() {
    let table = read(&room().join("../docs/metrics.md"));
    let known: BTreeSet<&str> = table.split('`').filter(|word| word.starts_with("split_")).collect();
    let folder = room().join("components/monitoring");
    let mut seen = 0;
    for file in ["monitors.yaml", "dashboard.json"] {
        let text = read(&folder.join(file));
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for word in text.split(|c| !letters(c)).filter(|word| word.starts_with("split_")) {
            let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
            assert!(
                known.contains(word) || family.is_some_and(|word| known.contains(word)),
                "{file}: {word}"
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// The pipeline of the demo, changed.
fn asked(change: impl FnOnce(&mut PipelineConfig)) -> Manifests {
    let text = read(&room().join("pipelines/demo.toml"));
    let mut pipeline: PipelineConfig = toml::from_str(&text).unwrap();
    change(&mut pipeline);
    Manifests {
        name: "mine".into(),
        pipeline: pipeline.validate().unwrap(),
        policy: String::new(),
        mode: Mode::Recommend,
        budget: None,
        encoding: Encoding::F32,
        image: None,
        emulated: None,
        real_link: false,
        pinned: false,
        words: "words".into(),
    }
}

/// A file of what is rendered.
fn file(asked: &Manifests, path: &str) -> String {
    let all = asked.render().unwrap();
    all.into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}")).text
}

#[test]
fn what_a_pipeline_says_is_what_the_servers_are_told() {
    let mut mine = asked(|pipeline| {
        (pipeline.link.rtt_s, pipeline.link.slots) = (0.02, 3);
        pipeline.balancer = splitscale_spec::Balancer::CentralQueue;
        (pipeline.a.cpu_share, pipeline.b.pods_max) = (0.25, 5);
    });
    let kustomization = file(&mine, "overlays/mine/kustomization.yaml");
    for line in [
        "MODEL_VERSION=1",
        "ENGINE=auto",
        "ENCODING=f32",
        "A_CPU_SHARE=0.25",
        "B_CPU_SHARE=0.1",
        "SLOTS=3",
        "RTT=0.02",
    ] {
        assert!(kustomization.contains(&format!("- {line}\n")), "{line}: {kustomization}");
    }
    let proxy = file(&mine, "overlays/mine/proxy.yaml");
    for word in ["--slot-bandwidth=50", "--next=dns://splitscale-b-pods:5001", "--balance=one-queue"] {
        assert!(proxy.contains(&format!("value: {word}\n")), "{word}: {proxy}");
    }
    assert!(file(&mine, "overlays/mine/a.yaml").contains("requests: { cpu: 250m,"));
    let pipeline = file(&mine, "overlays/mine/pipeline.yaml");
    assert!(
        pipeline.contains("b: { deployment: splitscale-b, minReplicas: 1, maxReplicas: 5 }"),
        "{pipeline}"
    );
    // The network as it is, and no engine.
    (mine.real_link, mine.emulated) = (true, Some(ServiceTimes { a_s: 0.5, b_s: 0.25 }));
    assert!(file(&mine, "overlays/mine/kustomization.yaml").contains("- RTT=0\n"));
    assert!(!file(&mine, "overlays/mine/proxy.yaml").contains("bandwidth"));
    assert!(file(&mine, "overlays/mine/b.yaml").contains("--service-time=0.25\n"));
}

#[test]
fn what_cannot_be_rendered_is_told_by_its_field() {
    let field = |manifests: Manifests| manifests.render().unwrap_err().to_string();
    let said = field(asked(|pipeline| pipeline.cut.name = "layer9".into()));
    assert!(said.starts_with("cut.name: \"layer9\""), "{said}");
    let said = field(Manifests { encoding: Encoding::U8, ..asked(|_| ()) });
    assert!(said.starts_with("cut.payload_bytes: 802816") && said.contains("200704 bytes"), "{said}");
    let said = field(Manifests { name: "-mine".into(), ..asked(|_| ()) });
    assert!(said.starts_with("name: "), "{said}");
    let said = field(Manifests { budget: Some(1), ..asked(|_| ()) });
    assert!(said.starts_with("budget: 1 is below"), "{said}");
}

/// A sweep of two files, one of them not where the other is.
fn swept() -> Sweep {
    Sweep {
        name: "mine".into(),
        shards: 8,
        parallelism: 3,
        cpus: 2,
        memory_mib: 256,
        image: None,
        torch: false,
        args: ["simulate", "it's/e.toml", "--set=a.pods=4"].map(String::from).into(),
        inputs: vec![("it's/e.toml".into(), "x = 1\n".into()), ("data/rates".into(), "0 1\n".into())],
        words: "words".into(),
    }
}

#[test]
fn a_sweep_is_a_job_that_may_do_nothing_but_its_work() {
    let all = swept().render().unwrap();
    let text =
        |path: &str| &all.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}")).text;
    assert_eq!(text("inputs/data/rates"), "0 1\n");
    let written = documents("job.yaml", text("job.yaml"));
    let account = named(&written, "ServiceAccount", "mine");
    assert_eq!(account["automountServiceAccountToken"], false);
    let job = &named(&written, "Job", "mine")["spec"];
    assert_eq!(
        (&job["completionMode"], &job["completions"], &job["parallelism"]),
        (&"Indexed".into(), &8.into(), &3.into())
    );
    // Only without a podFailurePolicy may an index be run again while the pod of a lost node is not known to have ended.
    assert_eq!(job["podReplacementPolicy"], "TerminatingOrFailed");
    assert!(job["podFailurePolicy"].is_null() && job["backoffLimitPerIndex"].as_u64() > Some(1));
    let pod = &job["template"]["spec"];
    assert_eq!(
        (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
        (&"Never".into(), &false.into())
    );
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    for of in ["requests", "limits"] {
        assert_eq!(
            (&container["resources"][of]["cpu"], &container["resources"][of]["memory"]),
            (&"2".into(), &"256Mi".into())
        );
    }
    let args: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let told = [
        "simulate",
        "it's/e.toml",
        "--set=a.pods=4",
        "--shard=8",
        "--threads=2",
        "--out=/out/shard",
        "--print-shard",
    ];
    assert_eq!(args, told);
    let items = pod["volumes"][0]["configMap"]["items"].as_array().unwrap();
    assert_eq!(items[0], serde_json::json!({"key": "input-0", "path": "it's/e.toml"}));
    let policy = &named(&written, "NetworkPolicy", "mine")["spec"];
    assert_eq!(policy["podSelector"]["matchLabels"]["splitscale.io/sweep"], "mine");
    assert!(policy["egress"].is_null() && policy["ingress"].is_null(), "it talks to nobody");
    assert!(of_kind(&written, "Role").is_empty());
}

#[test]
fn a_sweep_that_cannot_be_a_job_is_told_by_its_field() {
    let said = |sweep: Sweep| sweep.render().unwrap_err().to_string();
    assert!(said(Sweep { name: "a".repeat(49), ..swept() }).starts_with("name: "));
    assert!(said(Sweep { name: "A".into(), ..swept() }).starts_with("name: "));
    let much = said(Sweep { inputs: vec![("t".into(), "x".repeat((1 << 20) + 1))], ..swept() });
    assert!(much.starts_with("inputs: 1048577 bytes, and a ConfigMap holds 1048576"), "{much}");
}

#[test]
fn kustomize_builds_every_sweep_in_the_tree() {
    let folders = fs::read_dir(room().join("sweeps")).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders {
        let Some(all) = built(&folder) else { return };
        let [job] = of_kind(&all, "Job")[..] else { panic!("{}: one Job", folder.display()) };
        let pod = &job["spec"]["template"]["spec"];
        let inputs = &pod["volumes"][0]["configMap"];
        let held = named(&all, "ConfigMap", inputs["name"].as_str().unwrap());
        assert_eq!(held["immutable"], true);
        for item in inputs["items"].as_array().unwrap() {
            assert!(held["data"][item["key"].as_str().unwrap()].is_string(), "{item}");
        }
        let image = pod["containers"][0]["image"].as_str().unwrap();
        assert!(image.ends_with(&format!(":{}", env!("CARGO_PKG_VERSION"))), "{image}");
    }
}
