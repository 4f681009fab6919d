package deltalog

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// EscapePath returns a name in storage as a path in the log, which is escaped as in a
// URL, what was escaped in the name included. Delta: Add File and Remove File.
func EscapePath(name string) string { return strings.ReplaceAll(name, "%", "%25") }

// FileName returns the name in storage for a path in the log, which is escaped as in a
// URL and may be absolute.
func FileName(path string) (string, error) {
	if strings.Contains(path, "://") || strings.HasPrefix(path, "/") {
		return "", fault.Permanent(fmt.Errorf("the log names the file %s outside of the table, as a shallow clone does; "+
			"load into another table", path))
	}
	name, err := url.PathUnescape(path)
	if err != nil {
		return "", fault.Permanent(fmt.Errorf("the log names the file %s, which is not escaped as it should be: %w", path, err))
	}
	return name, nil
}
