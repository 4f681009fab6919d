package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// root returns the top of the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// secrets runs the script that makes the passwords and returns their folder.
func secrets(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	out, err := exec.Command(filepath.Join(root(t), "deploy/compose/make-secrets"), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("make-secrets: %v\n%s", err, out)
	}
	return dir
}

// load loads docker-compose.yml as Compose does. env is the environment of the
// shell, as NAME=value.
func load(t testing.TB, profiles []string, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root(t), "docker-compose.yml")},
		cli.WithWorkingDirectory(root(t)), cli.WithEnv(env), cli.WithProfiles(profiles), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

var allProfiles = []string{"demo", "observe", "tools"}

// ours reports whether a service runs a program of this repository.
func ours(s types.ServiceConfig) bool { return s.Build != nil || strings.HasPrefix(s.Image, "ampipe:") }

// commands returns the folder of the built programs.
func commands(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("AMPIPE_BIN")
	if dir == "" {
		t.Fatal("AMPIPE_BIN is not set: run this by make deploytest")
	}
	return dir
}

// cut splits NAME=value.
func cut(pair string) (name, value string, found bool) { return strings.Cut(pair, "=") }
