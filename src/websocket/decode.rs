//! From bytes as they were read to whole messages.
//!
//! A message that stands whole and unfragmented in what was read is unmasked in place and handed out as it
//! stands; only incomplete ones are copied and stored. Memory follows what has arrived, whatever a peer has
//! announced. Sockets, time and what messages mean are left to the caller.

use std::ops::Range;

use super::frame::{Context, Frame, FrameKind, HEADER_BYTES_MAX, close_code};
use super::mask::apply_mask;
use super::{Fault, Role};

/// Empty fragments accepted in one message. All others bring a byte at least, so that the limit on
/// the message bounds them.
const EMPTY_FRAGMENTS_MAX: u8 = 64;
/// The longest message that is passed over: one that does not end must not keep others from being read.
const PASSED_OVER_MAX: usize = 1 << 30;
/// What is stored of a message that is passed over.
const HEAD_BYTES_MAX: usize = 64;
/// The first buffer of an incomplete message, unless the message is shorter.
const BUFFER_BYTES_MIN: usize = 1024;

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole binary message, its fragments joined.
    Message(&'a [u8]),
    /// A message over the limit, which was not stored; from a decoder that [`Decoder::passing_over`] made.
    PassedOver {
        /// How it begins.
        head: &'a [u8],
        /// Its size.
        bytes: u64,
    },
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer closes; with its code, if it gave one. What follows is ignored, as is the text that may come
    /// with the code.
    Close(Option<u16>),
}

/// Takes in what a peer sends. 16 bytes between messages.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    closed: bool,
    discards: bool,
    passes_over: bool,
    partial: Option<Box<Partial>>,
}

/// What is stored of an incomplete frame or message.
#[derive(Debug, Default)]
struct Partial {
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    frame: Option<Frame>,
    /// A data frame has begun, and more of its message follow.
    fragmented: bool,
    empty_fragments: u8,
    /// The message is over the limit: its head alone is stored. How long it is so far.
    over_limit: Option<u64>,
    message: Vec<u8>,
    control: Vec<u8>,
    handed_out: Option<FrameKind>,
}

/// Where the payload of something complete stands.
enum PayloadPlace {
    Input(Range<usize>),
    Stored,
}

impl Decoder {
    /// A decoder for a connection whose handshake is done.
    pub const fn new(role: Role) -> Self {
        Self { role, closed: false, discards: false, passes_over: false, partial: None }
    }

    /// Messages over the limit are no fault: they are read and not stored, and others follow. Those over a gibibyte are
    /// one.
    #[must_use]
    pub fn passing_over(self) -> Self {
        Self { passes_over: true, ..self }
    }

