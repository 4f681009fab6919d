package pipeline_test

import (
	"os"
	"strings"
)

// testRedis returns the URL of the Redis server for tests, "" if there is none. It names
// database 1: in database 0 the tests of pkg/sink/redis look through all keys at every
// step, beside these, which load hundreds of thousands.
func testRedis() string {
	url := os.Getenv("AMPIPE_TEST_REDIS")
	switch {
	case url == "":
		return ""
	case strings.HasPrefix(url, "unix:"):
		return url + "?db=1"
	default:
		return strings.TrimSuffix(strings.TrimSuffix(url, "/"), "/0") + "/1"
	}
}
