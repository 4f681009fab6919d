package flightserver

import (
	"encoding/json"
	"strings"

	"google.golang.org/grpc/metadata"
)

// streamHeader reads amp-stream: true and 1, false and 0 in any case decide;
// anything else leaves it to the query (AP 1.4).
func streamHeader(md metadata.MD, bySQL bool) bool {
	for _, value := range md.Get("amp-stream") {
		switch strings.ToLower(value) {
		case "true", "1":
			return true
		case "false", "0":
			return false
		}
	}
	return bySQL
}

// resumeHeader reads amp-resume. What does not parse is as good as absent: that
// is what a real server does, however unkind (AP 1.4, 3.4).
func resumeHeader(md metadata.MD) map[string]Place {
	for _, value := range md.Get("amp-resume") {
		var fields map[string]map[string]json.RawMessage
		if json.Unmarshal([]byte(value), &fields) != nil {
			continue
		}
		cursor := make(map[string]Place, len(fields))
		for network, place := range fields {
			var p Place
			if json.Unmarshal(place["number"], &p.Number) != nil || json.Unmarshal(place["hash"], &p.Hash) != nil {
				return nil
			}
			cursor[network] = p
		}
		return cursor
	}
	return nil
}
