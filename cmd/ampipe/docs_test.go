package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shown are the command lines of ampipe in a console block, up to a pipe or a comment.
var shown = regexp.MustCompile(`(?m)^\$ (?:bin/)?ampipe ([^|#>\n]+)`)

// TestCommandsOfDocsParse parses each command line that a page shows with its output.
func TestCommandsOfDocsParse(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, "../../README.md") {
		for _, line := range commandsOf(t, page) {
			n++
			root := command()
			c, args, err := root.Find(strings.Fields(line))
			if err == nil {
				err = c.ParseFlags(args)
			}
			if err == nil {
				err = c.ValidateArgs(c.Flags().Args())
			}
			if err != nil || !c.Runnable() {
				t.Errorf("%s: `ampipe %s`: %v", filepath.Base(page), line, err)
			}
		}
	}
	if n < 40 {
		t.Errorf("%d command lines were found", n)
	}
}

// TestTheDayIsThatOfTheScript finds each command of the page in the script that prints it,
// in the same order.
func TestTheDayIsThatOfTheScript(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../scripts/day")
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, m := range regexp.MustCompile(`(?m)^day ['"]?ampipe ([^'"|\n]+)`).FindAllStringSubmatch(string(text), -1) {
		run = append(run, strings.TrimSpace(m[1]))
	}
	page := commandsOf(t, "../../docs/a-day-with-ampipe.md")
	if !slices.EqualFunc(run, page, func(run, shown string) bool {
		pattern := regexp.QuoteMeta(run)
		pattern = strings.NewReplacer(`\$first`, `\d+`, `\$last`, `\d+`).Replace(pattern)
		return regexp.MustCompile("^" + pattern + "$").MatchString(shown)
	}) {
		t.Errorf("scripts/day runs\n%q\nand the page shows\n%q", run, page)
	}
}

func commandsOf(t *testing.T, page string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range shown.FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.TrimSpace(m[1]))
	}
	return lines
}
