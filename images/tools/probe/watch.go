package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// watchPause is between two tries to connect: quick enough to see the API return, slow enough not to hammer it.
const watchPause = 100 * time.Millisecond

type watchEvent struct {
	Type   string `json:"type"`
	Object struct {
		configMap
		Code int `json:"code"` // of a Status, which an ERROR carries
	} `json:"object"`
}

// watcher follows all changes and goes on from the last version it saw, as informers do.
type watcher struct {
	*worker
	version string // the last one seen; empty: none, or the server no longer has it
}

func (w *worker) watch(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-stop; cancel() }()
	for watcher := (&watcher{worker: w}); ctx.Err() == nil; {
		if watcher.version == "" {
			if found, got := w.get(seconds(w.Timeout)); got.err == nil && got.code == http.StatusOK {
				watcher.version = found.Metadata.ResourceVersion
			}
		}
		if watcher.version != "" {
			watcher.follow(ctx)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
	w.say("END", "", "", "")
}

func (w *worker) say(kind, version, key, value string) {
	line := event{Kind: "watch", T: seconds9(monotonic(time.Now())), Client: w.Name, Probe: w.Probe, Type: kind, RV: version, Key: key}
	if value != "" {
		line.Value = value
	}
	w.out.write(line)
}

// follow reads one connection to its end.
func (w *watcher) follow(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	// A connection that died without a word would be believed in for ever: silence means that it is made anew.
	silence := time.AfterFunc(seconds(w.Silence), cancel)
	defer silence.Stop()
	place := w.link.next.Load()
	defer w.link.next.CompareAndSwap(place, place+1)
	query := fmt.Sprintf("%s?watch=true&allowWatchBookmarks=true&resourceVersion=%s&%s", w.path, w.version, w.selector())
	address := w.link.scheme + "://" + w.link.addresses[int(place)%len(w.link.addresses)]
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+query, nil)
	if err != nil {
		panic(err) // addresses and names are checked by then
	}
	response, err := w.link.client.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusGone:
		w.lost()
		return
	case http.StatusOK:
	default:
		return
	}
	w.say("RESUME", w.version, "", "") // for the first time, too
	for decoder := json.NewDecoder(response.Body); ; {
		var got watchEvent
		if decoder.Decode(&got) != nil {
			return
		}
		silence.Reset(seconds(w.Silence))
		object := got.Object.Metadata
		switch got.Type {
		case "ERROR": // within a stream 410 comes as an event
			if got.Object.Code == http.StatusGone {
				w.lost()
			}
			return
		case "BOOKMARK":
		default:
			w.say(got.Type, object.ResourceVersion, object.Name, got.Object.Data["value"])
		}
		w.version = newer(w.version, object.ResourceVersion)
	}
}

func (w *watcher) lost() {
	w.say("LOST", w.version, "", "")
	w.version = ""
}

// newer gives the later of two versions: numbers that grow, as the API promises since 1.35 and etcd's revisions always were.
func newer(old, found string) string {
	left, _ := strconv.ParseUint(old, 10, 64)
	if right, err := strconv.ParseUint(found, 10, 64); err != nil || right < left {
		return old
	}
	return found
}
