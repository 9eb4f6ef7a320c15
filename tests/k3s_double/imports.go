package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	imagesDir = agentDir + "/images"
	// cacheFile remembers what has been imported. K3s never makes it: its user does, as a wish
	// (pkg/agent/containerd/watcher.go, syncCache opens it without O_CREATE).
	cacheFile = imagesDir + "/.cache.json"
)

// archiveEndings are those that K3s imports (wharfie's tarfile.SupportedExtensions).
var archiveEndings = []string{
	".tar", ".tar.lz4", ".tar.bz2", ".tbz", ".tar.gz", ".tgz", ".tar.zst", ".tzst",
}

// imported is what the cache holds of one archive.
type imported struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
	Images  []string  `json:"images"`
}

// importImages imports the archives under agent/images, as K3s does at each start before its kubelet
// may run: all of them, or where the cache is kept, those that it does not know or that have changed.
func importImages(ctr func(words ...string) *exec.Cmd) {
	cache := loadCache()
	found := map[string]imported{}
	filepath.WalkDir(imagesDir, func(path string, item fs.DirEntry, err error) error {
		if err != nil || item.IsDir() || !isArchive(path) {
			return nil
		}
		file, err := os.Stat(path)
		if err != nil {
			return nil
		}
		if known, ok := cache[path]; ok && !changed(known, file) {
			found[path] = known
			return nil
		}
		info("Importing images from %s", path)
		begin := time.Now()
		images, err := importArchive(ctr, path)
		if err != nil {
			warn("Failed to process image event: failed to import %s: %v", path, err)
			return nil
		}
		info("Imported %d images from %s in %s", len(images), path, time.Since(begin))
		found[path] = imported{file.Size(), file.ModTime().UTC().Truncate(time.Second), images}
		return nil
	})
	storeCache(found)
}

// isArchive also knows lists of images to pull, which K3s would go to a registry for.
func isArchive(path string) bool {
	if strings.HasSuffix(path, ".txt") {
		warn("%s: the double pulls no images", path)
		return false
	}
	for _, ending := range archiveEndings {
		if strings.HasSuffix(path, ending) {
			return true
		}
	}
	return false
}

// changed is K3s's rule: another size and a later time, both.
func changed(known imported, file os.FileInfo) bool {
	if known.Images == nil {
		return true
	}
	return file.Size() != known.Size && file.ModTime().After(known.ModTime)
}

func importArchive(ctr func(words ...string) *exec.Cmd, path string) ([]string, error) {
	before := imageNames(ctr)
	// For all platforms and not unpacked, as K3s imports (pkg/agent/containerd/containerd.go).
	words := []string{"images", "import", "--local", "--all-platforms", "--no-unpack", path}
	if output, err := ctr(words...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output)
	}
	images := []string{}
	for name := range imageNames(ctr) {
		if !before[name] {
			images = append(images, name)
		}
	}
	return images, nil
}

func imageNames(ctr func(words ...string) *exec.Cmd) map[string]bool {
	output, err := ctr("images", "ls", "-q").Output()
	must(err)
	names := map[string]bool{}
	for _, name := range strings.Fields(string(output)) {
		names[name] = true
	}
	return names
}

func loadCache() map[string]imported {
	cache := map[string]imported{}
	content, err := os.ReadFile(cacheFile)
	if err != nil || len(content) == 0 { // an empty one is the wish to keep it
		return cache
	}
	if err := json.Unmarshal(content, &cache); err != nil {
		warn("Failed to unmarshal image import fileinfo cache: %v", err)
		return map[string]imported{}
	}
	return cache
}

func storeCache(cache map[string]imported) {
	file, err := os.OpenFile(cacheFile, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		if !os.IsNotExist(err) {
			warn("Failed to truncate image import fileinfo cache: %v", err)
		}
		return
	}
	defer file.Close()
	_, err = file.Write(encode(cache))
	must(err)
}
