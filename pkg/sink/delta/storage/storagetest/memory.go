package storagetest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Memory returns a storage in memory.
func Memory() storage.Store { return &memory{files: map[string]memoryFile{}} }

type memoryFile struct {
	content  []byte
	modified time.Time
}

type memory struct {
	mu    sync.Mutex
	files map[string]memoryFile
}

func (m *memory) Create(_ context.Context, name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.files[name]; taken {
		return storage.ErrExists
	}
	m.files[name] = memoryFile{bytes.Clone(content), time.Now()}
	return nil
}

func (m *memory) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	content, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name] = memoryFile{content, time.Now()}
	return nil
}

func (m *memory) Read(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	if !ok {
		return nil, storage.ErrNotFound
	}
	return bytes.Clone(f.content), nil
}

func (m *memory) Open(ctx context.Context, name string) (storage.File, error) {
	content, err := m.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	return openMemory{bytes.NewReader(content)}, nil
}

type openMemory struct{ *bytes.Reader }

func (openMemory) Close() error { return nil }

func (m *memory) List(_ context.Context, prefix, after string, each func(storage.Info) error) error {
	m.mu.Lock()
	files := maps.Clone(m.files)
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name <= after || !strings.HasPrefix(name, prefix) {
			continue
		}
		f := files[name]
		if err := each(storage.Info{Name: name, Size: int64(len(f.content)), Modified: f.modified}); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (*memory) Longest() (whole, part int) { return 1024, 1024 }
func (*memory) Close() error               { return nil }
func (*memory) String() string             { return "memory" }
