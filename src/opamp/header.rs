//! The header in front of each OpAMP message on a WebSocket.
//!
//! Owns one fact: the header is a varint that is always 0 today, and old agents omit it. Plain HTTP
//! bodies have none. Knows nothing of what follows it.

/// The header as Seawall writes it in front of every WebSocket message. It is always written: some
/// clients require it (OpAMP specification, "WebSocket Message Format").
pub const HEADER: u8 = 0;

/// The message without its header; a message without a header is returned as it is.
///
/// The two cannot be confused: a protobuf message never begins with a zero byte, for that would be
/// field number 0. A header with another value, should a later specification define one, looks like
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
