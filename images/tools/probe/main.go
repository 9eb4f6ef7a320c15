// halab-probe samples a lab from inside it, on a fixed schedule, and writes what it saw as lines of JSON.
//
//	halab-probe FILE|-          ask the questions of a configuration until its duration is over, or SIGTERM
//	halab-probe serve ADDRESS   answer HTTP requests with the machine's name, and gRPC's health service: the target behind the test Service
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "halab-probe:", err)
		os.Exit(2)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "serve":
		return serve(arguments[1])
	case len(arguments) == 1:
		config, err := readConfig(arguments[0])
		if err != nil {
			return err
		}
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		return sample(config, stop)
	}
	return fmt.Errorf("no questions given: halab-probe FILE|- or halab-probe serve ADDRESS")
}

func serve(address string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return server(address, name).ListenAndServe()
}

// server answers HTTP with a name, and gRPC's health service with SERVING.
func server(address, name string) *http.Server {
	answer := http.NewServeMux()
	answer.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	answer.HandleFunc("POST "+healthCall, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", grpcKind)
		w.Header().Set("Trailer", "Grpc-Status")
		io.WriteString(w, grpcFrame([]byte{1 << 3, serving}))
		w.Header().Set("Grpc-Status", "0")
	})
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	return &http.Server{Addr: address, Handler: answer, ReadHeaderTimeout: 5 * time.Second, Protocols: both}
}

// sample asks everything until the end, then reads back what was written, and says how well the schedule was kept.
func sample(config *Config, stop <-chan os.Signal) error {
	// Memory is not scarce: collecting it a quarter as often halves what that costs.
	debug.SetGCPercent(400)
	out, err := openOutput(config.Output)
	if err != nil {
		return err
	}
	out.write(clockLine())
	out.flush()
	runner, err := newRunner(config, out)
	if err != nil {
		return err
	}
	runner.start()
	gone := make(chan struct{})
	if config.Attached {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(gone)
		}()
	}
	var over <-chan time.Time
	if config.Duration > 0 {
		over = time.After(seconds(config.Duration))
	}
	select {
	case <-stop:
	case <-over:
	case <-gone:
	case <-out.failed: // nobody reads any more: sampling on would only load the lab
	}
	runner.finish()
	out.write(runner.statistics())
	return out.close()
}
