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
type arp struct {
	socket  int
	place   syscall.SockaddrLinklayer
	request []byte
	target  [4]byte
	window  time.Duration
	lock    sync.Mutex
	heard   []claim
}

type claim struct {
	at    time.Time
	mac   string
	reply bool
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
	asker := &arp{socket: socket, place: place, request: whoHas(card.HardwareAddr, source, target), target: [4]byte(target), window: window}
	return asker, nil
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

// drain takes all that the kernel kept for us: it was there in time however late we are.
func (a *arp) drain() {
	a.lock.Lock()
	defer a.lock.Unlock()
	for frame := make([]byte, 1500); ; {
		count, _, err := syscall.Recvfrom(a.socket, frame, syscall.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return // nothing is left; what else may be wrong, the next request says
		}
		if mac, reply, ok := claimOf(frame[:count], a.target); ok {
			a.heard = append(a.heard, claim{time.Now(), mac, reply && string(frame[:6]) != "\xff\xff\xff\xff\xff\xff"})
		}
	}
}

// ask gives all who answered until the next request; the value is the list of their MAC addresses.
func (a *arp) ask(context.Context) answer {
	begin := time.Now()
	if err := syscall.Sendto(a.socket, a.request, 0, &a.place); err != nil {
		return answer{detail: why(err)}
	}
	time.Sleep(a.window)
	a.drain()
	answered, announced := a.since(begin)
	got := answer{ok: len(answered) > 0, value: answered}
	if len(announced) > 0 {
		got.detail = "announced by " + strings.Join(announced, " ")
	} else if !got.ok {
		got.detail = "nobody answers"
	}
	return got
}

func (a *arp) since(begin time.Time) (answered, announced []string) {
	answered = []string{}
	a.lock.Lock()
	defer a.lock.Unlock()
	for _, claim := range a.heard {
		switch {
		case claim.at.Before(begin):
		case claim.reply && !slices.Contains(answered, claim.mac):
			answered = append(answered, claim.mac)
		case !claim.reply && !slices.Contains(announced, claim.mac):
			announced = append(announced, claim.mac)
		}
	}
	a.heard = slices.DeleteFunc(a.heard, func(c claim) bool { return time.Since(c.at) > 2*a.window })
	slices.Sort(answered)
	return answered, announced
}
