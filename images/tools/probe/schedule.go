package main

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// answer is what one question brought: whether it was answered as expected, what was said, and why not.
type answer struct {
	ok     bool
	value  any
	detail string
}

// asker asks one question once. It ends when its context does.
type asker interface {
	ask(context.Context) answer
}

// schedule fires at fixed moments whatever happened before: a slow answer never delays the next question.
type schedule struct {
	interval    time.Duration
	offset      time.Duration // spreads the questions, so that they do not all ask in the same moment
	outstanding int           // more at once than this are not asked, which is said
	slips       []float32     // seconds from each slot to the moment it really fired
	asked       int
	skipped     int
}

// run calls fire for each slot until stop is closed, and skip for the slots that could not be taken. Both get the slot's number.
func (s *schedule) run(stop <-chan struct{}, fire func(int), skip func(int, time.Time, string)) {
	begin := time.Now().Add(s.offset)
	free := make(chan struct{}, s.outstanding)
	timer := time.NewTimer(time.Until(begin))
	defer timer.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	for slot := 0; ; slot++ {
		due := begin.Add(time.Duration(slot) * s.interval)
		timer.Reset(time.Until(due))
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		late := time.Since(due)
		if late > s.interval { // the machine gave us no time: what was not asked is said, not made up for in a burst
			s.skipped++
			skip(slot, due, "late")
			continue
		}
		s.slips = append(s.slips, float32(late.Seconds()))
		select {
		case free <- struct{}{}:
		default:
			s.skipped++
			skip(slot, time.Now(), "busy")
			continue
		}
		s.asked++
		running.Add(1)
		go func() {
			defer running.Done()
			defer func() { <-free }()
			fire(slot)
		}()
	}
}

// figures say how well the schedule was kept; slips are seconds.
type figures struct {
	Asked   int     `json:"asked"`
	Skipped int     `json:"skipped"`
	P50     float64 `json:"slip_p50"`
	P99     float64 `json:"slip_p99"`
	Max     float64 `json:"slip_max"`
}

func (s *schedule) figures() figures {
	return figures{s.asked, s.skipped, quantile(s.slips, 0.5), quantile(s.slips, 0.99), quantile(s.slips, 1)}
}

// quantile gives the smallest value that the fraction q of all values does not exceed; 0 where there are none.
func quantile(values []float32, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	index := max(int(math.Ceil(q*float64(len(sorted))))-1, 0)
	return math.Round(float64(sorted[index])*1e6) / 1e6
}
