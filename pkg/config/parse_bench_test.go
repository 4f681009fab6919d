package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// BenchmarkParse reads a file of 200 lines: ten pipelines.
func BenchmarkParse(b *testing.B) {
	documents := make([]string, 10)
	for i := range documents {
		documents[i] = strings.NewReplacer("pipeline: p", fmt.Sprintf("pipeline: p%d", i), "table: t", fmt.Sprintf("table: t%d", i)).Replace(valid)
	}
	text := []byte(strings.Join(documents, "---\n"))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := config.Parse("f.yaml", text, env())
		if err != nil {
			b.Fatal(err)
		}
	}
}
