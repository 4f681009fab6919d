package cluster

import (
	"context"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"
)

// A server counts slots in the same way, whatever is in braces.
func TestSlotsAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	url := os.Getenv("AMPIPE_TEST_REDIS_CLUSTER")
	if url == "" {
		t.Skip("AMPIPE_TEST_REDIS_CLUSTER is not set; run scripts/redis cluster go test ./pkg/sink/redis/")
	}
	o, err := driver.ParseClusterURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := driver.NewClusterClient(o)
	defer c.Close()
	for _, key := range []string{"", "a", "123456789", "logs:7:3", "{user}:1", "a{user}b{other}", "a{}b", "a{}{b}", "{", "}{", "{{x}}", "a{b", "\x00\xff{\xfe}", strings.Repeat("long ", 1000)} {
		want, err := c.ClusterKeySlot(context.Background(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if got := Slot([]byte(key)); int64(got) != want {
			t.Errorf("%q is of slot %d, and of %d for the server", key, got, want)
		}
	}
}

// The tags are part of the format: other ones would not find what is there.
func TestSlotTagsStayTheSame(t *testing.T) {
	t.Parallel()
	tags := slotTags()
	for slot, tag := range tags {
		if Slot([]byte("ampipe:p:s:{"+tag+"}:state")) != slot {
			t.Fatalf("the tag %q is not of slot %d", tag, slot)
		}
	}
	if got := crc32.ChecksumIEEE([]byte(strings.Join(tags, " "))); got != 0x68c36d6a {
		t.Errorf("the tags have the checksum %#x", got)
	}
}

func BenchmarkSlotTags(b *testing.B) {
	for b.Loop() {
		slotTags()
	}
}
