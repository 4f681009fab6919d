package redis

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// scanCount is about how much a server looks at for one answer.
const scanCount = 1000

// keyShape is what keys of a pattern look like.
type keyShape struct {
	glob  string         // for the server: may match more
	exact *regexp.Regexp // group 1 is the block, if it is in the key
	fixed bool           // there is one key, glob
	kind  string         // type of the keys
}

// kindOfKey is what the server calls the type of a structure's keys.
var kindOfKey = map[config.Structure]string{config.Hash: "hash", config.String: "string", config.JSON: "ReJSON-RL",
	config.Stream: "stream", config.Set: "set", config.SortedSet: "zset", config.List: "list"}

func keyShapeOf(g *format.Table) keyShape {
	p := g.Pattern
	s := keyShape{glob: p.Literals[0], fixed: len(p.Indexes) == 0, kind: kindOfKey[g.Structure]}
	if s.fixed {
		return s
	}
	exact, grouped := `(?s)\A`+regexp.QuoteMeta(p.Literals[0]), false
	for i, column := range p.Indexes {
		value := valueIn(p, g.Schema.Field(column).Type)
		if column == g.Block && !grouped {
			value, grouped = "("+value+")", true
		}
		exact += value + regexp.QuoteMeta(p.Literals[i+1])
	}
	_, s.glob = p.Sample()
	s.exact = regexp.MustCompile(exact + `\z`)
	return s
}

// valueIn returns an expression for what values of a type look like in keys.
func valueIn(p *format.Pattern, dt arrow.DataType) string {
	switch {
	case arrow.IsInteger(dt.ID()):
		return `-?[0-9]+`
	case arrow.IsBaseBinary(dt.ID()) && dt.ID() != arrow.STRING && dt.ID() != arrow.LARGE_STRING, dt.ID() == arrow.FIXED_SIZE_BINARY,
		dt.ID() == arrow.BINARY_VIEW:
		return `0x[0-9a-f]*`
	case p.Escape == "":
		return `.*`
	default: // what separates columns is not in any of them
		return `[^` + regexp.QuoteMeta(strings.ReplaceAll(p.Escape, "%", "")) + `]*`
	}
}

// scan hands out all rows under keys of the pattern.
func (s *search) scan(ctx context.Context, stored func(storedRow)) error {
	if s.shape.fixed {
		kind, err := s.client.Type(ctx, s.shape.glob).Result()
		if err != nil || kind != s.shape.kind {
			return err
		}
		return s.rowsOf(ctx, s.client, s.shape.glob, 0, stored)
	}
	var one sync.Mutex
	return eachServer(ctx, s.client, func(ctx context.Context, node redis.UniversalClient) error {
		one.Lock()
		defer one.Unlock()
		return s.scanNode(ctx, node, stored)
	})
}

func (s *search) scanNode(ctx context.Context, node redis.Cmdable, stored func(storedRow)) error {
	state := []string{s.target.Prefix(), "ampipe:" + s.target.Pipeline + ":" + s.target.Sink + ":{"}
	return scanned(ctx, node.ScanType(ctx, 0, s.shape.glob, scanCount, s.shape.kind), 1, func(key string) error {
		match := s.shape.exact.FindStringSubmatch(key)
		if match == nil || strings.HasPrefix(key, state[0]) || strings.HasPrefix(key, state[1]) {
			return nil
		}
		var n block.Number
		if len(match) > 1 {
			at, err := strconv.ParseUint(match[1], 10, 64)
			n = block.Number(at)
			if err != nil || n < s.floor {
				return nil // not a key of ours, or not of interest
			}
		}
		return s.rowsOf(ctx, node, key, n, stored)
	})
}

// scanned hands out every first of step values of a scan that has begun with cmd.
func scanned(ctx context.Context, cmd *redis.ScanCmd, step int, f func(string) error) error {
	it := cmd.Iterator()
	for i := 0; it.Next(ctx); i++ {
		if i%step > 0 {
			continue
		}
		if err := f(it.Val()); err != nil {
			return err
		}
	}
	return it.Err()
}

// elementsOf hands out the elements of a list, so many at a time.
func elementsOf(ctx context.Context, node redis.Cmdable, key string, some int64, f func(string) error) error {
	for at := int64(0); ; at += some {
		values, err := node.LRange(ctx, key, at, at+some-1).Result()
		if err != nil {
			return err
		}
		for _, v := range values {
			if err := f(v); err != nil {
				return err
			}
		}
		if int64(len(values)) < some {
			return nil
		}
	}
}

// rowsOf hands out the rows of one key, which says that they are of block n, or does
// not.
func (s *search) rowsOf(ctx context.Context, node redis.Cmdable, key string, n block.Number, stored func(storedRow)) error {
	row := func(member string, number func() string) {
		at := n
		if s.floor > 0 && at == 0 {
			v, err := strconv.ParseUint(number(), 10, 64)
			at = block.Number(v)
			if err != nil {
				at = block.Max // not a row of ours
			}
			if at < s.floor {
				return
			}
		}
		stored(storedRow{s.hash(key, member), key, at})
	}
	document := func(text string) error {
		row(text, func() string { return blockIn(s.target, text) })
		return nil
	}
	switch s.target.Structure {
	case config.Set:
		return scanned(ctx, node.SScan(ctx, key, 0, "", scanCount), 1, document)
	case config.SortedSet:
		return scanned(ctx, node.ZScan(ctx, key, 0, "", scanCount), 2, document)
	case config.List:
		return elementsOf(ctx, node, key, scanCount, document)
	case config.Stream:
		return s.entriesOf(ctx, node, key, row)
	default:
		stored(storedRow{s.hash(key, ""), key, n})
		return nil
	}
}

// entriesOf hands out the entries of a stream.
func (s *search) entriesOf(ctx context.Context, node redis.Cmdable, key string, row func(member string, number func() string)) error {
	column := s.target.Schema.Field(s.target.Block).Name
	for from := "-"; ; {
		entries, err := node.XRangeN(ctx, key, from, "+", scanCount).Result()
		if err != nil {
			return err
		}
		for _, e := range entries {
			row(e.ID, func() string {
				n, _ := e.Values[column].(string)
				return n
			})
		}
		if len(entries) < scanCount {
			return nil
		}
		from = "(" + entries[len(entries)-1].ID
	}
}
