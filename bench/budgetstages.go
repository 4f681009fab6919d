package main

import (
	"context"
	"errors"
	"os"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// measured runs f between start and stop of the meter.
func measured(m *meter, f func() error) error {
	if err := m.start(); err != nil {
		return err
	}
	return errors.Join(f(), m.stop())
}

// readingStage reads all rows from Amp, checks them and drops them. Three copies: from the
// socket, from there into messages, and from these into the memory of a record.
func (e *env) readingStage(checked *plan.Checked) stage {
	ranges := plan.Cut(history(e.scale.rows), plan.Size(history(e.scale.rows).Len(), workers, rowsPerBlock))
	return stage{
		name: "reading Flight", copies: 3, other: e.ofSource,
		run: func(ctx context.Context, m *meter) error {
			return measured(m, func() error {
				_, err := e.readSource(ctx, checked, ranges)
				return err
			})
		},
		floor: "raw gRPC: the same messages received and dropped",
		least: func(ctx context.Context, m *meter) error {
			return measured(m, func() error {
				for _, blocks := range ranges {
					if err := e.receive(ctx, checked.Query.Wrap(checked.BlockColumn(), blocks)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// postgresStage writes rows from memory. Each byte is written by the encoder, copied into the
// driver's buffer and from there into the socket.
func (e *env) postgresStage(p *config.Pipeline, table sink.Table, changes []sink.Change) stage {
	return stage{
		name: "encoding COPY, sending it; PostgreSQL", copies: 3 * e.copyRow / e.arrowRow, other: e.ofPostgres,
		run: func(ctx context.Context, m *meter) error {
			w, err := e.openWriter(ctx, p, table)
			if err != nil {
				return err
			}
			return measured(m, func() error {
				_, err := e.applyAll(ctx, "budget-postgres", w, changes)
				return err
			})
		},
		floor: "raw COPY, encoded before",
		least: func(ctx context.Context, m *meter) error {
			if err := e.empty(ctx); err != nil {
				return err
			}
			return measured(m, func() error {
				_, err := e.sendRaw(ctx, e.scale.rows)
				return err
			})
		},
	}
}

// redisStage writes rows from memory into hashes.
func (e *env) redisStage(ctx context.Context) (stage, error) {
	client, err := e.connectRedis()
	if err != nil {
		return stage{}, err
	}
	p, err := read(e.cacheFile(e.scale.rows, config.Hash))
	if err != nil {
		return stage{}, err
	}
	table, changes, _, err := e.decoded(ctx, p)
	if err != nil {
		return stage{}, err
	}
	s := stage{name: "writing Redis hashes; Redis", other: ofRedis(ctx, client), floor: "plain HSET, encoded before"}
	s.run = func(ctx context.Context, m *meter) error {
		if err := client.FlushDB(ctx).Err(); err != nil {
			return err
		}
		w := redis.New(*p.Sinks[0].Redis)
		if err := w.Open(ctx, table); err != nil {
			return errors.Join(err, w.Close())
		}
		return measured(m, func() error {
			_, err := e.applyAll(ctx, "budget-redis", w, changes)
			return err
		})
	}
	if err := s.run(ctx, &meter{}); err != nil { // for the keys and values
		return stage{}, err
	}
	commands, err := encodeKeys(ctx, client, config.Hash)
	if err != nil {
		return stage{}, err
	}
	s.least = func(ctx context.Context, m *meter) error {
		if err := client.FlushDB(ctx).Err(); err != nil {
			return err
		}
		return measured(m, func() error {
			_, err := pipeline(ctx, client.Options(), commands, e.scale.rows)
			return err
		})
	}
	return s, nil
}

// deltaStage writes rows from memory into files of a table.
func (e *env) deltaStage(ctx context.Context) (stage, error) {
	p, err := read(e.lakeFile(e.scale.rows))
	if err != nil {
		return stage{}, err
	}
	table, changes, _, err := e.decoded(ctx, p)
	if err != nil {
		return stage{}, err
	}
	bare := e.bareParquet(table.Schema, changes)
	return stage{
		name: "writing Delta Lake",
		run: func(ctx context.Context, m *meter) error {
			if err := os.RemoveAll(p.Sinks[0].Delta.Path); err != nil {
				return err
			}
			return measured(m, func() error {
				_, err := e.gather(ctx, p, table, changes)
				return err
			})
		},
		floor: bare.name,
		least: func(ctx context.Context, m *meter) error {
			return measured(m, func() error {
				_, err := bare.run(ctx)
				return err
			})
		},
	}, nil
}
