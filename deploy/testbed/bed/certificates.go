package bed

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// Longer than a bed lives; it is made anew at every start.
const validity = 365 * 24 * time.Hour

// authority signs certificates. There are three: the cluster's, that of the front proxy (by which the
// API server shows itself to APIServices; another, or any client could claim to be any user there), and
// etcd's (or any client of the cluster could read etcd).
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// identity is who a certificate speaks for.
type identity struct {
	name  string   // of its files
	user  string   // common name
	group string   // organisation; empty for none
	hosts []string // addresses and names it serves at; none for a client
}

// makeCertificates makes all authorities and identities anew.
func (b Bed) makeCertificates() error {
	folder := b.path("certificates")
	api := []string{gateway, firstService, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	identities := map[string][]identity{
		"cluster": {
			{"apiserver", "kube-apiserver", "", api},
			{"apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters", nil},
			{"admin", "splitscale-admin", "system:masters", nil},
			{"controller-manager", "system:kube-controller-manager", "", nil},
			{"scheduler", "system:kube-scheduler", "", nil},
			{"kube-proxy", "system:kube-proxy", "", nil},
			{"dns", "system:coredns", "", nil},
			{"metrics-server", "system:serviceaccount:kube-system:metrics-server", "", nil},
			{"metrics-server-serving", "metrics-server", "", []string{"metrics-server.kube-system.svc"}},
			{"external-metrics-serving", "external-metrics", "", []string{"external-metrics.kube-system.svc"}},
		},
		"front": {{"front-client", "front-proxy-client", "", nil}},
		"etcd": {
			{"etcd-serving", "etcd", "", []string{"127.0.0.1"}},
			{"etcd-client", "kube-apiserver", "", nil},
		},
	}
	for _, w := range Workers {
		identities["cluster"] = append(identities["cluster"],
			identity{w.Name, "system:node:" + w.Name, "system:nodes", nil},
			identity{w.Name + "-serving", w.Name, "", []string{w.Address, w.Name}})
	}
	for name, list := range identities {
		authority, err := newAuthority(folder, name)
		if err != nil {
			return err
		}
		for _, identity := range list {
			if err := authority.issue(folder, identity); err != nil {
				return err
			}
		}
	}
	return serviceAccountKey(folder)
}

// newAuthority makes one, signed by itself, and writes it and its key to folder.
func newAuthority(folder, name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(identity{user: "splitscale-testbed-" + name})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, writePair(filepath.Join(folder, name), der, key)
}

// issue writes a certificate and its key to folder.
func (a *authority) issue(folder string, who identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := newTemplate(who)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	return writePair(filepath.Join(folder, who.name), der, key)
}

func newTemplate(who identity) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: who.user},
		// A clock that is set back a little must not make it invalid.
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if who.group != "" {
		template.Subject.Organization = []string{who.group}
	}
	if len(who.hosts) > 0 {
		// etcd calls itself as a client with the certificate that it serves with.
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range who.hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template, nil
}

// serviceAccountKey makes the pair that tokens of service accounts are signed and checked with.
func serviceAccountKey(folder string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, "service-account.pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeKey(filepath.Join(folder, "service-account.key"), key)
}

func writePair(path string, der []byte, key *ecdsa.PrivateKey) error {
	if err := writePEM(path+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(path+".key", key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return write(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
