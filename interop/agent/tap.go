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

	"github.com/gorilla/websocket"
	"github.com/open-telemetry/opamp-go/protobufs"
	"google.golang.org/protobuf/proto"

	"seawall/interop/lines"
)

// tap stands between the client library and its sockets. It reports each message as it was on the
// wire (the library's callbacks hide the instance uid, among others) and can hurt the connection.
type tap struct {
	mutex   sync.Mutex
	current *tappedConn
	// stalled is closed when reading may go on; nil while it may.
	stalled chan struct{}
	// losing: the next write goes nowhere.
	losing bool
}

type tappedConn struct {
	net.Conn
	tap     *tap
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
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tapped := &tappedConn{Conn: conn, tap: tap, closed: make(chan struct{})}
		tapped.in = frames{head: answered, whole: func(payload []byte) { received(payload, true) }, control: control("in")}
		tapped.out = frames{whole: func(payload []byte) { sent(payload, true) }, control: control("out")}
		tap.mutex.Lock()
		tap.current = tapped
		tap.mutex.Unlock()
		return tapped, nil
	}
	return tap
}

// dial reports each connection that the library asks for, whatever comes of it.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	lines.Emit("dial", nil)
	return (&net.Dialer{}).DialContext(ctx, network, address)
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

func (t *tap) command(name string) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch {
	case name == "cut" && t.current == nil:
		return errors.New("never connected")
	case name == "cut":
		// A reset, as a cable pulled or a process killed leaves it; not a close frame.
		if tcp, ok := t.current.Conn.(*net.TCPConn); ok {
			if err := tcp.SetLinger(0); err != nil {
				return err
			}
		}
		return t.current.Conn.Close()
	case name == "lose":
		t.losing = true
	case name == "stall" && t.stalled == nil:
		t.stalled = make(chan struct{})
	case name == "resume" && t.stalled != nil:
		close(t.stalled)
		t.stalled = nil
	}
	return nil
}

// loses says once that a write is to be lost.
func (t *tap) loses() bool {
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
	if c.tap.loses() {
		lines.Emit("lost", lines.Event{"bytes": len(data)})
		return len(data), nil
	}
	n, err := c.Conn.Write(data)
	c.out.feed(data[:n])
	return n, err
}

func (c *tappedConn) Close() error {
	c.end("closed by the client")
	return c.Conn.Close()
}

func (c *tappedConn) end(reason string) {
	c.ended.Do(func() {
		close(c.closed)
		lines.Emit("disconnected", lines.Event{"reason": reason})
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

// sent and received report a message; framed ones begin with the header of the WebSocket transport.
func sent(payload []byte, framed bool) {
	var message protobufs.AgentToServer
	if event := decode(payload, framed, &message); event != nil {
		event["uid"] = hex.EncodeToString(message.InstanceUid)
		event["seq"] = message.SequenceNum
		lines.Emit("sent", event)
	}
}

func received(payload []byte, framed bool) {
	var message protobufs.ServerToAgent
	if event := decode(payload, framed, &message); event != nil {
		event["uid"] = hex.EncodeToString(message.InstanceUid)
		lines.Emit("received", event)
	}
}

func decode(payload []byte, framed bool, message proto.Message) lines.Event {
	header := framed && len(payload) > 0 && payload[0] == 0
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
	sent(body, false)
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
		received(body, false)
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
