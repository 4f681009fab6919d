package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// State holds the documents of one pipeline: small JSON values by key, with a
// revision that grows with each change. Keys are words joined by dots. Its
// methods, and the functions on it, may be called concurrently, in any number
// of processes.
type State struct {
	conn     *Conn
	kv       jetstream.KeyValue
	read     reader
	pipeline string
}

// headerOperation marks a document that was deleted.
const headerOperation = "KV-Operation"

// stateBytes is what the state reserves.
const stateBytes = 256 << 20

// State opens the state of a pipeline.
func (c *Conn) State(ctx context.Context, pipeline string) (*State, error) {
	if err := checkName("pipeline", pipeline); err != nil {
		return nil, err
	}
	stream, err := c.stream(ctx, c.stateConfig())
	if err != nil {
		return nil, c.classify(ctx, fmt.Errorf("open the state: %w", err))
	}
	kv, err := c.js.KeyValue(ctx, stateBucket)
	if err != nil {
		return nil, c.classify(ctx, fmt.Errorf("open the state: %w", err))
	}
	return &State{conn: c, kv: kv, read: reader{c, stream}, pipeline: pipeline}, nil
}

// stateConfig returns the configuration of a bucket as nats.go makes it, but without
// roll-ups: a header of any message that a process may write would remove those of all
// others.
func (c *Conn) stateConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              stateStream,
		Description:       "ampipe: state of all pipelines",
		Subjects:          []string{stateSubject + ">"},
		MaxMsgsPerSubject: 1,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		Replicas:          c.cfg.Replicas,
		MaxBytes:          stateBytes,
		DenyDelete:        true,
		AllowDirect:       true,
		AllowMsgTTL:       true, // of what removes a document
		// Partitions are written many at a time. Without it each is by itself.
		AllowAtomicPublish: true,
	}
}

// Stored is a document and where it is stored.
type Stored[T any] struct {
	Key     string
	Value   T
	Rev     uint64
	Written time.Time // by the clock of NATS
}

// Get reads a document, or returns [ErrNotFound]. A bucket that was deleted is made
// again: a process that needs what it held finds nothing, and acts on that.
func Get[T any](ctx context.Context, s *State, key string) (value T, rev uint64, err error) {
	if err := checkPath("key", key); err != nil {
		return value, 0, err
	}
	msg, err := s.read.get(ctx, getRequest{LastFor: stateSubject + s.key(key)})
	if errors.Is(err, jetstream.ErrStreamNotFound) { // the bucket was deleted: it is made again, empty
		if err = s.conn.remake(ctx, s.conn.stateConfig()); err == nil {
			err = jetstream.ErrKeyNotFound
		}
	}
	if err == nil && msg.Header.Get(headerOperation) != "" { // it was deleted
		err = jetstream.ErrKeyNotFound
	}
	if err != nil {
		return value, 0, s.fail(ctx, "read", key, err)
	}
	if err := decode(key, msg.Data, &value); err != nil {
		return value, 0, err
	}
	return value, msg.Sequence, nil
}

// List reads all documents below a prefix ("partition" reads partition.*), in
// no order. Of a replicated state it may be what was true a moment ago, so what
// follows from it is written with [State.Create] or [State.Update].
func List[T any](ctx context.Context, s *State, prefix string) (out []Stored[T], err error) {
	if err := checkPath("key", prefix); err != nil {
		return nil, err
	}
	err = s.follow(ctx, "list", prefix+".>", func(e jetstream.KeyValueEntry) (done bool, err error) {
		if e == nil {
			return true, nil
		}
		doc := Stored[T]{Key: s.trim(e.Key()), Rev: e.Revision(), Written: e.Created()}
		err = decode(doc.Key, e.Value(), &doc.Value)
		out = append(out, doc)
		return false, err
	})
	return out, err
}

