// Package recorded reads what was recorded from a running Amp server, so that
// tests can hold the development server against it. A recording is a pair of
// files: NAME.json says what was asked and how it ended, NAME.pb holds the
// messages: varint-delimited protobuf, a FlightInfo and then every FlightData.
package recorded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"
)

// Recording is one query and its answer.
type Recording struct {
	Name    string
	Query   string
	Headers []string  // of GetFlightInfo, as name=value
	Info    Status    `json:"get_flight_info"`
	Log     []Message `json:"messages"`
	End     Status    `json:"do_get_end"`
	// Before is, in a list of errors, how many messages came before the end.
	Before int `json:"messages_before"`

	// FlightInfo and Data are nil if there were none.
	FlightInfo *flight.FlightInfo   `json:"-"`
	Data       []*flight.FlightData `json:"-"`
}

// Status is how a call ended; an empty code means that it was not made, or had
// not ended when the recording stopped.
type Status struct{ Code, Message string }

// Message is the summary of a FlightData.
type Message struct {
	Rows     int
	Metadata string `json:"app_metadata"`
}

// Folder reads every recording of a folder whose name matches a pattern. A file
// that holds a list is something else and left out.
func Folder(dir, pattern string) ([]Recording, error) {
	paths, err := filepath.Glob(filepath.Join(dir, pattern+".json"))
	if err != nil {
		return nil, err
	}
	var out []Recording
	for _, path := range paths {
		r, err := read(path)
		if list := new(json.UnmarshalTypeError); errors.As(err, &list) && list.Value == "array" && list.Field == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read recording %s: %w", path, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Errors reads a list of queries that mostly fail.
func Errors(path string) ([]Recording, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []Recording
	return out, json.Unmarshal(text, &out)
}

func read(path string) (Recording, error) {
	r := Recording{Name: strings.TrimSuffix(filepath.Base(path), ".json")}
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	raw, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".pb")
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	for len(raw) > 0 {
		size, n := binary.Uvarint(raw)
		if n <= 0 || size > uint64(len(raw)-n) {
			return r, errors.New("a message is cut off")
		}
		body := raw[n : n+int(size)]
		raw = raw[n+int(size):]
		if r.FlightInfo == nil {
			r.FlightInfo = new(flight.FlightInfo)
			err = proto.Unmarshal(body, r.FlightInfo)
		} else {
			message := new(flight.FlightData)
			err = proto.Unmarshal(body, message)
			r.Data = append(r.Data, message)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}
