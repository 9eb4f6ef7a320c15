// A strict double of K3s for tests: it stands in for the real `k3s` where that cannot be had, and is never part of what users get.
//
// It is written from K3s's documentation and from what its source does, not from what halab does: its purpose is to refuse
// what the real one refuses. Places in brackets are files of K3s's source that a fact was read from (1.36).
// What it leaves out says so: no packaged components but CoreDNS (no ServiceLB, Traefik, metrics-server, local-path),
// no cloud controller but its lease, no SQLite, no Helm controller, no tunnel between API server and kubelets.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const version = "v1.36.3+double"

// words is what status and reports of halab repeat.
const words = "K3s double, not K3s"

const usage = `NAME:
   k3s - ` + words + `

COMMANDS:
   server, agent, kubectl, ctr, etcd-snapshot
`

func main() {
	args := os.Args[1:]
	if name := filepath.Base(os.Args[0]); name == "kubectl" || name == "ctr" || name == "crictl" {
		args = append([]string{name}, args...)
	}
	if len(args) == 0 {
		fmt.Print(usage)
		return
	}
	switch args[0] {
	case "--version", "-v":
		fmt.Printf("k3s version %s (%s)\n", version, words)
	case "--help", "-h", "help":
		fmt.Print(usage)
	case "server":
		server(load("server", args[1:]))
	case "agent":
		config := load("agent", args[1:])
		if config.one("server") == "" {
			fatal("--server is required")
		}
		if config.token() == "" {
			fatal("--token is required")
		}
		agent(config, config.one("server"), false, nil)
	case "kubectl":
		if os.Getenv("KUBECONFIG") == "" && !strings.Contains(strings.Join(args, " "), "--kubeconfig") {
			if _, err := os.Stat(kubeconfigFile); err == nil {
				os.Setenv("KUBECONFIG", kubeconfigFile)
			}
		}
		replace("kubectl", args[1:])
	case "ctr":
		replace("ctr", append([]string{"--address", containerdSocket, "-n", "k8s.io"}, args[1:]...))
	case "etcd-snapshot":
		snapshot(load("server", nil), args[1:])
	default:
		fmt.Fprintf(os.Stderr, "No help topic for '%s'\n", args[0])
		os.Exit(3)
	}
}

// replace becomes one of the bundled programs.
func replace(name string, args []string) {
	bin := unpack()
	path := filepath.Join(bin, name)
	if err := syscall.Exec(path, append([]string{name}, args...), os.Environ()); err != nil {
		fatal("exec %s: %v", path, err)
	}
}

func info(format string, values ...any) {
	fmt.Printf("level=info msg=%q\n", fmt.Sprintf(format, values...))
}

func warn(format string, values ...any) {
	fmt.Printf("level=warning msg=%q\n", fmt.Sprintf(format, values...))
}

func fatal(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "level=fatal msg=%q\n", fmt.Sprintf(format, values...))
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fatal("%v", err)
	}
}

// write makes the folder, too.
func write(path string, content []byte, mode os.FileMode) {
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, content, mode))
	must(os.Chmod(path, mode))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// notify tells systemd; without it nothing happens.
func notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	command := exec.Command("systemd-notify", state)
	command.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	if output, err := command.CombinedOutput(); err != nil {
		warn("systemd-notify: %v %s", err, output)
	}
}
