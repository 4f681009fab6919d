package sqlcheck_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// answer is what a recording says about one query: what the server made of it.
type answer struct {
	Query string `json:"query"`
	Info  struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"get_flight_info"`
	End struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"do_get_end"`
}

func recordings(t *testing.T) []answer {
	t.Helper()
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: the queries recorded from a real Amp server are not tried")
	}
	var all []answer
	err := filepath.WalkDir(filepath.Join(root, "recorded"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var list []answer
		if strings.HasPrefix(strings.TrimSpace(string(content)), "{") {
			content = []byte("[" + string(content) + "]")
		}
		if err := json.Unmarshal(content, &list); err != nil {
			return nil // not a recording of a query
		}
		for _, a := range list {
			if a.Query != "" {
				all = append(all, a)
			}
		}
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("no recorded query below %s (%v)", root, err)
	}
	return all
}

// TestRecordedQueries holds the package against what a real server made of every
// recorded query: what it planned is read here too, what it refused for the form
// of the statement is refused here, and a binary column compared with text is
// found exactly where the server found it.
func TestRecordedQueries(t *testing.T) {
	t.Parallel()
	statement := []string{"Expected a single SQL statement", "found: SETTINGS", "violates read-only constraints"}
	for _, a := range recordings(t) {
		refused := ""
		for _, s := range statement {
			if strings.Contains(a.Info.Message, s) {
				refused = s
			}
		}
		q, err := sqlcheck.Parse(a.Query)
		if refused != "" {
			if err == nil {
				t.Errorf("%s\nis accepted; the server: %s", a.Query, refused)
			}
			continue
		}
		if a.Info.Code != "OK" {
			continue
		}
		if err != nil {
			t.Errorf("%s\nwas planned by the server: %v", a.Query, err)
			continue
		}
		if _, err := sqlcheck.Parse(q.Head()); err != nil {
			t.Errorf("%s\nis wrapped wrongly: %v", a.Query, err)
		}
		mismatch := strings.Contains(a.End.Message, "FixedSizeBinary") && strings.Contains(a.End.Message, "= Utf8")
		if err := q.HexComparisons(func(string) bool { return true }); mismatch != (err != nil) {
			t.Errorf("%s\nbinary compared with text: the server says %t, we say %v", a.Query, mismatch, err)
		}
	}
}
