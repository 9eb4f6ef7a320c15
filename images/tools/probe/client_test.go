package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// double is a double of the API server's ConfigMaps: versions, watches that can be cut, an oldest version that it still has.
type double struct {
	lock   sync.Mutex
	values map[string]string
	events []watchEvent
	oldest int
	cut    chan struct{}
	fail   int // answer writes with this code
}

func (d *double) change(kind, key, value string) {
	d.values[key] = value
	event := watchEvent{Type: kind}
	event.Object.configMap = configMap{Metadata: metadata{Name: key, ResourceVersion: fmt.Sprint(len(d.events) + 1)}, Data: map[string]string{"value": value}}
	d.events = append(d.events, event)
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		d.watch(w, r)
		return
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/x/configmaps"), "/")
	var body configMap
	if r.Method != http.MethodGet {
		json.NewDecoder(r.Body).Decode(&body)
		if d.fail != 0 {
			w.WriteHeader(d.fail)
			return
		}
	}
	switch {
	case r.Method == http.MethodPost:
		d.change("ADDED", body.Metadata.Name, body.Data["value"])
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		d.change("MODIFIED", key, body.Data["value"])
	case key != "":
		json.NewEncoder(w).Encode(configMap{Data: map[string]string{"value": d.values[key]}})
	default:
		all := configMaps{Metadata: metadata{ResourceVersion: fmt.Sprint(len(d.events))}}
		for key, value := range d.values {
			all.Items = append(all.Items, configMap{Metadata: metadata{Name: key}, Data: map[string]string{"value": value}})
		}
		json.NewEncoder(w).Encode(all)
	}
}

func (d *double) watch(w http.ResponseWriter, r *http.Request) {
	var from int
	fmt.Sscan(r.URL.Query().Get("resourceVersion"), &from)
	d.lock.Lock()
	cut, oldest := d.cut, d.oldest
	d.lock.Unlock()
	if from < oldest {
		fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","code":410}}`)
		return
	}
	http.NewResponseController(w).Flush()
	for tick := time.NewTicker(time.Millisecond); ; {
		select {
		case <-cut:
			return
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		d.lock.Lock()
		// Both channels may be ready on a busy machine, and select takes any: what came after the cut must not be told.
		if d.cut != cut {
			d.lock.Unlock()
			return
		}
		fresh := slices.Clone(d.events[from:])
		d.lock.Unlock()
		for _, event := range fresh {
			json.NewEncoder(w).Encode(event)
			from++
		}
		http.NewResponseController(w).Flush()
	}
}

// eventually waits for what must come: minutes, as the machine may be busy, but not until go test's own limit, which tells only stacks.
func eventually(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for late := time.Now().Add(2 * time.Minute); !ready(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not seen within two minutes: %s", what)
		}
	}
}

