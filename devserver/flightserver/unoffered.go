package flightserver

import (
	"context"
	"path"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// unoffered returns what a real server answers to every call but two: UNIMPLEMENTED
// and the name of the call (AP 1.2). It panics in Handshake, which nobody should rely on.
func unoffered(method string) error {
	name := path.Base(method)
	if slices.Contains([]string{"GetFlightInfo", "DoGet"}, name) {
		return nil
	}
	return status.Error(codes.Unimplemented, name)
}

func refuseUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := unoffered(info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func refuseStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := unoffered(info.FullMethod); err != nil {
		return err
	}
	return handle(server, stream)
}
