package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// realData returns the folder of recordings and Parquet files; the test is skipped
// if there is none, and fails if there should be one.
func realData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("AMPIPE_REAL_DATA")
	if dir == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: no real data to compare with")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// decode returns the batches of an answer, the closing one included.
func decode(t *testing.T, data []*flight.FlightData) []arrow.RecordBatch {
	t.Helper()
	r, err := flight.NewRecordReader(&messages{data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var out []arrow.RecordBatch
	for r.Next() {
		b := r.RecordBatch()
		b.Retain()
		out = append(out, b)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return out
}

// messages plays FlightData to a reader.
type messages struct{ data []*flight.FlightData }

// Recv implements the reader's source.
func (m *messages) Recv() (*flight.FlightData, error) {
	if len(m.data) == 0 {
		return nil, io.EOF
	}
	next := m.data[0]
	m.data = m.data[1:]
	return next, nil
}

// reads matches the tables that a query names.
var reads = regexp.MustCompile(`(?i)(?:from|join)\s+([a-z0-9_]+)\.([a-z0-9_]+)`)

// wholeTable is a recorded answer that is all of a table at some time.
type wholeTable struct {
	dataset, name string
	recording     amptest.Recording
	visible       *amp.Range // nil: a table without data
}

// wholeTables finds the recorded answers to "SELECT * FROM t ORDER BY
// _block_num", and those to "SELECT * FROM t" without ranges.
func wholeTables(t *testing.T) []wholeTable {
	t.Helper()
	query := regexp.MustCompile(`^SELECT \* FROM (\w+)\.(\w+)( ORDER BY _block_num)?$`)
	var out []wholeTable
	for _, r := range amptest.Recordings(t) {
		parts := query.FindStringSubmatch(r.SQL)
		if parts == nil || len(r.Header) > 0 || len(r.Data) == 0 {
			continue
		}
		m := metadata(t, r.Data[1])
		if parts[3] == "" && len(m.Ranges) > 0 {
			continue
		}
		w := wholeTable{dataset: parts[1], name: parts[2], recording: r}
		if len(m.Ranges) > 0 {
			w.visible = &m.Ranges[0]
		}
		out = append(out, w)
	}
	if len(out) == 0 {
		t.Fatal("no table was recorded as a whole")
	}
	return out
}

func metadata(t *testing.T, message *flight.FlightData) amp.Metadata {
	t.Helper()
	m, err := amp.ParseMetadata(message.AppMetadata)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// recordedCatalog makes a catalogue of recorded tables. Of a table that was
// recorded several times it takes the one of the same time as r.
func recordedCatalog(t *testing.T, whole []wholeTable, r amptest.Recording) *table.Catalog {
	t.Helper()
	var then []amp.Range
	if len(r.Data) > 1 {
		then = metadata(t, r.Data[1]).Ranges
	}
	datasets := map[string]*table.Dataset{}
	for _, w := range whole {
		d := datasets[w.dataset]
		if d == nil {
			ref, err := table.ParseRef(w.dataset)
			if err != nil {
				t.Fatal(err)
			}
			d = &table.Dataset{Ref: ref, Network: w.dataset, Tables: map[string]*table.Table{}}
			datasets[w.dataset] = d
		}
		if d.Tables[w.name] != nil && (w.visible == nil || !slices.Contains(then, *w.visible)) {
			continue
		}
		schema, err := flight.DeserializeSchema(w.recording.FlightInfo.Schema, allocator)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := table.NewMemory(schema, w.visible, decode(t, w.recording.Data))
		if err != nil {
			t.Fatal(err)
		}
		d.Tables[w.name] = table.NewTable(w.name, stored)
	}
	catalog := new(table.Catalog)
	for _, d := range datasets {
		d.LinkHeaders()
		if err := catalog.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	return catalog
}

// outOfScope says why a query cannot be held against this server; empty if it
// can.
func outOfScope(query string, stream bool) string {
	lower := strings.ToLower(query)
	for feature, why := range map[string]string{
		"arrow_cast(": "arrow_cast is a function of DataFusion that DuckDB has no like of; the types it makes are served from tables",
		"evm_":        "functions that decode EVM data belong to a real server",
	} {
		if strings.Contains(lower, feature) {
			return why
		}
	}
	if stream {
		return "streams have a test of their own"
	}
	return ""
}

// missing names a table of a query that the recordings do not hold as it was when
// the query was answered: an answer says up to which block its tables were synced,
// which is where at least one of them ended.
func missing(t *testing.T, catalog *table.Catalog, whole []wholeTable, r amptest.Recording) string {
	t.Helper()
	var then []amp.Range
	if len(r.Data) > 1 {
		then = metadata(t, r.Data[1]).Ranges
	}
	read, ofThen := "", len(then) == 0
	for _, name := range reads.FindAllStringSubmatch(r.SQL, -1) {
		if _, _, found := catalog.Find(name[1], name[2]); !found {
			return name[0]
		}
		read = name[0]
		ofThen = ofThen || slices.ContainsFunc(whole, func(w wholeTable) bool {
			return w.dataset == name[1] && w.name == name[2] && w.visible != nil && slices.Contains(then, *w.visible)
		})
	}
	if !ofThen {
		return read + " at that time"
	}
	return ""
}

func TestRecordedBatchAnswers(t *testing.T) {
	whole := wholeTables(t)
	held := 0
	for _, r := range amptest.Recordings(t) {
		if why := outOfScope(r.SQL, r.Stream()); why != "" {
			t.Logf("left out: %s: %s", r.Name, why)
			continue
		}
		catalog := recordedCatalog(t, whole, r)
		if table := missing(t, catalog, whole, r); table != "" {
			t.Logf("left out: %s: no recording of the whole table (%s)", r.Name, table)
			continue
		}
		held++
		t.Run(r.Name, func(t *testing.T) { compareAnswer(t, start(t, server.Options{Catalog: catalog}), r) })
	}
	if held == 0 {
		t.Fatal("no recording could be compared")
	}
}

// compareAnswer holds our answer to a query against the recorded one.
func compareAnswer(t *testing.T, s *client, r amptest.Recording) {
	got, err := s.ask(t.Context(), r.SQL)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.info.Schema) != string(r.FlightInfo.Schema) {
		ours, _ := flight.DeserializeSchema(got.info.Schema, allocator)
		theirs, _ := flight.DeserializeSchema(r.FlightInfo.Schema, allocator)
		t.Errorf("the schema differs in its bytes:\n%s\nrecorded:\n%s", ours, theirs)
	}
	compareInfo(t, got.info, r.FlightInfo)
	if !bytes.Equal(got.data[0].DataHeader, r.Data[0].DataHeader) || len(got.data[0].DataBody) > 0 || len(got.data[0].AppMetadata) > 0 {
		t.Error("the schema message differs")
	}
	// Every recorded batch answer is small: how many messages it took the real
	// server is up to its threads, but one opens, one closes, and every message
	// between them says the same.
	want := r.Data[1:]
	for i, m := range got.data[1:] {
		expected := want[0].AppMetadata
		if i == len(got.data)-2 {
			expected = want[len(want)-1].AppMetadata
			if len(m.DataBody) > 0 && decodedRows(t, got.data)[i] > 0 {
				t.Error("the closing message has rows")
			}
		}
		if string(m.AppMetadata) != string(expected) {
			t.Errorf("message %d says %s, recorded %s", i, m.AppMetadata, expected)
		}
	}
	if len(got.data) < 3 {
		t.Errorf("%d messages: a schema, a batch and a closing one are the least", len(got.data))
	}
	sorted := !strings.Contains(r.SQL, "ORDER BY")
	if ours, theirs := rowTexts(t, got.data, sorted), rowTexts(t, r.Data, sorted); !slices.Equal(ours, theirs) {
		t.Errorf("%d rows differ from the %d recorded", len(ours), len(theirs))
	}
}

func compareInfo(t *testing.T, got, want *flight.FlightInfo) {
	t.Helper()
	if got.TotalRecords != want.TotalRecords || got.TotalBytes != want.TotalBytes || got.Ordered != want.Ordered ||
		len(got.AppMetadata) != len(want.AppMetadata) || len(got.Endpoint) != len(want.Endpoint) {
		t.Errorf("FlightInfo is %v, recorded %v", got, want)
	}
	if !bytes.Equal(got.FlightDescriptor.Cmd, want.FlightDescriptor.Cmd) || got.FlightDescriptor.Type != want.FlightDescriptor.Type {
		t.Errorf("the descriptor is %v, recorded %v", got.FlightDescriptor, want.FlightDescriptor)
	}
	for i, e := range got.Endpoint {
		if len(e.Location) != len(want.Endpoint[i].Location) || e.ExpirationTime != nil || len(e.AppMetadata) > 0 || len(e.Ticket.GetTicket()) == 0 {
			t.Errorf("endpoint %d is %v", i, e)
		}
	}
}

func decodedRows(t *testing.T, data []*flight.FlightData) []int64 {
	var rows []int64
	for _, b := range decode(t, data) {
		rows = append(rows, b.NumRows())
	}
	return rows
}

// rowTexts writes every row of an answer, sorted if the order is the server's.
func rowTexts(t *testing.T, data []*flight.FlightData, sorted bool) []string {
	t.Helper()
	var out []string
	for _, b := range decode(t, data) {
		for row := range int(b.NumRows()) {
			var text strings.Builder
			for _, c := range b.Columns() {
				fmt.Fprintf(&text, "%s|", c.ValueStr(row))
			}
			out = append(out, text.String())
		}
	}
	if sorted {
		slices.Sort(out)
	}
	return out
}

// phrases are the parts of a recorded refusal that clients recognise (AP 6.2).
var phrases = []string{
	"failed to infer SQL output schema", "amp::invalid_input", "No field named", "Valid fields are", "not found", "SQL parse error",
	"Expected a single SQL statement", "Catalog-qualified table references are not supported", "read-only constraints",
	"underscore-prefixed aliases", "only supported in streaming queries", "Projections require unique expression names",
	"failed to execute plan", "Duplicate field names", "query execution error", "Divide by zero", "type_coercion",
	"Cannot infer common argument type for comparison operation", "Invalid function", "simplify_expressions", "Cast error",
	"SHOW TABLES is not supported", "end of statement", "invalid query", "non-incremental operation: ",
	"streaming query execution error | Caused by: ", "failed to propagate _block_num", "multiple networks in dependency tree",
	": Aggregate", ": Limit", ": Sort", ": Distinct", ": Join(Left)", ": Window",
}

func TestRecordedErrors(t *testing.T) {
	all := amptest.Failures(t)
	catalog := recordedCatalog(t, wholeTables(t), amptest.Recording{})
	s := start(t, server.Options{Catalog: catalog})
	for _, r := range all {
		refused := r.Info.Code != "OK" || strings.Contains(r.End.Message, "non-incremental")
		if why := outOfScope(r.SQL, false); why != "" && !refused {
			t.Logf("left out: %s: %s", r.SQL, why)
			continue
		}
		t.Run(r.SQL, func(t *testing.T) { compareRefusal(t, s, r) })
	}
}

func compareRefusal(t *testing.T, s *client, r amptest.Failure) {
	got, err := s.ask(t.Context(), r.SQL)
	var ended *endError
	infoErr, getErr := err, error(nil)
	if errors.As(err, &ended) {
		infoErr, getErr = nil, ended.error
	}
	compareStatus(t, "GetFlightInfo", infoErr, r.Info)
	if r.Info.Code != "OK" {
		return
	}
	compareStatus(t, "DoGet", getErr, r.End)
	// How many batches rows come in is the real server's affair, but none before
	// a refusal, and the schema only before a failing row.
	if getErr != nil && len(got.data) != r.Before {
		t.Errorf("%d messages before the end, recorded %d", len(got.data), r.Before)
	}
	if getErr == nil && len(got.data) < 3 {
		t.Errorf("%d messages in all", len(got.data))
	}
}

func compareStatus(t *testing.T, call string, err error, want amptest.Outcome) {
	t.Helper()
	code := map[string]codes.Code{"OK": codes.OK, "": codes.OK, "Internal": codes.Internal, "InvalidArgument": codes.InvalidArgument}[want.Code]
	if got := status.Code(err); got != code {
		t.Errorf("%s ends with %v, recorded %s %s", call, err, want.Code, want.Message)
		return
	}
	text := status.Convert(err).Message()
	if text == want.Message {
		return
	}
	for _, phrase := range phrases {
		if strings.Contains(want.Message, phrase) && !strings.Contains(text, phrase) {
			t.Errorf("%s says %q, without the %q of the recorded %q", call, text, phrase, want.Message)
		}
	}
	t.Logf("%s says %q, recorded %q", call, text, want.Message)
}
