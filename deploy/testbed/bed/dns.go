package bed

import (
	"bytes"
	"context"
	_ "embed"
	"net"
	"text/template"
)

// corefile is what CoreDNS is told: Services and their pods, and nothing of the world outside. An answer is
// good for a second, so that a pod that comes or goes is known soon.
var corefile = template.Must(template.New("Corefile").Parse(`cluster.local:53 {
    bind {{.Address}}
    errors
    kubernetes {
        kubeconfig {{.Kubeconfig}}
        ttl 1
    }
}
`))

//go:embed dns.yaml
var dnsObjects string

// extras are the processes beside the control plane, of those that were asked for.
func (b Bed) extras(options Options) []part {
	parts := b.metricsParts(options)
	if options.DNS != "" {
		parts = append(parts, b.dnsPart(options))
	}
	return parts
}

func (b Bed) dnsPart(options Options) part {
	return part{"dns", options.DNS, []string{"-conf=" + b.path("Corefile")}}
}

// addDNS starts CoreDNS in the root namespace, where kubelets send their pods (settings.go).
func (b Bed) addDNS(ctx context.Context, options Options) error {
	if options.DNS == "" {
		return nil
	}
	var content bytes.Buffer
	values := map[string]string{"Address": gateway, "Kubeconfig": b.path("kubeconfigs", "dns")}
	if err := corefile.Execute(&content, values); err != nil {
		return err
	}
	if err := write(b.path("Corefile"), content.Bytes()); err != nil {
		return err
	}
	if err := b.apply(ctx, dnsObjects, ""); err != nil {
		return err
	}
	if err := b.start(b.dnsPart(options)); err != nil {
		return err
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(gateway, "53"))
	}}
	return b.waitReady(ctx, "dns", func(ctx context.Context) error {
		_, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
		return err
	})
}
