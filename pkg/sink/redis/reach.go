package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// Reach connects and finds out whether the servers are of the right kind, while the
// columns of the query, and so the keys, are not known. It changes nothing.
func (w *Writer) Reach(ctx context.Context) error {
	g := &format.Table{Redis: w.cfg}
	client, err := connect(w.cfg, &w.connections)
	if err != nil {
		return err
	}
	look := func(ctx context.Context, c redis.UniversalClient) error {
		info, err := serverInfo(ctx, c)
		if redis.HasErrorPrefix(err, "NOPERM") {
			return nil // what the user may do is asked when the keys are known
		}
		if err != nil {
			return err
		}
		return checkServer(g, info)
	}
	if nodes, clustered := client.(*redis.ClusterClient); clustered {
		err = nodes.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return look(ctx, c) })
	} else {
		err = look(ctx, client)
	}
	_ = client.Close() // nothing was written
	return openError(ctx, g, err)
}
