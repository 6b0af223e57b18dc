package bed

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfigs writes one for each client of the API server; the administrator's is the one that
// users are given.
func (b Bed) writeKubeconfigs() error {
	if err := b.writeKubeconfig("admin", b.path("kubeconfig")); err != nil {
		return err
	}
	names := []string{"controller-manager", "scheduler", "kube-proxy", "metrics-server", "dns"}
	for _, w := range Workers {
		names = append(names, w.Name)
	}
	for _, name := range names {
		if err := b.writeKubeconfig(name, b.path("kubeconfigs", name)); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfig writes one with a certificate's content, so that the file can be copied elsewhere.
func (b Bed) writeKubeconfig(name, path string) error {
	read := func(file string) ([]byte, error) { return os.ReadFile(b.path("certificates", file)) }
	authority, err := read("cluster.crt")
	if err != nil {
		return err
	}
	certificate, err := read(name + ".crt")
	if err != nil {
		return err
	}
	key, err := read(name + ".key")
	if err != nil {
		return err
	}
	const cluster = "splitscale-testbed"
	config := api.NewConfig()
	config.Clusters[cluster] = &api.Cluster{Server: server, CertificateAuthorityData: authority}
	config.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: name}
	config.CurrentContext = cluster
	content, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return write(filepath.Clean(path), content)
}

// client speaks to the API server as the administrator.
func (b Bed) client() (*kubernetes.Clientset, error) {
	path, err := b.Kubeconfig()
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	config.Timeout = 5 * time.Second
	// The bed's addresses are this machine's: no proxy knows them.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	return kubernetes.NewForConfig(config)
}
