package postgres

import (
	"fmt"
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

// fit is how values of an Arrow type are written into a column that is there.
type fit struct {
	bind func(arrow.Array) cells
	// wider is the type that takes what this one may refuse for its limits; "": it
	// takes all that ampipe's own column would.
	wider string
	// cuts says that digits are cut off.
	cuts bool
}

// widen returns what turns a column into one of a wider type. Names are filled in by
// [tableSpec.advise].
func widen(sql string) string { return "run ALTER TABLE <table> ALTER COLUMN <column> TYPE " + sql }

// into returns the column as it is written into one that is there, or reports that it
// cannot be.
func (c column) into(t storedType) (column, bool) {
	if c.sql == t.sql && !t.domain {
		return c, true
	}
	f, ok := fitOf(c.arrow, c.as, t)
	if !ok {
		return c, false
	}
	c.sql, c.kind, c.bind, c.wider, c.cuts = t.name, t.base, f.bind, f.wider, f.cuts
	_, _, limited := t.precision()
	c.loose = t.base == "numeric" && !limited
	return c, true
}

// fitOf reports whether values of an Arrow type can be written into a type, and how.
func fitOf(dt arrow.DataType, as string, t storedType) (fit, bool) {
	switch dt := dt.(type) {
	case arrow.ExtensionType:
		if t.base == "uuid" && isUUID(dt.StorageType()) {
			return fit{bind: throughStorage(bindBlobs)}, true
		}
		f, ok := fitOf(dt.StorageType(), as, t)
		if ok {
			f.bind = throughStorage(f.bind)
		}
		return f, ok
	case *arrow.DictionaryType:
		f, ok := fitOf(dt.ValueType, as, t)
		if ok {
			f.bind = throughDictionary(f.bind)
		}
		return f, ok
	case *arrow.NullType:
		return fit{bind: bindNothing}, true
	}
	switch t.base {
	case "text", "citext", "character varying", "character", "bpchar":
		return fitText(dt, as, t)
	case "smallint", "integer", "bigint":
		return fitInteger(dt, as, t)
	case "numeric":
		return fitNumeric(dt, t)
	case "jsonb", "json":
		return fitDocument(dt, t)
	case enum:
		return fitLabel(dt, t)
	case "timestamp without time zone", "timestamp with time zone":
		if ts, ok := dt.(*arrow.TimestampType); ok {
			return fitSteps(bindTimestamp(ts), t), true
		}
	case "time without time zone":
		if dt.ID() == arrow.TIME32 || dt.ID() == arrow.TIME64 {
			return fitSteps(bindTime(dt), t), true
		}
	case "double precision":
		if dt.ID() == arrow.FLOAT16 || dt.ID() == arrow.FLOAT32 {
			return fit{bind: bindWidened(dt)}, true
		}
	case "uuid":
		return fit{bind: bindBlobs}, isUUID(dt)
	}
	if t.element != "" {
		return fitArray(dt, t)
	}
	// A domain over what ampipe would have made.
	sql, bind, err := mapping(dt)
	return fit{bind: bind}, err == nil && as != asHex && sql == t.base && t.modifier < 0
}

func isUUID(dt arrow.DataType) bool {
	fixed, ok := dt.(*arrow.FixedSizeBinaryType)
	return ok && fixed.ByteWidth == 16
}

func fitText(dt arrow.DataType, as string, t storedType) (fit, bool) {
	hex := as == asHex && bindHex(dt) != nil
	if !hex && !arrowfmt.IsText(dt) {
		return fit{}, false
	}
	limit, limited := t.length()
	if !limited {
		if hex {
			return fit{bind: bindHex(dt)}, true
		}
		return fit{bind: bindBlobs}, true
	}
	b := bounds{limit: limit, pad: t.base == "character", reason: fmt.Sprintf(
		"the text has more than %d characters, and the column is %s; %s", limit, t.sql, widen("text"))}
	if !hex {
		return fit{bind: b.texts, wider: "text"}, true
	}
	f := fit{bind: b.hexes, wider: "text"}
	if fixed, ok := dt.(*arrow.FixedSizeBinaryType); ok {
		if 2+2*fixed.ByteWidth > limit {
			return fit{}, false
		}
		f.wider = ""
	}
	return f, true
}

func fitLabel(dt arrow.DataType, t storedType) (fit, bool) {
	reason := fmt.Sprintf("the text is none of the values of the enum %s; %s", t.sql, widen("text"))
	add := ""
	if !t.domain && t.name != "" {
		add = fmt.Sprintf("ALTER TYPE %s ADD VALUE <literal>", t.name)
	}
	set := make(map[string]bool)
	for _, label := range t.labels {
		set[label] = true
	}
	bind := func(arr arrow.Array) cells { return &labels{blobsOf(arr), set, reason, add} }
	return fit{bind: bind, wider: "text"}, arrowfmt.IsText(dt)
}

func fitDocument(dt arrow.DataType, t storedType) (fit, bool) {
	binary := t.base == "jsonb"
	if arrowfmt.IsText(dt) {
		return fit{bind: func(arr arrow.Array) cells { return &jsonTexts{blobsOf(arr), binary} }}, true
	}
	if !arrow.IsNested(dt.ID()) || checkDocument(dt) != nil {
		return fit{}, false
	}
	if binary {
		return fit{bind: bindDocument}, true
	}
	return fit{bind: func(arr arrow.Array) cells { return &plainDocuments{bindDocument(arr).(*documents)} }}, true
}

func fitArray(dt arrow.DataType, t storedType) (fit, bool) {
	list, ok := dt.(arrow.ListLikeType)
	if !ok || dt.ID() == arrow.MAP {
		return fit{}, false
	}
	f, ok := fitElement(list.Elem(), t.of())
	if !ok {
		return fit{}, false
	}
	elements := f.bind
	f.bind = func(arr arrow.Array) cells { return arraysOf(arr, elements, t.oid) }
	switch {
	case t.element == "numeric": // the rows that are there would keep their scale
		f.wider = ""
	case f.wider != "":
		f.wider += "[]"
	}
	return f, true
}

// fitElement returns the fit of a value within an array.
func fitElement(dt arrow.DataType, t storedType) (fit, bool) {
	if sql, bind, err := mapping(dt); err == nil && sql == t.base && t.modifier < 0 {
		return fit{bind: bind}, true
	}
	return fitOf(dt, "", t)
}

// fitSteps writes times that are further apart than microseconds.
func fitSteps(bind func(arrow.Array) cells, t storedType) fit {
	step := t.step()
	if step == 1 {
		return fit{bind: bind}
	}
	return fit{bind: func(arr arrow.Array) cells { return &steps{bind(arr), step} }, cuts: true}
}

// limits returns what of the columns that are there may be refused or cut off, as a
// warning, or "".
func (g *tableSpec) limits(found []columnFacts) string {
	var narrow, steps, cut []string
	for _, c := range g.columns {
		at := slices.IndexFunc(found, func(f columnFacts) bool { return f.name == c.name })
		switch {
		case at < 0:
		case c.wider != "":
			narrow = append(narrow, fmt.Sprintf("%q is %s", c.name, found[at].sql))
			steps = append(steps, fmt.Sprintf("ALTER COLUMN %s TYPE %s", quoted(c.name), c.wider))
		case c.cuts:
			cut = append(cut, fmt.Sprintf("%q is %s", c.name, found[at].sql))
			steps = append(steps, fmt.Sprintf("ALTER COLUMN %s TYPE %s", quoted(c.name), found[at].base))
		}
	}
	var said []string
	if len(narrow) > 0 {
		said = append(said, "a value that does not fit stops the sink ("+strings.Join(narrow, ", ")+")")
	}
	if len(cut) > 0 {
		said = append(said, "digits of a second are cut off ("+strings.Join(cut, ", ")+")")
	}
	if len(said) == 0 {
		return ""
	}
	return fmt.Sprintf("%s is narrower than the query: %s; to take all that may come, run ALTER TABLE %s %s",
		g, strings.Join(said, ", and "), g.quoted(), strings.Join(steps, ", "))
}
