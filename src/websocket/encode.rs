//! Writes frames at the end of a buffer, so that many make one write.
//!
//! A message may be written straight behind the room for its header, which is filled in afterwards:
//! each byte is copied once. What messages mean is left to the caller.

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::mask::apply_mask;

/// The byte in front of each OpAMP message (`opamp::header::HEADER`; its own constant here, because modules of
/// one rank stay apart).
const OPAMP_HEADER: u8 = 0;

/// A message that is being written; see [`begin_message`].
#[derive(Debug)]
#[must_use = "the frame has no header until it is finished"]
pub struct OpenFrame {
    start: usize,
    reserved: usize,
    mask: Option<[u8; 4]>,
}

/// Begins a binary message at the end of `out`, the OpAMP header byte included: what the caller
/// appends until [`finish_message`] is the message.
///
/// `mask` is empty at the server's end; at the client's end it must be random, and new for each frame (RFC
/// 6455, section 5.3). `expected_bytes` is about how long the message will be: if it is in
/// the right class (up to 124 bytes, up to 65,534, more) all bytes stay where they were written.
pub fn begin_message(mask: Option<[u8; 4]>, expected_bytes: usize, out: &mut Vec<u8>) -> OpenFrame {
    let start = out.len();
    let reserved = header(OpCode::Data(Data::Binary), mask).len(expected_bytes as u64 + 1);
    out.reserve(reserved + 1 + expected_bytes);
    out.resize(start + reserved, 0);
    out.push(OPAMP_HEADER);
    OpenFrame { start, reserved, mask }
}

/// Ends a message that [`begin_message`] began in the same buffer.
pub fn finish_message(open: OpenFrame, out: &mut Vec<u8>) {
    let OpenFrame { start, reserved, mask } = open;
    let header = header(OpCode::Data(Data::Binary), mask);
    let payload = start + reserved..out.len();
    let length = payload.len();
    let needed = header.len(length as u64);
    if needed > reserved {
        out.resize(start + needed + length, 0);
    }
    out.copy_within(payload, start + needed);
    out.truncate(start + needed + length);
    let (head, payload) = out[start..].split_at_mut(needed);
    format(&header, length, head);
    if let Some(mask) = mask {
        apply_mask(payload, mask, 0);
    }
}

/// Appends a whole binary message, unmasked, as a server sends it; with the OpAMP header byte in
/// front of the payload if `with_header` is set.
pub fn encode_message(with_header: bool, payload: &[u8], out: &mut Vec<u8>) {
    let header = header(OpCode::Data(Data::Binary), None);
    let length = payload.len() + usize::from(with_header);
    let start = out.len();
    let needed = header.len(length as u64);
    out.reserve(needed + length);
    out.resize(start + needed, 0);
    format(&header, length, &mut out[start..]);
    if with_header {
        out.push(OPAMP_HEADER);
    }
    out.extend_from_slice(payload);
}

/// Appends a ping; `mask` as for [`begin_message`]. A payload beyond 125 bytes is cut.
pub fn encode_ping(mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Control::Ping, mask, payload, out);
}

/// Appends a pong, with the payload of the ping that it answers; `mask` as for [`begin_message`].
pub fn encode_pong(mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Control::Pong, mask, payload, out);
}

/// Appends a close frame with a code alone (RFC 6455, section 7.4), its text left out; `mask` as for
/// [`begin_message`].
pub fn encode_close(mask: Option<[u8; 4]>, code: u16, out: &mut Vec<u8>) {
    encode_control(Control::Close, mask, &code.to_be_bytes(), out);
}

fn encode_control(control: Control, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(125)];
    let header = header(OpCode::Control(control), mask);
    let start = out.len();
    let needed = header.len(payload.len() as u64);
    out.resize(start + needed, 0);
    format(&header, payload.len(), &mut out[start..]);
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[start + needed..], mask, 0);
    }
}

fn header(opcode: OpCode, mask: Option<[u8; 4]>) -> FrameHeader {
    FrameHeader { is_final: true, opcode, mask, ..FrameHeader::default() }
}

fn format(header: &FrameHeader, length: usize, mut room: &mut [u8]) {
    header.format(length as u64, &mut room).expect("the room was measured for this header");
}

#[cfg(test)]
mod tests;
