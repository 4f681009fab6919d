package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// budgetLog is what the stages of the log work on: the same rows as records, as entries
// and as they are in an entry before compression.
type budgetLog struct {
	*env
	nats    *natsServer
	conn    *queue.Conn // over TCP, as the raw client's
	log     *queue.Log
	checked *plan.Checked
	changes []sink.Change
	entries []entry.Entry
	raw     [][]byte
	ratio   float64 // bytes of the payloads for each byte of the rows
	lanes   int
}

func (e *env) newBudgetLog(
	ctx context.Context, p *config.Pipeline, checked *plan.Checked, changes []sink.Change,
) (_ *budgetLog, err error) {
	l := &budgetLog{env: e, checked: checked, changes: changes}
	if l.entries, err = l.cut(entry.S2); err != nil {
		return nil, err
	}
	size := 0
	for _, e := range l.entries {
		size += len(e.Payload)
	}
	l.ratio = float64(size) / (float64(e.scale.rows) * e.arrowRow)
	plain, err := l.cut(entry.None)
	for _, e := range plain {
		l.raw = append(l.raw, e.Payload)
	}
	if err != nil {
		return nil, err
	}
	if l.nats, err = e.startNATS(ctx, "127.0.0.1:0", p); err != nil {
		return nil, err
	}
	if l.conn, err = queue.Open(ctx, queue.Config{URL: l.nats.server.URL()}); err == nil {
		l.log, err = l.conn.Log(ctx, p.Name, queue.LogConfig{MaxBytes: p.Log.MaxBytes})
	}
	if err != nil {
		return nil, errors.Join(err, l.nats.close())
	}
	return l, nil
}

// cut makes entries of all rows, as an extractor does.
func (l *budgetLog) cut(codec entry.Codec) ([]entry.Entry, error) {
	encoder, err := entry.NewEncoder(l.checked.Schema, codec, queue.EmbeddedPayload)
	if err != nil {
		return nil, err
	}
	cutter, err := entry.NewCutter(entry.CutOptions{
		Range: history(l.scale.rows), Column: l.checked.Column, Header: entry.Header{Epoch: 1, Network: l.checked.Network}, Encoder: encoder,
	})
	if err != nil {
		return nil, err
	}
	defer cutter.Release()
	var entries []entry.Entry
	keep := func(groups []entry.Group, err error) error {
		entries = append(entries, slices.Concat(groups...)...)
		return err
	}
	for _, c := range l.changes {
		for _, rec := range c.Records {
			if err := keep(cutter.Push(rec)); err != nil {
				return nil, err
			}
		}
	}
	return entries, keep(cutter.Finish())
}