func TestClientsWriteReadAndListen(t *testing.T) {
	own, settings := identity(t)
	api := &double{values: map[string]string{"r": "init"}, cut: make(chan struct{})}
	server := httptest.NewUnstartedServer(api)
	listener, err := net.Listen("tcp", host+":0")
	must(t, err)
	server.Listener, server.TLS, server.EnableHTTP2 = listener, settings, true
	server.StartTLS()
	defer server.Close()
	client := func(name, kind string) Client {
		return Client{Name: name, Kind: kind, Addresses: []string{listener.Addr().String()}, Identity: "me", Namespace: "x", Label: "a=b", Prefix: name, Interval: 0.01, Timeout: 5, Keys: []string{"r"}, Probe: map[string]string{"create": "write", "watch": "watch"}[kind], Connection: map[string]string{"create": "new", "watch": "new"}[kind]}
	}
	config := &Config{Identity: map[string]Identity{"me": own}, Clients: []Client{client("c", "create"), client("g", "register"), client("w", "watch"), client("l", "list")}}
	restart := func(forget bool) {
		api.lock.Lock()
		close(api.cut)
		api.cut = make(chan struct{})
		if forget {
			api.oldest = len(api.events) + 1
		}
		api.lock.Unlock()
	}
	// What the agent has said so far is waited for, not what the double has done: a busy machine lies between the two.
	said := func(mark string) bool {
		text, _ := os.ReadFile(config.Output)
		_, after, found := strings.Cut(string(text), `"type":"`+mark+`"`)
		return found && strings.Contains(after, `"type":"ADDED"`) && strings.Contains(after, `"type":"MODIFIED"`)
	}
	resumed := func() bool {
		text, _ := os.ReadFile(config.Output)
		return strings.Count(string(text), `"type":"RESUME"`) >= 2
	}
	rows := sampled(t, config, func() {
		eventually(t, "changes on the first watch", func() bool { return said("RESUME") })
		restart(false)
		eventually(t, "a watch resumed after its cut", resumed)
		restart(true)
		eventually(t, "changes after a version that the server had forgotten", func() bool { return said("LOST") })
	})
	kinds := map[string]int{}
	for _, row := range rows["op"] {
		if row.Outcome != "ok" || row.End < row.T {
			t.Errorf("%+v", row)
		}
		kinds[row.Op]++
		if row.Op == "list" && len(row.Value.(map[string]any)) != kinds["create"]+1 {
			t.Errorf("list has %d of %d", len(row.Value.(map[string]any)), kinds["create"]+1)
		}
	}
	for _, op := range []string{"create", "write", "read", "list"} {
		if kinds[op] == 0 {
			t.Errorf("no %s in %v", op, kinds)
		}
	}
	if len(rows["probe"]) < kinds["create"] {
		t.Errorf("%d samples of %d creates", len(rows["probe"]), kinds["create"])
	}
	seen := map[string]int{}
	last := uint64(0)
	for _, row := range rows["watch"] {
		seen[row.Type]++
		var version uint64
		fmt.Sscan(row.RV, &version)
		if row.Type == "ADDED" || row.Type == "MODIFIED" {
			if version != last+1 && last != 0 && seen["LOST"] == 0 {
				t.Errorf("version %d after %d", version, last)
			}
			last = version
		}
	}
	if seen["RESUME"] < 3 || seen["END"] != 1 || seen["LOST"] == 0 || seen["ADDED"] == 0 || seen["MODIFIED"] == 0 {
		t.Errorf("the watch saw %v", seen)
	}
}

func TestOutcomes(t *testing.T) {
	broken := errors.New("broken")
	for want, replies := range map[string][]reply{
		"ok":      {{code: 200, sent: true}, {code: 201, sent: true}},
		"fail":    {{code: 409, sent: true}, {code: 429, sent: true}, {err: broken}},
		"unknown": {{code: 500, sent: true}, {code: 504, sent: true}, {err: broken, sent: true}},
	} {
		for _, reply := range replies {
			if got := outcome(reply); got != want {
				t.Errorf("%+v: %s, not %s", reply, got, want)
			}
		}
	}
}

func TestVersionsGrow(t *testing.T) {
	for _, row := range [][3]string{{"9", "10", "10"}, {"10", "9", "10"}, {"10", "", "10"}, {"", "1", "1"}} {
		if got := newer(row[0], row[1]); got != row[2] {
			t.Errorf("%v: %s", row, got)
		}
	}
}

// stuck is a reader that takes nothing until it is let go.
type stuck struct{ free chan struct{} }

func (s stuck) Write(data []byte) (int, error) { <-s.free; return len(data), nil }
func (s stuck) Close() error                   { return nil }

func TestAStuckReaderDelaysNobodyAndLossIsCounted(t *testing.T) {
	reader := stuck{make(chan struct{})}
	out := newOutput(reader, 1000)
	line := event{Detail: strings.Repeat("x", 100)}
	for range 1000 {
		out.write(line)
	}
	close(reader.free)
	if out.lost == 0 || !out.flush() {
		t.Errorf("lost %d", out.lost)
	}
}
