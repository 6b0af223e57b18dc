package bed

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	proxy "k8s.io/kube-proxy/config/v1alpha1"
	kubelet "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

func TestSettingsAreWhatTheProgramsKnow(t *testing.T) {
	if _, err := cniPlugins(); err != nil {
		t.Skip(err)
	}
	b := Bed{t.TempDir()}
	if err := b.writeSettings(Workers[1], Options{DNS: "coredns"}); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(b.path("worker-2", name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var k kubelet.KubeletConfiguration
	if err := yaml.UnmarshalStrict(read("kubelet.yaml"), &k); err != nil {
		t.Error(err)
	}
	if k.Address != "10.99.0.12" || k.CgroupRoot != "/splitscale-worker-2" || k.Authentication.Anonymous.Enabled == nil || *k.Authentication.Anonymous.Enabled {
		t.Errorf("kubelet: %+v", k)
	}
	if len(k.ClusterDNS) != 1 || k.ClusterDNS[0] != gateway || k.ClusterDomain != "cluster.local" {
		t.Errorf("DNS of kubelet: %+v", k)
	}
	var p proxy.KubeProxyConfiguration
	if err := yaml.UnmarshalStrict(read("kube-proxy.yaml"), &p); err != nil {
		t.Error(err)
	}
	if p.Mode != "nftables" || p.HostnameOverride != "worker-2" || p.DetectLocalMode != "ClusterCIDR" {
		t.Errorf("kube-proxy: %+v", p)
	}
	var network struct {
		Plugins []struct {
			IPAM struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(read("cni/10-bridge.conflist"), &network); err != nil {
		t.Fatal(err)
	}
	if network.Plugins[0].IPAM.Ranges[0][0].Subnet != Workers[1].Pods {
		t.Errorf("network: %+v", network)
	}
	if text := string(read("containerd.toml")); !strings.Contains(text, PauseImage) || strings.Contains(text, "{{") {
		t.Error(text)
	}
}

func TestWhatWasRememberedFirstStays(t *testing.T) {
	b := Bed{t.TempDir()}
	if err := b.remember(); err != nil {
		t.Fatal(err)
	}
	var seen before
	if err := readJSON(b.path("before.json"), &seen); err != nil || seen.Sysctls["vm/overcommit_memory"] == "" {
		t.Fatal(seen, err)
	}
	seen.Sysctls = map[string]string{"kernel/panic": "17"}
	if err := writeJSON(b.path("before.json"), seen); err != nil {
		t.Fatal(err)
	}
	if err := b.remember(); err != nil {
		t.Fatal(err)
	}
	seen = before{}
	if err := readJSON(b.path("before.json"), &seen); err != nil || len(seen.Sysctls) != 1 {
		t.Error("an `up` after an `up` that was killed forgot what the machine was like", seen, err)
	}
}

func TestFoldersThatWorkersHideAreRefused(t *testing.T) {
	for _, hidden := range []string{"/var/lib/nobody-is-here/splitscale/testbed/run", "/var/run/splitscale/testbed/run"} {
		if err := (Bed{hidden}).checkFolder(); err == nil {
			t.Errorf("%s was taken", hidden)
		}
	}
	if err := (Bed{filepath.Join(t.TempDir(), "splitscale/testbed/run")}).checkFolder(); err != nil {
		t.Error(err)
	}
}
