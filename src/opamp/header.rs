//! The header in front of each OpAMP message on a WebSocket.
//!
//! Owns one fact: the header is a varint that is always 0 today, and old agents omit it. Plain HTTP
//! bodies begin with the message itself. Must not know what follows.

/// The header as Seawall writes it in front of every WebSocket message. It is always written: some
/// clients require it (OpAMP specification, "WebSocket Message Format").
pub const HEADER: u8 = 0;

/// The message behind its header; a message that lacks the header is returned as it is.
///
/// The two are easy to tell apart: a protobuf message begins with a byte other than zero, because field
/// numbers begin with 1. A header with another value, should a later specification define one, looks like
/// a protobuf tag and is left to the scan, which will most likely refuse it.
pub fn strip(message: &[u8]) -> &[u8] {
    match message {
        [HEADER, rest @ ..] => rest,
        whole => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_zero_byte_is_taken_and_no_more() {
        assert_eq!(strip(&[0, 10, 0]), &[10, 0]);
        assert_eq!(strip(&[10, 0]), &[10, 0]);
        assert_eq!(strip(&[0, 0]), &[0]);
        assert_eq!(strip(&[]), &[] as &[u8]);
    }
}
