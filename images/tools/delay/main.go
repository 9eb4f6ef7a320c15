// halab-delay holds packets back for a while, for kernels without netem: it serves one of the kernel's packet queues (NFQUEUE),
// into which a rule of iptables sends what leaves the machine. When it ends, what it holds goes on at once.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"halab.test/tools/service"
)

const statusEvery = 100 * time.Millisecond

func fail(code int, format string, words ...any) {
	fmt.Fprintf(os.Stderr, "halab-delay: "+format+"\n", words...)
	os.Exit(code)
}

func main() {
	number := flag.Int("queue", -1, "number of the packet queue, 0 to 65535")
	var given rules
	flag.DurationVar(&given.delay, "delay", 0, "how long each packet is held")
	flag.DurationVar(&given.jitter, "jitter", 0, "how much more or less, at random")
	flag.Float64Var(&given.reorder, "reorder", 0, "percent of packets that go at once, before those held")
	flag.Float64Var(&given.corrupt, "corrupt", 0, "percent of packets in which a bit is flipped")
	flag.Parse()
	if *number < 0 || *number > 65535 || given.delay < 0 || given.jitter < 0 {
		fail(2, "give --queue 0 to 65535, and times that are not negative")
	}
	serve(uint16(*number), given)
}

func serve(number uint16, given rules) {
	source, err := open(number, given.corrupt > 0)
	if err != nil {
		fail(1, "%v", err)
	}
	h := &holder{rules: given, release: source.release, wake: make(chan struct{}, 1)}
	end, done := make(chan struct{}), make(chan struct{})
	go func() { h.run(end); close(done) }()
	go func() {
		buffer := make([]byte, 1<<17)
		for {
			if err := source.receive(buffer, h.take); err != nil {
				fail(1, "queue %d: %v", number, err)
			}
		}
	}()
	service.Tell("READY=1")
	asked, last := service.Ended(), ""
	tick := time.NewTicker(statusEvery)
	for {
		select {
		case <-tick.C:
			if now := h.status(); now != last {
				service.Tell("STATUS=" + now)
				last = now
			}
		case <-asked:
			close(end)
			<-done
			return
		}
	}
}
