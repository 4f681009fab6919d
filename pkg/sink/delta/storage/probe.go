package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	probeRounds  = 3
	probeWriters = 8
)

// Probe checks whether the storage can be trusted with a log: several writers
// race for one name, a few times, and one of them has to win each time. There are
// servers that accept the condition and do not keep it. What the probe writes, in
// the folder _ampipe, it removes. Of a local folder it finds out whether links can be
// made in it.
func Probe(ctx context.Context, s Store) error {
	if f, ok := s.(*Folder); ok {
		return f.probe()
	}
	b, ok := s.(interface{ Accessible(context.Context) error })
	if !ok {
		return nil
	}
	if err := b.Accessible(ctx); err != nil {
		return err
	}
	for range probeRounds {
		if err := probeOnce(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func probeOnce(ctx context.Context, s Store) (err error) {
	name := "_ampipe/probe-" + rand.Text()
	defer func() {
		if gone := s.Delete(ctx, name); err == nil && gone != nil {
			err = fault.As(fault.Of(gone), fmt.Errorf("it may be written and not deleted (%s is left there): %w", name, gone))
		}
	}()
	var race sync.WaitGroup
	results := make([]error, probeWriters)
	for i := range results {
		race.Go(func() { results[i] = s.Create(ctx, name, probeContent(i)) })
	}
	race.Wait()
	winners := 0
	var winner []byte
	var other error
	for i, result := range results {
		switch {
		case result == nil:
			winners++
			winner = probeContent(i)
		case !errors.Is(result, ErrExists) && (other == nil || fault.Of(result) == fault.ClassPermanent):
			other = result
		}
	}
	if winners > 1 {
		return fault.Permanent(fmt.Errorf("%s cannot be trusted with a table: %d of %d writers that raced for one name all won; "+
			"the server does not keep the condition of a write; use another one, or a newer version of it", s, winners, probeWriters))
	}
	if other != nil {
		return other
	}
	if winners == 0 {
		return fault.Later(fmt.Errorf("%s: none of %d writers that raced for a new name won", s, probeWriters), 0)
	}
	got, err := s.Read(ctx, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, winner) {
		return fault.Permanent(fmt.Errorf("%s cannot be trusted with a table: a loser of a race for a name overwrote the winner", s))
	}
	return nil
}

func probeContent(i int) []byte { return fmt.Appendf(nil, "writer %d\n", i) }
