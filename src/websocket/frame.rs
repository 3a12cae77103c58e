//! A frame's header, read and judged before a byte of its payload is stored (RFC 6455, section 5.2).
//!
//! Knows of the message that the frame belongs to only what [`Context`] says.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{Fault, Role};

/// The longest frame header: two bytes, eight of length, four of mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Data,
    Ping,
    Pong,
    Close,
}

/// A frame whose header has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) is_final: bool,
    pub(super) mask: Option<[u8; 4]>,
    /// Payload bytes taken in so far.
    pub(super) taken: usize,
    /// Payload bytes still to come.
    pub(super) missing: usize,
}

/// Where in the stream a frame stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// This end's role, which says whether the peer must mask.
    pub(super) role: Role,
    /// Whether a fragmented message is under way.
    pub(super) fragmented: bool,
    /// How many bytes the message may still have.
    pub(super) room: usize,
}

impl Frame {
    /// Reads the header at the beginning of `bytes`; also says how long it is. empty while it is
    /// incomplete.
    ///
    /// # Errors
    /// What is wrong with the frame; the longest header suffices to tell.
    pub(super) fn read(bytes: &[u8], context: Context) -> Result<Option<(Self, usize)>, Fault> {
        let mut cursor = Cursor::new(&bytes[..bytes.len().min(HEADER_BYTES_MAX)]);
        // The only error that reading from memory can meet is an undefined opcode.
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Fault::Opcode)?;
        let Some((header, length)) = parsed else { return Ok(None) };
        let header_bytes = usize::try_from(cursor.position()).unwrap_or(HEADER_BYTES_MAX);
        let shortest = match bytes[1] & 0x7f {
            126 => length >= 126,
            127 => length > u64::from(u16::MAX),
            _ => true,
        };
        if !shortest {
            return Err(Fault::LengthNotMinimal);
        }
        Self::judge(&header, length, context).map(|frame| Some((frame, header_bytes)))
    }

    fn judge(header: &FrameHeader, length: u64, context: Context) -> Result<Self, Fault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::ReservedBits);
        }
        match (context.role, header.mask) {
            (Role::Server, None) => return Err(Fault::Unmasked),
            (Role::Client, Some(_)) => return Err(Fault::Masked),
            _ => {}
        }
        let kind = match header.opcode {
            OpCode::Control(control) => judge_control(control, header.is_final, length)?,
            OpCode::Data(data) => judge_data(data, context.fragmented)?,
        };
        let room = if kind == FrameKind::Data { context.room } else { usize::MAX };
        let missing =
            usize::try_from(length).ok().filter(|length| *length <= room).ok_or(Fault::TooBig)?;
        Ok(Self { kind, is_final: header.is_final, mask: header.mask, taken: 0, missing })
    }
}

const fn judge_control(control: Control, is_final: bool, length: u64) -> Result<FrameKind, Fault> {
    if !is_final {
        return Err(Fault::ControlFragmented);
    }
    if length > CONTROL_BYTES_MAX {
        return Err(Fault::ControlTooLong);
    }
    match control {
        Control::Close => Ok(FrameKind::Close),
        Control::Ping => Ok(FrameKind::Ping),
        Control::Pong => Ok(FrameKind::Pong),
        Control::Reserved(_) => Err(Fault::Opcode),
    }
}

const fn judge_data(data: Data, fragmented: bool) -> Result<FrameKind, Fault> {
    match (data, fragmented) {
        (Data::Reserved(_), _) => Err(Fault::Opcode),
        (Data::Text, false) => Err(Fault::Text),
        (Data::Continue, false) => Err(Fault::Continuation),
        (Data::Text | Data::Binary, true) => Err(Fault::Interleaved),
        (Data::Binary, false) | (Data::Continue, true) => Ok(FrameKind::Data),
    }
}

/// The code of a close frame (RFC 6455, sections 5.5.1 and 7.4).
///
/// # Errors
/// If the payload is one byte, the code is one that peers must keep to themselves, or the reason is not UTF-8.
pub(super) fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => {
                std::str::from_utf8(reason).map_err(|_| Fault::CloseReason).map(|_| Some(code))
            }
            _ => Err(Fault::CloseCode),
        },
        [_] => Err(Fault::CloseCode),
    }
}
