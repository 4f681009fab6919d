package arrowfmt_test

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// written returns a decimal as it has to look, by big numbers.
func written(v *big.Int, places int) string {
	if v.Sign() == 0 {
		places = max(0, places)
	}
	text := new(big.Int).Abs(v).String()
	if places < 0 {
		text += strings.Repeat("0", -places)
	}
	if places > 0 {
		text = strings.Repeat("0", max(0, places+1-len(text))) + text
		text = text[:len(text)-places] + "." + text[len(text)-places:]
	}
	if v.Sign() < 0 {
		text = "-" + text
	}
	return text
}

func pow(base, exponent int64) *big.Int {
	return new(big.Int).Exp(big.NewInt(base), big.NewInt(exponent), nil)
}

// numbers returns those of at most so many bits with a sign: the ends, powers of two
// and ten and their neighbours, and many at random.
func numbers(bits int) []*big.Int {
	lowest := new(big.Int).Neg(pow(2, int64(bits-1)))
	all := []*big.Int{new(big.Int), lowest, new(big.Int).Not(lowest)}
	near := func(v *big.Int) {
		for d := int64(-1); d <= 1; d++ {
			all = append(all, new(big.Int).Add(v, big.NewInt(d)), new(big.Int).Sub(big.NewInt(d), v))
		}
	}
	for i := range int64(bits - 1) {
		near(pow(2, i))
		if p := pow(10, i); p.BitLen() < bits-1 {
			near(p)
		}
	}
	rnd := rand.New(rand.NewPCG(1, uint64(bits)))
	for range 500 {
		v := new(big.Int)
		for range 4 {
			v.Add(v.Lsh(v, 64), new(big.Int).SetUint64(rnd.Uint64()))
		}
		v.Rsh(v, uint(256-rnd.IntN(bits-1)-1))
		if rnd.IntN(2) == 0 {
			v.Neg(v)
		}
		all = append(all, v)
	}
	fitting := all[:0]
	for _, v := range all {
		if v.Cmp(lowest) >= 0 && v.Cmp(new(big.Int).Neg(lowest)) < 0 {
			fitting = append(fitting, v)
		}
	}
	return fitting
}

// limbs returns the bits of a number of 256 with a sign, the lowest first. Arrow's own
// conversions refuse the lowest number of all.
func limbs(v *big.Int) (l [4]uint64) {
	rest := new(big.Int).Mod(v, pow(2, 256))
	for i := range l {
		l[i] = new(big.Int).And(rest, new(big.Int).SetUint64(1<<64-1)).Uint64()
		rest.Rsh(rest, 64)
	}
	return l
}

func of128(v *big.Int) decimal128.Num {
	l := limbs(v)
	return decimal128.New(int64(l[1]), l[0])
}

func of256(v *big.Int) decimal256.Num {
	l := limbs(v)
	return decimal256.New(l[3], l[2], l[1], l[0])
}

func TestDecimalsOfEveryWidth(t *testing.T) {
	for _, places := range []int32{0, 1, 2, 9, 18, 40, 76, -1, -7} {
		for bits, build := range map[int]func(*big.Int, array.Builder){
			32:  func(v *big.Int, b array.Builder) { b.(*array.Decimal32Builder).Append(decimal.Decimal32(v.Int64())) },
			64:  func(v *big.Int, b array.Builder) { b.(*array.Decimal64Builder).Append(decimal.Decimal64(v.Int64())) },
			128: func(v *big.Int, b array.Builder) { b.(*array.Decimal128Builder).Append(of128(v)) },
			256: func(v *big.Int, b array.Builder) { b.(*array.Decimal256Builder).Append(of256(v)) },
		} {
			types := map[int]arrow.DataType{32: &arrow.Decimal32Type{Precision: 9, Scale: places}, 64: &arrow.Decimal64Type{Precision: 18, Scale: places},
				128: &arrow.Decimal128Type{Precision: 38, Scale: places}, 256: &arrow.Decimal256Type{Precision: 76, Scale: places}}
			b := array.NewBuilder(memory.DefaultAllocator, types[bits])
			all := numbers(bits)
			for _, v := range all {
				build(v, b)
			}
			arr := b.NewArray()
			print := arrowfmt.Decimals(array.NewSlice(arr, 2, int64(len(all))))
			for i, v := range all[2:] {
				if got, want := string(print([]byte("x"), i)), "x"+written(v, int(places)); got != want {
					t.Fatalf("%d bits, %d places: %s is written as %s, want %s", bits, places, v, got, want)
				}
			}
			b.Release()
			arr.Release()
		}
	}
}

