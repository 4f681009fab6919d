package main

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// writeArchive writes a compressed tar file. What differs from one machine to the next
// is not in it: the order of files, their times, their owners, and their modes beyond
// being executable.
func writeArchive(path, folder string, files map[string]string, at time.Time) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
	}()
	packed := gzip.NewWriter(out)
	archive := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := addFile(archive, folder+"/"+name, files[name], at); err != nil {
			return fmt.Errorf("add %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return packed.Close()
}

func addFile(archive *tar.Writer, name, path string, at time.Time) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if strings.Contains(name, "/bin/") {
		mode = 0o755
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: mode, ModTime: at}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}
