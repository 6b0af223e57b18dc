// Package bed is a Kubernetes cluster with two workers on one Linux machine: a control plane in the
// machine's own network, and two workers in namespaces of their own with a shaped link between them.
//
//	         10.99.0.1  etcd, kube-apiserver, controller-manager, scheduler
//	splitscale0 ┬──────────────────────────────────────┐
//	     splitscale-w1                            splitscale-w2
//	┌───────────┴───── worker-1 ─────┐   ┌─────────────┴─── worker-2 ─────┐
//	│ eth0 10.99.0.11                │   │ eth0 10.99.0.12                │
//	│ containerd kubelet kube-proxy  │   │ containerd kubelet kube-proxy  │
//	│ cni0 10.244.1.1   pods         │   │ cni0 10.244.2.1   pods         │
//	└────────────────────────────────┘   └────────────────────────────────┘
//
// All names and addresses are fixed, so a machine has one bed at a time. Whatever is made can be found
// again without the state that was kept: links and namespaces by name, processes by their environment
// (see process.go). That is why `down` works after any accident.
package bed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	bridge       = "splitscale0"
	gateway      = "10.99.0.1"
	machines     = "10.99.0.0/24"
	pods         = "10.244.0.0/16"
	services     = "10.96.0.0/16"
	firstService = "10.96.0.1" // the API server's, by Kubernetes' rule
	apiPort      = "6443"
	server       = "https://" + gateway + ":" + apiPort
)

// Worker is one of the two machines that are none.
type Worker struct {
	Name    string // of the node, and of its host
	Address string // on the bridge
	Gateway string // of its pods
	Pods    string // range of its pods' addresses
	Stage   string // label splitscale.io/stage: which half it is meant for
	netns   string // network namespace, under /run/netns
	veth    string // its end of the cable, in the root namespace
}

// Workers are both of them.
var Workers = [2]Worker{
	{"worker-1", "10.99.0.11", "10.244.1.1", "10.244.1.0/24", "a", "splitscale-worker-1", "splitscale-w1"},
	{"worker-2", "10.99.0.12", "10.244.2.1", "10.244.2.0/24", "b", "splitscale-worker-2", "splitscale-w2"},
}

// other is the worker that this one talks to.
func (w Worker) other() Worker {
	if w.Name == Workers[0].Name {
		return Workers[1]
	}
	return Workers[0]
}

// FindWorker finds one by its name.
func FindWorker(name string) (Worker, error) {
	for _, w := range Workers {
		if w.Name == name {
			return w, nil
		}
	}
	return Worker{}, fmt.Errorf("%q is no worker: there are %s and %s", name, Workers[0].Name, Workers[1].Name)
}

// Bed is the bed's folder: certificates, configurations, logs, etcd's data, the workers' disks.
type Bed struct {
	folder string
}

// Here is the bed of whoever calls: $XDG_CACHE_HOME/splitscale/testbed/run, or that under ~/.cache. A part of a bed, which has little of
// its caller's environment, is one of the bed that started it.
func Here() (Bed, error) {
	if folder := os.Getenv(markFolder); filepath.IsAbs(folder) {
		return Bed{folder}, nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if home := os.Getenv("HOME"); !filepath.IsAbs(cache) && filepath.IsAbs(home) {
		cache = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(cache) {
		return Bed{}, errors.New("no place for the bed's files: set HOME or XDG_CACHE_HOME")
	}
	return Bed{filepath.Join(cache, "splitscale", "testbed", "run")}, nil
}

// path is a file's in the bed's folder.
func (b Bed) path(parts ...string) string {
	return filepath.Join(append([]string{b.folder}, parts...)...)
}

// log is where a process writes, e.g. "apiserver" or "worker-1/kubelet".
func (b Bed) log(name string) string {
	return b.path("log", name+".log")
}

// Kubeconfig is the administrator's, where the bed has one.
func (b Bed) Kubeconfig() (string, error) {
	path := b.path("kubeconfig")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", errDown
	} else if err != nil {
		return "", err
	}
	return path, nil
}

var errDown = errors.New("the bed is down: `cargo xtask cluster up` starts it")

// write makes a file that only its owner may read, and the folders above it. The rename makes sure
// that it is whole wherever it is there.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial := path + ".partial"
	if err := os.WriteFile(partial, content, 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
