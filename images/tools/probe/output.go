package main

import (
	"encoding/json"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	flushEvery = 100 * time.Millisecond
	// A reader that is stuck must not stop the sampling: so much is kept for it, hours of one probe.
	bufferLimit = 64 << 20
	// A reader that never takes the rest must not keep the agent alive.
	closeWait = 5 * time.Second
)

// seconds9 is a time as JSON: microseconds are finer than anything measured here.
type seconds9 float64

func (s seconds9) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'f', 6, 64), nil
}

// event is one line; what is empty is left out. OK is nil where a sample could not be taken.
type event struct {
	Kind    string   `json:"kind"`
	T       seconds9 `json:"t"`
	End     seconds9 `json:"end,omitempty"`
	Probe   string   `json:"probe,omitempty"`
	Client  string   `json:"client,omitempty"`
	Op      string   `json:"op,omitempty"`
	Key     string   `json:"key,omitempty"`
	Value   any      `json:"value,omitempty"`
	Outcome string   `json:"outcome,omitempty"`
	Type    string   `json:"type,omitempty"`
	RV      string   `json:"rv,omitempty"`
	Detail  string   `json:"detail,omitempty"`
}

// sampleLine is a probe's line: `ok` is always there, null where the instrument itself could not ask.
type sampleLine struct {
	event
	OK *bool `json:"ok"`
}

// output writes lines in the background: a slow disk or reader delays no question.
type output struct {
	file   io.WriteCloser
	lock   sync.Mutex
	lines  []byte
	lost   int
	limit  int
	wake   chan chan struct{}
	failed chan struct{}
	once   sync.Once
}

func openOutput(path string) (*output, error) {
	var file io.WriteCloser = os.Stdout
	if path != "" {
		var err error
		// Appended: a pod that was started anew after its node's death goes on in the same file.
		if file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
			return nil, err
		}
	}
	return newOutput(file, bufferLimit), nil
}

func newOutput(file io.WriteCloser, limit int) *output {
	out := &output{file: file, limit: limit, wake: make(chan chan struct{}), failed: make(chan struct{})}
	go out.work()
	return out
}

func (o *output) write(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // all lines are ours
	}
	o.lock.Lock()
	defer o.lock.Unlock()
	if len(o.lines) > o.limit {
		o.lost++
		return
	}
	o.lines = append(append(o.lines, text...), '\n')
}

func (o *output) work() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		var done chan struct{}
		select {
		case <-tick.C:
		case done = <-o.wake:
		}
		o.lock.Lock()
		lines := o.lines
		o.lines = nil
		o.lock.Unlock()
		if len(lines) > 0 {
			if _, err := o.file.Write(lines); err != nil {
				o.once.Do(func() { close(o.failed) })
			}
		}
		if done != nil {
			close(done)
		}
	}
}

// flush writes what is there now; it waits for it, but not for ever.
func (o *output) flush() bool {
	done := make(chan struct{})
	late := time.After(closeWait)
	select {
	case o.wake <- done:
	case <-late:
		return false
	}
	select {
	case <-done:
		return true
	case <-late:
		return false
	}
}

func (o *output) close() error {
	if !o.flush() {
		return io.ErrShortWrite
	}
	select {
	case <-o.failed:
		return io.ErrClosedPipe
	default:
	}
	return o.file.Close()
}