func (l *budgetLog) stages() []stage {
	return []stage{{
		name: "cutting and encoding entries", copies: 1,
		run: func(_ context.Context, m *meter) error {
			return measured(m, func() error {
				_, err := l.cut(entry.None)
				return err
			})
		},
		floor: "one copy in memory",
		least: l.each(func(raw []byte) error {
			_ = slices.Clone(raw)
			return nil
		}),
	}, {
		name: "cutting, encoding and compressing (S2)", copies: 1 + 2*l.ratio,
		run: func(_ context.Context, m *meter) error {
			return measured(m, func() error {
				_, err := l.cut(entry.S2)
				return err
			})
		},
		floor: "S2 alone, into one buffer",
		least: func() func(context.Context, *meter) error {
			var into []byte
			return l.each(func(raw []byte) error {
				into = s2.EncodeSnappy(slices.Grow(into[:0], s2.MaxEncodedLen(len(raw))), raw)
				return nil
			})
		}(),
	}, {
		// Into the client's buffer, through the connection, into a message of the server,
		// its cache and the file.
		name: "publishing, client and server, sync always", copies: 5 * l.ratio,
		run:   l.publish,
		floor: "raw JetStream, no headers",
		least: l.publishRaw,
	}, {
		// From the cache into a message, through the connection, into the client's message.
		name: "pulling and acknowledging, client and server", copies: 4 * l.ratio,
		run:   l.pull,
		floor: "raw JetStream, not acknowledged",
		least: l.pullRaw,
	}, {
		name: "decompressing, checking and decoding", copies: 1,
		run: func(_ context.Context, m *meter) error {
			decoder := entry.NewDecoder(nil)
			return measured(m, func() error {
				for _, e := range l.entries {
					_, records, err := decoder.Decode(e)
					if err != nil {
						return err
					}
					for _, rec := range records {
						rec.Release()
					}
				}
				return nil
			})
		},
		floor: "S2 alone, into one buffer",
		least: func(_ context.Context, m *meter) error {
			var into []byte
			return measured(m, func() (err error) {
				for _, e := range l.entries {
					if into, err = s2.Decode(into[:cap(into)], e.Payload); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}}
}

// each measures what is done with every entry before compression.
func (l *budgetLog) each(do func(raw []byte) error) func(context.Context, *meter) error {
	return func(_ context.Context, m *meter) error {
		return measured(m, func() error {
			for _, raw := range l.raw {
				if err := do(raw); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// publish appends all entries to a lane that is new.
func (l *budgetLog) publish(ctx context.Context, m *meter) error {
	l.lanes++
	lane := fmt.Sprintf("p.%d.0", l.lanes)
	return measured(m, func() error {
		last := uint64(0)
		for i, e := range l.entries {
			var err error
			if last, err = l.log.Publish(ctx, lane, last, fmt.Sprint(lane, i), []entry.Entry{e}); err != nil {
				return err
			}
		}
		return nil
	})
}

// pull reads one lane's worth of entries, of those that publish has left.
func (l *budgetLog) pull(ctx context.Context, m *meter) error {
	if err := l.log.RemoveConsumer(ctx, "budget"); err != nil {
		return err
	}
	consumer, err := l.log.Consume(ctx, "budget", queue.ConsumeOptions{})
	if err != nil {
		return err
	}
	defer consumer.Close()
	return measured(m, func() error {
		for range l.entries {
			message, err := consumer.Next(ctx)
			if err != nil {
				return err
			}
			if err := message.Ack(); err != nil {
				return err
			}
		}
		return nil
	})
}

const rawStream = "RAW"

// publishRaw sends the same payloads to a stream of the same server.
func (l *budgetLog) publishRaw(ctx context.Context, m *meter) error {
	return l.withRaw(ctx, func(js jetstream.JetStream) error {
		_ = js.DeleteStream(ctx, rawStream) // of the turn before
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: rawStream, Subjects: []string{"raw"}, MaxBytes: 1 << 30})
		if err != nil {
			return err
		}
		return measured(m, func() error {
			for _, e := range l.entries {
				if _, err := js.Publish(ctx, "raw", e.Payload); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// pullRaw reads what publishRaw has left.
func (l *budgetLog) pullRaw(ctx context.Context, m *meter) error {
	return l.withRaw(ctx, func(js jetstream.JetStream) error {
		consumer, err := js.CreateOrUpdateConsumer(ctx, rawStream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
		if err != nil {
			return err
		}
		return measured(m, func() error {
			for left := len(l.entries); left > 0; {
				batch, err := consumer.Fetch(min(left, workers), jetstream.FetchMaxWait(10*time.Second))
				if err != nil {
					return err
				}
				got := 0
				for range batch.Messages() {
					got++
				}
				if got == 0 {
					return errors.Join(errors.New("the stream brings nothing"), batch.Error())
				}
				left -= got
			}
			return nil
		})
	})
}

func (l *budgetLog) withRaw(ctx context.Context, do func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(l.nats.server.URL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return do(js)
}

// close ends what newBudgetLog has started.
func (l *budgetLog) close() error {
	l.conn.Close()
	return l.nats.close()
}
