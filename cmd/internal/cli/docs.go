//go:build docs

package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/ampipe/ampipe/pkg/ops"
)

// Main, in a build with the tag "docs", writes the manual pages and completions of a
// command below the folder that is its only argument, and returns the exit code.
// That is how `make release` gets them: the product does not link the generators.
func Main(root *cobra.Command) int {
	prepare(root)
	if len(os.Args) != 2 {
		fmt.Fprintf(os.Stderr, "usage: %s FOLDER (this build writes its documentation)\n", os.Args[0])
		return ops.ExitConfig
	}
	if err := writeDocs(root, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "ampipe:", err)
		return ops.ExitFailed
	}
	return ops.ExitDone
}

// writeDocs writes what a package installs below its share folder.
func writeDocs(root *cobra.Command, share string) error {
	name := root.Name()
	for path, write := range map[string]func(io.Writer) error{
		"bash-completion/completions/" + name:         func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh/site-functions/_" + name:                 root.GenZshCompletion,
		"fish/vendor_completions.d/" + name + ".fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		if err := writeFile(filepath.Join(share, path), write); err != nil {
			return err
		}
	}
	manual := filepath.Join(share, "man/man1")
	if err := os.MkdirAll(manual, 0o755); err != nil {
		return err
	}
	forManual(root)
	// The date is that of SOURCE_DATE_EPOCH.
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Manual: "ampipe", Source: "ampipe " + ops.ReadBuild().Version}, manual)
}

func writeFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
}

// forManual prepares the texts of c and of the commands below it for the manual,
// whose generator reads them as Markdown: what is indented is kept line by line.
func forManual(c *cobra.Command) {
	c.DisableAutoGenTag = true
	var out []string
	indented := false
	for line := range strings.Lines(c.Long) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "  "):
			if !indented {
				out = append(out, "")
			}
			indented = true
			out = append(out, "    "+strings.TrimSpace(line))
		default:
			if indented {
				out = append(out, "")
			}
			indented = false
			out = append(out, line)
		}
	}
	c.Long = strings.Join(out, "\n")
	for _, sub := range c.Commands() {
		forManual(sub)
	}
}