    /// Takes in `input` from `position` on and returns the next thing that is complete.
    ///
    /// Call it until it returns empty; by then all of `input` has been taken in, and the buffer may be used
    /// again. `limit` is the most bytes that a message may have, the OpAMP header
    /// included; it may change from call to call.
    ///
    /// # Errors
    /// What the peer did wrong; the connection must be closed with [`Fault::close_code`].
    pub fn feed<'a>(
        &'a mut self,
        input: &'a mut [u8],
        position: &mut usize,
        limit: usize,
    ) -> Result<Option<Incoming<'a>>, Fault> {
        self.release();
        let next = self.advance(input, position, limit).and_then(|next| {
            next.map(|(kind, place)| self.hand_out(kind, place, input)).transpose()
        });
        match next {
            Err(fault) => {
                self.close();
                Err(fault)
            }
            Ok(None) => Ok(None),
            Ok(Some(Complete::Close(code))) => {
                self.close();
                *position = input.len();
                Ok(Some(Incoming::Close(code)))
            }
            Ok(Some(Complete::Input(kind, range))) => Ok(Some(incoming(kind, &input[range]))),
            Ok(Some(Complete::Stored(kind))) => {
                let partial = self.partial.as_deref();
                let bytes = partial.map_or(&[][..], |partial| partial.payload(kind));
                let over = partial.filter(|_| kind == FrameKind::Data).and_then(|it| it.over_limit);
                Ok(Some(match over {
                    Some(total) => Incoming::PassedOver { head: bytes, bytes: total },
                    None => incoming(kind, bytes),
                }))
            }
        }
    }

    /// Bytes held for what is incomplete; what counts against a budget.
    pub fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            size_of::<Partial>() + partial.message.capacity() + partial.control.capacity()
        })
    }

    /// From here on messages are read and not stored, and what is stored of one is given back: only control frames
    /// count after this side's Close (RFC 6455, section 1.4). A message that came in pieces is handed out empty.
    pub fn discard_messages(&mut self) {
        self.discards = true;
        if let Some(partial) = &mut self.partial {
            partial.message = Vec::new();
        }
    }

    /// Whether the stream stands between two messages.
    pub const fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    fn close(&mut self) {
        self.closed = true;
        self.partial = None;
    }

    /// Lets go of what the previous call handed out.
    fn release(&mut self) {
        let Some(partial) = &mut self.partial else { return };
        match partial.handed_out.take() {
            None => return,
            Some(FrameKind::Data) => {
                partial.message = Vec::new();
                partial.over_limit = None;
                partial.fragmented = false;
                partial.empty_fragments = 0;
            }
            Some(_) => partial.control = Vec::new(),
        }
        self.drop_if_idle();
    }

    fn drop_if_idle(&mut self) {
        self.partial.take_if(|partial| partial.is_idle());
    }

    /// Checks what is complete, and notes what has to be released later.
    fn hand_out(
        &mut self,
        kind: FrameKind,
        place: PayloadPlace,
        input: &[u8],
    ) -> Result<Complete, Fault> {
        if kind == FrameKind::Close {
            let bytes = match &place {
                PayloadPlace::Input(range) => &input[range.clone()],
                PayloadPlace::Stored => {
                    self.partial.as_ref().map_or(&[][..], |partial| partial.payload(kind))
                }
            };
            return close_code(bytes).map(Complete::Close);
        }
        match place {
            PayloadPlace::Input(range) => Ok(Complete::Input(kind, range)),
            PayloadPlace::Stored => {
                if let Some(partial) = &mut self.partial {
                    partial.handed_out = Some(kind);
                }
                Ok(Complete::Stored(kind))
            }
        }
    }

    /// Goes on until something is complete or the input is used up. Each turn uses up a header or
    /// ends the input, so that the work is bounded by the input.
    fn advance(
        &mut self,
        input: &mut [u8],
        position: &mut usize,
        limit: usize,
    ) -> Result<Option<(FrameKind, PayloadPlace)>, Fault> {
        loop {
            if self.closed {
                *position = input.len();
                return Ok(None);
            }
            let unfinished = self.partial.as_mut().and_then(|partial| partial.frame.take());
            let mut frame = match unfinished {
                Some(frame) => frame,
                None => match self.next_header(input, position, limit)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let length = frame.missing.min(input.len() - *position);
            let range = *position..*position + length;
            *position = range.end;
            let piece = &mut input[range.clone()];
            if let Some(mask) = frame.mask {
                apply_mask(piece, mask, frame.taken);
            }
            let joined = self.partial.as_ref().is_some_and(|partial| {
                partial.fragmented || frame.kind == FrameKind::Data && partial.over_limit.is_some()
            });
            let whole = frame.taken == 0 && length == frame.missing;
            if whole && (frame.kind != FrameKind::Data || (frame.is_final && !joined)) {
                self.drop_if_idle();
                return Ok(Some((frame.kind, PayloadPlace::Input(range))));
            }
            let partial = self.partial.get_or_insert_default();
            if !self.discards || frame.kind != FrameKind::Data {
                partial.append(&frame, piece);
            }
            frame.taken += length;
            frame.missing -= length;
            if frame.missing > 0 {
                partial.frame = Some(frame);
                return Ok(None);
            }
            if frame.kind != FrameKind::Data || frame.is_final {
                return Ok(Some((frame.kind, PayloadPlace::Stored)));
            }
            partial.fragmented = true;
        }
    }

    /// Reads a frame's header, which may have begun in an earlier input.
    fn next_header(
        &mut self,
        input: &[u8],
        position: &mut usize,
        limit: usize,
    ) -> Result<Option<Frame>, Fault> {
        let fresh = &input[*position..];
        if fresh.is_empty() {
            return Ok(None);
        }
        let (held, stored, fragmented) = self.partial.as_ref().map_or((0, 0, false), |partial| {
            (partial.header_bytes, partial.message.len(), partial.fragmented)
        });
        let mut joined = [0; HEADER_BYTES_MAX];
        let (bytes, copied) = if held == 0 {
            (fresh, fresh.len())
        } else {
            let copied = fresh.len().min(HEADER_BYTES_MAX - held);
            if let Some(partial) = &self.partial {
                joined[..held].copy_from_slice(&partial.header[..held]);
            }
            joined[held..held + copied].copy_from_slice(&fresh[..copied]);
            (&joined[..held + copied], copied)
        };
        let room = limit.saturating_sub(stored);
        let context = Context { role: self.role, fragmented, room: self.room_asked(room) };
        let Some((frame, header_bytes)) = Frame::read(bytes, context)? else {
            *position += copied;
            let partial = self.partial.get_or_insert_default();
            partial.header[..bytes.len()].copy_from_slice(bytes);
            partial.header_bytes = bytes.len();
            return Ok(None);
        };
        *position += header_bytes - held;
        if let Some(partial) = &mut self.partial {
            partial.header_bytes = 0;
        }
        if frame.kind == FrameKind::Data && frame.missing > room {
            self.partial.get_or_insert_default().goes_over_limit();
        }
        if frame.kind == FrameKind::Data && frame.missing == 0 && !frame.is_final {
            let partial = self.partial.get_or_insert_default();
            partial.empty_fragments += 1;
            if partial.empty_fragments > EMPTY_FRAGMENTS_MAX {
                return Err(Fault::EmptyFragments);
            }
        }
        Ok(Some(frame))
    }
}

