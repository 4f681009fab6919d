package config_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

func deltaFile(keys string) []byte {
	return []byte(`pipeline: p
source: { amp: "grpc://h", query: SELECT 1 }
sinks:
  - name: lake
    delta:
      ` + strings.ReplaceAll(strings.TrimSpace(keys), "\n", "\n      ") + "\n")
}

func TestDelta(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		keys string
		want config.Delta
	}{
		"a folder": {"path: ./lake/logs", config.Delta{Path: "/etc/lake/logs",
			TargetFileSize: 128 << 20, MaxCommitDelay: 10 * time.Second, Compression: "zstd(1)", CheckpointEvery: 10, OnBadRow: config.StopAtBadRow}},
		"everything": {`url: s3://lake/logs
endpoint: http://127.0.0.1:9000
region: eu-west-1
partition_by: [ day, { column: block_num, bucket: 100_000 } ]
target_file_size: 64MiB
max_commit_delay: 30s
compression: snappy
dictionary: [ address ]
checkpoint_every: 50
spool: /var/tmp
mode: append
overwrite: true
on_bad_row: dead_letter`, config.Delta{URL: "s3://lake/logs", Endpoint: "http://127.0.0.1:9000", Region: "eu-west-1",
			PartitionBy:    []config.Partition{{Column: "day"}, {Column: "block_num", Bucket: 100_000}},
			TargetFileSize: 64 << 20, MaxCommitDelay: 30 * time.Second, Compression: "snappy", Dictionary: []string{"address"},
			CheckpointEvery: 50, Spool: "/var/tmp", Overwrite: true, OnBadRow: config.DeadLetter}},
		"an emulator of Azure": {"url: azblob://lake/logs\nendpoint: http://127.0.0.1:10000/devstoreaccount1", config.Delta{
			URL: "azblob://lake/logs", Endpoint: "http://127.0.0.1:10000/devstoreaccount1",
			TargetFileSize: 128 << 20, MaxCommitDelay: 10 * time.Second, Compression: "zstd(1)", CheckpointEvery: 10, OnBadRow: config.StopAtBadRow}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipelines, err := config.Parse("/etc/f.yaml", deltaFile(c.keys), os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			if got := pipelines[0].Sinks[0]; got.Delta == nil || !reflect.DeepEqual(*got.Delta, c.want) || got.Writers() != 1 {
				t.Errorf("%+v, want %+v", got.Delta, c.want)
			}
		})
	}
}

func TestDeltaComplaints(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]string{
		"overwrite: true":                                     "f.yaml:5:5: sinks[0].delta.path is missing; give the table's folder, or url, such as s3://bucket/folder",
		"path: x\nurl: s3://b/x":                              "f.yaml:7:7: sinks[0].delta.path and sinks[0].delta.url are both given; keep one",
		"url: /tmp/x":                                         "f.yaml:6:7: sinks[0].delta.url names no bucket; write it as s3://bucket/folder",
		"url: file://h/x":                                     "f.yaml:6:7: sinks[0].delta.url is a local folder; write its name as path",
		"url: s3://user:hunter2@b/x":                          "f.yaml:6:7: sinks[0].delta.url must hold no user or password; credentials come from the environment, such as AWS_ACCESS_KEY_ID",
		"path: x\nregion: eu":                                 "f.yaml:7:7: sinks[0].delta.region is for a url of s3:// only",
		"path: x\nendpoint: http://h:1":                       "f.yaml:7:7: sinks[0].delta.endpoint is for a url only",
		"url: gs://b/x\nregion: eu":                           "f.yaml:7:7: sinks[0].delta.region is for a url of s3:// only",
		"url: azblob://b/x\nendpoint: https://h/?sig=hunter2": "f.yaml:7:7: sinks[0].delta.endpoint must hold no parameters; a token belongs into the environment, as AZURE_STORAGE_SAS_TOKEN",
		"url: s3://b/x\nendpoint: localhost:9000":             "f.yaml:7:7: sinks[0].delta.endpoint must be http://host:port or https://host:port, without a password",
		"path: x\ncompression: lzo":                           "f.yaml:7:7: sinks[0].delta.compression must be zstd(1) to zstd(22), snappy, gzip or none, not \"lzo\"",
		"path: x\ncompression: zstd(23)":                      "f.yaml:7:7: sinks[0].delta.compression must be zstd(1) to zstd(22), snappy, gzip or none, not \"zstd(23)\"",
		"path: x\npartition_by: day":                          "f.yaml:7:7: sinks[0].delta.partition_by must be a list, as in [a, b], not a single value",
		"path: x\npartition_by: [ { bucket: 5 } ]":            "f.yaml:7:25: sinks[0].delta.partition_by[0].column is missing; give the column to divide by",
		"path: x\npartition_by: [ a, a ]":                     "f.yaml:7:26: sinks[0].delta.partition_by names column \"a\" twice",
		"path: x\ntarget_file_size: 1KiB":                     "f.yaml:7:7: sinks[0].delta.target_file_size must be from 1MiB to 4GiB, not \"1KiB\"",
		"path: x\nmax_commit_delay: 2h":                       "f.yaml:7:7: sinks[0].delta.max_commit_delay must be from 100ms to 1h, not \"2h\"",
		"path: x\nmode: upsert":                               "f.yaml:7:7: sinks[0].delta.mode: a Delta table is only appended to; leave mode and key out, or use postgres for upsert",
		"path: x\nkey: [a]":                                   "f.yaml:7:7: sinks[0].delta.key: a Delta table is only appended to; leave mode and key out, or use postgres for upsert",
		"path: x\ncheckpoint: 5":                              "f.yaml:7:7: unknown key \"sinks[0].delta.checkpoint\"; did you mean",
	} {
		_, err := config.Parse("f.yaml", deltaFile(keys), os.Getenv)
		var wrong *config.Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q gives\n%v\nwant\n%s", keys, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password is in %v", err)
		}
	}
}

func TestDeltaTablesAreNotShared(t *testing.T) {
	t.Parallel()
	text := string(deltaFile("path: x")) + "  - { name: other, delta: { path: x/ } }\n"
	_, err := config.Parse("f.yaml", []byte(text), os.Getenv)
	if err == nil || !strings.Contains(err.Error(), "every sink needs a table of its own") {
		t.Errorf("two sinks of one table: %v", err)
	}
}
