package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	arpFrame             = 42 // 14 bytes of Ethernet, 28 of ARP (RFC 826)
	arpRequest, arpReply = 1, 2
)

// arp asks everybody on a network who has an address, and collects all who answer: two at once is a split brain.
//
// Questions overlap: one may still wait when the next is sent. So each frame is counted for one question alone, the newest that had been
// sent when it came; else an address that moves in good order, between two questions, would seem to be held twice.
type arp struct {
	receive func([]byte) (int, error) // one frame that the kernel kept for us; an error where there is none
	send    func() error
	target  [4]byte
	window  time.Duration
	lock    sync.Mutex
	newest  int // the question that was sent last
	closed  int // the newest question that was answered for
	heard   []claim
}

type claim struct {
	question int
	mac      string
	reply    bool
}

func network(protocol uint16) uint16 { return protocol<<8 | protocol>>8 }

func newARP(interfaceName, address string, window time.Duration) (*arp, error) {
	card, err := net.InterfaceByName(interfaceName)
	if err != nil {
		return nil, err
	}
	target := net.ParseIP(address).To4()
	source, err := firstIPv4(card)
	if err != nil || target == nil {
		return nil, fmt.Errorf("no address to ask for (%q) or from: %w", address, err)
	}
	// Needs CAP_NET_RAW: the kernel gives no other way to hear every answer.
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, int(network(syscall.ETH_P_ARP)))
	if err != nil {
		return nil, fmt.Errorf("packet socket (CAP_NET_RAW): %w", err)
	}
	place := syscall.SockaddrLinklayer{Protocol: network(syscall.ETH_P_ARP), Ifindex: card.Index, Halen: 6}
	for i := range 6 {
		place.Addr[i] = 0xff
	}
	if err := syscall.Bind(socket, &place); err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	request := whoHas(card.HardwareAddr, source, target)
	return &arp{
		receive: func(frame []byte) (int, error) {
			count, _, err := syscall.Recvfrom(socket, frame, syscall.MSG_DONTWAIT)
			return count, err
		},
		send:   func() error { return syscall.Sendto(socket, request, 0, &place) },
		target: [4]byte(target),
		window: window,
	}, nil
}

func firstIPv4(card *net.Interface) (net.IP, error) {
	addresses, err := card.Addrs()
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		if found, ok := address.(*net.IPNet); ok && found.IP.To4() != nil {
			return found.IP.To4(), nil
		}
	}
	return nil, fmt.Errorf("%s has no IPv4 address", card.Name)
}

func whoHas(mac net.HardwareAddr, source, target net.IP) []byte {
	everybody := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	kind := []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, arpRequest} // an ARP request for IPv4 on Ethernet
	return slices.Concat(everybody, []byte(mac), kind, []byte(mac), []byte(source), make([]byte, 6), []byte(target))
}

// claimOf reads who says in a frame that it has an address; gratuitous announcements may be requests.
func claimOf(frame []byte, target [4]byte) (mac string, reply, ok bool) {
	if len(frame) < arpFrame || [4]byte(frame[28:32]) != target {
		return "", false, false
	}
	return net.HardwareAddr(frame[22:28]).String(), binary.BigEndian.Uint16(frame[20:]) == arpReply, true
}

// drain takes all that the kernel kept for us: it was there in time however late we are. Whoever calls it holds the lock.
func (a *arp) drain() {
	for frame := make([]byte, 1500); ; {
		count, err := a.receive(frame)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return // nothing is left; what else may be wrong, the next request says
		}
		if mac, reply, ok := claimOf(frame[:count], a.target); ok {
			a.heard = append(a.heard, claim{a.newest, mac, reply && string(frame[:6]) != "\xff\xff\xff\xff\xff\xff"})
		}
	}
}

// open gives the number of a new question. What the kernel keeps by now came before it: it is for the question before, if that one
// still waits; else it came when nobody did, and is not lost.
func (a *arp) open() int {
	a.lock.Lock()
	defer a.lock.Unlock()
	waiting := a.closed < a.newest
	if waiting {
		a.drain()
	}
	a.newest++
	if !waiting {
		a.drain()
	}
	return a.newest
}

// close gives all who were heard for a question, each once: who answered it, who only announced that it has the address.
func (a *arp) close(question int) (answered, announced []string) {
	answered = []string{}
	a.lock.Lock()
	defer a.lock.Unlock()
	a.drain()
	a.closed = max(a.closed, question)
	for _, claim := range a.heard {
		switch {
		case claim.question != question:
		case claim.reply && !slices.Contains(answered, claim.mac):
			answered = append(answered, claim.mac)
		case !claim.reply && !slices.Contains(announced, claim.mac):
			announced = append(announced, claim.mac)
		}
	}
	a.heard = slices.DeleteFunc(a.heard, func(c claim) bool { return c.question == question })
	slices.Sort(answered)
	return answered, announced
}

// ask gives all who answered until the next request; the value is the list of their MAC addresses.
func (a *arp) ask(context.Context) answer {
	question := a.open()
	if err := a.send(); err != nil {
		a.close(question)
		return answer{detail: why(err)}
	}
	time.Sleep(a.window)
	answered, announced := a.close(question)
	got := answer{ok: len(answered) > 0, value: answered}
	if len(announced) > 0 {
		got.detail = "announced by " + strings.Join(announced, " ")
	} else if !got.ok {
		got.detail = "nobody answers"
	}
	return got
}
