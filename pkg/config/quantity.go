package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
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
func parseDuration(text string) (int64, error) {
	text = strings.TrimSpace(text)
	var days time.Duration
	if m := dayForm.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/(24*time.Hour)) {
			return 0, errDuration
		}
		days = time.Duration(n) * 24 * time.Hour
		if m[2] == "" {
			return int64(days), nil
		}
		text = m[2]
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") || days+d < 0 {
		return 0, errDuration
	}
	return int64(days + d), nil
}

// set sets v, a single value, to the value of a text. It returns what is wrong with the text,
// to be written behind the key: what is allowed, and raw, the text before variables were
// expanded.
func set(v reflect.Value, tag reflect.StructTag, text, raw string) (wrong string) {
	switch words := tag.Get("oneof"); {
	case text == "auto" && tag.Get("default") == "auto":
		v.SetZero()
		return ""
	case words != "":
		return setWord(v, tag, strings.Split(words, ","), text, raw)
	case v.Kind() == reflect.Bool:
		return setWord(v, tag, []string{"true", "false"}, text, raw)
	case v.Kind() == reflect.String:
		v.SetString(text)
		return ""
	case v.Kind() == reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		wrong = set(target.Elem(), tag, text, raw)
		if wrong == "" {
			v.Set(target)
		}
		return wrong
	}
	parse, what := parseNumber, " a whole number"
	switch {
	case v.Kind() == reflect.Float64:
		return setFraction(v, text, raw)
	case v.Type() == reflect.TypeFor[time.Duration]():
		parse, what = parseDuration, ""
	case tag.Get("form") == "size":
		parse, what = parseSize, ""
	}
	n, err := parse(text)
	least, most, bounded := strings.Cut(tag.Get("range"), ",")
	low, _ := parse(least)
	high, unbounded := parse(most)
	switch {
	case err != nil && what == "":
		return fmt.Sprintf(": %q %v", raw, err)
	case err == nil && (!bounded || (n >= low && (unbounded != nil || n <= high))):
		if v.CanInt() {
			v.SetInt(n)
		} else {
			v.SetUint(uint64(n))
		}
		return ""
	case most == "":
		return fmt.Sprintf(" must be at least %s, not %q", least, raw)
	default:
		return fmt.Sprintf(" must be%s from %s to %s, not %q", what, least, most, raw)
	}
}

// setWord sets one of several words, or whether a word is the one that stands for true.
func setWord(v reflect.Value, tag reflect.StructTag, words []string, text, raw string) (wrong string) {
	switch {
	case !slices.Contains(words, text):
		return fmt.Sprintf(" must be %s, not %q%s", either(words), raw, DidYouMean(raw, words, len(raw)/3+1))
	case v.Kind() == reflect.Bool:
		v.SetBool(text == cmp.Or(tag.Get("on"), "true"))
	default:
		v.SetString(text)
	}
	return ""
}

// setFraction sets a number from 0 to 1.
func setFraction(v reflect.Value, text, raw string) (wrong string) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) { // also what is no number
		return fmt.Sprintf(" must be a number from 0 to 1, such as 0.01, not %q", raw)
	}
	v.SetFloat(n)
	return ""
}

// either lists words as "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// parseNumber reads a whole number, with "_" between its digits.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseUint(strings.ReplaceAll(text, "_", ""), 10, 63)
	return int64(n), err
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