// Watch calls fn with a document, as soon as it is there, and then with each change of it,
// until fn returns an error, which Watch returns, or ctx ends. fn is called from this
// goroutine. After a change, what came between and was overwritten may be left out.
func Watch[T any](ctx context.Context, s *State, key string, fn func(value T, rev uint64) error) error {
	if err := checkPath("key", key); err != nil {
		return err
	}
	return s.follow(ctx, "watch", key, func(e jetstream.KeyValueEntry) (done bool, err error) {
		if e == nil {
			return false, nil
		}
		var value T
		if err := decode(key, e.Value(), &value); err != nil {
			return false, err
		}
		return false, fn(value, e.Revision())
	})
}

// Change is a document that was written, or removed.
type Change struct {
	Key     string
	Rev     uint64
	Removed bool
	Text    []byte // the document, as it is stored
}

// Decode reads the document into a value.
func (c Change) Decode(value any) error { return decode(c.Key, c.Text, value) }

// WatchAll calls begun when it watches, and then fn with each change of a document of the
// pipeline, until ctx ends, or the connection does: what watches for it in the server may be
// gone by then.
func (s *State) WatchAll(ctx context.Context, begun func(), fn func(Change)) error {
	nc := s.conn.nc
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer nc.RemoveStatusListener(lost)
	watcher, err := s.kv.Watch(ctx, s.key(">"), jetstream.UpdatesOnly())
	if err != nil {
		return s.fail(ctx, "watch", ">", err)
	}
	defer func() { _ = watcher.Stop() }() // nothing more is wanted of it
	begun()
	check := time.NewTicker(watchCheck)
	defer check.Stop()
	made := s.made()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-check.C:
			if s.remade(ctx, made) {
				return s.fail(ctx, "watch", ">", errRemade)
			}
		case <-lost:
			return s.fail(ctx, "watch", ">", nats.ErrDisconnected)
		case e, open := <-watcher.Updates():
			if !open {
				return s.fail(ctx, "watch", ">", errSilent)
			}
			fn(Change{s.trim(e.Key()), e.Revision(), e.Operation() != jetstream.KeyValuePut, e.Value()})
		}
	}
}

// follow calls fn with the documents whose keys are as wanted, with nil behind those that
// are there, and then with each change, until fn is done or returns an error, or ctx ends.
//
// A watch is a consumer of one node, which may be one that was killed a moment ago: then
// nothing comes, and a second one is with another node. The first answer comes at once.
func (s *State) follow(ctx context.Context, verb, keys string, fn func(jetstream.KeyValueEntry) (done bool, err error)) error {
	for try := 1; ; try++ {
		began, err := s.followOnce(ctx, s.key(keys), fn)
		var failed *watchError
		if !errors.As(err, &failed) {
			return err
		}
		if began || !errors.Is(err, errSilent) || try == watchTries {
			return s.fail(ctx, verb, keys, failed.error)
		}
	}
}

// watchTries is how many nodes may be silent before the state cannot be read.
const watchTries = 3

// watchError is an error of a watch, not of what was done with a document.
type watchError struct{ error }

func (e *watchError) Unwrap() error { return e.error }

// followOnce is follow with one watch. began reports whether it has brought anything.
func (s *State) followOnce(
	ctx context.Context, keys string, fn func(jetstream.KeyValueEntry) (done bool, err error),
) (began bool, err error) {
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	made := s.made()
	check := time.NewTicker(watchCheck)
	defer check.Stop()
	first := time.AfterFunc(apiWait, func() { stop(errSilent) })
	defer first.Stop()
	ended := func(err error) error {
		if cause := context.Cause(watching); cause != nil {
			err = cause
		}
		if ctx.Err() != nil {
			return err
		}
		return &watchError{err}
	}
	watcher, err := s.kv.Watch(watching, keys, jetstream.IgnoreDeletes())
	if err != nil {
		return false, ended(err)
	}
	defer func() { _ = watcher.Stop() }() // nothing more is wanted of it
	for {
		select {
		case <-watching.Done():
			return began, ended(nil)
		case <-check.C:
			if s.remade(watching, made) {
				return began, ended(errRemade)
			}
		case e, open := <-watcher.Updates():
			if !open {
				return began, ended(errSilent)
			}
			began = true
			first.Stop()
			if done, err := fn(e); done || err != nil {
				return began, err
			}
		}
	}
}

