// Package pkg_test holds the import table of docs/design.md: which package may
// import which, which library stays in which folder, and what each command links.
package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ampipe/ampipe/"

// allowed lists, for each package below pkg, the packages of ours that its product
// code may import, and imports. A new edge needs a note in docs/decisions.
var allowed = map[string][]string{
	"fault":                          {},
	"block":                          {},
	"health":                         {},
	"ops":                            {"health"},
	"layout":                         {},
	"pool":                           {},
	"freelist":                       {},
	"config":                         {"block", "sqlcheck"},
	"arrowfmt":                       {},
	"deadletter":                     {"arrowfmt", "block", "entry"},
	"arrowguard":                     {},
	"arrowguard/guardtest":           {},
	"entry":                          {"arrowguard", "block", "freelist"},
	"amp":                            {"arrowguard", "block", "fault", "freelist"},
	"amp/amptest":                    {"amp", "block", "layout"},
	"state":                          {"block"},
	"trace":                          {"entry"},
	"trace/otlp":                     {},
	"trace/otlp/otlptest":            {},
	"queue":                          {"block", "deadletter", "entry", "fault", "state", "trace"},
	"freeport":                       {},
	"queue/queuetest":                {"freeport"},
	"plan":                           {"amp", "block", "config", "entry", "fault", "sqlcheck", "queue", "state"},
	"sqlcheck":                       {"block", "fault"},
	"extract":                        {"amp", "block", "entry", "fault", "pool", "sqlcheck", "queue", "state", "trace"},
	"sink":                           {"arrowfmt", "block", "config", "entry", "fault", "state"},
	"sink/apply":                     {"sink", "arrowfmt", "block", "deadletter", "entry", "fault", "pool", "queue", "state", "trace"},
	"sink/sinktest/memsink":          {"sink", "block", "fault", "layout"},
	"sink/postgres":                  {"sink", "sink/postgres/pgcopy", "arrowfmt", "block", "config", "fault"},
	"sink/postgres/pgcopy":           {"arrowfmt", "fault"},
	"sink/delta":                     {"sink", "sink/delta/deltalog", "sink/delta/parquetfile", "sink/delta/storage", "arrowfmt", "block", "config", "entry", "fault"},
	"sink/delta/deltalog":            {"sink/delta/storage", "fault"},
	"sink/delta/parquetfile":         {"fault"},
	"sink/delta/storage":             {"fault"},
	"sink/delta/storage/storagetest": {"sink/delta/storage"},
	"sink/redis":                     {"sink", "sink/redis/cluster", "sink/redis/format", "sink/redis/scripts", "block", "config", "entry", "fault"},
	"sink/redis/cluster":             {"sink", "sink/redis/format", "sink/redis/scripts", "block", "entry"},
	"sink/redis/format":              {"sink", "sink/redis/rdb", "arrowfmt", "block", "config", "fault"},
	"sink/redis/rdb":                 {},
	"sink/redis/scripts":             {},
	"sink/sinktest":                  {"sink", "block", "config", "entry", "fault", "freeport", "layout"},
	"sink/sinktest/realdata":         {"amp/amptest", "block", "sink", "sink/sinktest"},
	"progress":                       {"block", "health", "ops"},
	"status":                         {"block", "entry", "health", "plan", "progress", "queue", "state"},
	"page":                           {"progress", "status"},
	"pipeline": {
		"amp", "arrowfmt", "block", "config", "deadletter", "entry", "extract", "fault", "health", "ops", "page", "plan", "pool", "sqlcheck",
		"progress", "queue", "sink", "sink/apply", "state", "status", "trace", "trace/otlp",
	},
}

