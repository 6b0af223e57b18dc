package bed

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"text/template"
)

// PauseImage holds a pod's namespaces; `up` packs it.
const PauseImage = "registry.local/pause:1"

// plainImage is two services that are not ours, for `tests/plain`.
const plainImage = "registry.local/plain:1"

// What a worker's programs are told. Paths are those that the worker sees: /run, /var/lib and /var/log are
// its own (see inside.go).
var settings = map[string]string{
	"containerd.toml": `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{.Pause}}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE nobody may lower a score, and every sandbox would fail with "can't get final
  # child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{{.Snapshotter}}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{{.Plugins}}"
    conf_dir = "{{.Folder}}/cni"
`,
	// No NAT: pods of both workers see each other's addresses, and the shaper tells them apart by range.
	"cni/10-bridge.conflist": `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": true,
    "ipMasq": false,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "ranges": [[{"subnet": "{{.Worker.Pods}}"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`,
	"kubelet.yaml": `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {{.Worker.Address}}
tlsCertFile: {{.Certificates}}/{{.Worker.Name}}-serving.crt
tlsPrivateKeyFile: {{.Certificates}}/{{.Worker.Name}}-serving.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: {{.Certificates}}/cluster.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{{.Group}}
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: [pods]
# Two nodes of one machine must not promise its memory twice.
systemReserved: {memory: "{{.Reserved}}Ki"}
# The machine's disk is not the bed's to clean up.
evictionHard: {memory.available: 1%, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
# Faults are what the bed is for: a container that was killed comes back at once, every time.
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
# The machine's own DNS is not for the pods.
resolvConf: ""
{{- if .DNS}}
clusterDNS: ["{{.DNS}}"]
clusterDomain: cluster.local
{{- end}}
oomScoreAdj: 0
`,
	"kube-proxy.yaml": `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: {{.Worker.Name}}
clientConnection: {kubeconfig: {{.Kubeconfigs}}/kube-proxy}
clusterCIDR: {{.AllPods}}
detectLocalMode: ClusterCIDR
healthzBindAddress: {{.Worker.Address}}:10256
metricsBindAddress: {{.Worker.Address}}:10249
# Connection tracking is sized for the whole machine, from its first network namespace only.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
`,
}

// writeSettings writes the settings of a worker's programs.
func (b Bed) writeSettings(w Worker, options Options) error {
	dns := ""
	if options.DNS != "" {
		dns = gateway
	}
	memory, err := memoryKiB()
	if err != nil {
		return err
	}
	plugins, err := cniPlugins()
	if err != nil {
		return err
	}
	values := map[string]any{
		"Worker":       w,
		"Folder":       b.path(w.Name),
		"Certificates": b.path("certificates"),
		"Kubeconfigs":  b.path("kubeconfigs"),
		"Group":        w.netns,
		"AllPods":      pods,
		"Pause":        PauseImage,
		"Plugins":      plugins,
		"Snapshotter":  b.snapshotter(),
		"Reserved":     memory / 2,
		"DNS":          dns,
	}
	for name, text := range settings {
		var content bytes.Buffer
		if err := template.Must(template.New(name).Parse(text)).Execute(&content, values); err != nil {
			return err
		}
		if err := write(b.path(w.Name, name), content.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// snapshotter is what keeps the layers of images. In a container the disk is an overlay itself, and no
// overlay can be laid on that: layers are then copied.
func (b Bed) snapshotter() string {
	const overlay = 0x794c7630
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.folder, &disk); err == nil && disk.Type == overlay {
		return "native"
	}
	return "overlayfs"
}

// cniPlugins is the folder where the machine has them: Debian's, or everybody else's.
func cniPlugins() (string, error) {
	for _, folder := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if _, err := os.Stat(folder + "/bridge"); err == nil {
			return folder, nil
		}
	}
	return "", fmt.Errorf("no CNI plugins in /usr/lib/cni, /opt/cni/bin or /usr/libexec/cni: apt-get install containernetworking-plugins")
}

// memoryKiB is the machine's memory.
func memoryKiB() (int, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(content), "\n") {
		if rest, is := strings.CutPrefix(line, "MemTotal:"); is {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemTotal")
}
