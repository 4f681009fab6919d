package parquetfile

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// compression is a codec and its level.
type compression struct {
	codec compress.Compression
	level int
}

// compressor appends what it makes of src to dst. It is safe for concurrent use.
type compressor func(dst, src []byte) []byte

// window is how far Zstandard looks back. A page is seldom larger; the encoder has twice as
// much memory if one is.
const window = 1 << 20

func newCompressor(c compression, parallel int) (compressor, error) {
	switch c.codec {
	case compress.Codecs.Uncompressed:
		return func(dst, src []byte) []byte { return append(dst, src...) }, nil
	case compress.Codecs.Zstd:
		level := zstd.SpeedDefault
		if c.level != compress.DefaultCompressionLevel {
			level = zstd.EncoderLevelFromZstd(c.level)
		}
		// The library of Parquet has encoders in a pool, which is emptied at each collection.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(parallel),
			zstd.WithAllLitEntropyCompression(true), zstd.WithWindowSize(window))
		if err != nil {
			return nil, fmt.Errorf("compress by zstd(%d): %w", c.level, err)
		}
		return func(dst, src []byte) []byte { return e.EncodeAll(src, dst) }, nil
	}
	codec, err := compress.GetCodec(c.codec)
	if err != nil {
		return nil, err
	}
	return func(dst, src []byte) []byte {
		bound := int(codec.CompressBound(int64(len(src))))
		dst = slices.Grow(dst, bound)
		// A codec writes where it is told to if there is room; else this copies.
		return append(dst, codec.EncodeLevel(dst[len(dst):len(dst)+bound], src, c.level)...)
	}, nil
}
