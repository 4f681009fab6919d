package config

import (
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Delta is a table in Delta Lake. Exactly one of Path and URL is set.
type Delta struct {
	Path            string      // a folder
	URL             string      // s3://bucket/folder, gs://bucket/folder, azblob://container/folder
	Endpoint        string      // of another server that speaks as URL's scheme says; empty: AWS, Google, or the Azure account's
	Region          string      // of an S3 bucket; empty: from the environment
	PartitionBy     []Partition // none: one partition
	TargetFileSize  int64       // bytes; default 128 MiB
	MaxCommitDelay  time.Duration
	Compression     string   // "zstd(1)" (default), another level, "snappy", "gzip" or "none"
	Dictionary      []string // columns that get a dictionary
	CheckpointEvery int      // versions of the table; default 10
	Spool           string   // folder for files on their way; empty: the system's
	Overwrite       bool     // empty the table when the sink meets it for the first time
}

// Partition is a column that divides the table into folders.
type Partition struct {
	Column string
	Bucket uint64 // not 0: by ranges of that many blocks
}

const (
	minFileSize = 1 << 20
	maxFileSize = 4 << 30
)

// compressionForm is what delta.compression may be.
var compressionForm = regexp.MustCompile(`^(none|snappy|gzip|zstd|zstd\(([1-9]|1[0-9]|2[0-2])\))$`)

func readDelta(s *section) *Delta {
	d := &Delta{TargetFileSize: 128 << 20, MaxCommitDelay: 10 * time.Second, Compression: "zstd(1)", CheckpointEvery: 10}
	path := s.file("path", &d.Path)
	address := s.text("url", &d.URL)
	switch {
	case path.set && address.set:
		s.complain(address.at, "%s and %s are both given; keep one", path.key, address.key)
	case address.set:
		readBucketURL(s, address, d)
	case !path.set:
		s.missing("path", "give the table's folder, or url, such as s3://bucket/folder")
	}
	fromURL := *d
	endpoint := s.text("endpoint", &d.Endpoint)
	if !endpoint.set {
		endpoint = field{key: address.key, at: address.at, set: d.Endpoint != ""}
	}
	d.Endpoint = strings.TrimSpace(d.Endpoint)
	checkEndpoint(s, endpoint, d)
	region := s.text("region", &d.Region)
	if region.set && !strings.HasPrefix(d.URL, "s3://") {
		s.complain(region.at, "%s is for a url of s3:// only", region.key)
	}
	d.Region = strings.TrimSpace(d.Region)
	if fromURL.Endpoint != "" && fromURL.Endpoint != d.Endpoint {
		s.complain(endpoint.at, "%s and %s name two servers; keep one", address.key, endpoint.key)
	}
	if fromURL.Region != "" && fromURL.Region != d.Region {
		s.complain(region.at, "%s and %s name two regions; keep one", address.key, region.key)
	}
	readPartitions(s, d)
	s.size("target_file_size", &d.TargetFileSize, minFileSize, maxFileSize)
	if delay := s.duration("max_commit_delay", &d.MaxCommitDelay); delay.set && (d.MaxCommitDelay < 100*time.Millisecond || d.MaxCommitDelay > time.Hour) {
		s.complain(delay.at, "%s must be from 100ms to 1h, not %q", delay.key, delay.raw)
	}
	if c := s.text("compression", &d.Compression); c.set && !compressionForm.MatchString(d.Compression) {
		s.complain(c.at, "%s must be zstd(1) to zstd(22), snappy, gzip or none, not %q", c.key, c.raw)
	}
	s.texts("dictionary", &d.Dictionary)
	number(s, "checkpoint_every", &d.CheckpointEvery, 1, 10_000)
	s.file("spool", &d.Spool)
	s.flag("overwrite", &d.Overwrite)
	for _, key := range []string{"mode", "key"} {
		if text, f := s.modeOrKey(key); f.set && text != string(Append) {
			s.complain(f.at, "%s: a Delta table is only appended to; leave mode and key out, or use postgres for upsert", f.key)
		}
	}
	return d
}

// modeOrKey reads keys of other destinations. A list answers like a text.
func (s *section) modeOrKey(key string) (string, field) {
	f, n := s.ask(key)
	if n == nil {
		return "", f
	}
	return n.GetToken().Value, f
}

// checkEndpoint looks at the address of a server.
func checkEndpoint(s *section, f field, d *Delta) {
	if !f.set {
		return
	}
	if d.URL == "" && d.Path != "" {
		s.complain(f.at, "%s is for a url only", f.key)
	}
	u, err := url.Parse(d.Endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil:
		s.complain(f.at, "%s must be http://host:port or https://host:port, without a password", f.key)
	case u.RawQuery != "" || u.Fragment != "":
		s.complain(f.at, "%s must hold no parameters; a token belongs into the environment, as AZURE_STORAGE_SAS_TOKEN", f.key)
	}
}

func readPartitions(s *section, d *Delta) {
	f, list := s.mixed("partition_by")
	for _, e := range list {
		var p Partition
		if e.group == nil {
			p.Column = e.text
		} else {
			if !e.group.text("column", &p.Column).set {
				e.group.missing("column", "give the column to divide by")
			}
			number(e.group, "bucket", &p.Bucket, 1, math.MaxInt64)
		}
		if slices.ContainsFunc(d.PartitionBy, func(o Partition) bool { return o == p }) {
			s.complain(e.at, "%s names column %q twice", f.key, p.Column)
		}
		d.PartitionBy = append(d.PartitionBy, p)
	}
}
