package redis

import (
	"context"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/cluster"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// Commands returns the rows of records as the plain commands that would write them
// one by one, in the protocol of Redis: what a benchmark compares with.
func Commands(cfg config.Redis, t sink.Table, dst []byte, records ...arrow.RecordBatch) ([]byte, error) {
	g, err := format.NewTable(cfg, t)
	if err != nil {
		return nil, err
	}
	text := func(s []byte) {
		dst = append(strconv.AppendInt(append(dst, '$'), int64(len(s)), 10), "\r\n"...)
		dst = append(append(dst, s...), "\r\n"...)
	}
	for _, rec := range records {
		b, err := g.Bind(sink.RowRange{Record: rec, To: int(rec.NumRows())})
		if err != nil {
			return nil, err
		}
		for row := range b.To {
			var args [][]byte
			err := format.UnpackTexts(g.AppendRow(nil, &b, row), func(_ int, s string) { args = append(args, []byte(s)) })
			if err != nil {
				return nil, err
			}
			command := "SET"
			if g.Structure == config.Hash {
				command = "HSET"
			}
			dst = append(strconv.AppendInt(append(dst, '*'), int64(len(args)+1), 10), "\r\n"...)
			text([]byte(command))
			for _, a := range args {
				text(a)
			}
		}
	}
	return dst, nil
}

// PackRows packs all rows of records as calls of the script would carry them, and
// returns the number of bytes.
func PackRows(w *Writer, t sink.Table, records ...arrow.RecordBatch) (int, error) {
	g, err := format.NewTable(w.cfg, t)
	if err != nil {
		return 0, err
	}
	size := 0
	for _, rec := range records {
		b, err := g.Bind(sink.RowRange{Record: rec, To: int(rec.NumRows())})
		if err != nil {
			return 0, err
		}
		w.history.pack.Reset()
		for row := range b.To {
			if w.history.pack.Count == format.SliceRows {
				w.history.pack.Finish(g)
				size += len(w.history.pack.Rows) + len(w.history.pack.Blocks) + len(w.history.pack.Index)
				w.history.pack.Reset()
			}
			w.history.pack.Add(g, &b, row)
		}
		w.history.pack.Finish(g)
		size += len(w.history.pack.Rows) + len(w.history.pack.Blocks) + len(w.history.pack.Index)
	}
	return size, nil
}

// Hook puts a hook on the connections with a server, or with every node of a Cluster.
func Hook(w *Writer, h redis.Hook) error {
	if client, alone := w.client.(*redis.Client); alone {
		client.AddHook(h)
		return nil
	}
	return w.client.(*redis.ClusterClient).ForEachMaster(context.Background(), func(_ context.Context, node *redis.Client) error {
		node.AddHook(h)
		return nil
	})
}

// TagOf returns the hash tag of the state of a key's slot.
func TagOf(w *Writer, key string) string {
	_, state, _ := strings.Cut(w.cluster.StateOf(cluster.Slot([]byte(key))), "{")
	return strings.TrimSuffix(state, "}:state")
}

// Rights are the commands that a sink needs, as rules of an ACL.
func Rights(cfg config.Redis, t sink.Table) (all []string, err error) {
	g, err := format.NewTable(cfg, t)
	if err != nil {
		return nil, err
	}
	for _, n := range needsOf(g) {
		for _, c := range n.commands {
			all = append(all, "+"+right(c))
		}
	}
	return all, nil
}

// Questions are what is asked about the rights of a user, in words.
func Questions(cfg config.Redis, t sink.Table) (all [][]string, err error) {
	g, err := format.NewTable(cfg, t)
	if err != nil {
		return nil, err
	}
	for _, q := range questions(needsOf(g)) {
		all = append(all, strings.Split(q.whole(), "\x00"))
	}
	return all, nil
}
