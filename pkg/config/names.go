package config

import (
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
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
	for n, err := range documents(text) {
		if err != nil || n.Body == nil {
			continue
		}
		var pipeline struct {
			Name string `yaml:"pipeline"`
		}
		err = yaml.NodeToValue(n.Body, &pipeline)
		if err == nil && pipeline.Name != "" {
			names = append(names, pipeline.Name)
		}
	}
	return names, nil
}
