package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// licensed returns a module whose root folder holds these files.
func licensed(t *testing.T, files map[string]string) *module {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &module{path: "example.org/m", version: "v1.0.0", dir: dir, packages: map[string]bool{filepath.Join(dir, "a/b"): true}}
}

const zeroBSD = `Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT,
OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA
OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION,
ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`

const copyleft = `This program is free software: you can redistribute it and/or modify
it under the terms of the GNU Affero General Public License as published by
the Free Software Foundation, either version 3 of the License, or
(at your option) any later version.

This program is distributed in the hope that it will be useful,
but WITHOUT ANY WARRANTY; without even the implied warranty of
MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
GNU Affero General Public License for more details.
`

func TestLicencesAreFound(t *testing.T) {
	m := licensed(t, map[string]string{
		"a/LICENSE": "Copyright (c) 2020 A\r\n\r\n" + zeroBSD, "NOTICE.txt": "Made by A.", "a/b/c.go": "package b",
		"x/LICENSE": "of a package that is not linked", "license.go": "package m", "a/b/NOTICE": "of b",
	})
	texts, err := textsOf(m)
	if err != nil {
		t.Fatal(err)
	}
	s := software{name: m.path, texts: texts}
	if err := judge(s); err != nil || strings.Join(s.licences(), " ") != "0BSD" {
		t.Errorf("licences %v, error %v", s.licences(), err)
	}
	var names []string
	for _, text := range texts {
		names = append(names, text.name)
	}
	if got := strings.Join(names, " "); got != "NOTICE.txt a/LICENSE a/b/NOTICE" {
		t.Errorf("texts %s", got)
	}
	printed := string(printNotices([]software{s, {name: "example.org/n", texts: texts}}))
	if strings.Count(printed, "Permission to use") != 1 || !strings.Contains(printed, "example.org/m (a/LICENSE)\nexample.org/n (a/LICENSE)\n") {
		t.Errorf("a text that two modules share is not printed once, with both:\n%s", printed)
	}
}

func TestLicencesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ licence, want string }{
		"none":        {"", "no licence was found"},
		"not known":   {"You may use this software on Tuesdays, if your name has an odd number of letters.", "is the text of a known licence"},
		"not allowed": {copyleft, "not on the list"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"a/b/c.go": "package b"}
			if c.licence != "" {
				files["LICENSE"] = c.licence
			}
			m := licensed(t, files)
			texts, err := textsOf(m)
			if err == nil {
				err = judge(software{name: m.path, texts: texts})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
