package amp

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/grpclog"
)

// LogTo passes on what the gRPC library would print to standard error by itself: errors
// as serious, warnings as not, since it warns of each attempt to connect. It has to be
// called before anything is opened.
func LogTo(fn func(serious bool, text string)) { grpclog.SetLoggerV2(grpcLogger(fn)) }

// grpcLogger is a [grpclog.LoggerV2].
type grpcLogger func(serious bool, text string)

func (grpcLogger) Info(...any)          {}
func (grpcLogger) Infoln(...any)        {}
func (grpcLogger) Infof(string, ...any) {}

func (l grpcLogger) Warning(args ...any)            { l(false, fmt.Sprint(args...)) }
func (l grpcLogger) Warningln(args ...any)          { l(false, strings.TrimSpace(fmt.Sprintln(args...))) }
func (l grpcLogger) Warningf(f string, args ...any) { l(false, fmt.Sprintf(f, args...)) }
func (l grpcLogger) Error(args ...any)              { l(true, fmt.Sprint(args...)) }
func (l grpcLogger) Errorln(args ...any)            { l(true, strings.TrimSpace(fmt.Sprintln(args...))) }
func (l grpcLogger) Errorf(f string, args ...any)   { l(true, fmt.Sprintf(f, args...)) }

// The library ends the process itself after a fatal line.

func (l grpcLogger) Fatal(args ...any)            { l.Error(args...) }
func (l grpcLogger) Fatalln(args ...any)          { l.Errorln(args...) }
func (l grpcLogger) Fatalf(f string, args ...any) { l.Errorf(f, args...) }

// V reports that nothing more than warnings is wanted.
func (grpcLogger) V(int) bool { return false }
