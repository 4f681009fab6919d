package postgres_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// ofEveryVersion are the tests of what servers of some versions do in another way: whole
// transactions, indexes, what is read of the catalogs, and what is told of it.
const ofEveryVersion = "^Test(Suite|Examine|ConnectChangesNothing|DescribeIsWhatIsMade|ExistingTableIsCompared|" +
	"TriggerOfTheTableAbove|StateThatIsHeldBack|TablesThatDoNotStoreAreRefused|RulesAndRowSecurityOfPartitions|" +
	".*Index.*|.*Predicted.*)$"

// TestOtherVersions runs them with the oldest version that is promised and the newest one, beside
// the version that all other tests have.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	if os.Getenv("AMPIPE_TEST_POSTGRES") == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set; run scripts/postgres run go test ./pkg/sink/postgres/")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("scripts/postgres-others has servers for Linux on x86_64 only")
	}
	for _, version := range []int{12, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "../../../scripts/postgres-others", "run", fmt.Sprint(version),
				os.Args[0], "-test.v", "-test.parallel=4", "-test.run="+ofEveryVersion)
			cmd.Env = append(os.Environ(), "PG_SHARED_BUFFERS=64MB", "PG_OPTIONS=-c fsync=off -c max_connections=400")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if passed := strings.Count(string(out), "\n--- PASS"); passed < 20 || strings.Contains(string(out), "--- SKIP") {
				t.Errorf("%d tests have passed, or some were skipped\n%s", passed, out)
			}
		})
	}
}
