package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
)

func newAsker(q Question, config *Config) (asker, error) {
	identity, timeout := config.Identity[q.Identity], seconds(q.Timeout)
	if q.Unverified {
		identity.Unverified = true
	}
	switch q.Kind {
	case "https", "http":
		link, err := newLink(q.Kind, q.Addresses, identity, q.Connection == "kept", timeout)
		codes := q.Codes
		if len(codes) == 0 {
			codes = []int{http.StatusOK}
		}
		return &get{link, q.Path, codes}, err
	case "tcp":
		return tcp(q.Addresses[0]), nil
	case "grpc":
		return newHealth(q.Addresses[0], q.Service, timeout), nil
	case "dns":
		query, err := dnsQuery(q.Query)
		return &dns{q.Addresses[0], query}, err
	case "arp":
		return newARP(q.Interface, q.Query, seconds(q.Interval))
	case "etcd":
		link, err := newLink("https", q.Addresses, identity, true, timeout)
		return &etcd{link}, err
	case "nodes", "endpoints", "pods":
		link, err := newLink("https", q.Addresses, identity, true, timeout)
		return newPoll(link, q), err
	}
	return nil, fmt.Errorf("no kind of question %q", q.Kind)
}

// get asks for a path and expects one of some codes.
type get struct {
	link  *link
	path  string
	codes []int
}

func (g *get) ask(ctx context.Context) answer {
	got := g.link.do(ctx, http.MethodGet, g.path, "", "")
	if got.err == nil && slices.Contains(g.codes, got.code) {
		return answer{ok: true}
	}
	return answer{detail: got.detail()}
}

// tcp asks whether a connection is taken.
type tcp string

func (t tcp) ask(ctx context.Context) answer {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", string(t))
	if err != nil {
		return answer{detail: why(err)}
	}
	conn.Close()
	return answer{ok: true}
}

// dns asks a server for a name's addresses, from a socket of its own each time: a lost packet is not sent again.
type dns struct {
	server string
	query  []byte
}

// dnsQuery builds a question for an A record (RFC 1035, 4.1); the id is put in with each sending.
func dnsQuery(name string) ([]byte, error) {
	query := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return nil, fmt.Errorf("no name: %q", name)
		}
		query = append(append(query, byte(len(label))), label...)
	}
	return append(query, 0, 0, 1, 0, 1), nil
}

func (d *dns) ask(ctx context.Context) answer {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", d.server)
	if err != nil {
		return answer{detail: why(err)}
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	query := slices.Clone(d.query)
	id := uint16(rand.Uint32())
	binary.BigEndian.PutUint16(query, id)
	if err := errors.Join(conn.SetDeadline(deadline), write(conn, query)); err != nil {
		return answer{detail: why(err)}
	}
	for buffer := make([]byte, 1500); ; {
		count, err := conn.Read(buffer)
		if err != nil {
			return answer{detail: why(err)}
		}
		if count >= 12 && binary.BigEndian.Uint16(buffer) == id && buffer[2]&0x80 != 0 {
			return dnsAnswer(buffer[:count])
		}
	}
}

func write(conn net.Conn, data []byte) error {
	_, err := conn.Write(data)
	return err
}

// dnsAnswer judges a response by its header: no error, and at least one record.
func dnsAnswer(response []byte) answer {
	code, records := response[3]&0xf, binary.BigEndian.Uint16(response[6:])
	if code == 0 && records > 0 {
		return answer{ok: true}
	}
	return answer{detail: fmt.Sprintf("rcode %d, %d records", code, records)}
}
