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
/// a protobuf tag and is left to the scan, which will most likely refuse it. A varint has several ways to write 0, and
/// each is taken: a tag of that value does not exist either.
pub fn strip(message: &[u8]) -> &[u8] {
    match message {
        [HEADER, rest @ ..] => rest,
        [CONTINUED, ..] => strip_long(message),
        whole => whole,
    }
}

/// A byte of a varint that brings seven bits of 0, with more to follow.
const CONTINUED: u8 = 0x80;
/// The longest varint has ten bytes.
const CONTINUED_MAX: usize = 9;

#[cold]
fn strip_long(message: &[u8]) -> &[u8] {
    let continued = message.iter().take(CONTINUED_MAX).take_while(|byte| **byte == CONTINUED);
    match message.split_at(continued.count()).1 {
        [0, rest @ ..] => rest,
        _ => message,
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

    #[test]
    fn a_zero_in_more_bytes_is_taken_as_well() {
        assert_eq!(strip(&[0x80, 0, 10, 0]), &[10, 0]);
        let longest = [&[0x80; 9][..], &[0, 10]].concat();
        assert_eq!(strip(&longest), &[10]);
        // Too long for a varint, cut off, and the tag of field 16.
        for other in [&[&[0x80; 10][..], &[0]].concat()[..], &[0x80], &[0x80, 1, 7]] {
            assert_eq!(strip(other), other);
        }
    }
}
