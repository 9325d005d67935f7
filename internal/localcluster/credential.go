package localcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

const (
	serviceRange     = "10.96.0.0/16"
	serviceAddress   = "10.96.0.1" // first of serviceRange: the Service default/kubernetes
	authorityFor     = 10 * 365 * 24 * time.Hour
	certificateFor   = 365 * 24 * time.Hour
	renewBefore      = 60 * 24 * time.Hour
	authorityRenewal = 2 * 365 * 24 * time.Hour // an authority must outlive the certificates it signs
)

// pair is a certificate with its key.
type pair struct {
	certificate     *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// ensureCredentials makes the certificates and keys in the folder that are missing, unreadable, not
// of the present authority, or soon out of date. Good ones stay, so that a kubeconfig which someone
// has copied goes on working.
func ensureCredentials(f folder, now time.Time) error {
	if err := os.MkdirAll(f.pki(), 0o700); err != nil {
		return fmt.Errorf("making the folder of the credentials: %w", err)
	}
	cluster, err := ensureAuthority(f, "ca", "holdfast-local", now)
	if err != nil {
		return err
	}
	proxy, err := ensureAuthority(f, "front-proxy-ca", "holdfast-local-front-proxy", now)
	if err != nil {
		return err
	}
	wanted := []struct {
		name   string
		signer *pair
		leaf   x509.Certificate
	}{
		{"apiserver", cluster, serverTemplate()},
		{"admin", cluster, clientTemplate("holdfast-admin", "system:masters")},
		{"controller-manager", cluster, clientTemplate("system:kube-controller-manager", "system:masters")},
		{"scheduler", cluster, clientTemplate("system:kube-scheduler", "system:masters")},
		{"nodes", cluster, clientTemplate("holdfast:simulated-nodes", "system:masters")},
		{"front-proxy-client", proxy, clientTemplate("front-proxy-client")},
	}
	for _, w := range wanted {
		if err := ensureLeaf(f, w.name, w.signer, w.leaf, now); err != nil {
			return err
		}
	}
	return ensureKey(f, "service-account")
}

func ensureAuthority(f folder, name, subject string, now time.Time) (*pair, error) {
	got, err := readPair(f, name)
	if err == nil && got.certificate.IsCA && got.certificate.NotAfter.Sub(now) > authorityRenewal {
		return got, nil
	}
	return writePair(f, name, nil, x509.Certificate{
		Subject:               pkix.Name{CommonName: subject},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(authorityFor),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	})
}

func ensureLeaf(f folder, name string, signer *pair, leaf x509.Certificate, now time.Time) error {
	got, err := readPair(f, name)
	if err == nil && got.certificate.NotAfter.Sub(now) > renewBefore &&
		!got.certificate.NotBefore.After(now) && got.certificate.CheckSignatureFrom(signer.certificate) == nil {
		return nil
	}
	leaf.NotBefore = now.Add(-time.Hour)
	leaf.NotAfter = now.Add(certificateFor)
	_, err = writePair(f, name, signer, leaf)
	return err
}

func ensureKey(f folder, name string) error {
	if data, err := os.ReadFile(f.pem(name + ".key")); err == nil {
		if _, err := parseKey(data); err == nil {
			return nil
		}
	}
	_, keyPEM, err := newKey()
	if err != nil {
		return fmt.Errorf("making the key %s: %w", name, err)
	}
	if err := replaceFile(f.pem(name+".key"), keyPEM); err != nil {
		return fmt.Errorf("writing the key %s: %w", name, err)
	}
	return nil
}

func serverTemplate() x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceAddress)},
	}
}

func clientTemplate(name string, groups ...string) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// writePair makes a key and a certificate for it that signer signs, or the key itself without one.
func writePair(f folder, name string, signer *pair, template x509.Certificate) (*pair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, fmt.Errorf("making the key %s: %w", name, err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making the certificate %s: %w", name, err)
	}
	parent, signingKey := &template, key
	if signer != nil {
		parent, signingKey = signer.certificate, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signingKey)
	if err != nil {
		return nil, fmt.Errorf("making the certificate %s: %w", name, err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// The key goes first: a certificate without its key is found out at the next start either way.
	if err := replaceFile(f.pem(name+".key"), keyPEM); err != nil {
		return nil, fmt.Errorf("writing the key %s: %w", name, err)
	}
	if err := replaceFile(f.pem(name+".crt"), certPEM); err != nil {
		return nil, fmt.Errorf("writing the certificate %s: %w", name, err)
	}
	return parsePair(certPEM, keyPEM)
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func readPair(f folder, name string) (*pair, error) {
	certPEM, err := os.ReadFile(f.pem(name + ".crt"))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(f.pem(name + ".key"))
	if err != nil {
		return nil, err
	}
	return parsePair(certPEM, keyPEM)
}

func parsePair(certPEM, keyPEM []byte) (*pair, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, errors.New("no certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	return &pair{certificate: certificate, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no key")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}
