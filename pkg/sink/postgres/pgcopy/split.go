package pgcopy

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Splitter takes a COPY BINARY apart, however it is cut into pieces. It keeps one row in
// memory at a time.
type Splitter struct {
	// Columns is how many fields each row has.
	Columns int
	// Row takes a row as it was sent, and one of its fields, nil for NULL. Both are valid
	// until it returns.
	Row   func(row, field []byte) error
	Field int // which field

	rest  []byte // an unfinished row
	begun bool
	ended bool
}

var errForm = errors.New("the server sends rows in a form that ampipe does not know")

// Write takes the next piece.
func (s *Splitter) Write(piece []byte) (int, error) {
	data := piece
	if len(s.rest) > 0 {
		s.rest = append(s.rest, piece...)
		data = s.rest
	}
	if !s.begun {
		if len(data) < len(Header) {
			s.rest = append(s.rest[:0], data...)
			return len(piece), nil
		}
		if !bytes.HasPrefix(data, []byte(Header)) {
			return 0, errForm
		}
		s.begun, data = true, data[len(Header):]
	}
	for len(data) > 0 && !s.ended {
		n, err := s.row(data)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		data = data[n:]
	}
	s.rest = append(s.rest[:0], data...)
	return len(piece), nil
}

// Complete fails unless the COPY has come to its end.
func (s *Splitter) Complete() error {
	if !s.ended {
		return errors.New("the server stopped in the middle of the rows")
	}
	return nil
}

// row takes one row off data and returns its length, 0 if it is not complete.
func (s *Splitter) row(data []byte) (int, error) {
	if len(data) < 2 {
		return 0, nil
	}
	if bytes.HasPrefix(data, []byte(Trailer)) {
		s.ended = true
		return len(Trailer), nil
	}
	if int(binary.BigEndian.Uint16(data)) != s.Columns {
		return 0, errForm
	}
	at := 2
	var field []byte
	for i := range s.Columns {
		if len(data) < at+4 {
			return 0, nil
		}
		size := int(int32(binary.BigEndian.Uint32(data[at:])))
		at += 4
		if size < 0 {
			continue
		}
		if len(data) < at+size {
			return 0, nil
		}
		if i == s.Field {
			field = data[at : at+size]
		}
		at += size
	}
	return at, s.Row(data[:at], field)
}

// Integer reads the field of an integer, or of a numeric that is one.
func Integer(field []byte, numeric bool) (int64, error) {
	switch {
	case numeric && len(field) >= 8 && len(field)%2 == 0:
		n, left := int64(0), int(int16(binary.BigEndian.Uint16(field[2:])))+1 // digits in base 10000
		for at := 8; at < len(field); at, left = at+2, left-1 {
			n = n*10000 + int64(binary.BigEndian.Uint16(field[at:]))
		}
		for ; n != 0 && left > 0; left-- { // zeros at the end, which the wire leaves out
			n *= 10000
		}
		return n, nil
	case len(field) == 2:
		return int64(int16(binary.BigEndian.Uint16(field))), nil
	case len(field) == 4:
		return int64(int32(binary.BigEndian.Uint32(field))), nil
	case len(field) == 8:
		return int64(binary.BigEndian.Uint64(field)), nil
	default:
		return 0, errForm
	}
}
