package main

import (
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const balancerFile = agentDir + "/etc/k3s-agent-load-balancer.json"

// balancer is the agent's own way to the servers: one at a time, another one when it cannot be dialled or leaves the list.
type balancer struct {
	lock        sync.Mutex
	fallback    string // the host of `server`: kept for ever, used last
	servers     []string
	active      string
	connections map[net.Conn]string
}

type saved struct {
	ServerURL       string   `json:"ServerURL"`
	ServerAddresses []string `json:"ServerAddresses"`
}

// startBalancer listens on 127.0.0.1:6444 and keeps its list of servers; it gives the address for the node's components.
func startBalancer(config Config, server string) string {
	parsed, err := url.Parse(server)
	must(err)
	host := parsed.Host
	if parsed.Port() == "" {
		host += ":443"
	}
	b := &balancer{fallback: host, connections: map[net.Conn]string{}}
	var before saved
	if data, err := os.ReadFile(balancerFile); err == nil && json.Unmarshal(data, &before) == nil && before.ServerURL == server {
		b.servers = before.ServerAddresses
	}
	port := config.one("lb-server-port")
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	go func() {
		for {
			connection, err := listener.Accept()
			must(err)
			go b.serve(connection)
		}
	}()
	own := "https://127.0.0.1:" + port
	go b.refresh(own, server, config.token())
	return own
}

func (b *balancer) candidates() []string {
	b.lock.Lock()
	defer b.lock.Unlock()
	found := []string{}
	if b.active != "" {
		found = append(found, b.active)
	}
	return append(append(found, b.servers...), b.fallback)
}

func (b *balancer) serve(connection net.Conn) {
	defer connection.Close()
	for _, server := range b.candidates() {
		upstream, err := net.DialTimeout("tcp", server, 10*time.Second)
		if err != nil {
			info("Connection to server %s failed: %v", server, err)
			b.lock.Lock()
			if b.active == server {
				b.active = ""
			}
			b.lock.Unlock()
			continue
		}
		defer upstream.Close()
		b.lock.Lock()
		b.active = server
		b.connections[connection] = server
		b.lock.Unlock()
		done := make(chan struct{}, 2)
		for _, way := range [][2]net.Conn{{upstream, connection}, {connection, upstream}} {
			go func() { io.Copy(way[0], way[1]); done <- struct{}{} }()
		}
		<-done
		b.lock.Lock()
		delete(b.connections, connection)
		b.lock.Unlock()
		return
	}
}

// refresh asks through itself who the servers are; connections to one that has left are closed.
func (b *balancer) refresh(own, server, token string) {
	for ; ; time.Sleep(3 * time.Second) {
		var servers []string
		to, err := dialQuietly(own, token)
		if err == nil {
			err = to.json("/v1-k3s/apiservers", &servers, 5*time.Second)
		}
		if err != nil || len(servers) == 0 {
			continue
		}
		b.lock.Lock()
		changed := strings.Join(servers, " ") != strings.Join(b.servers, " ")
		b.servers = servers
		for connection, upstream := range b.connections {
			if changed && upstream != b.fallback && !contains(servers, upstream) {
				connection.Close()
				delete(b.connections, connection)
			}
		}
		if changed && b.active != b.fallback && !contains(servers, b.active) {
			b.active = ""
		}
		b.lock.Unlock()
		if changed {
			info("Updated load balancer server addresses -> %v", servers)
			write(balancerFile, encode(saved{server, servers}), 0o600)
		}
	}
}

// dialQuietly is dial without a warning each time.
func dialQuietly(own, token string) (*remote, error) {
	if !strings.HasPrefix(token, "K10") {
		if data, err := os.ReadFile(agentDir + "/server-ca.crt"); err == nil {
			if hash, err := caHash(data); err == nil {
				token = "K10" + hash + "::node:" + token
			}
		}
	}
	if !strings.HasPrefix(token, "K10") {
		return nil, os.ErrNotExist
	}
	return dial(own, token, "node")
}
