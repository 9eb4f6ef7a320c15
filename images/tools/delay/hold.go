package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// What to do with packets: hold them for delay±jitter, let a share go before its turn, flip a bit in a share.
type rules struct {
	delay, jitter    time.Duration
	reorder, corrupt float64 // percent
}

type held struct {
	packet
	due time.Time
}

type schedule []held

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(a, b int) bool { return s[a].due.Before(s[b].due) }
func (s schedule) Swap(a, b int)      { s[a], s[b] = s[b], s[a] }
func (s *schedule) Push(one any)      { *s = append(*s, one.(held)) }
func (s *schedule) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// A holder keeps packets until they are due.
type holder struct {
	rules
	release                func(id uint32, payload []byte)
	lock                   sync.Mutex
	waiting                schedule
	wake                   chan struct{}
	held, early, corrupted atomic.Int64
}

func share(percent float64) bool { return percent > 0 && rand.Float64()*100 < percent }

// take decides about a packet that has just come.
func (h *holder) take(one packet) {
	if share(h.corrupt) && flip(one.payload, rand.IntN) {
		h.corrupted.Add(1)
	} else {
		one.payload = nil // the kernel keeps its own
	}
	wait := h.delay
	if h.jitter > 0 {
		wait += time.Duration((rand.Float64()*2 - 1) * float64(h.jitter))
	}
	if share(h.reorder) {
		h.early.Add(1)
		wait = 0
	}
	if wait <= 0 {
		h.release(one.id, one.payload)
		return
	}
	h.held.Add(1)
	h.lock.Lock()
	heap.Push(&h.waiting, held{one, time.Now().Add(wait)})
	h.lock.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// due lets go what may go, and tells how long until the next.
func (h *holder) due(now time.Time) time.Duration {
	h.lock.Lock()
	defer h.lock.Unlock()
	for len(h.waiting) > 0 {
		if wait := h.waiting[0].due.Sub(now); wait > 0 {
			return wait
		}
		one := heap.Pop(&h.waiting).(held)
		h.release(one.id, one.payload)
	}
	return time.Hour
}

// run lets packets go in their time until `end` is closed, then all that are left.
func (h *holder) run(end <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	for {
		timer.Reset(h.due(time.Now()))
		select {
		case <-timer.C:
		case <-h.wake:
		case <-end:
			h.due(time.Now().Add(24 * time.Hour))
			return
		}
	}
}

// status says what was done so far; faults read it as their proof.
func (h *holder) status() string {
	return fmt.Sprintf("held %d, early %d, corrupted %d", h.held.Load(), h.early.Load(), h.corrupted.Load())
}

// flip changes one bit behind the IPv4 header, so that the packet arrives and its checksum does not fit. False where there is no such bit.
func flip(payload []byte, dice func(int) int) bool {
	if len(payload) < 20 || payload[0]>>4 != 4 {
		return false
	}
	begin := int(payload[0]&15) * 4
	if begin >= len(payload) {
		return false
	}
	payload[begin+dice(len(payload)-begin)] ^= 1 << dice(8)
	return true
}
