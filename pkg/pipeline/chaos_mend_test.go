package pipeline_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// sql changes a table of a warehouse as another user does, and tries again while sinks are at
// it.
func (c *chaos) sql(statement string) {
	c.t.Helper()
	var err error
	so := c.wait(time.Minute, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
		defer cancel()
		_, err = c.db.Exec(ctx, "SET lock_timeout = '1s'; "+statement)
		return err == nil
	})
	if !so {
		c.t.Errorf("%s: %v", statement, err)
	}
}

// refuseRows has a table refuse the rows of some blocks, which become dead letters. When it
// is mended somebody has them loaded, as far as that can be done now.
func (c *chaos) refuseRows() *trouble {
	if c.onBadRow != config.DeadLetter {
		return nil // the sink stops, and needs a hand
	}
	pipeline := pick(c, chaosPipelines)
	table := c.schema + "." + pipeline
	return &trouble{
		kind: "PostgreSQL", what: "the table of " + pipeline + " refuses rows", rows: true,
		says: regexp.MustCompile("^dead letters of warehouse: warehouse has put .* aside"), after: 25 * time.Second,
		begin: func() {
			c.letters = true
			c.sql(fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT chaos CHECK (block_num %% 20 <> 7) NOT VALID", table))
		},
		end: func() {
			c.sql(fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT chaos", table))
			c.give("dlq", "replay", pipeline, "--all")
		},
	}
}

// destroyRows removes rows behind ampipe's back, which it cannot notice. Then somebody has
// verify look for them.
func (c *chaos) destroyRows() *trouble {
	pipeline, sink := pick(c, chaosPipelines), pick(c, []string{"warehouse", "cache"})
	first := c.random.IntN(200)
	last := first + c.random.IntN(20)
	return &trouble{
		kind: map[string]string{"warehouse": "PostgreSQL", "cache": "Redis"}[sink], alone: true,
		what: fmt.Sprintf("destroy rows of blocks %d to %d of %s in the %s", first, last, pipeline, sink),
		begin: func() {
			c.byHand = true
			if sink == "warehouse" {
				c.sql(fmt.Sprintf("DELETE FROM %s.%s WHERE block_num BETWEEN %d AND %d", c.schema, pipeline, first, last))
				return
			}
			var keys []string
			for n := first; n <= last; n++ {
				key := fmt.Sprintf("%s:%d", pipeline, n)
				if pipeline == "logs" {
					key += ":1"
				}
				keys = append(keys, key)
			}
			n, err := c.cache.Del(c.t.Context(), keys...).Result()
			c.logf("%d rows are destroyed: %v", n, err)
		},
		end: func() { c.give("verify", "--repair", pipeline) },
	}
}

// give runs a command of which it does not matter now whether it can be carried out.
func (c *chaos) give(args ...string) (code int, out string) {
	c.t.Helper()
	c.counts["ampipe "+args[0]]++
	code, out = c.ampipe(args...)
	c.logf("ampipe %s: exit code %d: %s", strings.Join(args, " "), code, lastLine(out))
	return code, out
}

// mend has loaded what only people know to be lacking: dead letters, once the tables are
// mended, and rows that were destroyed. Letters that are dropped instead are rows that
// verify has to find.
func (c *chaos) mend() bool {
	c.t.Helper()
	if c.letters {
		verb := pick(c, []string{"replay", "replay", "drop"})
		var said string
		done := c.wait(settled, func() bool {
			code, out := c.ampipe("dlq", "list")
			said = out
			if code == 0 {
				return true
			}
			c.give("dlq", verb, "--all")
			c.wait(2*time.Second, nil)
			return false
		})
		if !done {
			c.t.Errorf("there are dead letters after ampipe dlq %s --all within %v:\n%s", verb, settled, said)
			return false
		}
		c.byHand = true // a table may have been set back to when it lacked rows that were letters
	}
	if !c.byHand {
		return true
	}
	final := c.head().Number + 60
	c.wait(settled, func() bool { return c.head().Number > final }) // no reorg reaches what was destroyed
	if !c.settle("before the repair", 20) {
		return false
	}
	code, out := c.ampipe("verify", "--repair")
	c.logf("ampipe verify --repair: exit code %d", code)
	if code != 0 && code != 3 {
		c.t.Errorf("ampipe verify --repair: exit code %d\n%s", code, out)
	}
	return true
}