impl Decoder {
    /// How long the next data frame may be, where this much is left of the limit.
    fn room_asked(&self, room: usize) -> usize {
        let over = self.partial.as_ref().and_then(|partial| partial.over_limit);
        match over.map(usize::try_from) {
            _ if !self.passes_over => room,
            None => PASSED_OVER_MAX.max(room),
            Some(over) => PASSED_OVER_MAX.saturating_sub(over.unwrap_or(usize::MAX)),
        }
    }
}

/// What [`Decoder::feed`] is about to return, before it borrows the bytes.
enum Complete {
    Close(Option<u16>),
    Input(FrameKind, Range<usize>),
    Stored(FrameKind),
}

impl Partial {
    /// The message is over the limit from here on.
    fn goes_over_limit(&mut self) {
        if self.over_limit.is_none() {
            self.over_limit = Some(self.message.len() as u64);
            self.message.truncate(HEAD_BYTES_MAX);
            self.message.shrink_to_fit();
        }
    }

    const fn is_idle(&self) -> bool {
        self.header_bytes == 0
            && self.frame.is_none()
            && !self.fragmented
            && self.over_limit.is_none()
            && self.message.is_empty()
            && self.control.is_empty()
    }

    fn payload(&self, kind: FrameKind) -> &[u8] {
        if kind == FrameKind::Data { &self.message } else { &self.control }
    }

    /// Stores a piece of the frame. The buffer grows by doubling, up to the frame's end: it is at most twice
    /// what has arrived, save for the first kilobyte.
    fn append(&mut self, frame: &Frame, piece: &[u8]) {
        if frame.kind == FrameKind::Data
            && let Some(total) = &mut self.over_limit
        {
            *total += piece.len() as u64;
            let room = HEAD_BYTES_MAX.saturating_sub(self.message.len()).min(piece.len());
            self.message.extend_from_slice(&piece[..room]);
            return;
        }
        let buffer =
            if frame.kind == FrameKind::Data { &mut self.message } else { &mut self.control };
        let needed = buffer.len() + piece.len();
        if needed > buffer.capacity() {
            let frame_end = buffer.len() + frame.missing;
            let doubled = needed.max(buffer.len() * 2).max(BUFFER_BYTES_MIN);
            // The end of a fragmented message is unknown: the next fragment needs space as well.
            let target = if frame.is_final { doubled.min(frame_end) } else { doubled };
            buffer.reserve_exact(target - buffer.len());
        }
        buffer.extend_from_slice(piece);
    }
}

fn incoming(kind: FrameKind, bytes: &[u8]) -> Incoming<'_> {
    match kind {
        FrameKind::Data => Incoming::Message(bytes),
        FrameKind::Ping => Incoming::Ping(bytes),
        FrameKind::Pong => Incoming::Pong(bytes),
        FrameKind::Close => Incoming::Close(None),
    }
}

#[cfg(test)]
mod tests;
