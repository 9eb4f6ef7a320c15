package main

import (
	"encoding/binary"
	"time"
)

// A patch is a function of the vDSO and the code that takes its place.
type patch struct {
	name string
	code []byte
}

func imm(value int64) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(int32(value))) }

func join(parts ...[]byte) (all []byte) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// patches gives the code for a skew: each asks the kernel by a system call and adds seconds and a fraction to what it answered.
func patches(by time.Duration) []patch {
	seconds, rest := int64(by/time.Second), int64(by%time.Second)
	if rest < 0 {
		seconds, rest = seconds-1, rest+int64(time.Second)
	}
	return []patch{
		{"__vdso_clock_gettime", clockGettime(seconds, rest)},
		{"__vdso_gettimeofday", gettimeofday(seconds, rest/1000)},
		{"__vdso_time", timeOfDay(seconds)},
	}
}

// clockGettime: edi is the clock, rsi points to seconds and nanoseconds. Of the clocks, 0 and 5 (coarse) are the time of day.
func clockGettime(seconds, nanoseconds int64) []byte {
	const second = 1_000_000_000
	add := join(
		[]byte{0x48, 0x81, 0x06}, imm(seconds), // add qword [rsi], seconds
		[]byte{0x48, 0x81, 0x46, 0x08}, imm(nanoseconds), // add qword [rsi+8], nanoseconds
		[]byte{0x48, 0x81, 0x7e, 0x08}, imm(second), // cmp qword [rsi+8], second
		[]byte{0x7c, 0x0b},                          // jl out
		[]byte{0x48, 0x81, 0x6e, 0x08}, imm(second), // sub qword [rsi+8], second
		[]byte{0x48, 0xff, 0x06}, // inc qword [rsi]
	)
	return join(
		[]byte{0xb8}, imm(228), []byte{0x0f, 0x05}, // mov eax, SYS_clock_gettime; syscall
		[]byte{0x85, 0xc0, 0x75, byte(9 + len(add))},   // test eax, eax; jne out
		[]byte{0x85, 0xff, 0x74, 0x05},                 // test edi, edi; je add
		[]byte{0x83, 0xff, 0x05, 0x75, byte(len(add))}, // cmp edi, 5; jne out
		add,
		[]byte{0xc3}, // out: ret
	)
}

// gettimeofday: rdi points to seconds and microseconds, or is nothing.
func gettimeofday(seconds, microseconds int64) []byte {
	const second = 1_000_000
	add := join(
		[]byte{0x48, 0x81, 0x07}, imm(seconds), // add qword [rdi], seconds
		[]byte{0x48, 0x81, 0x47, 0x08}, imm(microseconds), // add qword [rdi+8], microseconds
		[]byte{0x48, 0x81, 0x7f, 0x08}, imm(second), // cmp qword [rdi+8], second
		[]byte{0x7c, 0x0b},                          // jl out
		[]byte{0x48, 0x81, 0x6f, 0x08}, imm(second), // sub qword [rdi+8], second
		[]byte{0x48, 0xff, 0x07}, // inc qword [rdi]
	)
	return join(
		[]byte{0xb8}, imm(96), []byte{0x0f, 0x05}, // mov eax, SYS_gettimeofday; syscall
		[]byte{0x85, 0xc0, 0x75, byte(5 + len(add))},   // test eax, eax; jne out
		[]byte{0x48, 0x85, 0xff, 0x74, byte(len(add))}, // test rdi, rdi; je out
		add,
		[]byte{0xc3}, // out: ret
	)
}

// timeOfDay: the answer is in rax, and where rdi points, unless it is nothing.
func timeOfDay(seconds int64) []byte {
	return join(
		[]byte{0x57, 0x31, 0xff, 0xb8}, imm(201), []byte{0x0f, 0x05, 0x5f}, // push rdi; xor edi, edi; mov eax, SYS_time; syscall; pop rdi
		[]byte{0x48, 0x05}, imm(seconds), // add rax, seconds
		[]byte{0x48, 0x85, 0xff, 0x74, 0x03, 0x48, 0x89, 0x07, 0xc3}, // test rdi, rdi; je out; mov [rdi], rax; out: ret
	)
}
