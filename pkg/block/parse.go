package block

import (
	"errors"
	"fmt"
	"strings"
)

var (
	errNumber = errors.New("want a block number such as 15000000, 15_000_000, 15M or 1.5k")
	errRange  = errors.New("want blocks such as 16M:17M (17M not included), 16M:+10, :1000, 16M:, +10 or one block")
)

// ParseNumber reads a block number as a person writes it: 15000000, 15_000_000, 15M, 1.5k.
// k, M and B stand for a thousand, a million and a thousand millions.
func ParseNumber(text string) (Number, error) {
	wrong := fmt.Errorf("%q: %w", text, errNumber)
	digits := strings.ReplaceAll(text, "_", "")
	if digits == "" || strings.Trim(text, "_") != text {
		return 0, wrong
	}
	zeros, suffixed := map[byte]int{'k': 3, 'm': 6, 'b': 9}[digits[len(digits)-1]|0x20]
	if suffixed {
		digits = digits[:len(digits)-1]
	}
	whole, fraction, point := strings.Cut(digits, ".")
	fraction = strings.TrimRight(fraction, "0")
	if whole == "" || (point && !suffixed) || len(fraction) > zeros {
		return 0, wrong
	}
	var n Number
	for _, digit := range whole + fraction + strings.Repeat("0", zeros-len(fraction)) {
		if digit < '0' || digit > '9' {
			return 0, wrong
		}
		if n > (Max-Number(digit-'0'))/10 {
			return 0, fmt.Errorf("%q: the highest block is %d", text, Max)
		}
		n = n*10 + Number(digit-'0')
	}
	return n, nil
}

// ParseRange reads blocks as a person writes them, with numbers as of [ParseNumber]:
//
//	16M:17M   from block 16,000,000 up to and not including 17,000,000
//	16M:+10   ten blocks from 16,000,000 on
//	:1000     of within, those below 1,000
//	16M:      of within, those from 16,000,000 on
//	+10       the first ten of within
//	16M       this block
func ParseRange(text string, within Range) (Range, error) {
	from, to, isRange := strings.Cut(text, ":")
	if !isRange {
		if strings.HasPrefix(text, "+") {
			from, to = "", text
		} else {
			to = "+1"
		}
	}
	r, err := within, error(nil)
	if from != "" {
		if r.Start, err = ParseNumber(from); err != nil {
			return Range{}, rangeError(text, err)
		}
	}
	count, counted := strings.CutPrefix(to, "+")
	switch {
	case text == "" || (to == "" && from == ""):
		return Range{}, fmt.Errorf("%q: %w", text, errRange)
	case to != "":
		if r.End, err = ParseNumber(count); err != nil {
			return Range{}, rangeError(text, err)
		}
	}
	if counted {
		if r.End > Max+1-r.Start {
			return Range{}, fmt.Errorf("%q: the highest block is %d", text, Max)
		}
		r.End += r.Start
	}
	if r.Empty() {
		return Range{}, fmt.Errorf("%q has no block: %v", text, r)
	}
	return r, nil
}

func rangeError(text string, err error) error {
	if errors.Is(err, errNumber) {
		err = errRange
	}
	return fmt.Errorf("%q: %w", text, err)
}
