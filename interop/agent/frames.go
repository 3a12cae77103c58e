package main

import (
	"bytes"
	"encoding/binary"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0x0
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// frames reads one direction of a WebSocket connection from the side: the HTTP head, then frames,
// fragments joined. Frames come uncompressed, since the client's setting for compression is off.
type frames struct {
	pending  []byte
	upgraded bool
	message  []byte
	// head, if set, is called with the HTTP head.
	head func(head []byte)
	// whole is called with each complete message, control with each control frame.
	whole   func(payload []byte)
	control func(opcode byte, payload []byte)
}

func (f *frames) feed(data []byte) {
	f.pending = append(f.pending, data...)
	if !f.upgraded {
		end := bytes.Index(f.pending, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		f.upgraded = true
		if f.head != nil {
			f.head(f.pending[:end+4])
		}
		f.pending = f.pending[end+4:]
	}
	for f.next() {
	}
}

// next takes one frame off what is pending, if it is all there.
func (f *frames) next() bool {
	if len(f.pending) < 2 {
		return false
	}
	final, opcode := f.pending[0]&0x80 != 0, f.pending[0]&0x0f
	masked, length := f.pending[1]&0x80 != 0, uint64(f.pending[1]&0x7f)
	at := 2
	switch {
	case length == 126 && len(f.pending) >= 4:
		length, at = uint64(binary.BigEndian.Uint16(f.pending[2:])), 4
	case length == 127 && len(f.pending) >= 10:
		length, at = binary.BigEndian.Uint64(f.pending[2:]), 10
	case length >= 126:
		return false
	}
	var key []byte
	if masked {
		if len(f.pending) < at+4 {
			return false
		}
		key, at = f.pending[at:at+4], at+4
	}
	if uint64(len(f.pending)-at) < length {
		return false
	}
	payload := bytes.Clone(f.pending[at : at+int(length)])
	for i := range key {
		for j := i; j < len(payload); j += len(key) {
			payload[j] ^= key[i]
		}
	}
	f.pending = f.pending[at+int(length):]
	f.take(final, opcode, payload)
	return true
}

func (f *frames) take(final bool, opcode byte, payload []byte) {
	if opcode >= opClose {
		f.control(opcode, payload)
		return
	}
	if opcode != opContinuation {
		f.message = nil
	}
	f.message = append(f.message, payload...)
	if final {
		f.whole(f.message)
		f.message = nil
	}
}
