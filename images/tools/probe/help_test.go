package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// identity makes an authority that is its own server and client certificate, for 127.0.0.2: no connection to it can be to itself.
func identity(t *testing.T) (Identity, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	own := Identity{Certificate: text("CERTIFICATE", certificate), Key: text("EC PRIVATE KEY", private)}
	own.CA = own.Certificate
	pair, err := tls.X509KeyPair([]byte(own.Certificate), []byte(own.Key))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(own.CA))
	server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2", "http/1.1"}}
	return own, server
}

const host = "127.0.0.2"

func text(kind string, data []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// row is a line of the output as a reader sees it.
type row struct {
	Kind, Probe, Client, Op, Key, Outcome, Type, RV, Detail string
	T, End                                                  float64
	OK                                                      *bool
	Value                                                   any
	Jobs                                                    map[string]struct {
		Asked, Skipped int
		Max            float64 `json:"slip_max"`
	}
}

// sampled runs an agent while something happens, and gives its lines by kind.
func sampled(t *testing.T, config *Config, happens func()) map[string][]row {
	t.Helper()
	config.Output = filepath.Join(t.TempDir(), "lines")
	must(t, config.complete())
	stop, done := make(chan os.Signal), make(chan error)
	go func() { done <- sample(config, stop) }()
	happens()
	close(stop)
	must(t, <-done)
	file, err := os.Open(config.Output)
	must(t, err)
	defer file.Close()
	found := map[string][]row{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line row
		must(t, json.Unmarshal(lines.Bytes(), &line))
		found[line.Kind] = append(found[line.Kind], line)
	}
	return found
}
