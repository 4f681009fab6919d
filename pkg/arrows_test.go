// Package pkg_test holds the import table of docs/design.md: which package may
// import which, and which driver stays in which folder.
package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ampipe/ampipe/"

// arrows lists, for each package below pkg, the packages of ours that its
// product code may import. A new arrow needs a dated note in docs/decisions.
var arrows = map[string][]string{
	"fault":                          {},
	"block":                          {},
	"health":                         {},
	"ops":                            {"health"},
	"layout":                         {},
	"config":                         {"block"},
	"arrowfmt":                       {},
	"arrowguard":                     {},
	"arrowguard/guardtest":           {},
	"entry":                          {"arrowguard", "block"},
	"amp":                            {"arrowguard", "block", "fault"},
	"amp/amptest":                    {"amp", "block", "layout"},
	"queue":                          {"block", "entry", "fault"},
	"queue/queuetest":                {},
	"plan":                           {"amp", "block", "config", "entry", "fault", "plan/sql", "queue"},
	"plan/sql":                       {"block", "fault"},
	"extract":                        {"amp", "block", "config", "entry", "fault", "plan/sql", "queue"},
	"sink":                           {"block", "config", "entry", "fault", "queue"},
	"sink/memory":                    {"sink", "block", "config", "entry", "fault", "layout"},
	"sink/postgres":                  {"sink", "arrowfmt", "block", "config", "entry", "fault"},
	"sink/delta":                     {"sink", "sink/delta/storage", "arrowfmt", "block", "config", "entry", "fault"},
	"sink/delta/storage":             {"fault"},
	"sink/delta/storage/storagetest": {"sink/delta/storage"},
	"sink/redis":                     {"sink", "arrowfmt", "block", "config", "entry", "fault"},
	"sink/sinktest":                  {"sink", "sink/memory", "block", "config", "entry", "fault", "layout", "queue"},
	"sink/sinktest/realdata":         {"block", "sink", "sink/sinktest"},
	"progress":                       {"block", "config", "health", "ops", "queue"},
	"pipeline": {
		"amp", "block", "config", "entry", "extract", "fault", "health", "ops", "plan", "plan/sql",
		"progress", "queue", "sink", "sink/delta", "sink/postgres", "sink/redis",
	},
}

// quarantine names the only packages that may import a driver.
var quarantine = map[string][]string{
	"github.com/nats-io/":                         {"queue", "queue/queuetest"},
	"github.com/synadia-io/":                      {"queue"},
	"github.com/apache/arrow-go/v18/parquet":      {"sink/delta", "sink/sinktest/realdata"},
	"github.com/apache/arrow-go/v18/arrow/flight": {"amp", "amp/amptest", "sink/sinktest/realdata"},
	"google.golang.org/grpc":                      {"amp", "amp/amptest"},
	"github.com/jackc/pgx/":                       {"sink/postgres"},
	"gocloud.dev/":                                {"sink/delta/storage"},
	"github.com/aws/":                             {"sink/delta/storage"},
	"github.com/Azure/":                           {"sink/delta/storage", "sink/delta/storage/storagetest"},
	"cloud.google.com/go/":                        {"sink/delta/storage"},
	"google.golang.org/api":                       {"sink/delta/storage"},
	"github.com/googleapis/":                      {"sink/delta/storage"},
	"github.com/redis/":                           {"sink/redis"},
	"github.com/prometheus/":                      {"ops", "progress"},
	"github.com/goccy/go-yaml":                    {"config"},
	"github.com/spf13/cobra":                      {},
}

func TestImportsFollowTheTable(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		seen++
		pkg := path.Dir(filepath.ToSlash(file))
		allowed, listed := arrows[pkg]
		if !listed {
			t.Errorf("%s: package %s is not in the table", file, pkg)
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range source.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			check(t, file, pkg, imported, allowed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("no Go files found")
	}
}

func check(t *testing.T, file, pkg, imported string, allowed []string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imported, module); ok {
		if name, inPkg := strings.CutPrefix(ours, "pkg/"); !inPkg || !slices.Contains(allowed, name) {
			t.Errorf("%s: %s may not import %s", file, pkg, ours)
		}
		return
	}
	for driver, homes := range quarantine {
		if strings.HasPrefix(imported, driver) && !slices.Contains(homes, pkg) {
			t.Errorf("%s: only %v may import %s", file, homes, imported)
		}
	}
}
