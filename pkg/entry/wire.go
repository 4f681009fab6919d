package entry

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// The headers of a log message. Ranges are inclusive here, as on Amp's wire;
// docs/log-format.md is the reference for readers in other languages.
const (
	headerKind    = "Ampipe-Kind"
	headerCodec   = "Ampipe-Codec"
	headerEpoch   = "Ampipe-Epoch"
	headerNetwork = "Ampipe-Network"
	headerFrom    = "Ampipe-From"
	headerTo      = "Ampipe-To"
	headerRows    = "Ampipe-Rows"
	headerSchema  = "Ampipe-Schema"
	headerEnd     = "Ampipe-End"
	headerHash    = "Ampipe-Hash"
	headerPrev    = "Ampipe-Prev"
	headerSeen    = "Ampipe-Seen"
	headerPart    = "Ampipe-Part"
	headerBatch   = "Ampipe-Batch"
)

// complete is the kind, in a message, of data that closes its range.
const complete Kind = "complete"

// Map returns the header as message headers. Fields that are zero because they do
// not apply (End, Hash, Prev, Part, Batch, and what belongs to rows alone) are
// left out.
func (h Header) Map() map[string][]string {
	m := make(map[string][]string, 13)
	put := func(key, value string) {
		if value != "" {
			m[key] = []string{value}
		}
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }

	kind := h.Kind
	if h.Complete {
		kind = complete
	}
	put(headerKind, string(kind))
	put(headerEpoch, number(h.Epoch))
	put(headerNetwork, h.Network)
	put(headerFrom, number(uint64(h.Range.Start)))
	put(headerTo, number(uint64(h.Range.Last())))
	if h.Kind == Data {
		put(headerCodec, string(h.Codec))
		put(headerRows, strconv.Itoa(h.Rows))
		put(headerSchema, h.Schema)
	}
	if h.End != 0 {
		put(headerEnd, number(uint64(h.End)))
	}
	if !h.Hash.IsZero() {
		put(headerHash, h.Hash.String())
	}
	if !h.Prev.IsZero() {
		put(headerPrev, h.Prev.String())
	}
	if !h.Seen.IsZero() {
		put(headerSeen, strconv.FormatInt(h.Seen.UnixMicro(), 10))
	}
	if h.Parts != 0 {
		put(headerPart, fmt.Sprintf("%d/%d", h.Part, h.Parts))
		put(headerBatch, h.Batch)
	}
	return m
}

// HeaderError is a header of a message that cannot be understood. The message is
// damaged, was not written by ampipe, or was written by a later version: reading it
// again cannot help.
type HeaderError struct {
	Name, Value string
	Reason      string
	Newer       bool // all else is as it should be: a later version wrote it
}

// Error returns the header and its value.
func (e *HeaderError) Error() string {
	return fmt.Sprintf("header %s is %.80q: %s", e.Name, e.Value, e.Reason)
}

// Newer reports whether err is that of an entry which a later version of ampipe wrote:
// everything that this one knows of it is right, except for a kind or a codec that this
// one does not know. Such an entry is not damaged, and must not be dropped.
func Newer(err error) bool {
	header, ok := errors.AsType[*HeaderError](err)
	return ok && header.Newer
}

