//go:build linux

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

// mounted puts a file system of so many bytes at a folder of the site.
func (s *site) mounted(name, size string) string {
	s.Helper()
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		s.Skipf("this user may not mount a file system: %v", err)
	}
	s.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// bucket starts a server that speaks as S3 does, at $S3, and answers requests of a method
// with a code until it is mended.
func (s *site) bucket(method, code string) (mend func()) {
	s.Helper()
	var mended atomic.Bool
	refuse := storagetest.Refuse(http.StatusForbidden, code)
	s.vars["S3"] = storagetest.S3(s, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == method && !mended.Load() {
			refuse(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
	s.env = append(s.env, "AWS_ACCESS_KEY_ID=minioadmin", "AWS_SECRET_ACCESS_KEY="+storagetest.Secret, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	return func() { mended.Store(true) }
}

// onBucket returns an environment whose bucket answers requests of a method with a code.
func onBucket(e environment, method, code string) environment {
	var mend func()
	if e.config == "" {
		e.config = atURL("s3://lake/logs")
	}
	e.breaks = func(s *site) { mend = s.bucket(method, code) }
	e.mends = func(*site) { mend() }
	return e
}

// atURL returns [lake] in a bucket.
func atURL(url string) string {
	return strings.Replace(lake, "path: ./lake", `url: "`+url+`", endpoint: $S3`, 1)
}

// foreignTable is the log of a table that Databricks keeps with column mapping.
const foreignTable = `{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["columnMapping"],"writerFeatures":["columnMapping"]}}
{"metaData":{"id":"1","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[]}","partitionColumns":[],"configuration":{},"createdTime":1}}
`

func TestEnvironmentsOfDelta(t *testing.T) {
	t.Parallel()
	elsewhere := strings.Replace(lake, "./lake", "./lake2", 1)
	try(t, []environment{
		{
			name: "a file in the place of the folder", config: lake,
			breaks: func(s *site) { s.write("lake", "") },
			says:   "lake: not a directory; a file stands where the table needs a folder",
			mends: func(s *site) {
				if err := os.Remove(filepath.Join(s.dir, "lake")); err != nil {
					s.Fatal(err)
				}
			},
		},
		{
			name: "a file system that is read-only", config: strings.Replace(lake, "./lake", "./disk/lake", 1),
			breaks: func(s *site) {
				dir := s.mounted("disk", "16m")
				if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
					s.Fatal(err)
				}
			},
			says: "read-only file system; the file system is read-only; mount it for writing, or put the table on another one",
			mends: func(s *site) {
				if err := unix.Mount("", filepath.Join(s.dir, "disk"), "", unix.MS_REMOUNT, ""); err != nil {
					s.Fatal(err)
				}
			},
		},
		{
			name: "a spool on a full disk", config: strings.Replace(lake, "path: ./lake", "path: ./lake, spool: ./disk", 1),
			breaks: func(s *site) {
				s.mounted("disk", "1m")
				s.write("disk/log", strings.Repeat("x", 1<<20))
			},
			says: "no space left on device; the disk is full; make room there, or set spool to another folder",
			exit: 1, waits: true,
			mends: func(s *site) {
				if err := os.Remove(filepath.Join(s.dir, "disk/log")); err != nil {
					s.Fatal(err)
				}
			},
		},
		{
			name: "a table on a full disk", config: strings.Replace(lake, "./lake", "./disk/lake", 1),
			breaks: func(s *site) {
				s.mounted("disk", "2m")
				s.write("disk/log", strings.Repeat("x", 2<<20))
			},
			says: "no space left on device; the disk is full; make room there",
			exit: 1, waits: true,
			mends: func(s *site) {
				if err := os.Remove(filepath.Join(s.dir, "disk/log")); err != nil {
					s.Fatal(err)
				}
			},
		},
		{
			name: "a table that another engine keeps", config: lake, mended: elsewhere,
			breaks: func(s *site) {
				if err := os.MkdirAll(filepath.Join(s.dir, "lake/_delta_log"), 0o700); err != nil {
					s.Fatal(err)
				}
				s.write("lake/_delta_log/00000000000000000000.json", foreignTable)
			},
			says: "the table uses the Delta features columnMapping, which ampipe does not know; load into a table without them",
		},
		{
			name: "a folder with other files", config: lake, mended: elsewhere,
			breaks: func(s *site) {
				if err := os.Mkdir(filepath.Join(s.dir, "lake"), 0o700); err != nil {
					s.Fatal(err)
				}
				s.write("lake/rows.csv", "a,b")
			},
			says: "there are files, and no Delta table; use an empty folder (rows.csv is there)",
		},
		onBucket(environment{
			name: "a bucket that does not exist", config: atURL("s3://nowhere/logs"), mended: atURL("s3://lake/logs"),
			says: "the bucket does not exist; create it, or correct url and endpoint",
		}, "NONE", ""),
		onBucket(environment{
			name: "credentials that may only read",
			says: "the server answered AccessDenied (HTTP 403): no; access denied; give these credentials the rights to list, read, write and delete there",
		}, http.MethodPut, "AccessDenied"),
		onBucket(environment{
			name: "credentials that may not delete",
			says: "it may be written and not deleted",
		}, http.MethodDelete, "AccessDenied"),
		onBucket(environment{
			name: "a clock that is wrong", exit: 1, waits: true,
			says: "this machine's clock differs from the server's by more than 15 minutes; set it",
		}, http.MethodGet, "RequestTimeTooSkewed"),
		onBucket(environment{
			name: "the address of the server as the bucket", config: atURL("s3://127.0.0.1:9000/lake"), mended: atURL("s3://lake/logs"),
			says: "names a server, not a bucket; write s3://bucket/folder, and the server as endpoint",
		}, "NONE", ""),
	})
}
