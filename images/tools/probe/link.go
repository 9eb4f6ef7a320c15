package main

import (
	"bufio"
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
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// link is a way to a server: over a new connection for each request, or over a kept one that is made anew after a failure.
type link struct {
	client    *http.Client
	tls       *tls.Config // of new connections
	scheme    string
	addresses []string
	next      atomic.Int64
	answered  atomic.Pointer[time.Time] // when the last request that was answered had been sent
	kept      bool
}

func settings(identity Identity) (*tls.Config, error) {
	verify := func(tls.ConnectionState) error { return nil }
	if !identity.Unverified {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(identity.CA)) {
			return nil, errors.New("no certificate of an authority given")
		}
		verify = (&acquaintances{roots: roots}).verify
	}
	config := &tls.Config{
		// The server is proven by VerifyConnection, if at all: the library's own check would prove the same certificate fifty times a second.
		InsecureSkipVerify: true,
		VerifyConnection:   verify,
		MinVersion:         tls.VersionTLS12,
		// Not the post-quantum hybrid that Go prefers: it doubles what a handshake costs both sides, and a lab's secrets die with it.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		// A new connection to the server of the last one resumes its session, as clients do: a third less work for the server that is
		// measured (counted), and less than 5 % of a core here. Another server makes it a whole handshake.
		ClientSessionCache: tls.NewLRUClientSessionCache(16),
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

// acquaintances are the certificates that were proven to be of the authority and for the name; that the peer has its key, each
// handshake proves anew.
type acquaintances struct {
	roots *x509.CertPool
	seen  sync.Map // name and certificate → nothing
}

func (a *acquaintances) verify(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	key := state.ServerName + " " + string(leaf.Raw)
	if _, ok := a.seen.Load(key); ok && time.Now().Before(leaf.NotAfter) {
		return nil
	}
	between := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.roots, Intermediates: between, DNSName: state.ServerName}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	a.seen.Store(key, nil)
	return nil
}

func newLink(scheme string, addresses []string, identity Identity, kept bool, timeout time.Duration) (*link, error) {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: -1}
	made := &link{scheme: scheme, addresses: addresses, kept: kept}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: !kept, DisableCompression: true}
	if scheme == "https" {
		config, err := settings(identity)
		if err != nil {
			return nil, err
		}
		made.tls = config.Clone()
		made.tls.NextProtos = []string{"http/1.1"}
		transport.TLSClientConfig = made.tls
		if kept {
			// HTTP/2: a kept connection can carry the next question while the last one is not answered yet.
			config.NextProtos = []string{"h2", "http/1.1"}
			transport.TLSClientConfig, transport.ForceAttemptHTTP2 = config, true
		}
		transport.TLSHandshakeTimeout = timeout
	}
	made.client = &http.Client{Transport: transport, CheckRedirect: refuse}
	return made, nil
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

// do sends one request. After a failure the next address is tried.
func (l *link) do(ctx context.Context, method, path, kind string, body string) reply {
	place := l.next.Load()
	address := l.addresses[int(place)%len(l.addresses)]
	request, err := http.NewRequestWithContext(ctx, method, l.scheme+"://"+address+path, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if kind == grpcKind {
		request.Header.Set("TE", "trailers")
	}
	var got reply
	if l.kept {
		got = l.over(request)
	} else {
		got = l.once(ctx, address, request)
	}
	if got.err != nil {
		l.next.CompareAndSwap(place, place+1)
	}
	return got
}

// once asks over a connection of its own, in one goroutine: what net/http needs for this costs twice the processor time.
func (l *link) once(ctx context.Context, address string, request *http.Request) (got reply) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return reply{err: err}
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if got.err = conn.SetDeadline(deadline); got.err != nil {
		return got
	}
	stream := conn
	if l.tls != nil {
		config := l.tls
		if config.ServerName == "" {
			config = config.Clone()
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, config)
		if got.err = secure.Handshake(); got.err != nil {
			return got
		}
		stream = secure
	}
	request.Close = true
	got.sent = true
	if got.err = request.Write(stream); got.err != nil {
		return got
	}
	response, err := http.ReadResponse(bufio.NewReader(stream), request)
	if err != nil {
		got.err = err
		return got
	}
	got.code = response.StatusCode
	got.body, got.err = io.ReadAll(response.Body)
	return got
}

// over asks over the kept connection. It is cut after a failure if nothing has come over it since the request was sent: one slow answer
// among quick ones is no dead connection, and one that was made meanwhile may be good.
func (l *link) over(request *http.Request) reply {
	begin := time.Now()
	got := reply{}
	var used net.Conn
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { used, got.sent = info.Conn, true }}
	response, err := l.client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err == nil {
		got.code = response.StatusCode
		got.body, err = io.ReadAll(response.Body)
		response.Body.Close()
		got.trailer = response.Trailer
	}
	if err != nil {
		got.err = err
		if last := l.answered.Load(); timedOut(err) && last != nil && last.After(begin) {
			return got
		}
		if used != nil {
			cut(used)
		}
		return got
	}
	if last := l.answered.Load(); last == nil || last.Before(begin) {
		l.answered.Store(&begin)
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
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		strings.Contains(err.Error(), "force closed"), strings.Contains(err.Error(), "connection lost"):
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
