package bed

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/template"
	"time"
)

// Where metrics servers listen, in the root namespace: the API server reaches them by an EndpointSlice.
const (
	metricsPort  = "10443"
	externalPort = "10444"
)

//go:embed metrics.yaml
var metricsObjects string

//go:embed external.yaml
var externalObjects string

// metricsParts are the processes that serve metrics, of those that were asked for.
func (b Bed) metricsParts(options Options) []part {
	file := func(name string) string { return b.path("certificates", name) }
	var parts []part
	if options.MetricsServer != "" {
		kubeconfig := b.path("kubeconfigs", "metrics-server")
		parts = append(parts, part{"metrics-server", options.MetricsServer, []string{
			"--kubeconfig=" + kubeconfig,
			"--authentication-kubeconfig=" + kubeconfig,
			"--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=" + gateway,
			"--secure-port=" + metricsPort,
			"--tls-cert-file=" + file("metrics-server-serving.crt"),
			"--tls-private-key-file=" + file("metrics-server-serving.key"),
			"--kubelet-certificate-authority=" + file("cluster.crt"),
			"--kubelet-preferred-address-types=InternalIP",
			"--metric-resolution=10s",
			// It wants that to be the longer one; by default both are 10 s.
			"--kubelet-request-timeout=5s",
		}})
	}
	if options.ExternalMetrics != "" {
		parts = append(parts, part{"external-metrics", "", []string{"external-metrics", options.ExternalMetrics}})
	}
	return parts
}

// addMetrics starts what serves metrics, and tells the API server which of its paths they answer.
func (b Bed) addMetrics(ctx context.Context, options Options) error {
	for _, part := range b.metricsParts(options) {
		if err := b.start(part); err != nil {
			return err
		}
		objects, service, port := metricsObjects, "v1beta1.metrics.k8s.io", metricsPort
		if part.name == "external-metrics" {
			objects, service, port = externalObjects, "v1beta1.external.metrics.k8s.io", externalPort
		}
		if err := b.apply(ctx, objects, port); err != nil {
			return err
		}
		err := b.waitReady(ctx, part.name, func(ctx context.Context) error { return b.available(ctx, service) })
		if err != nil {
			return err
		}
	}
	return nil
}

// apply makes objects, as `kubectl apply` does.
func (b Bed) apply(ctx context.Context, objects, port string) error {
	authority, err := os.ReadFile(b.path("certificates", "cluster.crt"))
	if err != nil {
		return err
	}
	values := map[string]string{
		"Address":   gateway,
		"Port":      port,
		"Authority": base64.StdEncoding.EncodeToString(authority),
	}
	var content bytes.Buffer
	if err := template.Must(template.New("objects").Parse(objects)).Execute(&content, values); err != nil {
		return err
	}
	_, err = b.kubectl(ctx, content.Bytes(), "apply", "--server-side", "--filename=-")
	return err
}

// available is why an APIService is not; nil where it is.
func (b Bed) available(ctx context.Context, service string) error {
	said, err := b.kubectl(ctx, nil, "get", "apiservice", service,
		`--output=jsonpath={.status.conditions[?(@.type=="Available")].status} {.status.conditions[?(@.type=="Available")].message}`)
	if err == nil && !strings.HasPrefix(said, "True") {
		err = errors.New(strings.TrimSpace(said))
	}
	return err
}

// kubectl runs the one in this binary.
func (b Bed) kubectl(ctx context.Context, input []byte, words ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, self, append([]string{"kubectl", "--kubeconfig=" + b.path("kubeconfig")}, words...)...)
	command.Env = b.environment("tool")
	command.Stdin = bytes.NewReader(input)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", words[0], err, strings.TrimSpace(complaint.String()))
	}
	return string(output), nil
}
