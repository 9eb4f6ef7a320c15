package main

import (
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Linux's number of the clock that all containers of a host share (clock_gettime(2)).
const clockMonotonic = 1

// reference ties Go's own monotonic readings to the kernel's: Go reads the same clock, but shows no absolute values of it.
var reference, referenceAt = kernelMonotonic(), time.Now()

func kernelMonotonic() float64 {
	var now syscall.Timespec
	if _, _, code := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0); code != 0 {
		panic("clock_gettime: " + code.Error())
	}
	return float64(now.Sec) + float64(now.Nsec)/1e9
}

// monotonic gives the host's CLOCK_MONOTONIC at a moment, in seconds.
func monotonic(at time.Time) float64 { return reference + at.Sub(referenceAt).Seconds() }

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }

// clockLine lets a reader on another kernel (Docker Desktop) compute how far its clock is from ours.
func clockLine() any {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	now := time.Now()
	return struct {
		Kind string   `json:"kind"`
		T    seconds9 `json:"t"`
		Wall float64  `json:"wall"`
		Boot string   `json:"boot"`
	}{"clock", seconds9(monotonic(now)), float64(now.UnixNano()) / 1e9, strings.TrimSpace(string(boot))}
}
