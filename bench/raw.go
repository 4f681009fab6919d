package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// raw is rows as the server itself encodes them, cut into COPYs of batchRows
// rows: the fastest way to have them in the table.
type raw struct {
	batches [][]byte
	rows    int
	bytes   int
}

// batchRows is how many rows go into a transaction; it is what a sink does.
const batchRows = 20_000

const (
	copyHeader  = 19 // signature, flags and the length of an empty extension
	copyTrailer = "\xff\xff"
)

// readRaw reads the first rows of the table.
func (e *env) readRaw(ctx context.Context, rows int) (raw, error) {
	var text bytes.Buffer
	text.Grow(rows * 400)
	_, err := e.db.PgConn().CopyTo(ctx, &text, fmt.Sprintf(
		"COPY (SELECT * FROM logs WHERE block_num < %d ORDER BY block_num, log_index) TO STDOUT (FORMAT binary)", history(rows).End))
	if err != nil {
		return raw{}, err
	}
	r, err := splitCopy(text.Bytes())
	if err == nil && r.rows != rows {
		err = fmt.Errorf("%d rows came instead of %d", r.rows, rows)
	}
	return r, err
}

// splitCopy divides a COPY at the boundaries of its rows.
func splitCopy(text []byte) (raw, error) {
	if len(text) < copyHeader || binary.BigEndian.Uint32(text[copyHeader-4:]) != 0 {
		return raw{}, errors.New("this is not a COPY in binary format")
	}
	header, rest := text[:copyHeader], text[copyHeader:]
	r := raw{bytes: len(rest) - len(copyTrailer)}
	for {
		n, size, ended, err := firstRows(rest, batchRows)
		if err != nil {
			return raw{}, err
		}
		if n > 0 {
			batch := make([]byte, 0, len(header)+size+len(copyTrailer))
			batch = append(append(append(batch, header...), rest[:size]...), copyTrailer...)
			r.batches, r.rows, rest = append(r.batches, batch), r.rows+n, rest[size:]
		}
		if ended {
			return r, nil
		}
	}
}

// firstRows measures the first rows, most at the most, and reports whether the trailer
// follows them.
func firstRows(rows []byte, most int) (n, size int, ended bool, err error) {
	errShort := errors.New("the COPY ends in the middle of a row")
	for ; ; n++ {
		if len(rows) < size+2 {
			return 0, 0, false, errShort
		}
		fields := int16(binary.BigEndian.Uint16(rows[size:]))
		if fields < 0 {
			return n, size, true, nil
		}
		if n == most {
			return n, size, false, nil
		}
		for size += 2; fields > 0; fields-- {
			if len(rows) < size+4 {
				return 0, 0, false, errShort
			}
			length := int32(binary.BigEndian.Uint32(rows[size:]))
			size += 4 + int(max(length, 0)) // -1 is NULL
		}
	}
}

// copyRaw returns the side that every load is measured against: a program that connects and
// sends the first rows as they are.
func (e *env) copyRaw(rows int) side {
	return side{"raw COPY, " + thousands(batchRows) + " rows a transaction", func(ctx context.Context) (sample, error) {
		if err := e.empty(ctx); err != nil {
			return sample{}, err
		}
		s, err := e.sendRaw(ctx, rows)
		return s, errors.Join(err, e.holds(ctx, rows))
	}}
}

// sendRaw sends the first rows over a connection of their own, as every load does. A process
// of the server that is new has to map the shared buffers that it uses, page by page.
func (e *env) sendRaw(ctx context.Context, rows int) (_ sample, err error) {
	began := time.Now()
	conn, err := pgx.Connect(ctx, e.dsn)
	if err != nil {
		return sample{}, fmt.Errorf("raw COPY: connect to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, batch := range e.raw.batches[:rows/batchRows] {
		if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(batch), "COPY logs FROM STDIN (FORMAT binary)"); err != nil {
			return sample{}, fmt.Errorf("raw COPY: %w", err)
		}
	}
	return sample{rows, time.Since(began)}, nil
}
