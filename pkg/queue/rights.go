package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// Rights is what a user may do of what the processes of a pipeline do.
type Rights struct {
	All   bool   // everything
	Only  string // or what one process does, such as "planner"; empty: no more than look
	Lacks error  // if not all: the first request that the server refuses
}

// Rights tries every request that the processes of a pipeline make, without effect:
// a request of JetStream's comes with a body that it cannot read, and a message for a
// stream says that it is for another one. A user that may do some of what several
// processes do, but not all, is an error, which a process would have ended with. aside
// names those of the sinks that put refused rows aside.
func (c *Conn) Rights(ctx context.Context, pipeline string, sinks, aside []string) (Rights, error) {
	if c.server != nil {
		return Rights{All: true}, nil
	}
	t, err := c.dial(nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // LastError has it
	if err != nil {
		return Rights{}, err
	}
	defer c.closeConn(t)
	var r Rights
	var whole []string
	some := false
	roles := append([]role{plannerRole(pipeline), extractorRole(pipeline)}, sinkRoles(pipeline, sinks, aside)...)
	for _, role := range roles {
		lacks, may, err := c.tryRole(ctx, t, role)
		if err != nil {
			return Rights{}, c.classify(ctx, fmt.Errorf("try what the user may do: %w", err))
		}
		some = some || may
		if lacks == nil {
			whole = append(whole, role.name)
		} else if r.Lacks == nil {
			r.Lacks = lacks
		}
	}
	switch {
	case r.Lacks == nil:
		r.All = true
	case len(whole) == 1 && len(roles) > 1:
		r.Only = whole[0]
	case some:
		return r, r.Lacks
	}
	return r, nil
}

// role is what a process asks for.
type role struct {
	name     string
	subjects []string
}

// tryRole returns the first request of a role that the server refuses, explained, and
// whether it allows any.
func (c *Conn) tryRole(ctx context.Context, t *nats.Conn, r role) (lacks error, some bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	last := t.LastError()
	for _, subject := range r.subjects {
		msg := nats.NewMsg(subject)
		msg.Data = []byte("{?") // no JSON, and no answer to a message
		if !strings.HasPrefix(subject, "$JS.") {
			msg.Header.Set(nats.ExpectedStreamHdr, probeStream)
		}
		if err := t.PublishMsg(msg); err != nil {
			return nil, false, err
		}
		// What the server says about it comes before the answer to the ping.
		if err := t.FlushWithContext(ctx); err != nil {
			return nil, false, err
		}
		if now := t.LastError(); now == last || !errors.Is(now, nats.ErrPermissionViolation) {
			some = true
		} else {
			last = now
			if lacks == nil {
				lacks = c.explain(now)
			}
		}
	}
	return lacks, some, nil
}

func plannerRole(pipeline string) role {
	log := logStream + pipeline
	return role{"planner", []string{
		"$JS.API.STREAM.CREATE." + log, "$JS.API.STREAM.UPDATE." + log, "$JS.API.STREAM.PURGE." + log,
		"$JS.API.CONSUMER.CREATE." + taskStream + "." + PartitionTask + "-" + pipeline + "." +
			taskSubject + pipeline + "." + PartitionTask + ".>",
		taskSubject + pipeline + "." + PartitionTask + ".0.0", taskSubject + pipeline + "." + LiveTask + ".chain",
		stateSubject + pipeline + "." + keySpec, stateSubject + pipeline + "." + keyPartition + ".0.0", stateSubject + pipeline + "." + keyLive,
	}}
}

func extractorRole(pipeline string) role {
	tasks := taskStream + "." + PartitionTask + "-" + pipeline
	return role{"extractor", []string{
		"$JS.API.CONSUMER.MSG.NEXT." + tasks, "$JS.ACK." + tasks + ".1.1.1.1.0",
		taskSubject + pipeline + "." + PartitionTask + ".0.0",
		logSubject + pipeline + ".p.0.0", logSubject + pipeline + "." + LiveLane,
		stateSubject + pipeline + "." + keyPartition + ".0.0", stateSubject + pipeline + "." + keyLive,
	}}
}

func sinkRoles(pipeline string, sinks, aside []string) []role {
	var roles []role
	for _, sink := range slices.Sorted(slices.Values(sinks)) {
		r := role{"sink " + sink, []string{stateSubject + pipeline + "." + keySink + "." + sink}}
		for _, lanes := range []Lanes{History, Live} {
			consumer := logStream + pipeline + "." + lanes.durable(sink)
			r.subjects = append(r.subjects,
				"$JS.API.CONSUMER.CREATE."+consumer+"."+lanes.filter(pipeline),
				"$JS.API.CONSUMER.MSG.NEXT."+consumer, "$JS.ACK."+consumer+".1.1.1.1.0")
		}
		if slices.Contains(aside, sink) {
			r.subjects = append(r.subjects, deadSubject+pipeline+"."+sink+".0.0")
		}
		roles = append(roles, r)
	}
	return roles
}
