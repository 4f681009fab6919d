package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

func TestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.yaml")
	text := "# a comment\n---\npipeline: a\nsource: 1\n---\npipeline: [\n---\nsinks: []\n---\npipeline: b # no more\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := config.Names(path)
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("got %q, %v", names, err)
	}
	if _, err := config.Names(path + ".missing"); err == nil {
		t.Error("a file that is missing has names")
	}
}
