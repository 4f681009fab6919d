package compose

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// dockerfile is deploy/Dockerfile, read as BuildKit reads it.
type dockerfile struct {
	args   map[string]string // before the first stage
	stages map[string]instructions.Stage
}

func readDockerfile(t testing.TB) dockerfile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "deploy/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("deploy/Dockerfile: %s", w.Short)
	}
	stages, args, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := dockerfile{args: map[string]string{}, stages: map[string]instructions.Stage{}}
	for _, a := range args {
		for _, pair := range a.Args {
			d.args[pair.Key] = pair.ValueString()
		}
	}
	for _, s := range stages {
		d.stages[s.Name] = s
	}
	return d
}

// every returns the commands of one kind in a stage.
func every[C instructions.Command](s instructions.Stage) []C {
	var found []C
	for _, c := range s.Commands {
		if c, ok := c.(C); ok {
			found = append(found, c)
		}
	}
	return found
}

func TestDockerfile(t *testing.T) {
	d := readDockerfile(t)
	for _, name := range []string{"ampipe", "devserver"} {
		s, ok := d.stages[name]
		if !ok {
			t.Fatalf("there is no stage %q", name)
		}
		if s.BaseName != "${BASE_IMAGE}" {
			t.Errorf("%s starts from %s, not from the build argument BASE_IMAGE", name, s.BaseName)
		}
		if len(every[*instructions.RunCommand](s)) > 0 {
			t.Errorf("%s runs something, and there is nothing in it that could", name)
		}
		users := every[*instructions.UserCommand](s)
		if len(users) != 1 || users[0].User != "65532:65532" {
			t.Errorf("%s does not run as 65532:65532", name)
		}
		if len(every[*instructions.EntrypointCommand](s)) > 0 {
			t.Errorf("%s has an entry point: commands are to be started by name", name)
		}
		checks := every[*instructions.HealthCheckCommand](s)
		if len(checks) != 1 || checks[0].Health.Test[0] != "CMD" {
			t.Errorf("%s has no health check that works without a shell", name)
		}
		if len(every[*instructions.CmdCommand](s)) != 1 {
			t.Errorf("%s has no command of its own", name)
		}
		labels := map[string]bool{}
		for _, l := range every[*instructions.LabelCommand](s) {
			for _, pair := range l.Labels {
				labels[pair.Key] = true
			}
		}
		for _, want := range []string{"title", "description", "licenses"} {
			if !labels["org.opencontainers.image."+want] {
				t.Errorf("%s has no label %s", name, want)
			}
		}
	}
	build := d.stages["build"]
	if build.Platform != "$BUILDPLATFORM" {
		t.Errorf("the commands are compiled on %q, not on $BUILDPLATFORM: an emulated compiler takes an hour", build.Platform)
	}
	for _, name := range []string{"build", "build-devserver"} {
		if base := d.stages[name].BaseName; base != "${GO_IMAGE}" {
			t.Errorf("%s starts from %s, not from the build argument GO_IMAGE", name, base)
		}
	}
	for name, value := range map[string]string{"BASE_IMAGE": "scratch", "GO_IMAGE": "golang:1.26-bookworm"} {
		if d.args[name] != value {
			t.Errorf("%s is %q by default, want %q", name, d.args[name], value)
		}
	}
}

// step returns the RUN instruction of a stage that contains a text.
func (d dockerfile) step(t testing.TB, stage, text string) string {
	t.Helper()
	for _, run := range every[*instructions.RunCommand](d.stages[stage]) {
		if line := strings.Join(run.CmdLine, " "); strings.Contains(line, text) {
			return line
		}
	}
	t.Fatalf("stage %s has no RUN with %q", stage, text)
	return ""
}

