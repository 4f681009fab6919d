package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/pkg/fault"
)

// gcsPart is how much of a large file goes in one request: a multiple of 256 KiB.
const gcsPart = 16 << 20

// put writes an object; see [cloud]. What goes into one request is sent as a whole. A
// larger file goes in parts, and is resumed where the server has it after a failure.
func (b *gcsBucket) put(ctx context.Context, key string, r io.ReaderAt, size int64, onlyNew bool) error {
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, size)); err != nil {
		return err
	}
	about, err := json.Marshal(map[string]string{"name": key, "contentType": octets, "crc32c": encodeSum(sum.Sum32())})
	if err != nil {
		return err
	}
	if size > gcsPart && !onlyNew {
		return b.putParts(ctx, about, r, size)
	}
	q := url.Values{"uploadType": {"multipart"}, "fields": {"generation"}}
	if onlyNew {
		q.Set("ifGenerationMatch", "0")
	}
	boundary := rand.Text()
	head := fmt.Sprintf("--%s\r\nContent-Type: application/json\r\n\r\n%s\r\n--%s\r\nContent-Type: %s\r\n\r\n", boundary, about,
		boundary, octets)
	tail := "\r\n--" + boundary + "--\r\n"
	return done(b.send(ctx, gcsRequest{method: http.MethodPost, address: b.objects("/upload", "", q),
		header: map[string]string{"Content-Type": "multipart/related; boundary=" + boundary},
		size:   int64(len(head)) + size + int64(len(tail)),
		body: func() io.Reader {
			return io.MultiReader(strings.NewReader(head), io.NewSectionReader(r, 0, size), strings.NewReader(tail))
		}}))
}

// putParts sends a file in parts, each of which is repeated from where the server says
// that it has the file.
func (b *gcsBucket) putParts(ctx context.Context, about []byte, r io.ReaderAt, size int64) error {
	session, err := b.begin(ctx, about)
	if err != nil {
		return err
	}
	var offset int64
	var ask bool // how far the server has the file
	for failures := 0; ; {
		from := offset
		response, err := b.once(ctx, partOf(session, r, offset, size, ask))
		if err == nil {
			_ = response.Body.Close() // nothing is in it
			if response.StatusCode != http.StatusPermanentRedirect {
				return nil
			}
			if offset, err = held(response.Header, size); err != nil {
				return err
			}
			if offset > from {
				failures = 0
			}
			if ask || offset > from {
				ask = false
				continue
			}
			err = errors.New("the server takes no more of the file")
		}
		if said, ok := errors.AsType[*answer](err); ok && (said.status == http.StatusNotFound || said.status == http.StatusGone) {
			return errors.New("the server has ended the upload")
		}
		failures++
		if failures == attempts || !mayPass(ctx, err) {
			return err
		}
		ask = true
		if err := fault.Sleep(ctx, b.pauses.Delay(failures)); err != nil {
			return err
		}
	}
}

// begin begins an upload in parts, and returns the address that they go to.
func (b *gcsBucket) begin(ctx context.Context, about []byte) (string, error) {
	q := url.Values{"uploadType": {"resumable"}}
	response, err := b.send(ctx, gcsRequest{method: http.MethodPost, address: b.objects("/upload", "", q),
		header: map[string]string{"Content-Type": "application/json"},
		size:   int64(len(about)), body: func() io.Reader { return bytes.NewReader(about) }})
	if err != nil {
		return "", err
	}
	_ = response.Body.Close() // nothing is in it
	session := response.Header.Get("Location")
	scheme, _, _ := strings.Cut(b.server, ":")
	if !strings.HasPrefix(session, scheme+"://") { // a token goes with each part
		return "", errors.New("the server does not say where the upload goes")
	}
	return session, nil
}

// partOf returns a request that sends the part of a file that begins at an offset, or asks
// how far the server has the file.
func partOf(session string, r io.ReaderAt, offset, size int64, ask bool) gcsRequest {
	request := gcsRequest{method: http.MethodPut, address: session,
		header: map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", size)}}
	if !ask {
		request.size = min(gcsPart, size-offset)
		request.header["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", offset, offset+request.size-1, size)
		request.body = func() io.Reader { return io.NewSectionReader(r, offset, request.size) }
	}
	return request
}

// held returns how many bytes of a file the server has, from the first on.
func held(h http.Header, size int64) (int64, error) {
	text := h.Get("Range")
	if text == "" {
		return 0, nil
	}
	last, err := strconv.ParseInt(strings.TrimPrefix(text, "bytes=0-"), 10, 64)
	if err != nil || last < 0 || last+1 >= size {
		return 0, fmt.Errorf("the server says that it has %q of %d bytes", text, size)
	}
	return last + 1, nil
}

// encodeSum writes a CRC32C as Google does.
func encodeSum(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// sumIn returns the CRC32C that an answer says its object has, or nil.
func sumIn(h http.Header) *uint32 {
	for _, hashes := range h.Values("X-Goog-Hash") {
		for hash := range strings.SplitSeq(hashes, ",") {
			text, ok := strings.CutPrefix(strings.TrimSpace(hash), "crc32c=")
			if sum, err := base64.StdEncoding.DecodeString(text); ok && err == nil && len(sum) == 4 {
				n := binary.BigEndian.Uint32(sum)
				return &n
			}
		}
	}
	return nil
}