// watchCheck is how often a watch looks whether the stream is still the one that it began
// with. One that was deleted and made again counts its messages from 1, and the client goes
// on to watch it from the number on that it has reached in the one before: a watch would be
// deaf until there are as many.
const watchCheck = 10 * time.Second

// made returns when the stream was made, as far as this process knows.
func (s *State) made() time.Time { return s.read.stream.CachedInfo().Created }

// remade reports whether the stream was made again since.
func (s *State) remade(ctx context.Context, made time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	info, err := s.read.stream.Info(ctx)
	return err == nil && !info.Created.Equal(made) // one that is gone is made again soon
}

func decode(key string, text []byte, value any) error {
	if err := json.Unmarshal(text, value); err != nil {
		return fault.Permanent(fmt.Errorf("read %s: another version of ampipe has written it; use the same one for all processes: %w", key, err))
	}
	return nil
}

// Create writes a document that does not exist, or returns [ErrConflict].
func (s *State) Create(ctx context.Context, key string, value any) (rev uint64, err error) {
	return s.write(ctx, "create", key, value, func(key string, text []byte) (uint64, error) {
		return s.kv.Create(ctx, key, text)
	})
}

// Put writes a document whether it exists or not.
func (s *State) Put(ctx context.Context, key string, value any) (rev uint64, err error) {
	return s.write(ctx, "write", key, value, func(key string, text []byte) (uint64, error) {
		return s.kv.Put(ctx, key, text)
	})
}

// Update writes a document that still has revision rev, or returns [ErrConflict].
func (s *State) Update(ctx context.Context, key string, value any, rev uint64) (newRev uint64, err error) {
	return s.write(ctx, "update", key, value, func(key string, text []byte) (uint64, error) {
		return s.kv.Update(ctx, key, text, rev)
	})
}

// Remove removes a document that still has revision rev, or returns [ErrConflict]. What marks
// that it is gone is gone itself a minute later, so that the state does not grow by what was
// in it.
func (s *State) Remove(ctx context.Context, key string, rev uint64) (newRev uint64, err error) {
	if err := checkPath("key", key); err != nil {
		return 0, err
	}
	request, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	ack, err := s.conn.js.PublishMsg(request, s.removal(key, rev))
	if err != nil {
		return 0, s.fail(ctx, "remove", key, err)
	}
	return ack.Sequence, nil
}

// Removes reports whether documents can be removed: a planner of an earlier version has made
// the stream, and this one could not change it.
func (s *State) Removes() bool { return s.read.stream.CachedInfo().Config.AllowMsgTTL }

func (s *State) write(ctx context.Context, verb, key string, value any, do func(key string, text []byte) (uint64, error)) (uint64, error) {
	if err := checkPath("key", key); err != nil {
		return 0, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return 0, fault.Permanent(fmt.Errorf("%s %s: %w", verb, key, err))
	}
	if limit := s.conn.MaxPayload() - headerRoom; len(text) > limit {
		return 0, fault.Permanent(fmt.Errorf("%s %s: it takes %s, and a message of NATS may have %s: "+
			"raise max_payload of the NATS server", verb, key, Size(int64(len(text))), Size(int64(limit))))
	}
	rev, err := do(s.key(key), text)
	if err != nil {
		return 0, s.fail(ctx, verb, key, err)
	}
	return rev, nil
}

func (s *State) fail(ctx context.Context, verb, key string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrMsgNotFound):
		err = ErrNotFound
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch), errors.Is(err, jetstream.ErrKeyExists), wrongSequence(err):
		err = ErrConflict
	}
	return s.conn.classify(ctx, fmt.Errorf("%s %s of pipeline %s: %w", verb, key, s.pipeline, err))
}

func (s *State) key(key string) string { return s.pipeline + "." + key }

func (s *State) trim(key string) string { return strings.TrimPrefix(key, s.pipeline+".") }
