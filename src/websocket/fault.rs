//! What a peer can do wrong on an open WebSocket, and the close code that tells it. Always the peer's
//! fault; the connection ends.

/// Why a connection must be closed. After a fault the decoder ignores all that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A client's frame that lacks a mask.
    #[error("a frame from the client is not masked")]
    Unmasked,
    /// A server's frame with a mask.
    #[error("a frame from the server is masked")]
    Masked,
    /// A reserved bit is set, although extensions were declined.
    #[error("a frame has a reserved bit set")]
    ReservedBits,
    /// An opcode that is unknown to RFC 6455.
    #[error("a frame has an unknown opcode")]
    Opcode,
    /// A control frame that is only a part of its message.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A control frame with more than 125 bytes.
    #[error("a control frame has more than 125 bytes")]
    ControlTooLong,
    /// A continuation frame between two messages.
    #[error("a continuation frame continues nothing")]
    Continuation,
    /// A new message within a fragmented one.
    #[error("a new message begins within a fragmented one")]
    Interleaved,
    /// A close frame whose code is incomplete or forbidden.
    #[error("a close frame has an invalid code")]
    CloseCode,
    /// A close frame whose reason is not UTF-8.
    #[error("a close frame has a reason that is not UTF-8")]
    CloseReason,
    /// A length in more bytes than it needs.
    #[error("a frame's length is not written in the fewest bytes")]
    LengthNotMinimal,
    /// A text message: OpAMP's are binary.
    #[error("a text message; OpAMP messages are binary")]
    Text,
    /// A message that would exceed the limit; known from the frame's header, before its payload.
    #[error("a message exceeds the limit")]
    TooBig,
    /// A message with too many empty fragments: each costs work and brings zero bytes.
    #[error("a message has too many empty fragments")]
    EmptyFragments,
}

impl Fault {
    /// The code for the close frame that answers the fault (RFC 6455, section 7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::CloseReason => 1007,
            Self::EmptyFragments => 1008,
            Self::TooBig => 1009,
            _ => 1002,
        }
    }

    /// A label for metrics; one of a fixed few.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text_message",
            Self::EmptyFragments => "empty_fragments",
            Self::TooBig => "message_too_big",
            _ => "protocol",
        }
    }
}
