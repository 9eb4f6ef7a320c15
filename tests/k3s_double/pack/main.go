// pack OUT PROGRAM FILE… [LINK=TARGET…] appends programs to the double, in the form that payload.go unpacks.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

func main() {
	var payload bytes.Buffer
	packer, _ := zstd.NewWriter(&payload, zstd.WithEncoderLevel(zstd.SpeedFastest))
	archive := tar.NewWriter(packer)
	for _, word := range os.Args[3:] {
		if name, target, link := strings.Cut(word, "="); link {
			check(archive.WriteHeader(&tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}))
			continue
		}
		content, err := os.ReadFile(word)
		check(err)
		check(archive.WriteHeader(&tar.Header{Name: filepath.Base(word), Size: int64(len(content)), Mode: 0o755, Typeflag: tar.TypeReg}))
		_, err = archive.Write(content)
		check(err)
	}
	check(archive.Close())
	check(packer.Close())
	program, err := os.ReadFile(os.Args[2])
	check(err)
	sum := sha256.Sum256(payload.Bytes())
	whole := append(program, payload.Bytes()...)
	whole = binary.BigEndian.AppendUint64(whole, uint64(payload.Len()))
	whole = append(whole, hex.EncodeToString(sum[:])...)
	check(os.WriteFile(os.Args[1]+".part", whole, 0o755))
	check(os.Rename(os.Args[1]+".part", os.Args[1]))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
