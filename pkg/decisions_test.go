package pkg_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDecisionsHaveAnIndex: each decision has the same head, and a line in the index that
// says the same.
func TestDecisionsHaveAnIndex(t *testing.T) {
	const folder = "../docs/decisions/"
	index, err := os.ReadFile(folder + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(folder + "0*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d decisions, %v", len(files), err)
	}
	head := regexp.MustCompile(`^# (\d{4}): (.+)\n\n(\d{4}-\d\d-\d\d), (accepted|superseded by .+)\n\n`)
	numbers := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		found := head.FindStringSubmatch(string(text))
		if found == nil {
			t.Errorf("%s: want \"# NUMBER: title\", then \"DATE, accepted\" or \"DATE, superseded by [NUMBER](file)\"", name)
			continue
		}
		number, title, date, state := found[1], found[2], found[3], found[4]
		if !strings.HasPrefix(name, number+"-") || numbers[number] != "" {
			t.Errorf("%s: is numbered %s, as is %q", name, number, numbers[number])
		}
		numbers[number] = name
		if line := "| [" + number + "](" + name + ") | " + title + " | " + date + " | " + state + " |"; !strings.Contains(string(index), line+"\n") {
			t.Errorf("the index lacks %s", line)
		}
	}
}
