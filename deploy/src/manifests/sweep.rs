//! A sweep as an Indexed Job: a pod a shard, on as many nodes as there are, and nothing shared between them.

use std::fmt::Write;

use splitscale_spec::Invalid;

use super::{Image, Rendered, head, is_name};

/// What a ConfigMap holds \[bytes\].
const CONFIG_MAP: usize = 1 << 20;

/// One sweep, as it is to run.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Of the Job.
    pub name: String,
    /// How many shards.
    pub shards: u32,
    /// How many pods at a time.
    pub parallelism: u32,
    /// Whole cores of a pod.
    pub cpus: u32,
    /// Memory of a pod \[MiB\].
    pub memory_mib: u32,
    /// Where the program comes from; none: as `cargo xtask images` names it.
    pub image: Option<Image>,
    /// The program needs libtorch.
    pub torch: bool,
    /// What a pod is told, but for its share.
    pub args: Vec<String>,
    /// The files that it reads, by their paths below its working directory, with `/`.
    pub inputs: Vec<(String, String)>,
    /// The words by which it is rendered, for the head of what is written.
    pub words: String,
}

impl Sweep {
    /// All files, in order.
    ///
    /// # Errors
    /// The first field that cannot be rendered.
    pub fn render(&self) -> Result<Vec<Rendered>, Invalid> {
        if !is_job_name(&self.name) {
            let problem =
                format!("{:?} is no name of a Job: a-z, 0-9 and - between them, at most 48", self.name);
            return Err(Invalid::new("name", problem));
        }
        for word in self.args.iter().chain(self.inputs.iter().map(|(path, _)| path)) {
            if word.chars().any(char::is_control) {
                return Err(Invalid::new("words", format!("{word:?} has a line break or the like in it")));
            }
        }
        let bytes: usize = self.inputs.iter().map(|(_, text)| text.len()).sum();
        if bytes > CONFIG_MAP {
            let problem = format!(
                "{bytes} bytes, and a ConfigMap holds {CONFIG_MAP}; give the pods a volume that has them (docs/sweeps.md)"
            );
            return Err(Invalid::new("inputs", problem));
        }
        let own = [("kustomization.yaml", self.kustomization()), ("job.yaml", self.job())];
        let own = own.into_iter().map(|(path, text)| Rendered { path: path.into(), text });
        let inputs = self.inputs.iter();
        Ok(own
            .chain(inputs.map(|(path, text)| Rendered { path: format!("inputs/{path}"), text: text.clone() }))
            .collect())
    }

    fn kustomization(&self) -> String {
        let mut files = String::new();
        for (number, (path, _)) in self.inputs.iter().enumerate() {
            let _ = writeln!(files, "      - {}", quoted(&format!("input-{number}=inputs/{path}")));
        }
        let image = self.image.as_ref().map(|image| format!("images:\n{}", image.entry(self.placeholder())));
        format!(
            "\
{head}resources:
  - job.yaml
{image}\
# What the pods read. A Job is never changed, and its name has no hash: a sweep of other files is a Job of another name.
configMapGenerator:
  - name: {name}-inputs
    files:
{files}\
generatorOptions:
  immutable: true
",
            head = head(&self.words),
            name = self.name,
            image = image.unwrap_or_default(),
        )
    }

    fn placeholder(&self) -> &'static str {
        if self.torch { super::overlay::WITH_LIBTORCH } else { super::overlay::PLAIN }
    }

    fn job(&self) -> String {
        let (mut args, mut items) = (String::new(), String::new());
        let share = [format!("--shard={}", self.shards), format!("--threads={}", self.cpus)];
        let fixed = ["--out=/out/shard", "--print-shard"].map(String::from);
        for word in self.args.iter().cloned().chain(share).chain(fixed) {
            let _ = writeln!(args, "            - {}", quoted(&word));
        }
        for (number, (path, _)) in self.inputs.iter().enumerate() {
            let _ = writeln!(items, "              - {{ key: input-{number}, path: {} }}", quoted(path));
        }
        let Sweep { name, shards, parallelism, cpus, memory_mib, .. } = self;
        let (image, version) = (self.placeholder(), env!("CARGO_PKG_VERSION"));
        format!(
            "\
# One pod a shard. It reads the ConfigMap, writes into its own scratch space, and prints its shard: `splitscale merge --job` reads
# that from its log. It asks nobody, and nobody asks it.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {name}
automountServiceAccountToken: false
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {name}
spec:
  podSelector:
    matchLabels: {{ splitscale.io/sweep: {name} }}
  policyTypes: [Ingress, Egress]
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  labels: &labels
    app.kubernetes.io/name: splitscale
    app.kubernetes.io/component: sweep
    splitscale.io/sweep: {name}
  annotations:
    checkov.io/skip1: CKV_K8S_43=images are loaded into the nodes by tag; name one by digest with `splitscale sweep --image`
    checkov.io/skip2: CKV_K8S_15=there may be no registry to ask; a tag is one version of the program and never moves
spec:
  completionMode: Indexed
  completions: {shards}
  parallelism: {parallelism}
  # An index that fails is run again by itself, and what others have done stays. One that has failed so often does not hold up
  # the others: `splitscale merge` names it.
  backoffLimitPerIndex: 4
  # A shard is the same whoever makes it, so another pod may begin while one is not known to have ended: that of a node that is gone
  # never is. A podFailurePolicy would have the Job wait for it.
  podReplacementPolicy: TerminatingOrFailed
  # The pods have the results in their logs: a day to fetch them, then they go with the Job.
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels: *labels
    spec:
      restartPolicy: Never
      serviceAccountName: {name}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 10
      # The first process of a namespace ignores SIGTERM until it has asked for it.
      shareProcessNamespace: true
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {{ type: RuntimeDefault }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{ splitscale.io/sweep: {name} }}
      # A node that is gone is waited for half a minute, not the five that are usual.
      tolerations:
        - {{ key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 30 }}
        - {{ key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 30 }}
      containers:
        - name: shard
          image: {image}:{version}
          imagePullPolicy: IfNotPresent
          workingDir: /inputs
          args:
{args}          resources:
            requests: {{ cpu: \"{cpus}\", memory: {memory_mib}Mi, ephemeral-storage: 64Mi }}
            limits: {{ cpu: \"{cpus}\", memory: {memory_mib}Mi, ephemeral-storage: 1Gi }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{ drop: [ALL] }}
          volumeMounts:
            - {{ name: inputs, mountPath: /inputs, readOnly: true }}
            - {{ name: out, mountPath: /out }}
      volumes:
        - name: inputs
          configMap:
            name: {name}-inputs
            items:
{items}        - name: out
          emptyDir: {{ sizeLimit: 512Mi }}
"
        )
    }
}

/// A text as YAML takes it, whatever it says.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=".contains(&byte);
    let named = text.starts_with("--") || text.starts_with("input-");
    if named && text.bytes().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Whether a Job with indexes can have it as its name: those of its pods are that, a number of up to five digits, and five letters.
pub fn is_job_name(name: &str) -> bool {
    name.len() <= 48 && is_name(name)
}
