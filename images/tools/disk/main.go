// halab-disk puts an ailing disk under a directory: a file system of its own (FUSE) that passes everything through to the real
// directory, where all data stay, but answers like a full disk, or takes its time to store safely. It begins to ail on SIGUSR1 and is whole again on SIGUSR2: who
// uses the directory can be started on it in peace. When it ends, it is unmounted.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"halab.test/tools/service"
)

const statusEvery = 100 * time.Millisecond

func fail(code int, format string, words ...any) {
	fmt.Fprintf(os.Stderr, "halab-disk: "+format+"\n", words...)
	os.Exit(code)
}

func main() {
	disk := &ailment{}
	folder := flag.String("folder", "", "the directory")
	flag.BoolVar(&disk.noRoom, "full", false, "nothing new can be stored")
	flag.DurationVar(&disk.fsync, "fsync", 0, "how much longer each fsync takes")
	flag.Parse()
	if *folder == "" || disk.fsync < 0 {
		fail(2, "give --folder, and a time that is not negative")
	}
	serve(*folder, disk)
}

func serve(folder string, disk *ailment) {
	// Here is the real directory, also once something is mounted over its name.
	if err := os.Chdir(folder); err != nil {
		fail(1, "%v", err)
	}
	real, err := fs.NewLoopbackRoot(".")
	if err != nil {
		fail(1, "%v", err)
	}
	root := &node{real.(*fs.LoopbackNode), disk}
	second := time.Second
	server, err := fs.Mount(folder, root, &fs.Options{
		AttrTimeout: &second, EntryTimeout: &second,
		// Owners and modes are judged by the kernel, as on the real directory; every user may come in.
		MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true, Options: []string{"default_permissions"}, FsName: folder, Name: "halab-disk"},
	})
	if err != nil {
		fail(1, "mounting on %s: %v", folder, err)
	}
	turns := make(chan os.Signal, 1)
	signal.Notify(turns, syscall.SIGUSR1, syscall.SIGUSR2)
	service.Tell("READY=1")
	asked, last := service.Ended(), ""
	tick := time.NewTicker(statusEvery)
	for {
		select {
		case <-tick.C:
			if now := fmt.Sprintf("slowed %d, refused %d", disk.slowed.Load(), disk.refused.Load()); now != last {
				service.Tell("STATUS=" + now)
				last = now
			}
		case turn := <-turns:
			disk.acute.Store(turn == syscall.SIGUSR1)
		case <-asked:
			disk.acute.Store(false)
			if err := server.Unmount(); err != nil {
				fail(1, "unmounting %s: %v", folder, err)
			}
			return
		}
	}
}
