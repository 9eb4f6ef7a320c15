package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestDNS(t *testing.T) {
	for code, records := range map[byte]uint16{0: 1, 3: 0} {
		server, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		defer server.Close()
		go func() {
			buffer := make([]byte, 512)
			count, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			foreign := slices.Clone(buffer[:count])
			foreign[0]++
			server.WriteTo(foreign, from) // of another question: not ours
			buffer[2], buffer[3] = 0x84, code
			binary.BigEndian.PutUint16(buffer[6:], records)
			server.WriteTo(buffer[:count], from)
		}()
		asker, err := newAsker(Question{Kind: "dns", Addresses: []string{server.LocalAddr().String()}, Query: "a.b"}, &Config{})
		must(t, err)
		if got := asker.ask(soon(t)); got.ok != (code == 0) {
			t.Errorf("rcode %d: %+v", code, got)
		}
	}
	if _, err := dnsQuery("a..b"); err == nil {
		t.Error("a..b is no name")
	}
}

func TestTCPAndHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	address := strings.TrimPrefix(server.URL, "http://")
	ask := func(question Question) answer {
		question.Addresses, question.Timeout = []string{address}, 5
		asker, err := newAsker(question, &Config{})
		must(t, err)
		return asker.ask(soon(t))
	}
	for _, question := range []Question{{Kind: "tcp"}, {Kind: "http", Path: "/"}, {Kind: "http", Path: "/other", Codes: []int{418}}} {
		if got := ask(question); !got.ok {
			t.Errorf("%+v: %+v", question, got)
		}
	}
	if got := ask(Question{Kind: "http", Path: "/other"}); got.ok || got.detail != "code 418" {
		t.Errorf("%+v", got)
	}
	server.Close()
	for _, kind := range []string{"tcp", "http"} {
		if got := ask(Question{Kind: kind, Path: "/"}); got.ok || got.detail != "connection refused" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestAfterAFailureTheNextAddressIsTried(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer server.Close()
	asker, err := newAsker(Question{Kind: "http", Path: "/", Addresses: []string{"127.0.0.1:1", strings.TrimPrefix(server.URL, "http://")}, Timeout: 5}, &Config{})
	must(t, err)
	if first, second := asker.ask(soon(t)), asker.ask(soon(t)); first.ok || !second.ok {
		t.Errorf("%+v, then %+v", first, second)
	}
}

// frames as tcpdump shows them: an answer to us, an announcement, an answer about another address.
func TestARP(t *testing.T) {
	us, them := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	vip, own := net.IP{172, 30, 0, 50}, net.IP{172, 30, 0, 254}
	request := whoHas(us, own, vip)
	if len(request) != arpFrame || !slices.Equal(request[38:42], vip) || request[21] != arpRequest {
		t.Errorf("% x", request)
	}
	answer := slices.Clone(request)
	copy(answer, us)
	answer[21] = arpReply
	copy(answer[22:], them)
	copy(answer[28:], vip)
	if mac, reply, ok := claimOf(answer, [4]byte(vip)); mac != "02:00:00:00:00:02" || !reply || !ok {
		t.Error(mac, reply, ok)
	}
	if _, _, ok := claimOf(request, [4]byte(vip)); ok {
		t.Error("our own question is no claim")
	}
	announcement := whoHas(them, vip, vip)
	if mac, reply, ok := claimOf(announcement, [4]byte(vip)); mac != "02:00:00:00:00:02" || reply || !ok {
		t.Error(mac, reply, ok)
	}
	if _, _, ok := claimOf(answer[:20], [4]byte(vip)); ok {
		t.Error("a frame that was cut off")
	}
}

// wire is a double of the packet socket: frames that wait to be taken.
type wire [][]byte

func (w *wire) receive(frame []byte) (int, error) {
	if len(*w) == 0 {
		return 0, syscall.EAGAIN
	}
	count := copy(frame, (*w)[0])
	*w = (*w)[1:]
	return count, nil
}

func (w *wire) put(last byte, announced bool) {
	us, vip := net.HardwareAddr{2, 0, 0, 0, 0, 9}, net.IP{172, 30, 0, 50}
	frame := whoHas(net.HardwareAddr{2, 0, 0, 0, 0, last}, vip, vip)
	if !announced {
		copy(frame, us)
		frame[21] = arpReply
	}
	*w = append(*w, frame)
}

func arpOn(w *wire) *arp {
	return &arp{receive: w.receive, send: func() error { return nil }, target: [4]byte{172, 30, 0, 50}}
}

func TestARPCollectsEveryAnswer(t *testing.T) {
	w := &wire{}
	a := arpOn(w)
	question := a.open()
	for _, last := range []byte{2, 1, 2} {
		w.put(last, false)
	}
	w.put(3, true)
	answered, announced := a.close(question)
	if !slices.Equal(answered, []string{"02:00:00:00:00:01", "02:00:00:00:00:02"}) || !slices.Equal(announced, []string{"02:00:00:00:00:03"}) {
		t.Error(answered, announced)
	}
	if again, _ := a.close(a.open()); len(again) != 0 {
		t.Error("heard for the question before: ", again)
	}
}

// As it was seen: an address is handed over in good order while one question still waits and the next is sent.
func TestARPCountsAnAnswerForOneQuestionAlone(t *testing.T) {
	w := &wire{}
	a := arpOn(w)
	first := a.open()
	w.put(1, false)
	second := a.open() // the first one was late and still waits
	w.put(2, false)
	before, _ := a.close(first)
	after, _ := a.close(second)
	if !slices.Equal(before, []string{"02:00:00:00:00:01"}) || !slices.Equal(after, []string{"02:00:00:00:00:02"}) {
		t.Error(before, after)
	}
	w.put(3, false) // when nobody waits: late, but not lost
	if late, _ := a.close(a.open()); !slices.Equal(late, []string{"02:00:00:00:00:03"}) {
		t.Error(late)
	}
}

func number(field int, value uint64) []byte {
	return binary.AppendUvarint([]byte{byte(field << 3)}, value)
}

func message(field int, content []byte) []byte {
	return append(binary.AppendUvarint([]byte{byte(field<<3 | 2)}, uint64(len(content))), content...)
}

// statusResponse as etcd sends it (rpc.proto): header, version, dbSize, leader, raftIndex, raftTerm.
func statusResponse(member, leader, term uint64) []byte {
	header := slices.Concat(number(1, 1<<60), number(2, member), number(3, 42), number(4, term))
	body := slices.Concat(message(1, header), message(2, []byte("3.6.14")), number(3, 20480), number(4, leader), number(5, 42), number(6, term))
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

func TestEtcd(t *testing.T) {
	own, settings := identity(t)
	response, code := statusResponse(0xabc, 0xabc, 7), "0"
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != statusCall || r.Header.Get("Content-Type") != grpcKind || r.ProtoMajor != 2 || string(body) != emptyMessage {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(response)
		w.Header().Set("Grpc-Status", code)
	}))
	listener, err := net.Listen("tcp", host+":0")
	must(t, err)
	server.Listener, server.TLS, server.EnableHTTP2 = listener, settings, true
	server.StartTLS()
	defer server.Close()
	asker, err := newAsker(Question{Kind: "etcd", Addresses: []string{listener.Addr().String()}, Identity: "me", Timeout: 5}, &Config{Identity: map[string]Identity{"me": own}})
	must(t, err)
	for _, step := range []struct {
		frame []byte
		code  string
		want  answer
	}{
		{statusResponse(0xabc, 0xabc, 7), "0", answer{ok: true, value: memberStatus{true, 7, "abc", true}}},
		{statusResponse(0xabc, 0xdef, 8), "0", answer{ok: true, value: memberStatus{false, 8, "abc", true}}},
		{statusResponse(0xabc, 0, 9), "0", answer{ok: true, value: memberStatus{false, 9, "abc", false}}},
		{nil, "14", answer{detail: "grpc status 14 "}},
		{[]byte("what?"), "0", answer{detail: "no StatusResponse"}},
	} {
		response, code = step.frame, step.code
		if got := asker.ask(soon(t)); !reflect.DeepEqual(got, step.want) {
			t.Errorf("got %+v, want %+v", got, step.want)
		}
	}
}

