package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// noticesFile is the file that names all third-party software in the product.
const noticesFile = "THIRD_PARTY_NOTICES"

// allowed returns the licences that software in the product may have: those that ask
// for no more than that their text is passed on.
func allowed() []string {
	return []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "Unlicense", "Zlib", "CC0-1.0"}
}

// leastKnown is the share of a licence file, in percent, that has to be the text of
// known licences. The rest is copyright lines.
const leastKnown = 75

// text is a file that has to be passed on.
type text struct {
	name     string // of the file, within its module
	content  []byte
	licences []string // SPDX identifiers; empty for notices
}

// software is a module, or Go's standard library, with its licence texts.
type software struct {
	name, version string
	texts         []text
}

// licences returns the identifiers of all its licences.
func (s software) licences() []string {
	var ids []string
	for _, t := range s.texts {
		ids = append(ids, t.licences...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// survey collects the licence texts of everything that is linked into the product on
// any of its platforms. It fails for what has none, or one that is not allowed.
func survey(ctx context.Context, root string) ([]software, error) {
	modules, err := linked(ctx, root, allPlatforms())
	if err != nil {
		return nil, err
	}
	goroot, err := goCommand(ctx, root, allPlatforms()[0], "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	std := strings.TrimSpace(string(goroot))
	modules["std"] = &module{path: "std", dir: std, packages: map[string]bool{std: true}}

	var all []software
	var errs []error
	for _, m := range modules {
		s := software{name: m.path, version: m.version}
		if s.texts, err = textsOf(m); err != nil {
			errs = append(errs, err)
		} else if err := judge(s); err != nil {
			errs = append(errs, err)
		}
		all = append(all, s)
	}
	script, err := charts(root)
	if err == nil {
		err = judge(script)
	}
	all, errs = append(all, script), append(errs, err)
	slices.SortFunc(all, func(a, b software) int { return strings.Compare(a.name, b.name) })
	return all, errors.Join(errs...)
}

var scriptVersion = regexp.MustCompile(`\((v[0-9.]+)\)`)

// charts returns the script that draws the charts of the page. It is in the programs, and is
// no module.
func charts(root string) (software, error) {
	const name = "uplot.LICENSE"
	folder := filepath.Join(root, "pkg/page/assets")
	script, err := os.ReadFile(filepath.Join(folder, "uplot.js"))
	if err != nil {
		return software{}, err
	}
	head, _, _ := bytes.Cut(script, []byte("\n"))
	version := scriptVersion.FindSubmatch(head)
	if version == nil {
		return software{}, fmt.Errorf("the first line of uplot.js does not name its version: %s", head)
	}
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return software{}, err
	}
	licences, err := classify(content)
	return software{name: "uPlot", version: string(version[1]), texts: []text{{name, tidy(content), licences}}}, err
}

// judge refuses software whose licence is missing, not recognised or not allowed.
func judge(s software) error {
	ids := s.licences()
	if len(ids) == 0 {
		return fmt.Errorf("%s %s: no licence was found; do not link it", s.name, s.version)
	}
	for _, id := range ids {
		if !slices.Contains(allowed(), id) {
			return fmt.Errorf("%s %s has the licence %s, which is not on the list of those that the product may contain", s.name, s.version, id)
		}
	}
	return nil
}

// textsOf returns the licences and notices in the folders of the module's linked
// packages and in all above them, up to the module's own.
func textsOf(m *module) ([]text, error) {
	dirs := map[string]bool{m.dir: true}
	for dir := range m.packages {
		for ; len(dir) > len(m.dir); dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	var texts []text
	for dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !isLegal(e.Name()) {
				continue
			}
			content, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(m.dir, filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			t := text{name: filepath.ToSlash(name), content: tidy(content)}
			if !isNotice(e.Name()) {
				if t.licences, err = classify(content); err != nil {
					return nil, fmt.Errorf("%s %s, %s: %w", m.path, m.version, t.name, err)
				}
			}
			texts = append(texts, t)
		}
	}
	slices.SortFunc(texts, func(a, b text) int { return strings.Compare(a.name, b.name) })
	return texts, nil
}

// isLegal reports whether a file of that name is a licence or a notice.
func isLegal(name string) bool {
	upper := strings.ToUpper(name)
	switch filepath.Ext(upper) {
	case "", ".TXT", ".MD", ".RST", ".APACHE", ".BSD", ".MIT":
	default:
		return false
	}
	begins := func(word string) bool { return strings.HasPrefix(upper, word) }
	return slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "UNLICENSE"}, begins) || isNotice(name)
}

// isNotice reports whether a file of that name goes beside a licence.
func isNotice(name string) bool {
	upper := strings.ToUpper(name)
	return strings.HasPrefix(upper, "NOTICE") || strings.HasPrefix(upper, "PATENTS")
}

// classify returns the licences of a text.
func classify(content []byte) ([]string, error) {
	found := licensecheck.Scan(content)
	var ids []string
	for _, m := range found.Match {
		if !m.IsURL {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 || found.Percent < leastKnown {
		return nil, fmt.Errorf("only %.0f %% of it is the text of a known licence %v: read it", found.Percent, ids)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// tidy makes equal texts equal bytes: without carriage returns, white space at the
// end of lines, and empty lines around.
func tidy(content []byte) []byte {
	lines := strings.Split(strings.ReplaceAll(string(content), "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\f")
	}
	return []byte(strings.Trim(strings.Join(lines, "\n"), "\n") + "\n")
}

// printNotices returns the text of the notices: what there is, then each text once,
// with the names of all that it belongs to.
func printNotices(all []software) []byte {
	var out bytes.Buffer
	out.WriteString(`The programs of ampipe contain the software of others that is listed here, under
the licences whose texts follow. Written by "make notices"; do not edit.

`)
	users := map[string][]string{}
	var order []string
	for _, s := range all {
		fmt.Fprintln(&out, strings.TrimRight(fmt.Sprintf("%s %s", s.name, s.version), " ")+": "+strings.Join(s.licences(), ", "))
		for _, t := range s.texts {
			content := string(t.content)
			if users[content] == nil {
				order = append(order, content)
			}
			users[content] = append(users[content], s.name+" ("+t.name+")")
		}
	}
	for _, content := range order {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s", strings.Repeat("=", 80), strings.Join(users[content], "\n"), content)
	}
	return out.Bytes()
}

// writeNotices writes the notices into the repository.
func writeNotices(ctx context.Context, root string) error {
	all, err := survey(ctx, root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, noticesFile), printNotices(all), 0o644)
}

// checkNotices fails if the notices in the repository are not those of what is linked.
func checkNotices(ctx context.Context, root string) error {
	all, err := survey(ctx, root)
	if err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(root, noticesFile))
	if err != nil {
		return err
	}
	if !bytes.Equal(have, printNotices(all)) {
		return errors.New(noticesFile + ` is out of date: run "make notices" and commit what changes`)
	}
	return nil
}
