package main

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
	"google.golang.org/protobuf/proto"

	"seawall/interop/lines"
)

// command carries out one command of the harness.
func (f *fleet) command(command lines.Command) (lines.Event, error) {
	switch command.Cmd {
	case "push":
		return f.push(command)
	case "queue":
		return nil, f.queue(command)
	case "state":
		return f.state(command)
	case "agents":
		return f.list(), nil
	case "cut":
		return f.cut(), nil
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	switch command.Cmd {
	case "silence":
		f.silent = command.On
	case "accept_and_close":
		f.acceptAndClose = command.On
	case "refuse":
		f.refuseStatus, f.retryAfter = command.Status, command.RetryAfter
	default:
		return nil, fmt.Errorf("unknown command %q", command.Cmd)
	}
	return nil, nil
}

// find looks up an agent and reads the message meant for it.
func (f *fleet) find(command lines.Command) (*agent, *protobufs.ServerToAgent, error) {
	f.mutex.Lock()
	record := f.agents[command.UID]
	f.mutex.Unlock()
	if record == nil {
		return nil, nil, fmt.Errorf("no agent %s", command.UID)
	}
	message := &protobufs.ServerToAgent{}
	return record, message, lines.Decode(command.Raw, message)
}

// push sends now; a plain-HTTP agent gets the message with its next reply.
func (f *fleet) push(command lines.Command) (lines.Event, error) {
	record, message, err := f.find(command)
	if err != nil {
		return nil, err
	}
	withUID := f.pushUID
	if command.WithUID != nil {
		withUID = *command.WithUID
	}
	if withUID {
		message.InstanceUid = record.uid
	}
	f.mutex.Lock()
	conn := record.conn
	f.mutex.Unlock()
	err = conn.Send(context.Background(), message)
	if errors.Is(err, server.ErrInvalidHTTPConnection) {
		return lines.Event{"queued": true}, f.queue(command)
	}
	return nil, err
}

// queue keeps a message for the agent's next reply.
func (f *fleet) queue(command lines.Command) error {
	record, message, err := f.find(command)
	if err != nil {
		return err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	record.queue = append(record.queue, message)
	return nil
}

// state tells what the server believes about an agent.
func (f *fleet) state(command lines.Command) (lines.Event, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	record := f.agents[command.UID]
	if record == nil {
		return lines.Event{"known": false}, nil
	}
	raw, err := proto.Marshal(record.state)
	if err != nil {
		return nil, err
	}
	event := lines.Message(record.state, raw)
	event["known"], event["seq"], event["conn"] = true, record.seq, record.link.id
	return event, nil
}

func (f *fleet) list() lines.Event {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	uids := make([]string, 0, len(f.agents))
	for uid := range f.agents {
		uids = append(uids, uid)
	}
	sort.Strings(uids)
	return lines.Event{"uids": uids}
}

// cut closes every WebSocket without a close frame.
func (f *fleet) cut() lines.Event {
	f.mutex.Lock()
	connections := make([]types.Connection, 0, len(f.connections))
	for _, conn := range f.connections {
		connections = append(connections, conn)
	}
	f.mutex.Unlock()
	for _, conn := range connections {
		_ = conn.Disconnect()
	}
	return lines.Event{"connections": len(connections)}
}
