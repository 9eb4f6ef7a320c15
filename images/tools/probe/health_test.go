package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// healthServer is a double of the health service: it answers with this state, or with this gRPC status where that is not 0.
func healthServer(t *testing.T, state *atomic.Int64, status *atomic.Value, asked *atomic.Value) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	connections := &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Store(r.Method + " " + r.URL.Path + " " + r.Header.Get("TE") + " " + string(body[5:]))
		w.Header().Set("Content-Type", grpcKind)
		if code := status.Load().(string); code != "0" {
			w.Header().Set("Grpc-Status", code)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		io.WriteString(w, grpcFrame(number(1, uint64(state.Load()))))
		w.Header().Set("Grpc-Status", "0")
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server, connections
}

func TestHealthIsAskedOnANewConnectionEachTime(t *testing.T) {
	var state atomic.Int64
	var status, asked atomic.Value
	status.Store("0")
	server, connections := healthServer(t, &state, &status, &asked)
	asker, err := newAsker(Question{Kind: "grpc", Addresses: []string{strings.TrimPrefix(server.URL, "http://")}, Service: "shop", Timeout: 5}, &Config{})
	must(t, err)
	for number, want := range []string{"UNKNOWN", "", "NOT_SERVING", "SERVICE_UNKNOWN", "status 4"} {
		state.Store(int64(number))
		if got := asker.ask(soon(t)); got.ok != (number == serving) || got.detail != want {
			t.Errorf("state %d: %+v", number, got)
		}
	}
	if count := connections.Load(); count != 5 {
		t.Errorf("%d connections for 5 questions", count)
	}
	if got := asked.Load(); got != "POST /grpc.health.v1.Health/Check trailers \n\x04shop" {
		t.Errorf("asked %q", got)
	}
	status.Store("12") // it has no health service
	if got := asker.ask(soon(t)); got.ok || got.detail != "grpc status 12" {
		t.Errorf("%+v", got)
	}
	server.Close()
	if got := asker.ask(soon(t)); got.ok || got.detail != "connection refused" {
		t.Errorf("%+v", got)
	}
}

func TestOurOwnServerAnswersBoth(t *testing.T) {
	double := httptest.NewUnstartedServer(nil)
	double.Config = server("", "w1")
	double.Start()
	defer double.Close()
	for _, kind := range []string{"http", "grpc"} {
		asker, err := newAsker(Question{Kind: kind, Path: "/any", Addresses: []string{strings.TrimPrefix(double.URL, "http://")}, Timeout: 5}, &Config{})
		must(t, err)
		if got := asker.ask(soon(t)); !got.ok {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestHealthOfNoGRPCServerIsNone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	if got := newHealth(strings.TrimPrefix(server.URL, "http://"), "", 5e9).ask(soon(t)); got.ok || got.detail == "" {
		t.Errorf("%+v", got)
	}
	for _, frame := range []string{"", "\x00\x00\x00\x00\x05\x08", "\x01\x00\x00\x00\x00", "\x00\x00\x00\x00\x01\xff"} {
		if _, err := healthState([]byte(frame)); err == nil {
			t.Errorf("%q is taken", frame)
		}
	}
}

func TestCertificatesAreTakenUncheckedWhereThatIsSaid(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	question := Question{Kind: "https", Path: "/", Addresses: []string{strings.TrimPrefix(server.URL, "https://")}, Timeout: 5}
	if _, err := newAsker(question, &Config{}); err == nil {
		t.Error("nobody said whom to trust")
	}
	question.Unverified = true
	asker, err := newAsker(question, &Config{})
	must(t, err)
	for range 2 { // the second one resumes the first one's session
		if got := asker.ask(soon(t)); !got.ok {
			t.Errorf("%+v", got)
		}
	}
}
