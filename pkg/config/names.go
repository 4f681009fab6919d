package config

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// Names returns the names of the pipelines of a file, for the completion of a
// command line: nothing else of the file needs to be right, no variable to be set.
// Documents that cannot be read are left out.
func Names(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var names []string
	for _, tokens := range split(lexer.Tokenize(string(text))) {
		file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
		if err != nil {
			continue
		}
		for _, doc := range file.Docs {
			var pipeline struct {
				Name string `yaml:"pipeline"`
			}
			if doc.Body == nil {
				continue
			}
			err := yaml.NodeToValue(doc.Body, &pipeline)
			if err == nil && pipeline.Name != "" {
				names = append(names, pipeline.Name)
			}
		}
	}
	return names, nil
}
