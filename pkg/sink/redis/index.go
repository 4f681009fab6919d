package redis

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// indexed is an entry of the index.
type indexed struct {
	place       string // where the state is that knows it
	block       block.Number
	key, member string
	hash        string // of the row as it was written; only if keys expire
}

// places returns the prefixes of the states that know of rows.
func (w *Writer) places(l *commitState) []string {
	if !w.target.Cluster {
		return []string{w.target.Prefix()}
	}
	var places []string
	for slot := range l.Slots.Each {
		places = append(places, strings.TrimSuffix(w.cluster.StateOf(slot), "state"))
	}
	return places
}

// eachIndexed is called with rows of the index, and the range of blocks that they are all of.
type eachIndexed func(context.Context, []indexed, block.Range) error

// readIndex reads the entries of the indexes of some states that may hold rows of the
// blocks of r, and hands the rows of a few of them at a time to each: first nil when a
// state begins. Rows of other blocks are among them.
func (w *Writer) readIndex(ctx context.Context, places []string, r block.Range, each eachIndexed) error {
	for some := range slices.Chunk(places, indexes) {
		if err := w.readIndexes(ctx, some, r, each); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) readIndexes(ctx context.Context, places []string, r block.Range, each eachIndexed) error {
	pipe := w.client.Pipeline()
	before, inside := make([]*redis.StringSliceCmd, len(places)), make([]*redis.StringSliceCmd, len(places))
	next := func(c redis.Cmdable, place, from string) *redis.StringSliceCmd {
		return c.ZRangeByLex(ctx, place+"index", &redis.ZRangeBy{Min: from, Max: "(" + format.HexBlock(r.End), Count: atOnce})
	}
	for i, place := range places {
		before[i] = pipe.ZRevRangeByLex(ctx, place+"index", &redis.ZRangeBy{Min: "[0", Max: "(" + format.HexBlock(r.Start), Count: 1})
		inside[i] = next(pipe, place, "["+format.HexBlock(r.Start))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i, place := range places {
		if err := each(ctx, nil, r); err != nil {
			return err
		}
		for some := append(before[i].Val(), inside[i].Val()...); len(some) > 0; {
			rows, err := unpackIndex(w.target, place, some)
			if err != nil {
				return err
			}
			if err := each(ctx, rows, r); err != nil {
				return err
			}
			if len(some) < atOnce {
				break
			}
			if some, err = next(w.client, place, "("+some[len(some)-1]).Result(); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpackIndex returns the rows of entries of an index.
func unpackIndex(g *format.Table, place string, entries []string) ([]indexed, error) {
	var rows []indexed
	stride := g.Stride()
	for _, e := range entries {
		bar := strings.IndexByte(e[min(len(e), 33):], '|')
		if bar < 0 {
			return nil, format.ErrState
		}
		slice, packed := e[33:33+bar], e[34+bar:]
		var n block.Number
		var failed error
		at := 0
		err := format.UnpackTexts([]byte(packed), func(depth int, text string) {
			if depth == 1 {
				n, failed = format.ParseBlock(text)
				at = 0
				return
			}
			switch {
			case at == 0:
				rows = append(rows, indexed{place: place, block: n, key: text})
			case at == stride-1 && g.TTL > 0:
				rows[len(rows)-1].hash = text
			case g.Structure == config.Stream:
				rows[len(rows)-1].member = slice + "-" + text
			default:
				rows[len(rows)-1].member = text
			}
			at = (at + 1) % stride
		})
		if err != nil || failed != nil {
			return nil, format.ErrState
		}
	}
	return rows, nil
}
