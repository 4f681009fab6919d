package cli

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNoTemplates: see [usage]. A template of Cobra's in one place makes every command a
// quarter larger.
func TestNoTemplates(t *testing.T) {
	template := regexp.MustCompile(`\.Set\w*Template\(|"(text|html)/template"`)
	files := 0
	for _, root := range []string{"../..", "../../../pkg"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			code, err := os.ReadFile(path)
			if found := template.Find(code); found != nil {
				t.Errorf("%s has %s", path, bytes.TrimSpace(found))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Fatalf("%d files were read", files)
	}
}
