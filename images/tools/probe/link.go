package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// link is a way to a server: over a new connection for each request, or over a kept one that is made anew after a failure.
type link struct {
	client    *http.Client
	scheme    string
	addresses []string
	next      atomic.Int64
	kept      bool
}

func settings(identity Identity) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(identity.CA)) {
		return nil, errors.New("no certificate of an authority given")
	}
	config := &tls.Config{
		RootCAs:    roots,
		MinVersion: tls.VersionTLS12,
		// Not the post-quantum hybrid that Go prefers: it doubles what a handshake costs both sides, and a lab's secrets die with it.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		// No ClientSessionCache: each new connection is a whole handshake, as a client's first one is.
	}
	if identity.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(identity.Certificate), []byte(identity.Key))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func newLink(scheme string, addresses []string, identity Identity, kept bool, timeout time.Duration) (*link, error) {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: -1}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: !kept, DisableCompression: true}
	if scheme == "https" {
		config, err := settings(identity)
		if err != nil {
			return nil, err
		}
		config.NextProtos = []string{"http/1.1"}
		if kept {
			// HTTP/2: a kept connection can carry the next question while the last one is not answered yet.
			config.NextProtos = []string{"h2", "http/1.1"}
			transport.ForceAttemptHTTP2 = true
		}
		transport.TLSClientConfig = config
		transport.TLSHandshakeTimeout = timeout
	}
	return &link{client: &http.Client{Transport: transport, CheckRedirect: refuse}, scheme: scheme, addresses: addresses, kept: kept}, nil
}

func refuse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// reply is a server's answer, or why there is none. `sent` says that the request may have reached the server.
type reply struct {
	code    int
	body    []byte
	trailer http.Header
	err     error
	sent    bool
}

// do sends one request. After a failure the connection it used is cut and the next address is tried, but no other connection suffers:
// one that was made meanwhile may be good.
func (l *link) do(ctx context.Context, method, path, kind string, body string) reply {
	place := l.next.Load()
	got := reply{}
	var used net.Conn
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { used, got.sent = info.Conn, true }}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	address := l.scheme + "://" + l.addresses[int(place)%len(l.addresses)]
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, address+path, content)
	if err != nil {
		return reply{err: err}
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if kind == grpcKind {
		request.Header.Set("TE", "trailers")
	}
	response, err := l.client.Do(request)
	if err == nil {
		got.code = response.StatusCode
		got.body, err = io.ReadAll(response.Body)
		response.Body.Close()
		got.trailer = response.Trailer
	}
	if err != nil {
		got.err = err
		if used != nil && l.kept {
			cut(used)
		}
		l.next.CompareAndSwap(place, place+1)
	}
	return got
}

// cut ends a connection at once: TLS would first try to say good-bye to a peer that does not answer.
func cut(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	conn.Close()
}

// why names a failure in a word or two: the same failure always the same words.
func why(err error) string {
	var dns *net.DNSError
	var system syscall.Errno
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), timedOut(err):
		return "timeout"
	case errors.As(err, &certificate):
		return "certificate: " + certificate.Err.Error()
	case errors.As(err, &dns):
		return "name: " + dns.Err
	case errors.As(err, &system):
		return system.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "cut"
	}
	text := err.Error()
	return strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:])
}

func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

func (r reply) detail() string {
	if r.err != nil {
		return why(r.err)
	}
	return fmt.Sprintf("code %d", r.code)
}
