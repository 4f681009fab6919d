package flightserver

import (
	"context"
	"errors"

	"github.com/ampipe/ampipe/devserver/sqlengine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var kinds = map[sqlengine.Kind]codes.Code{
	sqlengine.Invalid:   codes.InvalidArgument,
	sqlengine.Internal:  codes.Internal,
	sqlengine.Exhausted: codes.ResourceExhausted,
	sqlengine.Unoffered: codes.Unimplemented,
}

// statusOf returns an error the code that a real server would send (AP 6.2).
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	var known interface{ GRPCStatus() *status.Status }
	if errors.As(err, &known) {
		return known.GRPCStatus().Err()
	}
	var refused *sqlengine.Error
	switch {
	case errors.As(err, &refused):
		return status.Error(kinds[refused.Kind], refused.Text)
	case errors.Is(err, errTicket):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	default:
		return status.Error(codes.Internal, err.Error())
	}
}
