package storage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

func TestMain(m *testing.M) {
	if place := os.Getenv("AMPIPE_TEST_RACER"); place != "" {
		os.Exit(racer(place))
	}
	goleak.VerifyTestMain(m, storagetest.Leak())
}

const racedNames = 60

// racer is a process that tries to be the first to write each of some names. It
// prints those that it got.
func racer(place string) int {
	var p storage.Place
	err := json.Unmarshal([]byte(place), &p)
	var s storage.Store
	if err == nil {
		s, err = storage.Open(context.Background(), p)
	}
	_, _ = fmt.Scanln() // until both are ready
	for i := 0; err == nil && i < racedNames; i++ {
		name := fmt.Sprintf("_delta_log/%020d.json", i)
		switch failed := s.Create(context.Background(), name, fmt.Appendf(nil, "%d", os.Getpid())); {
		case failed == nil:
			fmt.Println(name)
		case !errors.Is(failed, storage.ErrExists):
			err = failed
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestTwoProcessesRaceForEachVersion(t *testing.T) {
	for _, k := range storagetest.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			place, err := json.Marshal(k.Place(t))
			if err != nil {
				t.Fatal(err)
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			var racers [2]*exec.Cmd
			var outs [2]bytes.Buffer
			var ready [2]io.WriteCloser
			for i := range racers {
				racers[i] = exec.Command(self)
				racers[i].Env = append(os.Environ(), "AMPIPE_TEST_RACER="+string(place))
				racers[i].Stdout, racers[i].Stderr = &outs[i], os.Stderr
				if ready[i], err = racers[i].StdinPipe(); err != nil {
					t.Fatal(err)
				}
				if err := racers[i].Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = racers[i].Process.Kill() })
			}
			for _, in := range ready {
				if _, err := fmt.Fprintln(in); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range racers {
				if err := r.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			won := append(strings.Fields(outs[0].String()), strings.Fields(outs[1].String())...)
			slices.Sort(won)
			if len(won) != racedNames || len(slices.Compact(won)) != racedNames {
				t.Errorf("%d wins for %d names", len(won), racedNames)
			}
		})
	}
}

// stores runs a test on each kind of storage.
func stores(t *testing.T, test func(t *testing.T, s storage.Store)) {
	t.Run("memory", func(t *testing.T) {
		s := storagetest.Memory()
		defer closed(t, s)
		test(t, s)
	})
	for _, k := range storagetest.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			s, err := storage.Open(t.Context(), k.Place(t))
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			test(t, s)
		})
	}
}

func closed(t *testing.T, s storage.Store) {
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStores(t *testing.T) {
	stores(t, func(t *testing.T, s storage.Store) {
		ctx := t.Context()
		if err := storage.Probe(ctx, s); err != nil {
			t.Fatalf("probe: %v", err)
		}
		if _, err := s.Read(ctx, "_delta_log/x"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("read what is not there: %v", err)
		}
		if _, err := s.Open(ctx, "a/b"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("open what is not there: %v", err)
		}
		if err := s.Delete(ctx, "a/b"); err != nil {
			t.Errorf("delete what is not there: %v", err)
		}
		big := bytes.Repeat([]byte("0123456789"), 1_000_000)
		if err := s.Write(ctx, "k=%2520/part 1.parquet", bytes.NewReader(big), int64(len(big))); err != nil {
			t.Fatal(err)
		}
		f, err := s.Open(ctx, "k=%2520/part 1.parquet")
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(big))
		for _, at := range []int{100, 8<<20 - 5, len(big) - 10} { // in the first block, across two, at the end
			if _, err := f.ReadAt(got[:10], int64(at)); err != nil || !bytes.Equal(got[:10], big[at:at+10]) {
				t.Errorf("read at %d: %q, %v", at, got[:10], err)
			}
		}
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, big) {
			t.Errorf("what was read from the beginning is not what was written (%v)", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"_delta_log/2", "_delta_log/1", "_delta_log/3", "_delta_logs"} {
			if err := s.Create(ctx, name, []byte(name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Create(ctx, "_delta_log/2", []byte("again")); !errors.Is(err, storage.ErrExists) {
			t.Errorf("create what is there: %v", err)
		}
		if err := s.Write(ctx, "_delta_log/3", strings.NewReader("new"), 3); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]string{"_delta_log/2": "_delta_log/2", "_delta_log/3": "new"} {
			if got, err := s.Read(ctx, name); err != nil || string(got) != want {
				t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
			}
		}
		var names []string
		err = s.List(ctx, "_delta_log/", "_delta_log/1", func(i storage.Info) error {
			names = append(names, i.Name)
			return nil
		})
		if err != nil || !slices.Equal(names, []string{"_delta_log/2", "_delta_log/3"}) {
			t.Errorf("the list is %q, %v", names, err)
		}
		names = nil
		if err := s.List(ctx, "", "", func(i storage.Info) error { names = append(names, i.Name); return nil }); err != nil ||
			!slices.Equal(names, []string{"_delta_log/1", "_delta_log/2", "_delta_log/3", "_delta_logs", "k=%2520/part 1.parquet"}) {
			t.Errorf("all names are %q, %v", names, err)
		}
	})
}

// TestOneOfEightWritersWins has eight writers at a time race for many names. The
// file is the winner's.
func TestOneOfEightWritersWins(t *testing.T) {
	stores(t, func(t *testing.T, s storage.Store) {
		for i := range 30 {
			name := fmt.Sprintf("_delta_log/%020d.json", i)
			var results [8]error
			var race sync.WaitGroup
			for k := range results {
				race.Go(func() { results[k] = s.Create(t.Context(), name, fmt.Appendf(nil, "writer %d", k)) })
			}
			race.Wait()
			winner := -1
			for k, err := range results {
				switch {
				case err == nil && winner < 0:
					winner = k
				case !errors.Is(err, storage.ErrExists):
					t.Fatalf("%s: writer %d of 8 gets %v, and writer %d has won", name, k, err, winner)
				}
			}
			if got, err := s.Read(t.Context(), name); err != nil || winner < 0 || string(got) != fmt.Sprintf("writer %d", winner) {
				t.Fatalf("%s holds %q (%v), and writer %d has won", name, got, err, winner)
			}
		}
	})
}
