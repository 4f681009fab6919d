package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// allPlatforms returns the platforms of a release.
func allPlatforms() []string {
	return []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}
}

// commandsOf returns the names of the product's commands.
func commandsOf(root string) ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no commands: name the repository with -root", root)
	}
	return names, nil
}

// module is a module of which at least one package is linked into the product.
type module struct {
	path, version, dir string
	packages           map[string]bool // folders
}

// linked returns the modules that any command links on any platform, without the
// product's own.
func linked(ctx context.Context, root string, platforms []string) (map[string]*module, error) {
	modules := map[string]*module{}
	for _, platform := range platforms {
		listed, err := goCommand(ctx, root, platform, "list", "-deps", "-json=Dir,Standard,Module", "./cmd/...")
		if err != nil {
			return nil, err
		}
		for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
			var p struct {
				Dir      string
				Standard bool
				Module   *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			err := decoder.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("read the list of packages: %w", err)
			}
			if p.Standard || p.Module == nil || p.Module.Main {
				continue
			}
			m := modules[p.Module.Path]
			if m == nil {
				m = &module{p.Module.Path, p.Module.Version, p.Module.Dir, map[string]bool{}}
				modules[m.path] = m
			}
			m.packages[p.Dir] = true
		}
	}
	return modules, nil
}

// goCommand runs the go command in the product's module, for a platform, and returns
// what it prints.
func goCommand(ctx context.Context, root, platform string, args ...string) ([]byte, error) {
	goos, goarch, _ := strings.Cut(platform, "/")
	return output(ctx, root, []string{
		"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false -tags=" + tags(goos),
		"GOOS=" + goos, "GOARCH=" + goarch, "GOAMD64=v1", "GOARM64=v8.0",
	}, "go", args...)
}

// tags returns those of the Makefile, so that what it has compiled is compiled.
func tags(goos string) string {
	if goos == "linux" {
		return "grpcnotrace,netgo,osusergo"
	}
	return "grpcnotrace"
}

// output runs a command in a folder and returns what it prints.
func output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, complaints.String())
	}
	return out, nil
}
