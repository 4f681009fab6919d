package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/cluster"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

const oldest = 7 // the first version of Redis that will do; Valkey counts on from there

// Open connects, checks everything and begins the state, which is all that it
// writes; see [sink.Writer].
func (w *Writer) Open(ctx context.Context, t sink.Table) error {
	return w.open(ctx, t, func(g *format.Table, client redis.UniversalClient, known map[string]string) error {
		if len(known) == 0 {
			// Several processes may open at once; they all write the same.
			if err := begin(ctx, g, client); err != nil {
				return err
			}
		}
		if g.UsesMsetGuard() {
			if err := client.Set(ctx, g.MsetGuard(), "", 0).Err(); err != nil {
				return err
			}
		}
		return w.load(ctx, client)
	})
}

// Check does all that [Writer.Open] does except changing anything. The Writer
// need not be open, and is not after.
func (w *Writer) Check(ctx context.Context, t sink.Table) error {
	if err := w.open(ctx, t, nil); err != nil {
		return err
	}
	return w.Close()
}

// CheckRows returns the error of [Writer.Apply] for rows that cannot be written.
// [Writer.Check] comes before.
func (w *Writer) CheckRows(rec arrow.RecordBatch) error {
	if w.target == nil {
		return errNotOpen
	}
	_, err := w.target.Bind(sink.RowRange{Record: rec, To: int(rec.NumRows())})
	return err
}

// OpenStored connects to rows that are there, to read them with
// [Writer.DigestStored], and changes nothing.
func (w *Writer) OpenStored(ctx context.Context, t sink.Table) error {
	return w.open(ctx, t, func(_ *format.Table, _ redis.UniversalClient, known map[string]string) error {
		if len(known) == 0 {
			return fault.Permanent(errors.New("the server has no state of this sink; has the pipeline been run?"))
		}
		return nil
	})
}

// Reach connects and finds out whether the servers are of the right kind, while the
// columns of the query, and so the keys, are not known. It changes nothing.
func (w *Writer) Reach(ctx context.Context) error {
	g := &format.Table{Redis: w.cfg}
	client, err := connect(w.cfg, &w.connections)
	if err != nil {
		return err
	}
	err = eachServer(ctx, client, func(ctx context.Context, server redis.UniversalClient) error {
		info, err := serverInfo(ctx, server)
		if redis.HasErrorPrefix(err, "NOPERM") {
			return nil // what the user may do is asked when the keys are known
		}
		if err != nil {
			return err
		}
		return checkServer(g, info)
	})
	_ = client.Close() // nothing was written
	return openError(ctx, g, err)
}

func (w *Writer) open(ctx context.Context, t sink.Table, then func(*format.Table, redis.UniversalClient, map[string]string) error) error {
	g, err := format.NewTable(w.cfg, t)
	if err != nil {
		return err
	}
	client, err := connect(w.cfg, &w.connections)
	if err != nil {
		return err
	}
	if g.Cluster {
		w.cluster = cluster.New(g, client)
	}
	known, warnings, err := inspect(ctx, g, client)
	if err == nil && then != nil {
		err = then(g, client, known)
	}
	if err != nil {
		_ = client.Close() // the error that matters is the other one
		return openError(ctx, g, err)
	}
	w.target, w.client, w.warnings = g, client, append(warnings, g.Warnings()...)
	return nil
}

// openError names the rows in an error of opening them, and says what to do.
func openError(ctx context.Context, g *format.Table, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("open %s: %w", g, context.Cause(ctx))
	case fault.Of(err) != fault.ClassAgain:
		return fmt.Errorf("%s: %w", g, err)
	case g.Sentinel != "" && errors.Is(err, redis.Nil):
		return fault.Permanent(fmt.Errorf("open %s: the sentinels know no master %q; correct sentinel: %w", g, g.Sentinel, err))
	case ambiguous(err):
		return fault.Later(fmt.Errorf("open %s: the server does not answer; a url with rediss:// is for a server with TLS, "+
			"redis:// for one without: %w", g, err), 0)
	default:
		return classify("open "+g.String(), err)
	}
}

// begin writes what the state begins with. In a Cluster it also gets a name of its
// own, by which the state of a slot knows whose it is.
func begin(ctx context.Context, g *format.Table, client redis.UniversalClient) error {
	fields := append([]string{"format", g.Format()}, g.Identity()...)
	if !g.Cluster {
		return client.HSet(ctx, g.Keys()[0], fields).Err()
	}
	args := []any{rand.Text(), format.HexBlock(0)}
	for _, f := range fields {
		args = append(args, f)
	}
	return client.Eval(ctx, beginning, g.Keys()[:1], args...).Err()
}

// beginning is one command, so that there is no state without a name.
const beginning = `redis.call('HSETNX', KEYS[1], 'id', ARGV[1])
redis.call('HSETNX', KEYS[1], 'fence', ARGV[2])
return redis.call('HSET', KEYS[1], unpack(ARGV, 3))`

// load makes all servers know the scripts.
func (w *Writer) load(ctx context.Context, client redis.UniversalClient) error {
	return eachServer(ctx, client, func(ctx context.Context, server redis.UniversalClient) error {
		if w.cfg.Cluster {
			return w.cluster.Load(ctx, server)
		}
		return w.script.Load(ctx, server).Err()
	})
}

// eachServer calls f for every server that holds keys, at once.
func eachServer(ctx context.Context, client redis.UniversalClient, f func(context.Context, redis.UniversalClient) error) error {
	nodes, clustered := client.(*redis.ClusterClient)
	if !clustered {
		return f(ctx, client)
	}
	return nodes.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return f(ctx, node) })
}

// inspect checks what the servers are and have, and returns the state of the sink,
// which is empty if there is none.
func inspect(ctx context.Context, g *format.Table, client redis.UniversalClient) (map[string]string, []string, error) {
	var warnings []string
	var one sync.Mutex
	err := eachServer(ctx, client, func(ctx context.Context, server redis.UniversalClient) error {
		found, err := inspectServer(ctx, g, server)
		one.Lock()
		defer one.Unlock()
		for _, warning := range found {
			if !slices.Contains(warnings, warning) {
				warnings = append(warnings, warning)
			}
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	known, err := client.HGetAll(ctx, g.Keys()[0]).Result()
	if err != nil {
		return nil, nil, err
	}
	return known, warnings, compare(g, known)
}

// compare refuses a state that was written for other rows.
func compare(g *format.Table, known map[string]string) error {
	if len(known) == 0 {
		return nil
	}
	switch was := known["format"]; {
	case was == g.Format():
	case was == format.Single || was == format.Clustered:
		return fault.Permanent(fmt.Errorf("its state was written with cluster: %v and has another form with cluster: %v; "+
			"give the sink another name and other keys, or remove %s and the keys of its rows", !g.Cluster, g.Cluster, g.StateKeys()))
	default:
		return fault.Permanent(fmt.Errorf("its state is of format %q, this ampipe knows %s; use the version that wrote it", was, g.Format()))
	}
	var wrong []error
	ours := g.Identity()
	for i := 0; i < len(ours); i += 2 {
		if was := known[ours[i]]; was != ours[i+1] {
			wrong = append(wrong, fmt.Errorf("%s was %q when the first rows were written, and is %q now", ours[i], was, ours[i+1]))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.Permanent(fmt.Errorf("%w; give the sink another name and other keys, or remove the keys %s and those of its rows",
		errors.Join(wrong...), g.StateKeys()))
}
