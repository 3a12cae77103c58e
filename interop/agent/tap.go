package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"
	"github.com/open-telemetry/opamp-go/protobufs"
	"google.golang.org/protobuf/proto"

	"seawall/interop/lines"
)

// tap stands between the client library and its sockets. It reports each message as it was on the
// wire (the library's callbacks hide the instance uid, among others) and can hurt the connection.
// Each event of a WebSocket carries the number of its connection, so that a test can count what
// happened on each connection instead of what happened meanwhile.
type tap struct {
	mutex   sync.Mutex
	current *tappedConn
	// stalled is closed when reading may go on; nil while it may.
	stalled chan struct{}
	// losing: the next data frame goes nowhere.
	losing bool
}

// dials numbers the connections that the library asked for, from 1.
var dials atomic.Uint64

// noConnection stands for the number of a connection where plain HTTP carries the message.
const noConnection = 0

type tappedConn struct {
	net.Conn
	tap     *tap
	number  uint64
	in, out frames
	ended   sync.Once
	closed  chan struct{}
}

// tapWebSocket makes every WebSocket of this process a tapped one: the library copies gorilla's
// default dialer.
func tapWebSocket() *tap {
	tap := &tap{}
	websocket.DefaultDialer.Proxy = nil
	websocket.DefaultDialer.NetDialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, number, err := dialNumbered(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tapped := &tappedConn{Conn: conn, tap: tap, number: number, closed: make(chan struct{})}
		tapped.in = frames{head: answered, whole: func(payload []byte) { received(payload, number) }, control: control("in")}
		tapped.out = frames{whole: func(payload []byte) { sent(payload, number) }, control: control("out")}
		tap.mutex.Lock()
		tap.current = tapped
		tap.mutex.Unlock()
		return tapped, nil
	}
	return tap
}

// dial reports each connection that the library asks for, whatever comes of it.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, _, err := dialNumbered(ctx, network, address)
	return conn, err
}

// dialNumbered does the same and returns the connection's number.
func dialNumbered(ctx context.Context, network, address string) (net.Conn, uint64, error) {
	number := dials.Add(1)
	lines.Emit("dial", lines.Event{"conn": number})
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return conn, number, err
}

// answered reports an upgrade that was refused: the library tells its callbacks no more than that it
// failed, not with what answer, and that twice.
func answered(head []byte) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		lines.Emit("complaint", lines.Event{"error": "unreadable answer to an upgrade: " + err.Error()})
	} else if response.StatusCode != http.StatusSwitchingProtocols {
		refused(response)
	}
}

func refused(response *http.Response) {
	lines.Emit("refused", lines.Event{"status": response.StatusCode, "retry_after": response.Header.Get("Retry-After")})
}

// command hurts or heals the connection. A cut returns the number of the connection that it ended.
func (t *tap) command(name string) (lines.Event, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch {
	case name == "cut" && t.current == nil:
		return nil, errors.New("never connected")
	case name == "cut":
		// A reset, as a cable pulled or a process killed leaves it: the server gets no close frame.
		if tcp, ok := t.current.Conn.(*net.TCPConn); ok {
			if err := tcp.SetLinger(0); err != nil {
				return nil, err
			}
		}
		return lines.Event{"conn": t.current.number}, t.current.Conn.Close()
	case name == "lose":
		t.losing = true
	case name == "stall" && t.stalled == nil:
		t.stalled = make(chan struct{})
	case name == "resume" && t.stalled != nil:
		close(t.stalled)
		t.stalled = nil
	}
	return nil, nil
}

// loses says once that a data frame must be lost. A pong or a close frame, which may come at any time
// on a slow machine, goes through.
func (t *tap) loses(data []byte) bool {
	if len(data) > 0 && data[0]&0x0f >= opClose {
		return false
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	losing := t.losing
	t.losing = false
	return losing
}

func (c *tappedConn) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.tap.mutex.Lock()
	stalled := c.tap.stalled
	c.tap.mutex.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-c.closed:
		}
	}
	c.in.feed(buffer[:n])
	if err != nil {
		c.end(err.Error())
	}
	return n, err
}

func (c *tappedConn) Write(data []byte) (int, error) {
	if c.tap.loses(data) {
		lines.Emit("lost", lines.Event{"bytes": len(data)})
		return len(data), nil
	}
	// Reported before it is written, so that it stands in the log before its reply, however the
	// reading and the writing goroutine are scheduled.
	c.out.feed(data)
	return c.Conn.Write(data)
}

func (c *tappedConn) Close() error {
	c.end("closed by the client")
	return c.Conn.Close()
}

func (c *tappedConn) end(reason string) {
	c.ended.Do(func() {
		close(c.closed)
		lines.Emit("disconnected", lines.Event{"reason": reason, "conn": c.number})
	})
}

func control(direction string) func(byte, []byte) {
	return func(opcode byte, payload []byte) {
		switch opcode {
		case opClose:
			code := 0
			if len(payload) >= 2 {
				code = int(binary.BigEndian.Uint16(payload))
			}
			lines.Emit("close_frame", lines.Event{"direction": direction, "code": code})
		case opPing, opPong:
			lines.Emit("ping", lines.Event{"direction": direction, "pong": opcode == opPong})
		}
	}
}

// sent and received report a message. One that has a connection's number came over a WebSocket and
// begins with the header of that transport.
func sent(payload []byte, conn uint64) {
	var message protobufs.AgentToServer
	if event := decode(payload, conn, &message); event != nil {
		event["uid"] = hex.EncodeToString(message.InstanceUid)
		event["seq"] = message.SequenceNum
		lines.Emit("sent", event)
	}
}

func received(payload []byte, conn uint64) {
	var message protobufs.ServerToAgent
	if event := decode(payload, conn, &message); event != nil {
		event["uid"] = hex.EncodeToString(message.InstanceUid)
		lines.Emit("received", event)
	}
}

func decode(payload []byte, conn uint64, message proto.Message) lines.Event {
	header := conn != noConnection && len(payload) > 0 && payload[0] == 0
	body := payload
	if header {
		body = payload[1:]
	}
	if err := proto.Unmarshal(body, message); err != nil {
		lines.Emit("complaint", lines.Event{"error": "undecodable message: " + err.Error()})
		return nil
	}
	event := lines.Message(message, body)
	event["header"] = header
	if conn != noConnection {
		event["conn"] = conn
	}
	return event
}

// roundTripper is the tap of the plain-HTTP transport.
type roundTripper struct{ inner http.RoundTripper }

// tapHTTP replaces the default transport, which the library's client falls back to if it is not
// the standard type.
func tapHTTP() {
	inner := http.DefaultTransport.(*http.Transport).Clone()
	inner.DialContext = dial
	http.DefaultTransport = roundTripper{inner: inner}
}

func (t roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	if request.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gunzip(body); err != nil {
			return nil, err
		}
	}
	sent(body, noConnection)
	response, err := t.inner.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if body, err = io.ReadAll(response.Body); err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if response.StatusCode == http.StatusOK {
		received(body, noConnection)
	} else {
		refused(response)
	}
	return response, nil
}

func gunzip(data []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
