package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// keyMark stands for the key in a path.
	keyMark = "{key}"
	// readBack is for all keys of a client together, and readPause between two tries: the service may just be coming back.
	readBack, readPause = 25 * time.Second, 500 * time.Millisecond
	readOne             = 5 * time.Second
)

// keeper writes keys to a user's service, each once, and reads at the end those that were acknowledged.
type keeper struct {
	Client
	out   *output
	write *link
	read  *link
	lock  sync.Mutex
	acked []string
}

func newKeeper(client Client, out *output) (*keeper, error) {
	identity := Identity{Unverified: true}
	write, err := newLink(client.Scheme, client.Addresses, identity, false, seconds(client.Timeout))
	if err != nil {
		return nil, err
	}
	if client.Read.Address == "" {
		return nil, fmt.Errorf("it has nothing to read back")
	}
	read, err := newLink(client.Read.Scheme, []string{client.Read.Address}, identity, false, readOne)
	return &keeper{Client: client, out: out, write: write, read: read}, err
}

// kept is the outcome of a write: only what was never sent has surely failed. What an error code means, only the service knows.
func kept(got reply) string {
	switch {
	case got.err == nil && got.code/100 == 2:
		return "ok"
	case got.err != nil && !got.sent:
		return "fail"
	}
	return "unknown"
}

func (k *keeper) event(op, key string, begin time.Time) event {
	return event{Kind: "user_op", T: seconds9(monotonic(begin)), End: seconds9(monotonic(time.Now())), Client: k.Name, Op: op, Key: key}
}

// put writes one key; it is a sample, too.
func (k *keeper) put(slot int) {
	// Of one length, so that none is a part of another.
	key := fmt.Sprintf("%s%06d", k.Prefix, slot)
	ctx, cancel := context.WithTimeout(context.Background(), seconds(k.Timeout))
	defer cancel()
	begin := time.Now()
	got := k.write.do(ctx, k.Method, strings.ReplaceAll(k.Path, keyMark, key), "text/plain", key)
	line := k.event("create", key, begin)
	line.Value, line.Outcome = key, kept(got)
	ok := line.Outcome == "ok"
	if ok {
		k.lock.Lock()
		k.acked = append(k.acked, key)
		k.lock.Unlock()
	} else {
		line.Detail = got.detail()
	}
	k.out.write(line)
	k.out.write(sampleLine{event{Kind: "probe", T: line.T, End: line.End, Probe: k.Probe, Detail: line.Detail}, &ok})
}

func (k *keeper) skip(_ int, at time.Time, why string) {
	moment := seconds9(monotonic(at))
	k.out.write(sampleLine{event{Kind: "probe", T: moment, End: moment, Probe: k.Probe, Detail: why}, nil})
}

// readAll reads back what was acknowledged: each key by itself where the path has one, else all in one answer.
func (k *keeper) readAll() {
	if len(k.acked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), readBack)
	defer cancel()
	if !strings.Contains(k.Read.Path, keyMark) {
		line, body := k.ask(ctx, "list", "", k.Read.Path)
		if line.Outcome == "ok" {
			line.Value = k.found(body)
		}
		k.out.write(line)
		return
	}
	for _, key := range k.acked {
		line, body := k.ask(ctx, "read", key, strings.ReplaceAll(k.Read.Path, keyMark, key))
		if line.Outcome == "ok" && strings.Contains(body, key) {
			line.Value = key
		}
		k.out.write(line)
	}
}

func (k *keeper) found(body string) []string {
	found := []string{}
	for _, key := range k.acked {
		if strings.Contains(body, key) {
			found = append(found, key)
		}
	}
	return found
}

// ask reads until the service answers that a key is there (200) or is not (404 of that key's own path); its body is empty then.
func (k *keeper) ask(parent context.Context, op, key, path string) (event, string) {
	for {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(parent, readOne)
		got := k.read.do(ctx, http.MethodGet, path, "", "")
		cancel()
		line := k.event(op, key, begin)
		switch {
		case got.err == nil && got.code == http.StatusOK:
			line.Outcome = "ok"
			return line, string(got.body)
		case got.err == nil && got.code == http.StatusNotFound && op == "read":
			line.Outcome = "ok"
			return line, ""
		}
		line.Outcome, line.Detail = "unknown", got.detail()
		select {
		case <-parent.Done():
			return line, ""
		case <-time.After(readPause):
		}
	}
}
