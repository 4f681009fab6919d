package pipeline_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// redisModel is the model's rows as hashes in Redis.
type redisModel struct {
	config config.Redis
	client *driver.Client
}

func newRedisModel(t *testing.T, e *commandEnv) *redisModel {
	t.Helper()
	url := testRedis()
	if url == "" {
		t.Skip("AMPIPE_TEST_REDIS is not set: no Redis for the model (scripts/test starts one)")
	}
	o, err := driver.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	r := &redisModel{client: driver.NewClient(o), config: config.Redis{
		URL: config.Secret(url), Structure: config.Hash, Table: e.schema, Key: "{table}:{_block_num}:{idx}", Writers: 2,
	}}
	t.Cleanup(func() {
		ctx := context.Background()
		for keys := r.client.Scan(ctx, 0, "*"+e.schema+"*", 10_000).Iterator(); keys.Next(ctx); {
			r.client.Unlink(ctx, keys.Val())
		}
		_ = r.client.Close() // the test is over
	})
	return r
}

// name is of this round alone: the state in Redis is by pipeline and sink.
func (r *redisModel) name() string { return "cache_" + r.config.Table }

func (r *redisModel) writer() sink.Writer { return redis.New(r.config) }

func (r *redisModel) disturb(ctx context.Context) error {
	return r.client.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err()
}

func (r *redisModel) proxies() []*proxy { return nil }

func (r *redisModel) backup(ctx context.Context) (func(context.Context) error, error) {
	pattern := "*" + r.config.Table + "*"
	saved, err := r.client.Eval(ctx, backup, nil, pattern).Slice()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return r.client.Eval(ctx, restore+" return 1", nil, append([]any{pattern}, saved...)...).Err()
	}, nil
}

func (r *redisModel) rows(ctx context.Context) ([]modelRow, error) {
	var rows []modelRow
	keys := r.client.Scan(ctx, 0, r.config.Table+":*", 1000).Iterator()
	for keys.Next(ctx) {
		fields, err := r.client.HGetAll(ctx, keys.Val()).Result()
		if err != nil {
			return nil, err
		}
		if len(fields) == 0 {
			continue // gone since it was named
		}
		row := modelRow{hash: strings.TrimPrefix(fields["hash"], "0x"), note: "-"}
		if note, ok := fields["note"]; ok {
			row.note = note
		}
		var err1, err2 error
		row.block, err1 = strconv.ParseInt(fields["_block_num"], 10, 64)
		row.index, err2 = strconv.ParseInt(fields["idx"], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("key %s holds %v", keys.Val(), fields)
		}
		rows = append(rows, row)
	}
	return rows, keys.Err()
}
