package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	sizeForm = regexp.MustCompile(`^([0-9][0-9_]*(?:\.[0-9]+)?) *([A-Za-z]*)$`)
	dayForm  = regexp.MustCompile(`^([0-9]+)d(.*)$`)

	errSize     = errors.New("is not a size; write bytes or a unit, such as 20GiB or 512MB")
	errDuration = errors.New("is not a duration; write a number and a unit, such as 90s, 72h or 7d")
)

// units are the factors that a size may have; letters of any case.
var units = map[string]float64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// parseSize reads a number of bytes: 512MB, 1.5GiB, 1048576.
func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, errSize
	}
	factor, known := units[strings.ToLower(m[2])]
	number, err := strconv.ParseFloat(strings.ReplaceAll(m[1], "_", ""), 64)
	bytes := number * factor
	if !known || err != nil || bytes >= math.MaxInt64 {
		return 0, errSize
	}
	return int64(bytes), nil
}

// parseDuration reads what Go's time package reads, and days before that: 72h,
// 1h30m, 7d, 1d12h. Negative ones are refused.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	var days time.Duration
	if m := dayForm.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/(24*time.Hour)) {
			return 0, errDuration
		}
		days = time.Duration(n) * 24 * time.Hour
		if m[2] == "" {
			return days, nil
		}
		text = m[2]
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") || days+d < 0 {
		return 0, errDuration
	}
	return days + d, nil
}

// showSize writes a size the way people write it.
func showSize(n int64) string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
