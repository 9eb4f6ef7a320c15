package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"
	"syscall"
)

// The words of the kernel's header linux/netfilter/nfnetlink_queue.h that are used here.
const (
	subsystem    = 3 // NFNL_SUBSYS_QUEUE
	msgPacket    = subsystem << 8
	msgVerdict   = subsystem<<8 | 1
	msgConfig    = subsystem<<8 | 2
	cfgCommand   = 1
	cfgParams    = 2
	cfgMaxLength = 3
	cfgMask      = 4
	cfgFlags     = 5
	commandBind  = 1
	copyMeta     = 1
	copyPacket   = 2
	flagFailOpen = 1 // a full queue lets packets pass instead of losing them
	flagGSO      = 4 // large packets stay whole: cutting them costs processor
	attrHeader   = 1
	attrVerdict  = 2
	attrPayload  = 10
	accept       = 1

	queueLength   = 65535
	receiveBuffer = 16 << 20
	solNetlink    = 270
	noENOBUFS     = 5 // NETLINK_NO_ENOBUFS
	soRcvBufForce = 33
)

// A packet that the kernel holds until its verdict; the payload (from the IP header on) only where it was asked for.
type packet struct {
	id      uint32
	payload []byte
}

// queue is one of the kernel's packet queues (NFQUEUE), spoken to by netlink.
type queue struct {
	socket int
	number uint16
	lock   sync.Mutex // of the sending side
}

func attribute(kind uint16, value []byte) []byte {
	size := 4 + len(value)
	out := make([]byte, (size+3)&^3)
	binary.NativeEndian.PutUint16(out, uint16(size))
	binary.NativeEndian.PutUint16(out[2:], kind)
	copy(out[4:], value)
	return out
}

func big32(value uint32) []byte { return binary.BigEndian.AppendUint32(nil, value) }

// message renders a netlink message for this queue: header, nfgenmsg (family, version, queue), attributes.
func (q *queue) message(kind, flags uint16, attributes ...[]byte) []byte {
	out := make([]byte, 20)
	for _, one := range attributes {
		out = append(out, one...)
	}
	binary.NativeEndian.PutUint32(out, uint32(len(out)))
	binary.NativeEndian.PutUint16(out[4:], kind)
	binary.NativeEndian.PutUint16(out[6:], syscall.NLM_F_REQUEST|flags)
	binary.BigEndian.PutUint16(out[18:], q.number)
	return out
}

// configure sends a request and waits for the kernel's word on it.
func (q *queue) configure(attributes ...[]byte) error {
	if err := syscall.Sendto(q.socket, q.message(msgConfig, syscall.NLM_F_ACK, attributes...), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	buffer := make([]byte, 1<<17)
	for {
		count, _, err := syscall.Recvfrom(q.socket, buffer, 0)
		if err != nil {
			return err
		}
		for kind, data := range messages(buffer[:count]) {
			if kind == syscall.NLMSG_ERROR && len(data) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
					return syscall.Errno(-code)
				}
				return nil
			}
		}
	}
}

// open binds to a queue. With `whole` packets come with their content, else only with their number.
func open(number uint16, whole bool) (*queue, error) {
	socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	// More room than the system's limit needs a privilege; without it a burst passes undelayed (fail open).
	if syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, soRcvBufForce, receiveBuffer) != nil {
		_ = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
	}
	_ = syscall.SetsockoptInt(socket, solNetlink, noENOBUFS, 1)
	q := &queue{socket: socket, number: number}
	if err := q.configure(attribute(cfgCommand, []byte{commandBind, 0, 0, 0})); err != nil {
		return nil, fmt.Errorf("queue %d: %w", number, err)
	}
	mode, flags := byte(copyMeta), uint32(flagFailOpen|flagGSO)
	if whole {
		// Without flagGSO the kernel has computed the checksums that a flipped bit then breaks.
		mode, flags = copyPacket, flagFailOpen
	}
	params := append(big32(0xffff), mode)
	err = errors.Join(
		q.configure(attribute(cfgParams, params)),
		q.configure(attribute(cfgMaxLength, big32(queueLength))),
		q.configure(attribute(cfgFlags, big32(flags)), attribute(cfgMask, big32(flags))),
	)
	if err != nil {
		return nil, fmt.Errorf("queue %d: %w", number, err)
	}
	return q, nil
}

// receive waits for packets and gives each to `take`.
func (q *queue) receive(buffer []byte, take func(packet)) error {
	count, _, err := syscall.Recvfrom(q.socket, buffer, 0)
	if errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.ENOBUFS) {
		return nil
	}
	if err != nil {
		return err
	}
	for kind, data := range messages(buffer[:count]) {
		if kind == msgPacket && len(data) > 4 {
			if found, ok := parse(data[4:]); ok {
				take(found)
			}
		}
	}
	return nil
}

// messages gives kind and content of each netlink message. (The library's parser refuses a last one that is not padded; the kernel's are not.)
func messages(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= syscall.NLMSG_HDRLEN {
			size := int(binary.NativeEndian.Uint32(data))
			if size < syscall.NLMSG_HDRLEN || size > len(data) || !yield(binary.NativeEndian.Uint16(data[4:]), data[syscall.NLMSG_HDRLEN:size]) {
				return
			}
			data = data[min((size+3)&^3, len(data)):]
		}
	}
}

func parse(data []byte) (found packet, ok bool) {
	for len(data) >= 4 {
		size, kind := int(binary.NativeEndian.Uint16(data)), binary.NativeEndian.Uint16(data[2:])&0x3fff
		if size < 4 || size > len(data) {
			break
		}
		value := data[4:size]
		switch {
		case kind == attrHeader && len(value) >= 4:
			found.id, ok = binary.BigEndian.Uint32(value), true
		case kind == attrPayload:
			found.payload = append([]byte(nil), value...)
		}
		data = data[min((size+3)&^3, len(data)):]
	}
	return found, ok
}

// release lets a packet go, with another content where one is given.
func (q *queue) release(id uint32, payload []byte) {
	attributes := [][]byte{attribute(attrVerdict, append(big32(accept), big32(id)...))}
	if payload != nil {
		attributes = append(attributes, attribute(attrPayload, payload))
	}
	q.lock.Lock()
	defer q.lock.Unlock()
	_ = syscall.Sendto(q.socket, q.message(msgVerdict, 0, attributes...), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
}
