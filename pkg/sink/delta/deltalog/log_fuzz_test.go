package deltalog

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// FuzzCommit holds that no commit of a foreign writer makes the reading of the log panic,
// and that what is accepted can be written and read again.
func FuzzCommit(f *testing.F) {
	for _, seed := range []string{
		`{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}` + "\n" + `{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[]}","partitionColumns":["a"],"configuration":{"delta.appendOnly":"true"}}}`,
		`{"add":{"path":"a%20b.parquet","partitionValues":{"a":null,"b":"1"},"size":1,"modificationTime":2,"dataChange":true,"stats":"{\"numRecords\":1}","tags":{"x":"y"},"deletionVector":{}}}`,
		`{"remove":{"path":"x","deletionTimestamp":1,"dataChange":true}}` + "\n" + `{"txn":{"appId":"ampipe:a:b#0","version":1,"lastUpdated":2}}`,
		`{"commitInfo":{"operation":"WRITE"}}`, `{"add":null}`, `{}`, "\n\n", `[1]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		actions, err := decode("0.json", content)
		if err != nil {
			if fault.Of(err) != fault.ClassPermanent {
				t.Errorf("%v is not permanent", err)
			}
			return
		}
		s := emptySnapshot()
		s.play(0, actions)
		s.prune(time.Unix(1e9, 0))
		_ = s.check()
		text, err := encode(actions)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode("0.json", text); err != nil || len(again) != len(actions) {
			t.Errorf("%s: %v", text, err)
		}
	})
}

// oneFile is a store that holds one file.
type oneFile struct {
	storage.Store
	content []byte
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

func (s oneFile) Open(context.Context, string) (storage.File, error) {
	return memoryFile{bytes.NewReader(s.content)}, nil
}

// FuzzCheckpoint holds that no file makes the reading of a checkpoint panic.
func FuzzCheckpoint(f *testing.F) {
	f.Add(checkpointForFuzz(f))
	f.Add([]byte("PAR1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := readCheckpoint(context.Background(), oneFile{content: content}, 1, []string{"1.checkpoint.parquet"})
		if err != nil {
			if fault.Of(err) != fault.ClassPermanent {
				t.Errorf("%v is not permanent", err)
			}
			return
		}
		_ = s.check()
	})
}

// checkpointForFuzz is a checkpoint as we write it.
func checkpointForFuzz(f *testing.F) []byte {
	f.Helper()
	actions, err := decode("0.json", []byte(`{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{}","partitionColumns":["a"],"configuration":{"b":"c"}}}
{"add":{"path":"a.parquet","partitionValues":{"a":null},"size":1,"modificationTime":2,"dataChange":true,"stats":"{}"}}
{"remove":{"path":"b.parquet","deletionTimestamp":1700000000000,"dataChange":true}}
{"txn":{"appId":"ampipe:a:b#0","version":1,"lastUpdated":2}}`))
	if err != nil {
		f.Fatal(err)
	}
	s := emptySnapshot()
	s.play(0, actions)
	store := storage.NewFolder(f.TempDir())
	log := New(store)
	if err := log.Checkpoint(f.Context(), s, time.Unix(1e9, 0)); err != nil {
		f.Fatal(err)
	}
	have, err := listLog(f.Context(), store, Folder)
	if err != nil || len(have.checkpoint) != 1 {
		f.Fatalf("%+v, %v", have, err)
	}
	content, err := store.Read(f.Context(), have.checkpoint[0])
	if err != nil {
		f.Fatal(err)
	}
	return content
}
