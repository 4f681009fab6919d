package arrowfmt

// Append appends value i of an array to dst and returns the extended slice.
type Append func(dst []byte, i int) []byte

// Options are the places in which destinations differ. Without any of them JSON is compact:
// no spaces, the fields of a struct in the order of its type, maps as lists of
// [key, value], strings with \u00XX as their only escape besides \" and \\, decimals as
// numbers and floats as [strconv.FormatFloat] writes them with 'g'.
type Options uint8

const (
	// PlainFloats writes floats without an exponent, zero without a sign, and Infinity where
	// it is +Inf otherwise.
	PlainFloats Options = 1 << iota
	// QuotedDecimals makes decimals strings in JSON, for readers that hold numbers as
	// doubles.
	QuotedDecimals
	// Spaces writes ", " and ": " between the parts of lists and objects.
	Spaces
	// ShortEscapes writes \b, \f, \n, \r and \t in strings.
	ShortEscapes
	// Objects writes maps whose keys are texts as objects, and the keys of all objects in
	// the order of [CompareKeys].
	Objects
	// ShortIntervals leaves out the parts of intervals that are zero: P1M, PT0S for none.
	ShortIntervals
)

func (o Options) has(option Options) bool { return o&option != 0 }
