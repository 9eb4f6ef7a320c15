// halab-skew lets one running process believe in another time of day; the machine's clock is not touched.
//
// Programs do not ask the kernel for the time: they call a function that the kernel has mapped into them (the vDSO). Written over in
// the memory of one process, that function asks the kernel and adds what is asked for. Clocks that only run forward stay true, and a
// program that the process starts has the true time.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

const mostYears = 50 // seconds must fit into 32 bits

func fail(code int, format string, words ...any) {
	fmt.Fprintf(os.Stderr, "halab-skew: "+format+"\n", words...)
	os.Exit(code)
}

func main() {
	by := flag.Duration("by", 0, "what is added to the time of day; 0 gives the true time back")
	try := flag.Bool("try", false, "only see whether it can be done here, with a process made for it")
	flag.Parse()
	if by.Abs() > mostYears*365*24*time.Hour {
		fail(2, "at most %d years", mostYears)
	}
	if *try {
		if err := attempt(); err != nil {
			fail(1, "%v", err)
		}
		return
	}
	pid, err := strconv.Atoi(flag.Arg(0))
	if err != nil || pid <= 1 || flag.NArg() != 1 {
		fail(2, "give one process by its number")
	}
	if err := skew(pid, *by); err != nil {
		fail(1, "process %d: %v", pid, err)
	}
}

// attempt skews a process of its own making, and back.
func attempt() error {
	victim := exec.Command("sleep", "10")
	if err := victim.Start(); err != nil {
		return err
	}
	defer victim.Wait()
	defer victim.Process.Kill()
	time.Sleep(20 * time.Millisecond) // until it is `sleep`, not a copy of us
	if err := skew(victim.Process.Pid, time.Hour); err != nil {
		return err
	}
	return skew(victim.Process.Pid, 0)
}
