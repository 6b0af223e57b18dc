package bed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"
)

// The ports of etcd are not its own, so that an etcd of the machine is not in the way.
const (
	etcdClients = "https://127.0.0.1:12379"
	etcdPeers   = "https://127.0.0.1:12380"
)

// part is a process in the root namespace.
type part struct {
	name    string
	program string // path; empty for this binary
	words   []string
}

// parts of the control plane, in the order in which they are started.
func (b Bed) parts(options Options) []part {
	file := func(name string) string { return b.path("certificates", name) }
	as := func(name string) []string {
		kubeconfig := b.path("kubeconfigs", name)
		return []string{
			"kube-" + name,
			"--kubeconfig=" + kubeconfig,
			"--authentication-kubeconfig=" + kubeconfig,
			"--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
		}
	}
	manager := append(as("controller-manager"),
		"--service-account-private-key-file="+file("service-account.key"),
		"--use-service-account-credentials=true",
		"--root-ca-file="+file("cluster.crt"),
		"--cluster-signing-cert-file="+file("cluster.crt"),
		"--cluster-signing-key-file="+file("cluster.key"),
	)
	if options.HPASync > 0 {
		manager = append(manager, "--horizontal-pod-autoscaler-sync-period="+strconv.Itoa(options.HPASync)+"s")
	}
	return []part{
		{"etcd", "", []string{
			"etcd",
			"--name=testbed",
			"--data-dir=" + b.path("etcd"),
			"--listen-client-urls=" + etcdClients,
			"--advertise-client-urls=" + etcdClients,
			"--listen-peer-urls=" + etcdPeers,
			"--initial-advertise-peer-urls=" + etcdPeers,
			"--initial-cluster=testbed=" + etcdPeers,
			"--cert-file=" + file("etcd-serving.crt"),
			"--key-file=" + file("etcd-serving.key"),
			"--trusted-ca-file=" + file("etcd.crt"),
			"--client-cert-auth=true",
			"--peer-cert-file=" + file("etcd-serving.crt"),
			"--peer-key-file=" + file("etcd-serving.key"),
			"--peer-trusted-ca-file=" + file("etcd.crt"),
			"--peer-client-cert-auth=true",
			// What this cluster knows is thrown away with it.
			"--unsafe-no-fsync=true",
			"--log-level=warn",
		}},
		{"apiserver", "", []string{
			"kube-apiserver",
			"--bind-address=" + gateway,
			"--advertise-address=" + gateway,
			"--secure-port=" + apiPort,
			"--etcd-servers=" + etcdClients,
			"--etcd-cafile=" + file("etcd.crt"),
			"--etcd-certfile=" + file("etcd-client.crt"),
			"--etcd-keyfile=" + file("etcd-client.key"),
			"--service-cluster-ip-range=" + services,
			"--tls-cert-file=" + file("apiserver.crt"),
			"--tls-private-key-file=" + file("apiserver.key"),
			"--client-ca-file=" + file("cluster.crt"),
			"--kubelet-certificate-authority=" + file("cluster.crt"),
			"--kubelet-client-certificate=" + file("apiserver-kubelet.crt"),
			"--kubelet-client-key=" + file("apiserver-kubelet.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + file("service-account.pub"),
			"--service-account-signing-key-file=" + file("service-account.key"),
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true",
			// APIServices: who asks is told in headers, which only this certificate may send.
			"--requestheader-client-ca-file=" + file("front.crt"),
			"--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + file("front-client.crt"),
			"--proxy-client-key-file=" + file("front-client.key"),
			// Addresses of services are none of this namespace's: it asks the endpoints.
			"--enable-aggregator-routing=true",
			"--profiling=false",
		}},
		{"controller-manager", "", manager},
		{"scheduler", "", as("scheduler")},
	}
}

// startControlPlane starts all of it. The controller-manager gives up where there is no API server, so
// that is waited for.
func (b Bed) startControlPlane(ctx context.Context, options Options) error {
	for _, part := range b.parts(options) {
		if err := b.start(part); err != nil {
			return err
		}
		if part.name == "apiserver" {
			if err := b.waitReady(ctx, "apiserver", b.apiReady); err != nil {
				return err
			}
		}
	}
	return nil
}

// apiReady is what the API server's /readyz lacks.
func (b Bed) apiReady(ctx context.Context) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// waitReady waits for a part that was started, and not longer than it and what it needs live.
func (b Bed) waitReady(ctx context.Context, name string, missing func(context.Context) error) error {
	return wait(ctx, name+" is ready", 2*time.Minute, b.log(name), func(ctx context.Context) error {
		for _, needed := range []string{"etcd", name} {
			if b.find(needed).pid == 0 {
				return final{fmt.Errorf("%s has ended, its log is %s", needed, b.log(needed))}
			}
		}
		return missing(ctx)
	})
}

// Stop ends a part at once, as a crash does. With hang it stays, and answers nothing any more.
func (b Bed) Stop(ctx context.Context, name string, hang bool) error {
	if _, err := b.named(name); err != nil {
		return err
	}
	found := b.find(name)
	if found.pid == 0 {
		return fmt.Errorf("%s does not run", name)
	}
	if hang {
		return syscall.Kill(found.pid, syscall.SIGSTOP)
	}
	return b.kill(ctx, found)
}

// Start brings a part back that was stopped, or that hangs.
func (b Bed) Start(ctx context.Context, name string) error {
	part, err := b.named(name)
	if err != nil {
		return err
	}
	if found := b.find(name); found.pid != 0 {
		return syscall.Kill(found.pid, syscall.SIGCONT)
	}
	if err := b.start(part); err != nil || name != "apiserver" {
		return err
	}
	return b.waitReady(ctx, name, b.apiReady)
}

// named is a part of the bed that is up.
func (b Bed) named(name string) (part, error) {
	var options Options
	if err := readJSON(b.path("up.json"), &options); errors.Is(err, fs.ErrNotExist) {
		return part{}, errDown
	} else if err != nil {
		return part{}, err
	}
	names := ""
	for _, part := range append(b.parts(options), b.extras(options)...) {
		if part.name == name {
			return part, nil
		}
		names += " " + part.name
	}
	return part{}, fmt.Errorf("%q is no part of the control plane: its parts are%s", name, names)
}

// portFree waits until nothing listens at the API server's port any more.
func (b Bed) portFree(ctx context.Context) error {
	return wait(ctx, "port "+apiPort+" is free", 10*time.Second, b.log("apiserver"), func(context.Context) error {
		listener, err := net.Listen("tcp", net.JoinHostPort(gateway, apiPort))
		if err != nil {
			return err
		}
		return listener.Close()
	})
}