func TestDecimalsOfAnotherType(t *testing.T) {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	if arrowfmt.Decimals(b.NewArray()) != nil {
		t.Error("integers are taken for decimals")
	}
}

func bigOf(m arrowfmt.Magnitude) *big.Int {
	v := new(big.Int)
	for i := len(m) - 1; i >= 0; i-- {
		v.Or(v.Lsh(v, 64), new(big.Int).SetUint64(m[i]))
	}
	return v
}

func TestMagnitudesCount(t *testing.T) {
	for n := range 81 {
		if got := bigOf(arrowfmt.Pow10(n)); got.Cmp(pow(10, int64(n))) != 0 {
			t.Fatalf("10^%d is %s", n, got)
		}
	}
	var last arrowfmt.Magnitude
	for _, v := range numbers(256) {
		n := of256(v)
		minus, m := arrowfmt.Split256(&n)
		size := new(big.Int).Abs(v)
		if bigOf(m).Cmp(size) != 0 || minus != (v.Sign() < 0) {
			t.Fatalf("%s is taken apart to %v, %s", v, minus, bigOf(m))
		}
		if got := m.Less(&last); got != (size.Cmp(bigOf(last)) < 0) || m.Wide() != (size.BitLen() > 64) {
			t.Fatalf("%s < %s is %v, and wide is %v", size, bigOf(last), got, m.Wide())
		}
		last = m
		m.Times(1000)
		if bigOf(m).Cmp(new(big.Int).Mul(size, big.NewInt(1000))) != 0 {
			t.Fatalf("%s times 1000 is %s", size, bigOf(m))
		}
		quotient, rest := new(big.Int).DivMod(bigOf(m), big.NewInt(1e16), new(big.Int))
		if got := m.Divide(1e16); got != rest.Uint64() || bigOf(m).Cmp(quotient) != 0 {
			t.Fatalf("%s divided by 1e16 is %s, %d", size, bigOf(m), got)
		}
	}
}

func BenchmarkDecimals(b *testing.B) {
	for name, c := range map[string]struct {
		digits string
		dt     arrow.DataType
	}{
		"128 bits, 8 digits":  {"12345678", &arrow.Decimal128Type{Precision: 38, Scale: 2}},
		"128 bits, 23 digits": {"12345678901234567890123", &arrow.Decimal128Type{Precision: 38, Scale: 18}},
		"256 bits, 23 digits": {"12345678901234567890123", &arrow.Decimal256Type{Precision: 76, Scale: 18}},
		"256 bits, 74 digits": {"-12345678901234567890123456789012345678901234567890123456789012345678901234", &arrow.Decimal256Type{Precision: 76, Scale: 18}},
	} {
		b.Run(name, func(b *testing.B) {
			build := array.NewBuilder(memory.DefaultAllocator, c.dt)
			defer build.Release()
			point := len(c.digits) - int(c.dt.(arrow.DecimalType).GetScale())
			if err := build.AppendValueFromString(c.digits[:point] + "." + c.digits[point:]); err != nil {
				b.Fatal(err)
			}
			print, dst := arrowfmt.Decimals(build.NewArray()), []byte(nil)
			b.ReportAllocs()
			for b.Loop() {
				dst = print(dst[:0], 0)
			}
		})
	}
}