func FuzzReadStatus(f *testing.F) {
	f.Add(statusResponse(1, 1, 1))
	f.Fuzz(func(_ *testing.T, frame []byte) { readStatus(frame) })
}

func TestPolls(t *testing.T) {
	lists := map[string]string{
		"/api/v1/nodes":             `{"items":[{"metadata":{"name":"m"},"status":{"conditions":[{"type":"Ready","status":"True"}]}},{"metadata":{"name":"w1"},"status":{}}]}`,
		"/api/v1/namespaces/x/pods": `{"items":[{"metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"nodeName":"w1"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}]}`,
		"/apis/discovery.k8s.io/v1/namespaces/x/endpointslices": `{"items":[{"endpoints":[{"addresses":["10.0.0.1"],"nodeName":"w1","conditions":{"ready":false},"targetRef":{"name":"a"}},{"addresses":["10.0.0.3"],"conditions":{"ready":true}},{"addresses":["10.0.0.2"]}]}]}`,
	}
	wants := map[string]any{
		"nodes":     map[string]string{"m": "Ready", "w1": "NotReady"},
		"pods":      map[string]podState{"a": {"w1", "Running", true, true}},
		"endpoints": []string{"10.0.0.2", "10.0.0.3"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, lists[r.URL.Path]) }))
	defer server.Close()
	for kind, want := range wants {
		link, err := newLink("http", []string{strings.TrimPrefix(server.URL, "http://")}, Identity{}, true, time.Second)
		must(t, err)
		if got := newPoll(link, Question{Kind: kind, Namespace: "x", Service: "s"}).ask(soon(t)); !reflect.DeepEqual(got.value, want) {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestFailuresHaveNames(t *testing.T) {
	for text, err := range map[string]error{
		"": nil, "cut": io.ErrUnexpectedEOF, "timeout": context.DeadlineExceeded, "odd": errors.New("a: odd"), "name: no such host": &net.DNSError{Err: "no such host"},
	} {
		if got := why(err); got != text {
			t.Errorf("%v is named %q", err, got)
		}
	}
}

func TestConfigurationsAreJudged(t *testing.T) {
	for _, config := range []Config{
		{},
		{Questions: []Question{{Kind: "tcp", Addresses: []string{"a:1"}}}},
		{Questions: []Question{{Name: "a", Kind: "tcp"}}},
		{Questions: []Question{{Name: "a", Kind: "arp"}, {Name: "a", Kind: "arp"}}},
		{Clients: []Client{{Name: "a"}}},
	} {
		if config.complete() == nil {
			t.Errorf("%+v is taken", config)
		}
	}
	for _, question := range []Question{{Kind: "telepathy"}, {Kind: "arp", Interface: "none", Query: "10.0.0.1"}, {Kind: "https", Identity: "nobody"}} {
		if _, err := newAsker(question, &Config{}); err == nil {
			t.Errorf("%+v is taken", question)
		}
	}
}
