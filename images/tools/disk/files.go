package main

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// What ails the disk.
type ailment struct {
	noRoom bool          // nothing new can be stored
	fsync  time.Duration // how much longer storing safely takes

	acute           atomic.Bool // whole until told to ail
	slowed, refused atomic.Int64
}

func (a *ailment) full() bool { return a.noRoom && a.acute.Load() }

func (a *ailment) refuse() syscall.Errno {
	a.refused.Add(1)
	return syscall.ENOSPC
}

// A node is a file or directory, passed through to the real one.
type node struct {
	*fs.LoopbackNode
	disk *ailment
}

func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{child.(*fs.LoopbackNode), n.disk}
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, more, errno := n.LoopbackNode.Open(ctx, flags)
	return n.wrap(handle), more, errno
}

// Create works on a full disk, too: a name needs no block of its own. What is written into the file does.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, handle, more, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, n.wrap(handle), more, errno
}

func (n *node) wrap(handle fs.FileHandle) fs.FileHandle {
	if real, ok := handle.(*fs.LoopbackFile); ok {
		return &file{real, n.disk}
	}
	return handle
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if n.disk.full() {
		return nil, n.disk.refuse()
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

// Statfs tells what `df` shows.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	errno := n.LoopbackNode.Statfs(ctx, out)
	if n.disk.full() {
		out.Bfree, out.Bavail = 0, 0
	}
	return errno
}

// CopyFileRange is left to the kernel's fallback, which reads and writes by the ways below.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// A file is an open file of the real disk.
type file struct {
	*fs.LoopbackFile
	disk *ailment
}

// PassthroughFd keeps the kernel from going past us.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	errno := f.LoopbackFile.Fsync(ctx, flags)
	if f.disk.fsync > 0 && f.disk.acute.Load() {
		f.disk.slowed.Add(1)
		time.Sleep(f.disk.fsync)
	}
	return errno
}

func (f *file) Write(ctx context.Context, data []byte, offset int64) (uint32, syscall.Errno) {
	if f.disk.full() && !f.stored(ctx, offset, int64(len(data))) {
		return 0, f.disk.refuse()
	}
	return f.LoopbackFile.Write(ctx, data, offset)
}

func (f *file) Writev(ctx context.Context, data [][]byte, offset int64) (uint32, syscall.Errno) {
	size := 0
	for _, part := range data {
		size += len(part)
	}
	if f.disk.full() && !f.stored(ctx, offset, int64(size)) {
		return 0, f.disk.refuse()
	}
	return f.LoopbackFile.Writev(ctx, data, offset)
}

// Allocate lets through what frees blocks (FALLOC_FL_PUNCH_HOLE, 2).
func (f *file) Allocate(ctx context.Context, offset, size uint64, mode uint32) syscall.Errno {
	if f.disk.full() && mode&2 == 0 {
		return f.disk.refuse()
	}
	return f.LoopbackFile.Allocate(ctx, offset, size, mode)
}

// stored tells whether a range has its blocks already: a full disk can still be written where it was written before.
// A file with blocks for all of its size has them all (write-ahead logs are allocated beforehand); else its first hole decides.
func (f *file) stored(ctx context.Context, offset, size int64) bool {
	var out fuse.AttrOut
	if f.LoopbackFile.Getattr(ctx, &out) != 0 || offset+size > int64(out.Size) {
		return false
	}
	if out.Blocks*512 >= out.Size {
		return true
	}
	const seekHole = 4
	hole, errno := f.LoopbackFile.Lseek(ctx, uint64(offset), seekHole)
	return errno == 0 && int64(hole) >= offset+size
}
