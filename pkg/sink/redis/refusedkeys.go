package redis

import (
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// ofKey reports whether the server refuses to read a key because it holds a value of
// another type: other keys can be read.
func ofKey(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "WRONGTYPE") || strings.Contains(err.Error(), "wrong Redis type")) // RedisJSON's
}

// refused notes that a row of a block cannot be read.
func (d *storedDigest) refused(row indexed, err error) {
	d.unreadable.Add(block.Closed(row.block, row.block), fault.Permanent(fmt.Errorf("key %q: %w", fault.Shorten(row.key, 100), err)))
}
