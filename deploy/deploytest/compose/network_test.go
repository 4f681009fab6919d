//go:build linux

package compose

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// maxReplicas is how many containers of a service have an address.
const maxReplicas = 10

// network assigns every container an address of its own in 127.0.0.0/8, so that all can
// listen on the ports that the file says. This and the addresses that programs listen
// on are all that is not as in an engine.
type network struct {
	prefix   string // first three numbers
	services []string
	hosts    string // file for /etc/hosts
}

func newNetwork(t testing.TB, dir string, project *types.Project) *network {
	t.Helper()
	n := &network{
		prefix:   fmt.Sprintf("127.%d.%d", 1+rand.IntN(254), 1+rand.IntN(254)),
		services: slices.Sorted(maps.Keys(project.Services)),
		hosts:    filepath.Join(dir, "hosts"),
	}
	text := "127.0.0.1 localhost\n"
	for _, service := range n.services {
		text += n.address(service, 1) + " " + service + "\n" // a server, so there is one of it
	}
	if err := os.WriteFile(n.hosts, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return n
}

// address returns the address of a container, counted from 1.
func (n *network) address(service string, number int) string {
	return fmt.Sprintf("%s.%d", n.prefix, slices.Index(n.services, service)*maxReplicas+number)
}

var (
	anyInterface = regexp.MustCompile(`(^|[\s="])(?:0\.0\.0\.0)?(:\d+)\b`)
	zero         = regexp.MustCompile(`\b(?:0\.0\.0\.0|127\.0\.0\.1)\b`)
)

// rewrite replaces, in an argument or a file, every interface and loopback by the
// address of the container. In a container they are its own; here they are everybody's.
func rewrite(text, address string) string {
	text = anyInterface.ReplaceAllString(text, "${1}"+address+"${2}")
	return zero.ReplaceAllString(text, address)
}

func TestRewrite(t *testing.T) {
	for text, want := range map[string]string{
		":9090":                         "127.9.9.9:9090",
		"--listen=0.0.0.0:1602":         "--listen=127.9.9.9:1602",
		"http://127.0.0.1:8222/healthz": "http://127.9.9.9:8222/healthz",
		`listen: "0.0.0.0:4222"`:        `listen: "127.9.9.9:4222"`,
		"bind 0.0.0.0":                  "bind 127.9.9.9",
		"nats://nats:4222":              "nats://nats:4222",
		"${AMP_URL:-grpc://amp:1602}":   "${AMP_URL:-grpc://amp:1602}",
		"log:{block_num}:{log_index}":   "log:{block_num}:{log_index}",
	} {
		if got := rewrite(text, "127.9.9.9"); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
