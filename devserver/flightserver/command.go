package flightserver

import (
	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// statementQuery is compared as it stands (AP 1.2).
const statementQuery = "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"

// command takes the SQL out of a descriptor, the only kind of request there is.
func command(d *flight.FlightDescriptor) (string, error) {
	if d.GetType() != flight.DescriptorCMD {
		return "", status.Errorf(codes.InvalidArgument, "unsupported flight descriptor type: %d", d.GetType())
	}
	var packed anypb.Any
	if err := proto.Unmarshal(d.GetCmd(), &packed); err != nil {
		return "", status.Errorf(codes.InvalidArgument, "ProtocolBuffers decoding error | Caused by: %v", err)
	}
	if packed.GetTypeUrl() != statementQuery {
		return "", status.Errorf(codes.InvalidArgument, "unsupported flight descriptor command: %s", packed.GetTypeUrl())
	}
	var query pb.CommandStatementQuery
	if err := proto.Unmarshal(packed.GetValue(), &query); err != nil {
		return "", status.Errorf(codes.InvalidArgument, "ProtocolBuffers decoding error | Caused by: %v", err)
	}
	return query.GetQuery(), nil
}
