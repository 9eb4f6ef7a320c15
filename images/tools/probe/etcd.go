package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
)

const grpcKind = "application/grpc"

// statusCall is etcd's Maintenance.Status, spoken as gRPC (HTTP/2, five bytes before each message): K3s serves the JSON gateway on
// loopback only. The request is an empty message.
const statusCall, emptyMessage = "/etcdserverpb.Maintenance/Status", "\x00\x00\x00\x00\x00"

// etcd asks a member what it believes: whether it leads, in which term, and whether it knows a leader.
type etcd struct{ link *link }

type memberStatus struct {
	Leader    bool   `json:"leader"`
	Term      uint64 `json:"term"`
	Member    string `json:"member"`
	HasLeader bool   `json:"has_leader"`
}

func (e *etcd) ask(ctx context.Context) answer {
	got := e.link.do(ctx, http.MethodPost, statusCall, grpcKind, emptyMessage)
	if got.err != nil || got.code != http.StatusOK {
		return answer{detail: got.detail()}
	}
	if code := got.trailer.Get("Grpc-Status"); code != "0" {
		return answer{detail: "grpc status " + code + " " + got.trailer.Get("Grpc-Message")}
	}
	status, err := readStatus(got.body)
	if err != nil {
		return answer{detail: err.Error()}
	}
	return answer{ok: true, value: status}
}

var errMessage = errors.New("no StatusResponse")

// readStatus reads a StatusResponse of etcd's rpc.proto: header=1 (member_id=2), leader=4, raftTerm=6.
func readStatus(frame []byte) (memberStatus, error) {
	if len(frame) < 5 || frame[0] != 0 || int(binary.BigEndian.Uint32(frame[1:])) > len(frame)-5 {
		return memberStatus{}, errMessage
	}
	numbers, texts, err := fields(frame[5 : 5+binary.BigEndian.Uint32(frame[1:])])
	if err != nil {
		return memberStatus{}, err
	}
	header, _, err := fields(texts[1])
	if err != nil {
		return memberStatus{}, err
	}
	member, leader := header[2], numbers[4]
	return memberStatus{member == leader && leader != 0, numbers[6], fmt.Sprintf("%x", member), leader != 0}, nil
}

// fields reads a protobuf message's numbers and byte strings by field number; a repeated field keeps its last value.
func fields(message []byte) (map[uint64]uint64, map[uint64][]byte, error) {
	numbers, texts := map[uint64]uint64{}, map[uint64][]byte{}
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return nil, nil, errMessage
		}
		message = message[size:]
		switch tag & 7 {
		case 0, 2:
			value, size := binary.Uvarint(message)
			if size <= 0 {
				return nil, nil, errMessage
			}
			message = message[size:]
			if tag&7 == 0 {
				numbers[tag>>3] = value
				continue
			}
			if value > uint64(len(message)) {
				return nil, nil, errMessage
			}
			texts[tag>>3], message = message[:value], message[value:]
		case 1, 5:
			size := map[uint64]int{1: 8, 5: 4}[tag&7]
			if len(message) < size {
				return nil, nil, errMessage
			}
			message = message[size:]
		default:
			return nil, nil, errMessage
		}
	}
	return numbers, texts, nil
}