// shell runs a step as a build does: by sh, and here with this machine's Go.
func shell(t testing.TB, dir, line string, env ...string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// context copies what a build gets to see of the repository.
func context(t testing.TB, to string) {
	t.Helper()
	ignored, err := os.Open(filepath.Join(root(t), "deploy/Dockerfile.dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ignored.Close() }()
	patterns, err := ignorefile.ReadAll(ignored)
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root(t), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root(t), path)
		if err != nil || name == "." {
			return err
		}
		skip, err := matcher.MatchesOrParentMatches(name)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && (name == ".git" || name == "bin"):
			return fs.SkipDir
		case skip || e.IsDir():
			return nil // there may be exceptions inside
		}
		return copyFile(path, filepath.Join(to, name))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBuildIsReproducible runs the build step of the image for one command, in two
// folders. The same source must give the same program.
func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	step := readDockerfile(t).step(t, "build", "make build")
	var digests [2][sha256.Size]byte
	for i, folder := range []string{"a", "a/longer/way"} {
		dir := filepath.Join(t.TempDir(), folder)
		context(t, dir)
		shell(t, dir, step, "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "COMMANDS=./cmd/planner")
		program, err := os.ReadFile(filepath.Join(dir, "bin/planner"))
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = sha256.Sum256(program)
	}
	if digests[0] != digests[1] {
		t.Errorf("the digests differ: %x and %x", digests[0], digests[1])
	}
}

// image is what the Dockerfile makes: a file system, and how programs start in it.
type image struct {
	files    string
	uid, gid int
	env      []string
}

// build makes the file system of the stage ampipe, with the programs of bin in it.
func (d dockerfile) build(t testing.TB, bin string) image {
	t.Helper()
	img := image{files: filepath.Join(t.TempDir(), "image")}
	for _, c := range every[*instructions.CopyCommand](d.stages["ampipe"]) {
		from := strings.Join(c.SourcePaths, " ")
		switch {
		case c.From == "rootfs" && from == "/rootfs/":
			step := d.step(t, "rootfs", "/rootfs")
			if os.Getuid() != 0 { // everything belongs to this user anyway
				step = strings.ReplaceAll(step, "&& chown", "&& : chown")
			}
			shell(t, "/", strings.ReplaceAll(step, "/rootfs", img.files))
		case c.From == "build" && from == "/src/bin/":
			for _, name := range []string{"ampipe", "planner", "extractor", "sink-postgres", "sink-redis", "sink-delta"} {
				place(t, filepath.Join(bin, name), filepath.Join(img.files, c.DestPath, name))
			}
		case c.From == "": // of the build context
			for _, name := range c.SourcePaths {
				place(t, filepath.Join(root(t), name), filepath.Join(img.files, c.DestPath, name))
			}
		default:
			t.Fatalf("this test does not know %s", c)
		}
	}
	for _, c := range every[*instructions.EnvCommand](d.stages["ampipe"]) {
		for _, pair := range c.Env {
			img.env = append(img.env, pair.Key+"="+pair.Value)
		}
	}
	user, group, _ := strings.Cut(every[*instructions.UserCommand](d.stages["ampipe"])[0].User, ":")
	var err error
	if img.uid, err = strconv.Atoi(user); err != nil {
		t.Fatal(err)
	}
	if img.gid, err = strconv.Atoi(group); err != nil {
		t.Fatal(err)
	}
	return img
}

// place makes a file appear under another name, without a copy if that is possible.
func place(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Link(from, to) == nil {
		return
	}
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies a file with its mode, and makes the folder that it lies in.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}

// TestBuildSeesWhatItNeeds fails if the context lacks what is compiled, or has a folder
// that may hold a secret or whose changes would build everything again.
func TestBuildSeesWhatItNeeds(t *testing.T) {
	dir := t.TempDir()
	context(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "scripts" { // what stamps the version is there
			names = append(names, e.Name())
		}
	}
	want := []string{"LICENSE", "Makefile", "THIRD_PARTY_NOTICES", "bench", "cmd", "devserver", "go.mod", "go.sum", "go.work", "go.work.sum", "pkg"}
	if !slices.Equal(names, want) {
		t.Errorf("the context is %v, want %v", names, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "scripts/test")); err == nil {
		t.Error("the context has all scripts")
	}
}
