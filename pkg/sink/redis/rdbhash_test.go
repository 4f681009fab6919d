package redis_test

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/sink/redis/rdb"
)

// TestRDBHashIsTheServers: a hash that is restored from our encoding is, byte for byte,
// the one that the server makes of HSET, as long as it keeps that as a listpack.
func TestRDBHashIsTheServers(t *testing.T) {
	s := newServer(t)
	s.configure("hash-max-listpack-value", "1000000")
	s.configure("rdbcompression", "no")
	values := []string{"", "0", "-0", "00", "-", "+1", "1.5", "0x00", " 1", "é", strings.Repeat("9", 20), "12345678901234567890"}
	for _, n := range []int{62, 63, 64, 125, 126, 127, 128, 4094, 4095, 4096, 16_381, 16_384, 70_000} {
		values = append(values, strings.Repeat("x", n))
	}
	for shift := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			v := int64(1)<<shift + d
			values = append(values, strconv.FormatInt(v, 10), strconv.FormatInt(-v, 10))
		}
	}
	values = append(values, strconv.Itoa(math.MinInt64), "9223372036854775808", "-9223372036854775809")
	for i, v := range values {
		name := fmt.Sprintf("%s:%d", s.name, i)
		for _, fields := range [][]string{{"a", v}, {"70007", v, "x", v, "y", "z"}} {
			plain, ours := name+":plain", name+":ours"
			if err := s.Del(t.Context(), plain, ours).Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.HSet(t.Context(), plain, fields).Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.RestoreReplace(t.Context(), ours, 0, string(dump(fields...))).Err(); err != nil {
				t.Fatalf("%.80q: %v", fields, err)
			}
			same(t, s.UniversalClient, plain, ours)
		}
	}
}

// dump returns names and values of fields as a dumped hash.
func dump(fields ...string) []byte {
	d := rdb.OpenHash(nil)
	for _, f := range fields {
		d = rdb.CloseElement(append(rdb.OpenElement(d), f...), len(d))
	}
	return rdb.CloseHash(d, 0, len(fields))
}

func same(t *testing.T, client driver.UniversalClient, plain, ours string) {
	t.Helper()
	want, err := client.Dump(t.Context(), plain).Result()
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Dump(t.Context(), ours).Result()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("dumped as %.200q, by the server as %.200q", got, want)
	}
}

// configure changes a setting of the server until the test ends.
func (s *server) configure(name, value string) {
	s.Helper()
	before, err := s.ConfigGet(s.Context(), name).Result()
	if err != nil {
		s.Fatal(err)
	}
	if err := s.ConfigSet(s.Context(), name, value).Err(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := s.ConfigSet(context.Background(), name, before[name]).Err(); err != nil {
			s.Error(err)
		}
	})
}