// Parse reads an entry from the headers and the payload of a message. Headers
// that it does not know are ignored, those that it knows must be valid: otherwise the
// error is a *[HeaderError]. The payload is neither copied nor read; [Decoder.Decode] does
// that.
func Parse(m map[string][]string, payload []byte) (Entry, error) {
	r := headerReader{m: m}
	h := Header{
		Kind:    Kind(r.required(headerKind)),
		Codec:   Codec(r.text(headerCodec)),
		Epoch:   r.number(headerEpoch, true),
		Network: r.text(headerNetwork),
		Range:   block.Closed(r.block(headerFrom, true), r.block(headerTo, true)),
		Schema:  r.text(headerSchema),
		End:     r.block(headerEnd, false),
		Hash:    r.hash(headerHash),
		Prev:    r.hash(headerPrev),
		Batch:   r.text(headerBatch),
	}
	if seen := r.number(headerSeen, false); seen != 0 {
		h.Seen = time.UnixMicro(int64(min(seen, math.MaxInt64))).UTC()
	}
	if h.Kind == complete {
		h.Kind, h.Complete = Data, true
	}
	h.Part, h.Parts = r.part()
	if r.err == nil && h.Range.Empty() {
		r.fail(headerTo, fmt.Sprintf("below %s, %d", headerFrom, h.Range.Start))
	}
	switch h.Kind {
	case Data:
		h.Rows = r.rows()
		r.required(headerSchema)
		switch h.Codec {
		case None, S2, Zstd:
		case "":
			r.required(headerCodec)
		default:
			r.unknown(headerCodec, "want none, s2 or zstd; a newer ampipe may have written it")
		}
	case Watermark, Invalidate, Ended:
	default:
		r.unknown(headerKind, "want data, complete, watermark, invalidate or ended; a newer ampipe may have written it")
	}
	switch {
	case h.Parts == 0 && h.Batch != "":
		r.fail(headerBatch, "there is no "+headerPart)
	case h.Parts != 0 && (h.Batch == "" || h.Range.Len() != 1 || (h.Kind != Data && r.newer == nil)):
		r.fail(headerPart, "a part is data of one block and has a "+headerBatch)
	case h.Parts != 0 && h.Complete:
		r.fail(headerPart, "what closes a range is whole")
	}
	switch {
	case r.err != nil:
		return Entry{}, r.err
	case r.newer != nil:
		return Entry{}, r.newer
	case h.Kind == Data && len(payload) == 0:
		return Entry{}, errors.New("an entry of kind data has no payload")
	case h.Kind != Data && len(payload) != 0:
		return Entry{}, fmt.Errorf("an entry of kind %s has a payload of %d bytes", h.Kind, len(payload))
	case len(payload) == 0:
		payload = nil
	}
	return Entry{Header: h, Payload: payload}, nil
}

// headerReader reads headers one by one and keeps the first complaint.
type headerReader struct {
	m     map[string][]string
	err   error
	newer error // what only a later version knows
}

func (r *headerReader) fail(name, reason string) {
	if r.err == nil {
		r.err = &HeaderError{Name: name, Value: strings.Join(r.m[name], ", "), Reason: reason}
	}
}

// unknown notes a value that a later version may have written.
func (r *headerReader) unknown(name, reason string) {
	if r.newer == nil {
		r.newer = &HeaderError{Name: name, Value: strings.Join(r.m[name], ", "), Reason: reason, Newer: true}
	}
}

func (r *headerReader) text(name string) string {
	values := r.m[name]
	if len(values) > 1 {
		r.fail(name, "given more than once")
	}
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (r *headerReader) required(name string) string {
	text := r.text(name)
	if text == "" {
		r.fail(name, "it is required")
	}
	return text
}

// number reads digits alone; without the header it is 0.
func (r *headerReader) number(name string, required bool) uint64 {
	text := r.text(name)
	if text == "" && !required {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		r.fail(name, "want a whole number")
	}
	return n
}

func (r *headerReader) block(name string, required bool) block.Number {
	n := block.Number(r.number(name, required))
	if n > block.Max {
		r.fail(name, "block numbers this high are not supported")
	}
	return n
}

func (r *headerReader) rows() int {
	n := r.number(headerRows, true)
	if n > 1<<31 {
		r.fail(headerRows, "no message holds that many")
	}
	return int(n)
}

func (r *headerReader) hash(name string) block.Hash {
	text := r.text(name)
	if text == "" {
		return block.Hash{}
	}
	h, err := block.ParseHash(text)
	if err != nil {
		r.fail(name, "want 64 hex digits")
	}
	return h
}

// part reads "i/n", i counting from 0.
func (r *headerReader) part() (part, parts int) {
	text := r.text(headerPart)
	if text == "" {
		return 0, 0
	}
	left, right, _ := strings.Cut(text, "/")
	i, err1 := strconv.ParseUint(left, 10, 31)
	n, err2 := strconv.ParseUint(right, 10, 31)
	if err1 != nil || err2 != nil || i >= n {
		r.fail(headerPart, `want "i/n" with i counting from 0 to n-1`)
		return 0, 0
	}
	return int(i), int(n)
}
