// Package service is how halab's programs on a machine talk to the systemd that runs them: ready, and how far they have come.
package service

import (
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Tell sends a word of sd_notify(3): READY=1, STATUS=...; without a systemd that listens it does nothing.
func Tell(word string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer socket.Close()
	socket.Write([]byte(word))
}

// Ended gives a channel that hears when this process shall end.
func Ended() <-chan os.Signal {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	return end
}
