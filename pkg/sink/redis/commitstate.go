package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/cluster"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// commitState is what is committed, and how much has arrived of the blocks that come in
// parts.
type commitState struct {
	sink.CommitState
	open                map[block.Number]opened
	floor               block.Number
	cluster.Coordinator // of a Cluster
}

// opened is a block of which a reading has begun to arrive.
type opened struct {
	token string
	rows  map[int]int // of parts that are not complete
}

// reading is one command, so that all is of one moment. A transaction would do as
// well, if a full server did not refuse it.
const reading = `return {redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1), redis.call('HGETALL', KEYS[3])}`

// readCommitState reads what is committed.
func (w *Writer) readCommitState(ctx context.Context) (*commitState, error) {
	script, keys := reading, w.target.Keys()[:3]
	if w.target.Cluster {
		script, keys = cluster.Reading, w.target.Keys()
	}
	answer, err := w.client.EvalRO(ctx, script, keys).Slice()
	if err != nil {
		return nil, err
	}
	return parseCommitState(answer, w.target.Format(), w.target.Cluster)
}

// parseCommitState reads the answer to reading or, of a Cluster, to [cluster.Reading].
func parseCommitState(answer []any, version string, clustered bool) (_ *commitState, err error) {
	var parts [3][]string
	if len(answer) < len(parts) {
		return nil, format.ErrState
	}
	for i := range parts {
		values, _ := answer[i].([]any)
		for _, v := range values {
			text, _ := v.(string)
			parts[i] = append(parts[i], text)
		}
	}
	state := pairsOf(parts[0])
	if state["format"] != version {
		return nil, format.ErrForgotten
	}
	l := &commitState{open: make(map[block.Number]opened)}
	if at := state["floor"]; at != "" {
		if l.floor, err = format.ParseBlock(at); err != nil {
			return nil, err
		}
	}
	if clustered {
		if err := l.ReadCoordinator(state, answer[3:]); err != nil {
			return nil, err
		}
	}
	if l.Live, err = parseLive(state); err != nil {
		return nil, err
	}
	for _, r := range parts[1] {
		start, err1 := format.ParseBlock(r[:min(16, len(r))])
		end, err2 := format.ParseBlock(r[min(16, len(r)):])
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		l.Coverage.Add(block.Range{Start: start, End: end})
	}
	return l, l.readOpen(pairsOf(parts[2]))
}

func pairsOf(flat []string) map[string]string {
	m := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		m[flat[i]] = flat[i+1]
	}
	return m
}

// readOpen reads the blocks that have come in part. The reading that an entry of
// parts names has a batch; that of a whole entry is known to its writer only.
func (l *commitState) readOpen(fields map[string]string) error {
	for field, value := range fields {
		if len(field) != 16 {
			continue
		}
		n, err := format.ParseBlock(field)
		if err != nil {
			return err
		}
		of, batch, _ := strings.Cut(value, " ")
		parts, err := strconv.Atoi(of)
		if err != nil {
			return format.ErrState
		}
		o := opened{token: value, rows: make(map[int]int)}
		p := sink.Partial{Batch: batch, Parts: parts}
		for name, done := range fields {
			part, ok := strings.CutPrefix(name, field+":")
			if !ok {
				continue
			}
			k, err := strconv.Atoi(part)
			if err != nil {
				return format.ErrState
			}
			if done == "all" {
				p.Have = append(p.Have, k)
			} else if o.rows[k], err = strconv.Atoi(done); err != nil {
				return format.ErrState
			}
		}
		slices.Sort(p.Have)
		if l.Partial == nil {
			l.Partial = make(map[block.Number]sink.Partial)
		}
		l.Partial[n], l.open[n] = p, o
	}
	return nil
}

// parseLive reads a live state.
func parseLive(fields map[string]string) (sink.LiveState, error) {
	if fields["start"] == "" {
		return sink.LiveState{}, nil
	}
	s := sink.LiveState{Started: true}
	var wrong [4]error
	s.Epoch, wrong[0] = strconv.ParseUint(fields["epoch"], 10, 64)
	s.Seq, wrong[1] = strconv.ParseUint(fields["seq"], 10, 64)
	s.Start, wrong[2] = format.ParseBlock(fields["start"])
	if at := fields["cursor_block"]; at != "" {
		n, err := strconv.ParseUint(at, 10, 64)
		hash, hashErr := hex.DecodeString(fields["cursor_hash"])
		wrong[3] = errors.Join(err, hashErr)
		if wrong[3] == nil && len(hash) == len(block.Hash{}) {
			s.Cursor = block.Cursor{Network: fields["cursor_network"], Number: block.Number(n), Hash: block.Hash(hash)}
		}
	}
	if errors.Join(wrong[:]...) != nil {
		return sink.LiveState{}, format.ErrState
	}
	return s, nil
}
