package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/klauspost/compress/gzip"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestReleaseIsReproducible builds the same commit from two clones in different
// folders, and compares every byte. It builds one command for this platform; with
// AMPIPE_RELEASE_TEST=all the whole release.
func TestReleaseIsReproducible(t *testing.T) {
	args := []string{"-platforms", "linux/" + runtime.GOARCH, "-commands", "planner"}
	if os.Getenv("AMPIPE_RELEASE_TEST") == "all" {
		args = nil
	}
	var outs []string
	for range 2 {
		clone, out := filepath.Join(t.TempDir(), "clone"), t.TempDir()
		git(t, "../..", "clone", "--quiet", "--shared", ".", clone)
		if err := run(t.Context(), append([]string{"-root", clone, "-out", out}, args...)); err != nil {
			t.Fatal(err)
		}
		outs = append(outs, out)
	}
	names := list(t, outs[0])
	if other := list(t, outs[1]); !slices.Equal(names, other) {
		t.Fatalf("one build made %v, the other %v", names, other)
	}
	for _, name := range names {
		a, b := sum(t, filepath.Join(outs[0], name)), sum(t, filepath.Join(outs[1], name))
		if a != b {
			t.Errorf("%s differs between two builds of one commit", name)
		}
	}
	commit := strings.TrimSpace(git(t, "../..", "rev-parse", "HEAD"))
	checkSums(t, outs[0])
	for _, name := range names {
		if strings.HasSuffix(name, ".tar.gz") {
			checkArchive(t, filepath.Join(outs[0], name), commit)
		}
		if strings.HasSuffix(name, ".cdx.json") {
			checkBill(t, filepath.Join(outs[0], name))
		}
	}
}

// checkSums has SHA256SUMS checked as a user does.
func checkSums(t *testing.T, out string) {
	t.Helper()
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = out
	if said, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, said)
	}
}

// checkArchive unpacks an archive, looks for what has to be in it, and runs the command.
func checkArchive(t *testing.T, path, commit string) {
	t.Helper()
	folder := strings.TrimSuffix(filepath.Base(path), ".tar.gz")
	files := unpack(t, path)
	for _, want := range []string{
		"README.md", "LICENSE", "THIRD_PARTY_NOTICES", "docs/operations.md", "bin/planner",
		"share/man/man1/planner.1", "share/bash-completion/completions/planner",
		"share/zsh/site-functions/_planner", "share/fish/vendor_completions.d/planner.fish",
	} {
		if len(files[folder+"/"+want]) == 0 {
			t.Errorf("%s lacks %s", path, want)
		}
	}
	page := string(files[folder+"/share/man/man1/planner.1"])
	for _, want := range []string{`.TH "PLANNER" "1"`, `\fB--retry-failed\fP`, "Exit codes: 0 done"} {
		if !strings.Contains(page, want) {
			t.Errorf("the manual page lacks %q", want)
		}
	}
	if !strings.Contains(folder, "_"+runtime.GOOS+"_"+runtime.GOARCH) {
		return
	}
	for _, unit := range []string{"lib/systemd/system/ampipe@.service", "lib/sysusers.d/ampipe.conf"} {
		if len(files[folder+"/"+unit]) == 0 {
			t.Errorf("%s lacks %s", path, unit)
		}
	}
	program := filepath.Join(t.TempDir(), "planner")
	if err := os.WriteFile(program, files[folder+"/bin/planner"], 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSuffix(strings.TrimPrefix(folder, "ampipe_"), "_"+runtime.GOOS+"_"+runtime.GOARCH)
	for _, want := range []string{"v" + version + "\n", commit + "\n", runtime.Version() + "\n"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("--version lacks %q:\n%s", want, said)
		}
	}
}

// unpack returns the files of an archive, and checks their order, modes and times.
func unpack(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	packed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	last := ""
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := int64(0o644)
		if strings.Contains(h.Name, "/bin/") {
			mode = 0o755
		}
		if h.Mode != mode || h.Uid != 0 || h.Uname != "" || h.ModTime.Year() < 2020 || h.Name <= last {
			t.Errorf("%s: mode %o, owner %d %q, time %s, after %s", h.Name, h.Mode, h.Uid, h.Uname, h.ModTime, last)
		}
		last = h.Name
		if files[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// checkBill checks a bill of materials against CycloneDX's schema, and its modules
// against go.mod and the notices.
func checkBill(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := billSchema(t).Validate(document); err != nil {
		t.Error(err)
	}
	bill := new(cdx.BOM)
	if err := cdx.NewBOMDecoder(bytes.NewReader(content), cdx.BOMFileFormatJSON).Decode(bill); err != nil {
		t.Fatal(err)
	}
	notices, err := os.ReadFile(filepath.Join("../..", noticesFile))
	if err != nil {
		t.Fatal(err)
	}
	versions := required(t)
	libraries := 0
	for _, c := range *bill.Components {
		if c.Type != cdx.ComponentTypeLibrary {
			continue
		}
		libraries++
		if want := versions[c.Name]; want != c.Version && c.Name != "std" {
			t.Errorf("%s: version %s, go.mod has %q", c.Name, c.Version, want)
		}
		if !strings.Contains(string(notices), "\n"+c.Name+" ") && c.Name != "std" {
			t.Errorf("%s is not in %s", c.Name, noticesFile)
		}
	}
	if libraries < 20 {
		t.Errorf("%s lists %d modules only", path, libraries)
	}
}

// billSchema returns the schema that comes with the library.
func billSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := output(t.Context(), ".", []string{"GOWORK=off"}, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go")
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"bom-1.6": "bom-1.6", "spdx": "spdx", "jsf-0.82": "jsf-0.82"} {
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "schema", file+".schema*.json"))
		if err != nil || len(found) != 1 {
			t.Fatalf("schema %s: %v %v", file, found, err)
		}
		f, err := os.Open(found[0])
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name+".schema.json", schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// required returns the versions in the product's go.mod.
func required(t *testing.T) map[string]string {
	t.Helper()
	out, err := output(t.Context(), "../..", []string{"GOWORK=off"}, "go", "mod", "edit", "-json")
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	return versions
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := output(t.Context(), dir, nil, "git", args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func sum(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(content))
}
