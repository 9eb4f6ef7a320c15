package main

import (
	"context"
	"fmt"
	"math"
	"sync"
	"syscall"
	"time"
)

// job is one thing that runs until it is stopped.
type job struct {
	name     string
	schedule *schedule // nil: listens
	run      func(stop <-chan struct{})
	last     func() // done after everything has ended
}

type runner struct {
	out  *output
	jobs []job
	stop chan struct{}
	wait sync.WaitGroup
}

func newRunner(config *Config, out *output) (*runner, error) {
	r := &runner{out: out, stop: make(chan struct{})}
	for i, question := range config.Questions {
		asker, err := newAsker(question, config)
		if err != nil {
			return nil, fmt.Errorf("question %s: %w", question.Name, err)
		}
		r.jobs = append(r.jobs, questionJob(question, asker, out, share(question.Interval, i, len(config.Questions))))
	}
	for i, client := range config.Clients {
		made, err := newClient(client, config, out, share(client.Interval, i, len(config.Clients)))
		if err != nil {
			return nil, fmt.Errorf("client %s: %w", client.Name, err)
		}
		r.jobs = append(r.jobs, made)
	}
	return r, nil
}

func share(interval float64, index, count int) time.Duration {
	return seconds(interval * float64(index) / float64(count))
}

// enough lets every question run into its time-out without a slot being skipped.
func enough(timeout, interval float64) int { return int(math.Ceil(timeout/interval)) + 1 }

func questionJob(question Question, asker asker, out *output, offset time.Duration) job {
	plan := &schedule{interval: seconds(question.Interval), offset: offset, outstanding: enough(question.Timeout, question.Interval)}
	fire := func(int) {
		ctx, cancel := context.WithTimeout(context.Background(), seconds(question.Timeout))
		defer cancel()
		begin := time.Now()
		got := asker.ask(ctx)
		out.write(sampleLine{event{
			Kind: "probe", T: seconds9(monotonic(begin)), End: seconds9(monotonic(time.Now())),
			Probe: question.Name, Value: got.value, Detail: got.detail,
		}, &got.ok})
	}
	skip := func(_ int, at time.Time, why string) {
		moment := seconds9(monotonic(at))
		out.write(sampleLine{event{Kind: "probe", T: moment, End: moment, Probe: question.Name, Detail: why}, nil})
	}
	return job{name: question.Name, schedule: plan, run: func(stop <-chan struct{}) { plan.run(stop, fire, skip) }}
}

func (r *runner) start() {
	for _, job := range r.jobs {
		if job.run == nil {
			continue
		}
		r.wait.Add(1)
		go func() {
			defer r.wait.Done()
			job.run(r.stop)
		}()
	}
}

// finish ends all, waits for the answers that are still out, and then reads back.
func (r *runner) finish() {
	close(r.stop)
	r.wait.Wait()
	var reading sync.WaitGroup
	for _, job := range r.jobs {
		if job.last != nil {
			reading.Go(job.last) // side by side: each may wait for its service
		}
	}
	reading.Wait()
}

// statistics is the last line: processor seconds used and the figures of every schedule.
func (r *runner) statistics() any {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // only a bad address or number
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	all := map[string]figures{}
	for _, job := range r.jobs {
		if job.schedule != nil {
			all[job.name] = job.schedule.figures()
		}
	}
	return struct {
		Kind string             `json:"kind"`
		T    seconds9           `json:"t"`
		CPU  float64            `json:"cpu"`
		RSS  int64              `json:"rss_kib"`
		Lost int                `json:"lost"`
		Jobs map[string]figures `json:"jobs"`
	}{"stats", seconds9(monotonic(time.Now())), cpu.Seconds(), usage.Maxrss, r.out.lost, all}
}
