package main

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gate is a server's power: while it is shut, nothing is read, written or taken up.
type gate struct {
	lock sync.Mutex
	open sync.Cond
	shut bool
}

func newGate() *gate {
	g := &gate{}
	g.open.L = &g.lock
	return g
}

func (g *gate) set(shut bool) {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.shut = shut
	g.open.Broadcast()
}

func (g *gate) pass() {
	g.lock.Lock()
	defer g.lock.Unlock()
	for g.shut {
		g.open.Wait()
	}
}

// patient is a connection of a server that can be frozen, as a paused machine is: its kernel goes on taking connections.
type patient struct {
	net.Conn
	gate *gate
}

func (p patient) Read(data []byte) (int, error) {
	count, err := p.Conn.Read(data)
	p.gate.pass()
	return count, err
}

func (p patient) Write(data []byte) (int, error) {
	p.gate.pass()
	return p.Conn.Write(data)
}

type patientListener struct {
	net.Listener
	gate *gate
}

func (p patientListener) Accept() (net.Conn, error) {
	conn, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p.gate.pass()
	return patient{conn, p.gate}, nil
}

// machine is a TLS server that can be killed and brought back at the same address, or frozen.
type machine struct {
	t       *testing.T
	tls     *tls.Config
	address string
	gate    *gate
	server  *http.Server
}

func (m *machine) up() {
	listener, err := net.Listen("tcp", m.address)
	must(m.t, err)
	m.address = listener.Addr().String()
	m.server = &http.Server{TLSConfig: m.tls.Clone(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.gate.pass()
		w.WriteHeader(http.StatusOK)
	})}
	go m.server.ServeTLS(patientListener{listener, m.gate}, "", "")
}

func (m *machine) down() { must(m.t, m.server.Close()) }

// gap is what the server says of its absence: it was surely there before `leaves` and after `back`, surely away from `from` to `to`.
type gap struct{ leaves, from, to, back float64 }

func (m *machine) away(length time.Duration, leave, come func()) gap {
	made := gap{leaves: monotonic(time.Now())}
	leave()
	made.from = monotonic(time.Now())
	time.Sleep(length)
	made.to = monotonic(time.Now())
	come()
	made.back = monotonic(time.Now())
	return made
}

// The instrument's own test: gaps of known length, made by a server on purpose, are measured within one interval at each end.
func TestGapsAreMeasured(t *testing.T) {
	own, server := identity(t)
	for _, way := range []string{"killed", "frozen"} {
		for _, connection := range []string{"new", "kept"} {
			t.Run(way+" "+connection, func(t *testing.T) {
				t.Parallel()
				m := &machine{t: t, tls: server, address: host + ":0", gate: newGate()}
				m.up()
				t.Cleanup(func() { m.gate.set(false); m.down() })
				leave, come := m.down, m.up
				if way == "frozen" {
					leave, come = func() { m.gate.set(true) }, func() { m.gate.set(false) }
				}
				question := Question{Name: "p", Kind: "https", Addresses: []string{m.address}, Path: "/", Identity: "me", Connection: connection, Timeout: 0.3}
				var gaps []gap
				rows := sampled(t, &Config{Identity: map[string]Identity{"me": own}, Questions: []Question{question}}, func() {
					for _, length := range []time.Duration{100, 500} {
						time.Sleep(500 * time.Millisecond)
						gaps = append(gaps, m.away(length*time.Millisecond, leave, come))
					}
					time.Sleep(500 * time.Millisecond)
				})
				for _, gap := range gaps {
					judge(t, rows["probe"], gap, connection)
				}
			})
		}
	}
}

// judge holds samples against a gap that the server made.
func judge(t *testing.T, rows []row, made gap, connection string) {
	t.Helper()
	rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.OK == nil })
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.T, b.T) })
	last, first := -1.0, -1.0
	for _, row := range rows {
		switch {
		case !good(row):
		case row.T >= made.from && row.End <= made.to:
			t.Errorf("answered at %.3f to %.3f, within the gap from %.3f to %.3f", row.T, row.End, made.from, made.to)
		case row.End <= made.to:
			last = max(last, row.End)
		case first < 0 || row.End < first:
			first = row.End
		}
	}
	before, after := allowance(rows, made.leaves-0.45, made.leaves, made.leaves), allowance(rows, made.back, made.back+0.45, first)
	if connection == "kept" {
		after += defaultInterval // a question of before may cut the connection that the first one afterwards uses
	}
	if made.leaves-last > before || last < 0 {
		t.Errorf("the gap began at %.3f, the last good answer came at %.3f: more than %.3f s before", made.leaves, last, before)
	}
	if first-made.back > after || first < 0 {
		t.Errorf("the gap ended at %.3f, the first good answer came at %.3f: more than %.3f s after", made.back, first, after)
	}
	t.Logf("made %.3f s, measured %.3f s (edges %.4f of %.4f, %.4f of %.4f)", made.to-made.from, first-last, made.leaves-last, before, first-made.back, after)
}

// allowance is one interval, and what the machine's scheduling cost in a stretch of time, as recorded: how far the questions were
// apart instead, and how long those asked in it had been waiting at its edge.
func allowance(rows []row, from, to, edge float64) float64 {
	apart, slow := defaultInterval, 0.0
	for i, row := range rows {
		if i > 0 && row.T >= from && rows[i-1].T <= to {
			apart = max(apart, row.T-rows[i-1].T)
		}
		if row.T >= from && row.T <= min(to, edge) {
			slow = max(slow, min(row.End, edge)-row.T)
		}
	}
	return apart + slow
}

func good(row row) bool { return row.OK != nil && *row.OK }

// An answer that does not come holds back no other question: five are out at once before the first one returns.
func TestASlowAnswerDelaysNoQuestion(t *testing.T) {
	plan := &schedule{interval: time.Millisecond, outstanding: 100}
	stop := make(chan struct{})
	var out sync.WaitGroup
	out.Add(5)
	var count atomic.Int64
	plan.run(stop, func(int) {
		if number := count.Add(1); number <= 5 {
			out.Done()
			if number == 1 {
				out.Wait()
				close(stop)
			}
		}
	}, func(int, time.Time, string) {})
	if plan.asked < 5 || len(plan.slips) < plan.asked {
		t.Errorf("%d asked, %d slips", plan.asked, len(plan.slips))
	}
}

func TestWhatCannotBeAskedIsSaid(t *testing.T) {
	plan := &schedule{interval: time.Millisecond, outstanding: 1}
	hold, stop := make(chan struct{}), make(chan struct{})
	var reasons []string
	var end sync.Once // a slot may still be taken after the stop
	plan.run(stop, func(int) { <-hold }, func(_ int, _ time.Time, reason string) {
		reasons = append(reasons, reason)
		if len(reasons) >= 5 && slices.Contains(reasons, "busy") { // a busy machine may be late for any number of slots first
			end.Do(func() { close(hold); close(stop) })
		}
	})
	if !slices.Contains(reasons, "busy") || plan.skipped != len(reasons) {
		t.Errorf("skipped %d: %v", plan.skipped, reasons)
	}
}
