package bed

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"testing"
)

func TestEveryoneHasACertificateOfTheRightAuthority(t *testing.T) {
	b := Bed{t.TempDir()}
	if err := b.makeCertificates(); err != nil {
		t.Fatal(err)
	}
	if err := b.writeKubeconfigs(); err != nil {
		t.Fatal(err)
	}
	load := func(name string) *x509.Certificate {
		pair, err := tls.LoadX509KeyPair(b.path("certificates", name+".crt"), b.path("certificates", name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	verify := func(name, authority, host string, use x509.ExtKeyUsage) error {
		roots := x509.NewCertPool()
		roots.AddCert(load(authority))
		_, err := load(name).Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{use}})
		return err
	}
	for _, host := range []string{gateway, firstService, "kubernetes.default.svc"} {
		if err := verify("apiserver", "cluster", host, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("the API server's at %s: %v", host, err)
		}
	}
	if err := verify("worker-2-serving", "cluster", Workers[1].Address, x509.ExtKeyUsageServerAuth); err != nil {
		t.Error(err)
	}
	if verify("admin", "cluster", "", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("a client's certificate can serve")
	}
	// Else any client of the cluster could read etcd, or speak for any user at an APIService.
	for _, authority := range []string{"etcd", "front"} {
		if verify("admin", authority, "", x509.ExtKeyUsageClientAuth) == nil {
			t.Errorf("%s trusts the cluster's clients", authority)
		}
	}
	node := load("worker-1").Subject
	if node.CommonName != "system:node:worker-1" || !slices.Equal(node.Organization, []string{"system:nodes"}) {
		t.Errorf("worker-1 is %v", node)
	}
	key, err := os.Stat(b.path("certificates", "cluster.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key: %v, %v", key.Mode(), err)
	}
}