// quarantine names the only packages that may import a driver.
var quarantine = map[string][]string{
	"github.com/nats-io/":                         {"queue", "queue/queuetest"},
	"github.com/synadia-io/":                      {"queue"},
	"github.com/apache/arrow-go/v18/parquet":      {"sink/delta", "sink/delta/deltalog", "sink/delta/parquetfile", "sink/sinktest/realdata"},
	"github.com/apache/arrow-go/v18/arrow/flight": {"amp", "amp/amptest"},
	"google.golang.org/grpc":                      {"amp", "amp/amptest"},
	"github.com/jackc/pgx/":                       {"sink/postgres"},
	"github.com/aws/":                             {"sink/delta/storage"},
	"github.com/Azure/":                           {"sink/delta/storage", "sink/delta/storage/storagetest"},
	"cloud.google.com/go/":                        {"sink/delta/storage"},
	"golang.org/x/oauth2":                         {"sink/delta/storage"},
	"gocloud.dev/":                                {},
	"google.golang.org/api":                       {},
	"github.com/googleapis/":                      {},
	"github.com/redis/":                           {"sink/redis", "sink/redis/cluster"},
	"github.com/prometheus/":                      {"ops", "progress"},
	"go.opentelemetry.io/":                        {"trace", "trace/otlp", "trace/otlp/otlptest"},
	"github.com/goccy/go-yaml":                    {"config"},
	"github.com/spf13/cobra":                      {},
}

func TestImportsFollowTheTable(t *testing.T) {
	used := map[string]bool{} // "package imports package"
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		if _, listed := allowed[pkg]; !listed {
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
			if ours, ok := strings.CutPrefix(imported, module); ok {
				used[pkg+" "+strings.TrimPrefix(ours, "pkg/")] = true
			}
			checkImport(t, file, pkg, imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, imports := range allowed {
		for _, imported := range imports {
			if !used[pkg+" "+imported] {
				t.Errorf("the table lets %s import %s, which it does not: take the edge out", pkg, imported)
			}
		}
	}
}

func checkImport(t *testing.T, file, pkg, imported string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(imported, module); ok {
		if name, inPkg := strings.CutPrefix(ours, "pkg/"); !inPkg || !slices.Contains(allowed[pkg], name) {
			t.Errorf("%s: %s may not import %s", file, pkg, ours)
		}
		return
	}
	for library, homes := range quarantine {
		if strings.HasPrefix(imported, library) && !slices.Contains(homes, pkg) {
			t.Errorf("%s: only %v may import %s", file, homes, imported)
		}
	}
}

// What a driver consists of.
var (
	clouds   = []string{"gocloud.dev", "cloud.google.com/", "google.golang.org/api", "github.com/aws/", "github.com/Azure/", "github.com/minio/minio-go"}
	postgres = []string{"github.com/jackc/"}
	redis    = []string{"github.com/redis/"}
	nats     = []string{"github.com/nats-io/"}
)

// TestWhatIsLinked: a destination is a package that needs no other, and each command
// links only what it needs.
func TestWhatIsLinked(t *testing.T) {
	for pkg, without := range map[string][][]string{
		"pkg/sink/postgres":        {nats, redis, clouds},
		"pkg/sink/postgres/pgcopy": {nats, postgres, redis, clouds},
		"pkg/sink/redis":           {nats, postgres, clouds},
		"pkg/sink/delta":           {nats, postgres, redis},
		"cmd/planner":              {postgres, redis, clouds},
		"cmd/extractor":            {postgres, redis, clouds},
		"cmd/sink-postgres":        {redis, clouds},
		"cmd/sink-redis":           {postgres, clouds},
		"cmd/sink-delta":           {postgres, redis},
	} {
		for _, linked := range dependencies(t, pkg) {
			for _, library := range slices.Concat(without...) {
				if strings.HasPrefix(linked, library) {
					t.Errorf("%s links %s", pkg, linked)
				}
			}
		}
	}
}

// dependencies returns the import paths of a package and of all that it needs.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", module+pkg)
	list.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list what %s needs: %v", pkg, err)
	}
	return strings.Fields(string(out))
}
