package amptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// Recording is one query and everything a real server answered. The files it comes
// from are NAME.json, the account, and NAME.pb, the bytes.
type Recording struct {
	Name     string // folder and name, "answers/batch-limit-0"
	SQL      string
	Header   map[string][]string // sent with GetFlightInfo
	Info     Outcome             // of GetFlightInfo
	Messages []Recorded          // of DoGet, the schema first
	End      Outcome             // of DoGet; an empty code: the stream was still open

	FlightInfo *flight.FlightInfo // nil: GetFlightInfo was refused
	Data       []*flight.FlightData
}

// Outcome is how a call ended.
type Outcome struct {
	Code    string `json:"code"` // name of the gRPC code, "OK"; empty: the call was not made or not ended
	Message string `json:"message"`
}

// Recorded is the account of one message.
type Recorded struct {
	Rows     int64  `json:"rows"`
	Metadata string `json:"app_metadata"`
}

// Stream reports whether a stream was asked for.
func (r Recording) Stream() bool { return Query{Header: r.Header}.Stream() }

// Followed is a recorded stream, and the table that it led to.
type Followed struct{ Stream, Final Recording }

// FollowedTables returns the stream of every table that was followed to its end.
func FollowedTables(t testing.TB) []Followed {
	t.Helper()
	recordings := Recordings(t)
	all := map[string]Recording{}
	for _, r := range recordings {
		all[r.Name] = r
	}
	var found []Followed
	for _, r := range recordings {
		folder, name := path.Split(r.Name)
		table, stream := strings.CutPrefix(name, "follow-")
		if !stream {
			continue
		}
		final, recorded := all[folder+"final-"+table]
		if !recorded {
			t.Fatalf("%s has no recording of the table it led to", r.Name)
		}
		found = append(found, Followed{r, final})
	}
	if len(found) == 0 {
		t.Fatal("no stream was recorded")
	}
	return found
}

// Failure is a query of which only the outcome was recorded.
type Failure struct {
	SQL    string
	Info   Outcome
	Before int // messages of DoGet before its end
	End    Outcome
}

// account is what the JSON files hold.
type account struct {
	Query    string     `json:"query"`
	Headers  []string   `json:"headers"` // "name=value"
	Info     Outcome    `json:"get_flight_info"`
	Messages []Recorded `json:"messages"`
	Before   int        `json:"messages_before"`
	End      Outcome    `json:"do_get_end"`
}

// Recordings loads everything that was recorded from a real server, whatever it
// is, from the folder "recorded" in AMPIPE_REAL_DATA. The test is skipped if the
// variable is not set, and fails if it is set and there is nothing.
func Recordings(t testing.TB) []Recording {
	t.Helper()
	var all []Recording
	for _, file := range recordedFiles(t) {
		var a account
		if json.Unmarshal(read(t, file), &a) != nil || a.Query == "" {
			continue // a list of failures or of what was done to the chain
		}
		r, err := recording(file, a)
		if err != nil {
			t.Fatalf("load %s: %v", file, err)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		t.Fatal("AMPIPE_REAL_DATA holds no recordings")
	}
	return all
}

// Failures loads the outcomes of queries that were recorded without their bytes,
// as [Recordings] does, but says only in the test's log that there are none: a
// recording need not have any.
func Failures(t testing.TB) []Failure {
	t.Helper()
	var all []Failure
	for _, file := range recordedFiles(t) {
		var accounts []account
		if json.Unmarshal(read(t, file), &accounts) != nil {
			continue
		}
		for _, a := range accounts {
			all = append(all, Failure{SQL: a.Query, Info: a.Info, Before: a.Before, End: a.End})
		}
	}
	if len(all) == 0 {
		t.Log("AMPIPE_REAL_DATA holds no recorded failures: none was tested")
	}
	return all
}

// Replay answers the recording's query with its bytes. A stream that was still
// open when the recording ended stays open.
func (s *Server) Replay(r Recording) { s.On(r.SQL, r.Answer()) }

// Answer returns the recorded bytes.
func (r Recording) Answer() Answer {
	if err := r.Info.status(); err != nil || r.FlightInfo == nil {
		return Answer{RefuseInfo: err}
	}
	return Answer{recorded: &r, Hold: r.End.Code == "", End: r.End.status()}
}

// Answer returns the recorded outcome, with as many messages before it, of rows that
// are made up.
func (f Failure) Answer() Answer {
	a := Answer{Schema: Schema, RefuseInfo: f.Info.status(), End: f.End.status()}
	switch {
	case a.End == nil:
		a.Parts = Batch(Schema, nil, make([]arrow.RecordBatch, max(f.Before-2, 1))...).Parts
	case f.Before == 0:
		a.RefuseGet = a.End
	default:
		a.Parts = make([]Part, f.Before-1)
	}
	return a
}

// status returns the error of the outcome; nil for OK and for none.
func (o Outcome) status() error {
	if o.Code == "" {
		return nil
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if code.String() == o.Code {
			return Status(code, o.Message)
		}
	}
	return Status(codes.Unknown, fmt.Sprintf("amptest: recorded code %q does not exist", o.Code))
}

func recordedFiles(t testing.TB) []string {
	t.Helper()
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: nothing recorded from a real server was tested")
	}
	var files []string
	err := filepath.WalkDir(filepath.Join(root, "recorded"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".json" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatalf("AMPIPE_REAL_DATA: %v", err)
	}
	return files
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func recording(file string, a account) (Recording, error) {
	base := strings.TrimSuffix(file, ".json")
	r := Recording{
		Name: filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(base),
		SQL:  a.Query, Header: map[string][]string{}, Info: a.Info, Messages: a.Messages, End: a.End,
	}
	for _, header := range a.Headers {
		name, value, _ := strings.Cut(header, "=")
		r.Header[name] = append(r.Header[name], value)
	}
	text, err := os.ReadFile(base + ".pb")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Recording{}, err
	}
	for in := bytes.NewReader(text); in.Len() > 0; {
		if r.FlightInfo == nil {
			r.FlightInfo = &flight.FlightInfo{}
			if err := next(in, text, r.FlightInfo); err != nil {
				return Recording{}, err
			}
			continue
		}
		message := &flight.FlightData{}
		if err := next(in, text, message); err != nil {
			return Recording{}, err
		}
		r.Data = append(r.Data, message)
	}
	if len(r.Data) != len(r.Messages) {
		return Recording{}, fmt.Errorf("%d messages and an account of %d", len(r.Data), len(r.Messages))
	}
	return r, nil
}

// next reads a message that will be sent again as it is: encoding it must give the
// recorded bytes.
func next(in *bytes.Reader, all []byte, into proto.Message) error {
	if err := (protodelim.UnmarshalOptions{MaxSize: -1}).UnmarshalFrom(in, into); err != nil {
		return err
	}
	again, err := proto.Marshal(into)
	if err != nil {
		return err
	}
	if end := len(all) - in.Len(); !bytes.HasSuffix(all[:end], again) {
		return errors.New("a recorded message cannot be sent again byte for byte")
	}
	return nil
}
