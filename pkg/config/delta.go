package config

import (
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Delta is a table in Delta Lake. Exactly one of Path and URL is set.
type Delta struct {
	Path string `yaml:"path" form:"path"` // a folder
	URL  string `yaml:"url"`              // s3://bucket/folder, gs://bucket/folder, azblob://container/folder
	// Of another server that speaks as URL's scheme says; empty: AWS, Google, or the Azure account's.
	Endpoint        string        `yaml:"endpoint"`
	Region          string        `yaml:"region"`                    // of an S3 bucket; empty: from the environment
	PartitionBy     []Partition   `yaml:"partition_by" form:"short"` // none: one partition
	TargetFileSize  int64         `yaml:"target_file_size" form:"size" default:"128MiB" range:"1MiB,4GiB"`
	MaxCommitDelay  time.Duration `yaml:"max_commit_delay" default:"10s" range:"100ms,1h"`
	Compression     string        `yaml:"compression" default:"zstd(1)"`                 // another level, "snappy", "gzip" or "none"
	Dictionary      []string      `yaml:"dictionary"`                                    // columns that get a dictionary
	CheckpointEvery int           `yaml:"checkpoint_every" default:"10" range:"1,10000"` // versions of the table
	Spool           string        `yaml:"spool" form:"path"`                             // folder for files on their way; empty: the system's
	// Empty the table when the sink meets it for the first time.
	Overwrite bool     `yaml:"overwrite" default:"false"`
	OnBadRow  OnBadRow `yaml:"on_bad_row" default:"stop" oneof:"stop,dead_letter"`

	// Keys of other destinations, about which there is a complaint of their own.
	_ string `yaml:"mode"`
	_ string `yaml:"key"`
}

// Partition is a column that divides the table into folders. The file may hold the name
// of the column alone.
type Partition struct {
	Column string `yaml:"column" required:"give the column to divide by"`
	Bucket uint64 `yaml:"bucket" range:"1,9223372036854775807"` // not 0: by ranges of that many blocks
}

// compressionForm is what delta.compression may be.
var compressionForm = regexp.MustCompile(`^(none|snappy|gzip|zstd|zstd\(([1-9]|1[0-9]|2[0-2])\))$`)

func (d *Delta) check(s view) {
	path, address, endpoint, region := s.field("path"), s.field("url"), s.field("endpoint"), s.field("region")
	d.Endpoint, d.Region = strings.TrimSpace(d.Endpoint), strings.TrimSpace(d.Region)
	var given bucketURL
	switch {
	case path.set && address.set:
		s.complain(address.at, "%s and %s are both given; keep one", path.key, address.key)
	case address.set:
		given = *newBucketURL(d.URL)
		s.complainAll(address, given.complaints)
		d.URL = ""
		if len(given.complaints) == 0 {
			d.URL = given.text()
		}
	case !path.set:
		s.missing("path", "give the table's folder, or url, such as s3://bucket/folder")
	}
	if !endpoint.set {
		endpoint, d.Endpoint = address, given.endpoint
	}
	if !region.set {
		d.Region = given.region
	}
	if d.Endpoint != "" {
		checkEndpoint(s, endpoint, d)
	}
	if region.set && !strings.HasPrefix(d.URL, "s3://") {
		s.complain(region.at, "%s is for a url of s3:// only", region.key)
	}
	if given.endpoint != "" && given.endpoint != d.Endpoint {
		s.complain(endpoint.at, "%s and %s name two servers; keep one", address.key, endpoint.key)
	}
	if given.region != "" && given.region != d.Region {
		s.complain(region.at, "%s and %s name two regions; keep one", address.key, region.key)
	}
	if c := s.field("compression"); !compressionForm.MatchString(d.Compression) {
		s.complain(c.at, "%s must be zstd(1) to zstd(22), snappy, gzip or none, not %q", c.key, c.raw)
	}
	for _, key := range []string{"mode", "key"} {
		if f := s.field(key); f.set && f.raw != string(Append) {
			s.complain(f.at, "%s: a Delta table is only appended to; leave mode and key out, or use postgres for upsert", f.key)
		}
	}
}

// checkEndpoint checks the address of a server.
func checkEndpoint(s view, f field, d *Delta) {
	if d.URL == "" && d.Path != "" {
		s.complain(f.at, "%s is for a url only", f.key)
	}
	u, err := url.Parse(d.Endpoint)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil:
		s.complain(f.at, "%s must be http://host:port or https://host:port, without a password", f.key)
	case u.RawQuery != "" || u.Fragment != "":
		s.complain(f.at, "%s must hold no parameters; a token belongs into the environment, as AZURE_STORAGE_SAS_TOKEN", f.key)
	}
}
