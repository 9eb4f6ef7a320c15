package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	patience = 2 * time.Second // for all threads of a process to stand still, outside the functions
	pause    = time.Millisecond
)

// A vdso is where it is mapped in a process.
type vdso struct{ begin, end int64 }

func find(pid int) (found vdso, err error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return found, err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "[vdso]") {
			_, err := fmt.Sscanf(lines.Text(), "%x-%x", &found.begin, &found.end)
			return found, err
		}
	}
	return found, errors.New("it has no vDSO")
}

// pristine reads the vDSO as the kernel has made it: our own.
func pristine() ([]byte, error) {
	place, err := find(os.Getpid())
	if err != nil {
		return nil, err
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	image := make([]byte, place.end-place.begin)
	_, err = memory.ReadAt(image, place.begin)
	return image, err
}

// A span is what is written, from where on in the vDSO.
type span struct {
	offset, size int64 // of the function
	content      []byte
}

// spans finds the functions and what takes their place; with no skew that is what was there.
func spans(image []byte, by time.Duration) ([]span, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	var all []span
	for _, patch := range patches(by) {
		for _, symbol := range symbols {
			if symbol.Name != patch.name {
				continue
			}
			if uint64(len(patch.code)) > symbol.Size {
				return nil, fmt.Errorf("this kernel's %s is too short to be replaced", patch.name)
			}
			content := patch.code
			if by == 0 {
				content = image[symbol.Value : symbol.Value+uint64(len(patch.code))]
			}
			all = append(all, span{int64(symbol.Value), int64(symbol.Size), content})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("only amd64's functions are known here")
	}
	return all, nil
}

// skew replaces the functions in a process while it stands still.
func skew(pid int, by time.Duration) error {
	image, err := pristine()
	if err != nil {
		return err
	}
	all, err := spans(image, by)
	if err != nil {
		return err
	}
	place, err := find(pid)
	if err != nil {
		return err
	}
	if place.end-place.begin != int64(len(image)) {
		return errors.New("its vDSO is of another kind than ours")
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	return halted(pid, place, all, func() error {
		for _, one := range all {
			if _, err := memory.WriteAt(one.content, place.begin+one.offset); err != nil {
				return fmt.Errorf("its memory cannot be written: %w", err)
			}
			now := make([]byte, len(one.content))
			if _, err := memory.ReadAt(now, place.begin+one.offset); err != nil || !bytes.Equal(now, one.content) {
				return errors.New("its memory has not changed")
			}
		}
		return nil
	})
}

// halted stops a process, sees that no thread is inside a function, acts, and lets it go on.
func halted(pid int, place vdso, all []span, act func() error) error {
	defer syscall.Kill(pid, syscall.SIGCONT)
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(pause) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
		for try := 0; try < 100; try++ {
			still, inside, err := threads(pid, place, all)
			if err != nil {
				return err
			}
			if still && !inside {
				return act()
			}
			if inside {
				break
			}
			time.Sleep(pause)
		}
		syscall.Kill(pid, syscall.SIGCONT)
	}
	return fmt.Errorf("it did not stand still within %v", patience)
}

// threads tells whether all threads stand still, and whether one does so inside a function.
func threads(pid int, place vdso, all []span) (still, inside bool, err error) {
	folders, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(folders) == 0 {
		return false, false, errors.New("it has ended")
	}
	for _, folder := range folders {
		stat, err := os.ReadFile(folder + "/stat")
		if err != nil {
			return false, false, nil // a thread ended: look again
		}
		state := stat[bytes.LastIndexByte(stat, ')')+2]
		if state != 'T' && state != 't' {
			return false, false, nil
		}
		call, err := os.ReadFile(folder + "/syscall")
		if err != nil {
			return false, false, fmt.Errorf("where it stands cannot be seen: %w", err)
		}
		words := strings.Fields(string(call))
		at, err := strconv.ParseInt(words[len(words)-1], 0, 64)
		if err != nil {
			return false, false, nil // `running`
		}
		for _, one := range all {
			inside = inside || (at >= place.begin+one.offset && at < place.begin+one.offset+one.size)
		}
	}
	return true, inside, nil
}
