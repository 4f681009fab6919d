package cli

import (
	"fmt"

	"github.com/ampipe/ampipe/pkg/config"
)

// didYouMean returns "; did you mean X?" with the nearest of names, or "" if none
// is near.
func didYouMean(name string, names []string) string {
	if near := config.Nearest(name, names, max(1, len(name)/3)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
