package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthCall is the standard health service (grpc/grpc-proto, grpc/health/v1/health.proto).
const healthCall = "/grpc.health.v1.Health/Check"

// healthStates are HealthCheckResponse.ServingStatus by number.
var healthStates = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// health asks a gRPC server whether it serves, in plain text (HTTP/2 with prior knowledge), over a connection of its own each time: over
// a kept one, a Service would send all questions to one pod.
type health struct {
	transport *http.Transport
	address   string
	body      string
}

func newHealth(address, service string, timeout time.Duration) *health {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: -1}
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	transport := &http.Transport{DialContext: dialer.DialContext, DisableCompression: true, Protocols: plain}
	return &health{transport, address, grpcFrame(healthRequest(service))}
}

// healthRequest is a HealthCheckRequest: service=1; the empty name, which means the whole server, is left out.
func healthRequest(service string) []byte {
	if service == "" {
		return nil
	}
	return append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service))), service...)
}

func grpcFrame(message []byte) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
}

func (h *health) ask(ctx context.Context) answer {
	conn, err := h.transport.NewClientConn(ctx, "http", h.address)
	if err != nil {
		return answer{detail: why(err)}
	}
	defer conn.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.address+healthCall, strings.NewReader(h.body))
	if err != nil {
		return answer{detail: why(err)}
	}
	request.Header.Set("Content-Type", grpcKind)
	request.Header.Set("TE", "trailers")
	response, err := conn.RoundTrip(request)
	if err != nil {
		return answer{detail: why(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{detail: why(err)}
	}
	return healthAnswer(response, body)
}

func healthAnswer(response *http.Response, body []byte) answer {
	if response.StatusCode != http.StatusOK {
		return answer{detail: fmt.Sprintf("code %d", response.StatusCode)}
	}
	// An error without a message comes with its status among the headers.
	if code := response.Trailer.Get("Grpc-Status") + response.Header.Get("Grpc-Status"); code != "0" {
		return answer{detail: "grpc status " + code}
	}
	state, err := healthState(body)
	if err != nil {
		return answer{detail: err.Error()}
	}
	if state == serving {
		return answer{ok: true}
	}
	if state < uint64(len(healthStates)) {
		return answer{detail: healthStates[state]}
	}
	return answer{detail: fmt.Sprintf("status %d", state)}
}

var errHealth = errors.New("no HealthCheckResponse")

// healthState reads a HealthCheckResponse: status=1.
func healthState(frame []byte) (uint64, error) {
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-5) {
		return 0, errHealth
	}
	numbers, _, err := fields(frame[5:])
	if err != nil {
		return 0, errHealth
	}
	return numbers[1], nil
}
