package main

import (
	"archive/tar"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

const dataDir = "/var/lib/rancher/k3s"

// unpack lays the bundled programs down under data/<hash>/bin, as the release file of K3s does at its first run.
// The file ends with: payload (tar.zst), its length (8 bytes, big endian), its SHA-256 (64 hex digits).
func unpack() string {
	self, err := os.Open("/proc/self/exe")
	must(err)
	defer self.Close()
	size, err := self.Seek(0, io.SeekEnd)
	must(err)
	trailer := make([]byte, 72)
	_, err = self.ReadAt(trailer, size-72)
	must(err)
	length := int64(binary.BigEndian.Uint64(trailer[:8]))
	home := filepath.Join(dataDir, "data", string(trailer[8:]))
	bin := filepath.Join(home, "bin")
	if exists(filepath.Join(bin, ".done")) {
		return bin
	}
	must(os.MkdirAll(filepath.Join(dataDir, "data"), 0o755))
	lock, err := os.OpenFile(filepath.Join(dataDir, "data", ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	must(err)
	defer lock.Close()
	must(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	if exists(filepath.Join(bin, ".done")) {
		return bin
	}
	must(os.MkdirAll(bin, 0o755))
	extract(io.NewSectionReader(self, size-72-length, length), bin)
	current := filepath.Join(dataDir, "data", "current")
	os.Remove(current)
	must(os.Symlink(home, current))
	write(filepath.Join(bin, ".done"), nil, 0o644)
	return bin
}

func extract(source io.Reader, target string) {
	plain, err := zstd.NewReader(source)
	must(err)
	defer plain.Close()
	archive := tar.NewReader(plain)
	for {
		item, err := archive.Next()
		if err == io.EOF {
			return
		}
		must(err)
		path := filepath.Join(target, filepath.Base(item.Name))
		if item.Typeflag == tar.TypeSymlink {
			os.Remove(path)
			must(os.Symlink(item.Linkname, path))
			continue
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
		must(err)
		_, err = io.Copy(file, archive)
		must(err)
		must(file.Close())
	}
}
