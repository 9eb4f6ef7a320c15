package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// shop is a double of a user's service: it keeps keys, loses some, and may answer with a code instead.
type shop struct {
	lock sync.Mutex
	kept map[string]bool
	code int
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/orders/")
	switch {
	case s.code != 0:
		w.WriteHeader(s.code)
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		s.kept[key] = string(body) == key && !strings.HasSuffix(key, "1")
		w.WriteHeader(http.StatusCreated)
	case r.URL.Path == "/orders":
		for key, there := range s.kept {
			if there {
				fmt.Fprintln(w, key)
			}
		}
	case s.kept[key]:
		fmt.Fprintln(w, "order", key)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *shop) answerWith(code int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.code = code
}

func TestAcknowledgedKeysAreReadBack(t *testing.T) {
	for _, path := range []string{"/orders/{key}", "/orders"} {
		service := &shop{kept: map[string]bool{}}
		server := httptest.NewServer(service)
		address := strings.TrimPrefix(server.URL, "http://")
		client := Client{
			Name: "orders", Kind: "keep", Probe: "orders", Addresses: []string{address}, Prefix: "k-", Interval: 0.1, Timeout: 5,
			Scheme: "http", Method: "PUT", Path: "/orders/{key}", Read: Source{"http", address, path},
		}
		rows := rowsOf(t, func(out *output) {
			made, err := newClient(client, &Config{}, out, 0)
			must(t, err)
			k, err := newKeeper(client, out)
			must(t, err)
			for slot := range 3 {
				k.put(slot)
			}
			service.answerWith(http.StatusInternalServerError)
			k.put(3)
			time.AfterFunc(10*time.Millisecond, func() { service.answerWith(0) }) // asked again until it answers
			k.readAll()
			if made.last == nil || made.run == nil {
				t.Error("it neither writes nor reads")
			}
		})
		server.Close()
		samples, outcomes, there := 0, []string{}, map[string]bool{}
		for _, line := range rows {
			switch {
			case line.Kind == "probe" && line.Probe == "orders":
				samples++
			case line.Kind == "user_op" && line.Op == "create":
				outcomes = append(outcomes, line.Outcome)
			case line.Kind == "user_op" && line.Outcome == "ok":
				if line.Client != "orders" {
					t.Errorf("%+v", line)
				}
				if keys, ok := line.Value.([]any); ok {
					for _, key := range keys {
						there[key.(string)] = true
					}
				} else if line.Value != nil {
					there[line.Value.(string)] = true
				}
			}
		}
		if samples != 4 || fmt.Sprint(outcomes) != "[ok ok ok unknown]" {
			t.Errorf("%s: %d samples, outcomes %v", path, samples, outcomes)
		}
		if len(there) != 2 || !there["k-000000"] || !there["k-000002"] {
			t.Errorf("%s: read back %v", path, there)
		}
	}
}

func TestAWriteThatWasNeverSentHasFailed(t *testing.T) {
	if got := kept(reply{err: io.EOF}); got != "fail" {
		t.Error(got)
	}
	if got := kept(reply{err: io.EOF, sent: true}); got != "unknown" {
		t.Error(got)
	}
	if _, err := newKeeper(Client{Scheme: "http"}, nil); err == nil {
		t.Error("nothing to read back")
	}
}

// rowsOf gives what is written by work.
func rowsOf(t *testing.T, work func(*output)) []row {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lines")
	out, err := openOutput(path)
	must(t, err)
	work(out)
	must(t, out.close())
	text, err := os.ReadFile(path)
	must(t, err)
	found := []row{}
	for line := range strings.Lines(string(text)) {
		var one row
		must(t, json.Unmarshal([]byte(line), &one))
		found = append(found, one)
	}
	return found
}
