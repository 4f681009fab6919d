package main

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the command line of this version to testdata/commandline.txt, when it is released")

// TestCommandLineOfEarlierVersions finds each command and each flag that a version had:
// scripts and units that were written for it still start.
func TestCommandLineOfEarlierVersions(t *testing.T) {
	t.Parallel()
	const file = "testdata/commandline.txt"
	now := map[string]bool{}
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`)
	flags := regexp.MustCompile(`(?m)^ {2,}(?:-\w, |    )(--[a-z-]+(?: [a-z]+)?)(?: {2,}|$)`)
	_, help, _ := ampipe(t, t.TempDir(), "--help")
	_, list, _ := strings.Cut(help, "\nAvailable Commands:\n")
	list, rest, _ := strings.Cut(list, "\n\n")
	for _, f := range flags.FindAllStringSubmatch(rest, -1) {
		now[f[1]] = true
	}
	for _, c := range commands.FindAllStringSubmatch(list, -1) {
		now[c[1]] = true
		_, help, _ := ampipe(t, t.TempDir(), c[1], "--help")
		help, _, _ = strings.Cut(help, "\nGlobal Flags:\n")
		for _, f := range flags.FindAllStringSubmatch(help, -1) {
			now[c[1]+" "+f[1]] = true
		}
	}
	if *update {
		text := strings.Join(slices.Sorted(maps.Keys(now)), "\n") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for was := range strings.Lines(string(text)) {
		if was = strings.TrimSpace(was); !now[was] {
			t.Errorf("`ampipe %s` is gone", was)
		}
	}
}
