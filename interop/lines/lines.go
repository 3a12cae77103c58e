// Package lines is how the test harness and the peers talk: one JSON command a line on standard
// input, one JSON event a line on standard output. Protobuf messages travel as hexadecimal text of
// their wire bytes, so that the harness sees exactly what was on the wire.
package lines

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// commandBytesMax bounds one command line; the largest carries a remote configuration.
const commandBytesMax = 16 << 20

// Event is what a peer reports, beside its name and time.
type Event map[string]any

// Command is what the harness asks for. Each is answered by one event "done" with the same id.
type Command struct {
	ID         uint64 `json:"id"`
	Cmd        string `json:"cmd"`
	UID        string `json:"uid"`
	Raw        string `json:"raw"`
	WithUID    *bool  `json:"with_uid"`
	On         bool   `json:"on"`
	Status     int    `json:"status"`
	RetryAfter int    `json:"retry_after"`
}

var (
	started = time.Now()
	output  sync.Mutex
)

// Emit writes one event. Safe for concurrent use.
func Emit(name string, event Event) {
	if event == nil {
		event = Event{}
	}
	event["event"] = name
	output.Lock()
	defer output.Unlock()
	event["at_ms"] = time.Since(started).Milliseconds()
	line, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		// The harness is gone, and so is the reason to run.
		os.Exit(1)
	}
}

// Serve carries out commands, in order, until standard input ends.
func Serve(handle func(Command) (Event, error)) error {
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, commandBytesMax)
	for scanner.Scan() {
		var command Command
		if err := json.Unmarshal(scanner.Bytes(), &command); err != nil {
			return fmt.Errorf("not a command: %q: %w", scanner.Text(), err)
		}
		event, err := handle(command)
		if event == nil {
			event = Event{}
		}
		event["id"] = command.ID
		event["cmd"] = command.Cmd
		if err != nil {
			event["error"] = err.Error()
		}
		Emit("done", event)
	}
	return scanner.Err()
}

// Message describes a protobuf message: the names of its fields for people, its bytes for the test.
func Message(message proto.Message, raw []byte) Event {
	var fields []string
	message.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, string(field.Name()))
		return true
	})
	return Event{"fields": fields, "raw": hex.EncodeToString(raw)}
}

// Decode reads the message of a command.
func Decode(raw string, message proto.Message) error {
	bytes, err := hex.DecodeString(raw)
	if err != nil {
		return err
	}
	return proto.Unmarshal(bytes, message)
}
