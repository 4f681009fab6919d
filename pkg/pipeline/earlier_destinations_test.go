package pipeline_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

var earlierPostgres = earlierDestination{
	sinks: `  - name: rows
    postgres: { dsn: "${DATABASE_URL}", schema: earlier, table: rows }
  - name: latest
    postgres: { dsn: "${DATABASE_URL}", schema: earlier, table: latest, mode: upsert, key: [slot] }
`,
	save: func(s *earlierState) {
		var complaints bytes.Buffer
		// The newest pg_dump knows every server.
		dump := exec.Command("pg_dump", "--no-owner", "--no-privileges", "--inserts", "--rows-per-insert", "100", s.dsn)
		dump.Stderr = &complaints
		text, err := dump.Output()
		if err != nil {
			s.t.Fatalf("%v\n%s", err, complaints.String())
		}
		var statements strings.Builder
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, `\`) { // is psql's alone
				statements.WriteString(line)
			}
		}
		s.write("dump.sql", statements.String())
	},
	restore: func(s *earlierState) {
		s.withDB(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, s.read("dump.sql"), pgx.QueryExecModeSimpleProtocol)
			return err
		})
	},
	made: func(s *earlierState) (made string) {
		s.withDB(func(ctx context.Context, c *pgx.Conn) error {
			return c.QueryRow(ctx, `SELECT string_agg(format('%s: %s, %s', relname, oid, relfilenode), '; ' ORDER BY relname)
				FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('earlier'::regnamespace, 'ampipe'::regnamespace)`).Scan(&made)
		})
		return made
	},
}

var earlierRedis = earlierDestination{
	sinks: `  - { name: hash, redis: { url: "${REDIS_URL}", key: "earlier:hash:{block_num}" } }
  - { name: latest, redis: { url: "${REDIS_URL}", key: "earlier:latest:{slot}" } }
  - { name: string, redis: { url: "${REDIS_URL}", structure: string, key: "earlier:string:{slot}", columns: [block_num, hash, miner, base_fee_per_gas] } }
  - { name: stream, redis: { url: "${REDIS_URL}", structure: stream, key: "earlier:stream" } }
  - { name: scores, redis: { url: "${REDIS_URL}", structure: sorted_set, key: "earlier:scores" } }
  - { name: set, redis: { url: "${REDIS_URL}", structure: set, key: "earlier:set:{slot}", columns: [block_num, hash] } }
  - { name: list, redis: { url: "${REDIS_URL}", structure: list, key: "earlier:list" } }
`,
	save: func(s *earlierState) {
		var packed bytes.Buffer
		text := gzip.NewWriter(&packed)
		s.withKeys(func(c *redis.Client, keys []string) {
			for _, key := range keys {
				value, err := c.Dump(s.t.Context(), key).Result()
				if err != nil {
					s.t.Fatal(err)
				}
				line := key + " " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
				if _, err := text.Write([]byte(line)); err != nil {
					s.t.Fatal(err)
				}
			}
			if err := c.Unlink(s.t.Context(), keys...).Err(); err != nil {
				s.t.Fatal(err)
			}
		})
		if err := text.Close(); err != nil {
			s.t.Fatal(err)
		}
		s.write("keys.txt.gz", packed.String())
	},
	restore: func(s *earlierState) {
		file, err := os.Open(filepath.Join(s.folder, "keys.txt.gz"))
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = file.Close() }() // it was read
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(unpacked)
		if err != nil {
			s.t.Fatal(err)
		}
		s.withKeys(func(c *redis.Client, keys []string) {
			if len(keys) > 0 {
				s.t.Fatalf("there are keys already: %q", keys)
			}
			for line := range strings.Lines(string(text)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				dump, err := base64.StdEncoding.DecodeString(value)
				if err != nil {
					s.t.Fatal(err)
				}
				if err := c.Restore(s.t.Context(), key, 0, string(dump)).Err(); err != nil {
					s.t.Fatalf("restore %s: %v", key, err)
				}
			}
		})
		s.t.Cleanup(func() {
			s.withKeys(func(c *redis.Client, keys []string) {
				if len(keys) > 0 {
					_ = c.Unlink(context.Background(), keys...) // nothing depends on it
				}
			})
		})
	},
	// A sink that has lost its state makes another, which begins with other blocks.
	made: func(s *earlierState) (made string) {
		s.withKeys(func(c *redis.Client, keys []string) {
			for _, key := range keys {
				if strings.HasSuffix(key, ":state") {
					made += key + " "
				}
			}
		})
		return made
	},
}

var earlierDelta = earlierDestination{
	sinks: `  - name: lake
    delta: { path: ./lake, max_commit_delay: 100ms, checkpoint_every: 5 }
  - name: parts
    delta: { path: ./parts, max_commit_delay: 100ms, checkpoint_every: 5, partition_by: [ { column: block_num, bucket: 100 } ] }
`,
	save:    func(s *earlierState) { pack(s.t, filepath.Join(s.folder, "lakes.tar.gz"), s.dir, "lake", "parts") },
	restore: func(s *earlierState) { unpack(s.t, filepath.Join(s.folder, "lakes.tar.gz"), s.dir) },
	made: func(s *earlierState) (made string) {
		for _, table := range []string{"lake", "parts"} {
			versions, err := filepath.Glob(filepath.Join(s.dir, table, "_delta_log", "*.json"))
			if err != nil || len(versions) == 0 {
				s.t.Fatalf("%s has the versions %v, %v", table, versions, err)
			}
			first, err := os.ReadFile(versions[0])
			if err != nil {
				s.t.Fatal(err)
			}
			made += string(first)
		}
		return made
	},
}

func (s *earlierState) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *earlierState) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// ownDatabase makes a database, in which the schema ampipe is that of the state.
func (s *earlierState) ownDatabase() {
	s.t.Helper()
	server, name := s.dsn, "earlier_"+strings.ToLower(rand.Text())
	s.exec("CREATE DATABASE " + name)
	u, err := url.Parse(server)
	if err != nil {
		s.t.Fatal(err)
	}
	u.Path = "/" + name
	s.dsn = u.String()
	l := s.commandEnv
	l.t.Cleanup(func() { // before the environment's own, which needs the server's
		l.dsn = server
		l.exec("DROP DATABASE " + name + " WITH (FORCE)")
	})
}

// withKeys calls do with all keys of the state.
func (s *earlierState) withKeys(do func(c *redis.Client, keys []string)) {
	s.t.Helper()
	o, err := redis.ParseURL(testRedis())
	if err != nil {
		s.t.Fatalf("AMPIPE_TEST_REDIS: %v", err)
	}
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }() // what it did is done
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var keys []string
	for _, pattern := range []string{"earlier:*", "ampipe:{earlier}:*"} {
		all := c.Scan(ctx, 0, pattern, 10_000).Iterator()
		for all.Next(ctx) {
			keys = append(keys, all.Val())
		}
		if err := all.Err(); err != nil {
			s.t.Fatal(err)
		}
	}
	slices.Sort(keys)
	do(c, keys)
}

// pack writes folders of dir into an archive.
func pack(t testing.TB, archive, dir string, folders ...string) {
	t.Helper()
	var buffer bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&buffer, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zipped)
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Size: int64(len(content)), Mode: 0o644}); err != nil {
				return err
			}
			_, err = w.Write(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, buffer.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack writes the files of an archive into dir.
func unpack(t testing.TB, archive, dir string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // it was read
	zipped, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
