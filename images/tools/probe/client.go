package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// listTries: reading back at the end decides about lost writes, so it is worth some patience.
const listTries, listPause = 30, time.Second

// worker is a client of the API with ConfigMaps: each holds one value.
type worker struct {
	Client
	link *link
	out  *output
	path string
}

type configMap struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data"`
}

type metadata struct {
	Name            string            `json:"name"`
	Labels          map[string]string `json:"labels,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

func newClient(client Client, config *Config, out *output, offset time.Duration) (job, error) {
	if client.Kind == "keep" {
		k, err := newKeeper(client, out)
		if err != nil {
			return job{}, err
		}
		plan := &schedule{interval: seconds(client.Interval), offset: offset, outstanding: enough(client.Timeout, client.Interval)}
		return job{name: client.Name, schedule: plan, run: func(stop <-chan struct{}) { plan.run(stop, k.put, k.skip) }, last: k.readAll}, nil
	}
	link, err := newLink("https", client.Addresses, config.Identity[client.Identity], client.Kind != "watch" && client.Connection != "new", seconds(client.Timeout))
	if err != nil {
		return job{}, err
	}
	w := &worker{client, link, out, "/api/v1/namespaces/" + client.Namespace + "/configmaps"}
	plan := &schedule{interval: seconds(client.Interval), offset: offset}
	made := job{name: client.Name, schedule: plan}
	nothing := func(int, time.Time, string) {} // an operation that was not begun is none
	switch client.Kind {
	case "create":
		plan.outstanding = enough(client.Timeout, client.Interval)
		made.run = func(stop <-chan struct{}) { plan.run(stop, w.create, w.skip) }
	case "register":
		plan.outstanding = 1 // as a process that does one thing after the other: what a linearizability checker is made for
		made.run = func(stop <-chan struct{}) { plan.run(stop, w.register, nothing) }
	case "watch":
		made.schedule = nil
		made.run = w.watch
	case "list":
		made.schedule, made.last = nil, w.list
	default:
		return job{}, fmt.Errorf("no kind of client %q", client.Kind)
	}
	return made, nil
}

func (w *worker) labels() map[string]string {
	key, value, _ := strings.Cut(w.Label, "=")
	return map[string]string{key: value}
}

func (w *worker) body(key, value string) string {
	text, err := json.Marshal(configMap{"v1", "ConfigMap", metadata{Name: key, Labels: w.labels()}, map[string]string{"value": value}})
	if err != nil {
		panic(err) // maps of text
	}
	return string(text)
}

// outcome: an answer in the fives, a cut or a time-out after the request may have been sent leave open what happened.
func outcome(got reply) string {
	switch {
	case got.err == nil && got.code < 300:
		return "ok"
	case got.err == nil && got.code < 500, got.err != nil && !got.sent:
		return "fail"
	}
	return "unknown"
}

// do sends one operation and writes it down with its two times.
func (w *worker) do(op, key, value, method, path, body string) event {
	ctx, cancel := context.WithTimeout(context.Background(), seconds(w.Timeout))
	defer cancel()
	begin := time.Now()
	got := w.link.do(ctx, method, path, "application/json", body)
	line := event{Kind: "op", T: seconds9(monotonic(begin)), End: seconds9(monotonic(time.Now())), Client: w.Name, Op: op, Key: key}
	line.Outcome = outcome(got)
	if value != "" {
		line.Value = value
	}
	if line.Outcome != "ok" {
		line.Detail = got.detail()
	} else if op == "read" {
		var found configMap
		if err := json.Unmarshal(got.body, &found); err != nil {
			line.Outcome, line.Detail = "unknown", "no ConfigMap"
		}
		line.Value = found.Data["value"]
	}
	w.out.write(line)
	return line
}

// skip says that a write was not tried, where writes are samples.
func (w *worker) skip(_ int, at time.Time, why string) {
	moment := seconds9(monotonic(at))
	w.sample(sampleLine{event{T: moment, End: moment, Detail: why}, nil})
}

func (w *worker) sample(line sampleLine) {
	if w.Probe != "" {
		line.Kind, line.Probe = "probe", w.Probe
		w.out.write(line)
	}
}

// create makes a ConfigMap with a name and a value that no other has.
func (w *worker) create(slot int) {
	key := fmt.Sprintf("%s-%d", w.Prefix, slot)
	done := w.do("create", key, "v-"+key, http.MethodPost, w.path, w.body(key, "v-"+key))
	ok := done.Outcome == "ok"
	w.sample(sampleLine{event{T: done.T, End: done.End, Detail: done.Detail}, &ok})
}

// register writes and reads a few keys in turn; every value is written once.
func (w *worker) register(slot int) {
	key := w.Keys[slot/2%len(w.Keys)]
	if slot%2 == 1 {
		w.do("read", key, "", http.MethodGet, w.path+"/"+key, "")
		return
	}
	value := fmt.Sprintf("%s-%d", w.Prefix, slot)
	w.do("write", key, value, http.MethodPut, w.path+"/"+key, w.body(key, value))
}

type configMaps struct {
	Metadata metadata    `json:"metadata"`
	Items    []configMap `json:"items"`
}

func (w *worker) selector() string { return "labelSelector=" + url.QueryEscape(w.Label) }

func (w *worker) get(timeout time.Duration) (configMaps, reply) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	got := w.link.do(ctx, http.MethodGet, w.path+"?"+w.selector(), "", "")
	var found configMaps
	if got.err == nil && got.code == http.StatusOK {
		got.err = json.Unmarshal(got.body, &found)
	}
	return found, got
}

// list reads everything back; the value is key → value.
func (w *worker) list() {
	for try := 1; try <= listTries; try++ {
		begin := time.Now()
		found, got := w.get(5 * time.Second)
		line := event{Kind: "op", T: seconds9(monotonic(begin)), End: seconds9(monotonic(time.Now())), Client: w.Name, Op: "list"}
		line.Outcome = outcome(got)
		if line.Outcome == "ok" {
			values := map[string]string{}
			for _, item := range found.Items {
				values[item.Metadata.Name] = item.Data["value"]
			}
			line.Value = values
			w.out.write(line)
			return
		}
		line.Detail = got.detail()
		w.out.write(line)
		time.Sleep(listPause)
	}
}
