package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the components' own metrics of their clients
	_ "k8s.io/component-base/metrics/prometheus/version"  // and of their version
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// components are Kubernetes' programs as they are: each takes the flags of the binary of its name.
// One binary holds them all, for they share nine tenths of their code.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": manager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	// A context of its own: a second one that listens for signals would panic.
	"kubelet": func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl": kubectl.NewDefaultKubectlCommand,
}

// runComponent becomes a component where the first word names one; false where it does not.
func runComponent(words []string) bool {
	if len(words) == 0 {
		return false
	}
	if words[0] == "etcd" {
		etcdmain.Main(words)
		return true
	}
	make, known := components[words[0]]
	if !known {
		return false
	}
	// Cobra and the flags below it read the words from here.
	os.Args = words
	if words[0] == "kubectl" {
		if err := cli.RunNoErrOutput(make()); err != nil {
			os.Exit(1)
		}
		return true
	}
	os.Exit(cli.Run(make()))
	return true
}
