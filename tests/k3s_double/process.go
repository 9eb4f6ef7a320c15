package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// run keeps a bundled program running; when it ends, this process ends, as K3s does, where all are one process.
func run(name string, environment []string, args ...string) {
	bin := unpack()
	info("Running %s %s", name, strings.Join(args, " "))
	go func() {
		runtime.LockOSThread() // the death signal comes when the thread that started the child ends
		command := exec.Command(filepath.Join(bin, name), args...)
		command.Env = append(environmentWithPath(bin), environment...)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		must(command.Start())
		err := command.Wait()
		fatal("%s exited: %v", name, err)
	}()
}

// environmentWithPath puts the bundled programs behind the machine's own, as K3s does without prefer-bundled-bin.
// NOTIFY_SOCKET stays here: READY=1 of a child would be taken for ours.
func environmentWithPath(bin string) []string {
	found := []string{}
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "PATH=") && !strings.HasPrefix(line, "NOTIFY_SOCKET=") {
			found = append(found, line)
		}
	}
	return append(found, "PATH="+os.Getenv("PATH")+":"+bin)
}

func flags(values []string) []string {
	found := []string{}
	for _, value := range values {
		found = append(found, "--"+strings.TrimLeft(value, "-"))
	}
	return found
}
