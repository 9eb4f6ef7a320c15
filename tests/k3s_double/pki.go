package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	serverDir = dataDir + "/server"
	tlsDir    = serverDir + "/tls"
)

// authorities, as files under server/tls, and the prefix of the names that K3s gives those it makes itself.
var authorities = map[string]string{
	"client-ca": "k3s-client", "server-ca": "k3s-server", "request-header-ca": "k3s-request-header",
	"etcd/server-ca": "etcd-server", "etcd/peer-ca": "etcd-peer",
}

// bootstrapFiles are what a joining server fetches from one that is there already.
func bootstrapFiles() []string {
	files := []string{"service.key"}
	for name := range authorities {
		files = append(files, name+".crt", name+".key")
	}
	return files
}

func block(kind string, data []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
}

func newKey(path string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	data, err := x509.MarshalECPrivateKey(key)
	must(err)
	write(path, block("EC PRIVATE KEY", data), 0o600)
	return key
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, big.NewInt(1).Lsh(big.NewInt(1), 63))
	must(err)
	return number
}

// makeAuthorities keeps what is there (custom authorities) and makes the rest; each on its own, as K3s does.
func makeAuthorities() {
	for name, prefix := range authorities {
		crt, keyFile := filepath.Join(tlsDir, name+".crt"), filepath.Join(tlsDir, name+".key")
		if exists(crt) && exists(keyFile) {
			loadAuthority(name) // a key that does not fit must be found now
			continue
		}
		key := newKey(keyFile)
		template := &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{CommonName: prefix + "-ca@" + strconv.FormatInt(time.Now().Unix(), 10)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		}
		data, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		must(err)
		write(crt, block("CERTIFICATE", data), 0o644)
	}
	if service := filepath.Join(tlsDir, "service.key"); !exists(service) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		write(service, block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), 0o600)
	}
}

func certificates(path string) []*x509.Certificate {
	data, err := os.ReadFile(path)
	must(err)
	found := []*x509.Certificate{}
	for {
		var item *pem.Block
		if item, data = pem.Decode(data); item == nil {
			break
		}
		certificate, err := x509.ParseCertificate(item.Bytes)
		must(err)
		found = append(found, certificate)
	}
	if len(found) == 0 {
		fatal("%s holds no certificate", path)
	}
	return found
}

func loadAuthority(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	certificate := certificates(filepath.Join(tlsDir, name+".crt"))[0]
	data, err := os.ReadFile(filepath.Join(tlsDir, name+".key"))
	must(err)
	item, _ := pem.Decode(data)
	if item == nil {
		fatal("%s.key: data does not contain a valid private key", name)
	}
	key, err := x509.ParseECPrivateKey(item.Bytes)
	if err != nil {
		fatal("%s.key: %v", name, err)
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		fatal("%s: private key does not match public key", name)
	}
	if !certificate.IsCA {
		fatal("%s.crt is no authority", name)
	}
	return certificate, key
}

// issue gives certificate (with its authority, as K3s writes chains) and key, PEM.
func issue(authority, name string, organisations, names []string) ([]byte, []byte) {
	parent, parentKey := loadAuthority(authority)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name, Organization: organisations},
		NotBefore: parent.NotBefore, NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, word := range names {
		if ip := net.ParseIP(word); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, word)
		}
	}
	data, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	must(err)
	secret, err := x509.MarshalECPrivateKey(key)
	must(err)
	chain := append(block("CERTIFICATE", data), block("CERTIFICATE", parent.Raw)...)
	return chain, block("EC PRIVATE KEY", secret)
}

func issueFile(authority, file, name string, organisations, names []string) {
	certificate, key := issue(authority, name, organisations, names)
	write(filepath.Join(tlsDir, file+".crt"), certificate, 0o644)
	write(filepath.Join(tlsDir, file+".key"), key, 0o600)
}

func makeCertificates(config Config) {
	masters := []string{"system:masters"}
	issueFile("client-ca", "client-admin", "system:admin", masters, nil)
	issueFile("client-ca", "client-kube-apiserver", "system:apiserver", masters, nil)
	issueFile("client-ca", "client-controller", "system:kube-controller-manager", nil, nil)
	issueFile("client-ca", "client-scheduler", "system:kube-scheduler", nil, nil)
	issueFile("request-header-ca", "client-auth-proxy", "system:auth-proxy", nil, nil)
	own := []string{config.node(), config.ip(), "127.0.0.1", "localhost", "::1"}
	issueFile("etcd/server-ca", "etcd/client", "etcd-client", nil, nil)
	issueFile("etcd/server-ca", "etcd/server-client", "etcd-server", nil, own)
	issueFile("etcd/peer-ca", "etcd/peer-server-client", "etcd-peer", nil, own)
	domain := config.one("cluster-domain")
	names := append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain, serviceIP(config)}, own...)
	names = append(names, config.all("tls-san")...)
	issueFile("server-ca", "serving-kube-apiserver", "kube-apiserver", nil, names)
}

// serviceIP is the first address of the service range.
func serviceIP(config Config) string {
	_, network, err := net.ParseCIDR(config.one("service-cidr"))
	must(err)
	ip := network.IP.To4()
	ip[3]++
	return ip.String()
}

// caHash is what stands between K10 and :: (pkg/clientaccess/token.go): of the file's bytes, or of the root where it is a chain.
func caHash(data []byte) (string, error) {
	found := [][]byte{}
	for rest := data; ; {
		var item *pem.Block
		if item, rest = pem.Decode(rest); item == nil {
			break
		}
		found = append(found, item.Bytes)
	}
	if len(found) == 0 {
		return "", errors.New("no certificate")
	}
	sum := sha256.Sum256(data)
	if len(found) > 1 {
		sum = sha256.Sum256(found[len(found)-1])
	}
	return hex.EncodeToString(sum[:]), nil
}

func pool(files ...string) *x509.CertPool {
	found := x509.NewCertPool()
	for _, file := range files {
		for _, certificate := range certificates(file) {
			found.AddCert(certificate)
		}
	}
	return found
}

func pair(file string) tls.Certificate {
	found, err := tls.LoadX509KeyPair(filepath.Join(tlsDir, file+".crt"), filepath.Join(tlsDir, file+".key"))
	must(err)
	return found
}
