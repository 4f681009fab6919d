package pgcopy

import (
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// A table that is there may have other columns than ampipe would make. A pair of an
// Arrow type and a type of PostgreSQL fits if each value that is taken can be read back
// as it was sent, up to what the column's type says itself: blanks at the end of a
// char(n), zeros behind the point of a numeric(p,s), digits of a timestamp(p). What the
// column takes is sent in the form in which PostgreSQL stores it, so that digests agree,
// and what it does not take is found before anything is written.

// Type is the type of a column that is there.
type Type struct {
	SQL      string // as PostgreSQL prints it, with its length or precision
	Name     string // likewise, for statements: with its schema unless it is PostgreSQL's own
	Base     string // without length and precision; of a domain, that which it is made of. "": of no kind known here
	Modifier int32  // of the base, as in pg_attribute; -1: none
	Domain   bool
	Element  string   // of an array: the base of its elements
	OID      uint32   // of an array: that of the type of its elements
	Labels   []string // of an enum, or an array of one
}

// Enum is the base of every enum.
const Enum = "enum"

// Characters are the bases that hold text.
var Characters = []string{"text", "citext", "character varying", "character", "bpchar"}

// length returns how many characters a column of texts takes, if that is limited.
func (t Type) length() (n int, limited bool) { return int(t.Modifier) - 4, t.Modifier >= 4 }

// Precision returns how many digits a numeric takes in all, and behind the point, if
// that is limited.
func (t Type) Precision() (digits, places int, limited bool) {
	if t.Modifier < 4 {
		return 0, 0, false
	}
	m := int(t.Modifier) - 4
	return m >> 16 & 0xffff, (m&0x7ff ^ 1024) - 1024, true // the scale has a sign since version 15
}

// step returns how many microseconds apart the values of a time or timestamp are.
func (t Type) step() int64 {
	step := int64(1)
	if t.Modifier >= 0 {
		for range 6 - min(6, t.Modifier) {
			step *= 10
		}
	}
	return step
}

// widen returns what turns a column into one of a wider type.
func widen(sql string) string { return "run ALTER TABLE <table> ALTER COLUMN <column> TYPE " + sql }

// Fit returns how values of an Arrow type, which a user may have asked for as another, are
// written into a type that is there, or reports that they cannot be.
func Fit(dt arrow.DataType, as string, t Type) (Encoding, bool) {
	e, ok := fit(arrowfmt.Underlying(dt), as, t)
	e.SQL, e.Base, e.Bind = t.Name, t.Base, through(dt, e.Bind)
	_, _, limited := t.Precision()
	e.Loose = t.Base == "numeric" && !limited
	return e, ok
}

func fit(dt arrow.DataType, as string, t Type) (e Encoding, ok bool) {
	// A domain, or an array, of what ampipe would have made.
	if own, bind, err := mapping(dt); err == nil && own == t.Base && t.Modifier < 0 && as != AsHex {
		return Encoding{Bind: bind}, true
	}
	switch {
	case dt.ID() == arrow.NULL:
		return Encoding{Bind: bindNothing}, true
	case slices.Contains(Characters, t.Base):
		e.Bind, e.Wider = fitText(dt, as, t)
	case t.Base == "smallint", t.Base == "integer", t.Base == "bigint":
		e.Bind, e.Wider = fitInteger(dt, as, t)
	case t.Base == "numeric":
		e.Bind, e.Wider = fitNumeric(dt, roomOf(t))
	case t.Base == "jsonb", t.Base == "json":
		e.Bind = fitDocument(dt, t.Base == "jsonb")
	case t.Base == Enum && arrowfmt.IsText(dt):
		e.Bind, e.Wider = fitLabel(t), "text"
	case strings.HasPrefix(t.Base, "timestamp ") && dt.ID() == arrow.TIMESTAMP:
		return inSteps(bindTimestamp(dt.(*arrow.TimestampType)), t), true
	case t.Base == "time without time zone" && (dt.ID() == arrow.TIME32 || dt.ID() == arrow.TIME64):
		return inSteps(bindTime(dt), t), true
	case t.Base == "double precision" && (dt.ID() == arrow.FLOAT16 || dt.ID() == arrow.FLOAT32):
		e.Bind = bindDouble
	case t.Base == "uuid":
		if fixed, is := dt.(*arrow.FixedSizeBinaryType); is && fixed.ByteWidth == 16 {
			e.Bind = bindBlobs
		}
	case t.Element != "":
		return fitArray(dt, t)
	}
	return e, e.Bind != nil
}

// inSteps writes times that are further apart than microseconds.
func inSteps(bind Bind, t Type) Encoding {
	if step := t.step(); step > 1 {
		return Encoding{Bind: steps(bind, step), Cuts: true}
	}
	return Encoding{Bind: bind}
}

// fitInteger takes integers of any width, and decimals that are whole. bind is nil for
// others.
func fitInteger(dt arrow.DataType, as string, t Type) (bind Bind, wider string) {
	if d, ok := dt.(arrow.DecimalType); ok {
		return integerOf(t, "numeric").bindWhole(d), "numeric"
	}
	wider = "bigint"
	if dt.ID() == arrow.UINT64 && (as != AsBigint || t.Base == AsBigint) {
		wider = "numeric(20,0)"
	}
	n := integerOf(t, wider)
	if bind = n.bind(dt); bind != nil && n.holds(dt) {
		wider = ""
	}
	return bind, wider
}

// fitNumeric takes integers, decimals, and numbers in digits as text, such as those of
// 256 bits. It rounds nothing. bind is nil for others.
func fitNumeric(dt arrow.DataType, r room) (bind Bind, wider string) {
	digits, scale := digitsOf(dt), 0
	switch d, isDecimal := dt.(arrow.DecimalType); {
	case r.behind < 0: // the column rounds to tens or more
		return nil, ""
	case arrowfmt.IsText(dt):
		bind, digits = bindTextNumeric(r), mostBefore
	case isDecimal:
		bind, digits, scale = r.bindDecimals(d), int(d.GetPrecision()), int(d.GetScale())
	default:
		bind = numericOf(r).bind(dt)
	}
	if digits-scale > r.before || scale > r.behind {
		wider = "numeric"
	}
	return bind, wider
}

// fitArray takes lists as arrays of one dimension.
func fitArray(dt arrow.DataType, t Type) (e Encoding, ok bool) {
	list, ok := dt.(arrow.ListLikeType)
	if !ok || dt.ID() == arrow.MAP {
		return e, false
	}
	// The modifier of the elements is the array's.
	e, ok = Fit(list.Elem(), "", Type{SQL: t.Element, Base: t.Element, Modifier: t.Modifier, Labels: t.Labels})
	e.Bind = bindArray(e.Bind, t.OID)
	switch {
	case t.Element == "numeric": // rows that are there would keep their scale
		e.Wider = ""
	case e.Wider != "":
		e.Wider += "[]"
	}
	return e, ok
}
