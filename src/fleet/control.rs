//! Control messages of node links: one byte that says of which family, then the message. A family that a later
//! version adds is passed over.

use super::inquiry::Inquiry;
use crate::core::codec::{ByteReader, Undecodable, put_uid, put_varint};
use crate::core::node_link::Hello;
use crate::core::ownership::PeerMessage;
use crate::core::ownership::encoding::{ValueFault, decode_peer_message, encode_peer_message};

const HELLO: u8 = 0;
const PEER: u8 = 1;
const INQUIRY: u8 = 2;
const ANSWER: u8 = 3;

const OF_NODE: u8 = 0;
const OF_SESSION: u8 = 1;

/// The longest answer to an inquiry.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What another node says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Who it is, and which formats it knows.
    Hello(Hello),
    /// Something about leases and homes.
    Peer(Box<PeerMessage>),
    /// It asks something for an operator, under this number; `None`: something that this version does not know.
    Inquiry(u64, Option<Inquiry>),
    /// It answers the inquiry of this number; empty: it does not know the inquiry.
    Answer(u64, Vec<u8>),
    /// Something that this version does not know.
    Other,
}

/// What another node got wrong. Its fault; another try does not help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ControlFault {
    /// A message without bytes.
    #[error("a control message is empty")]
    Empty,
    /// Its greeting, inquiry or answer.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// What it says about leases and homes.
    #[error("what it says of itself: {0}")]
    Peer(#[from] ValueFault),
}

/// Appends a greeting.
pub(super) fn put_hello(hello: &Hello, out: &mut Vec<u8>) {
    out.push(HELLO);
    hello.encode(out);
}

/// Appends what this node says about leases and homes.
pub(super) fn put_peer(message: &PeerMessage, out: &mut Vec<u8>) {
    out.push(PEER);
    encode_peer_message(message, out);
}

/// Appends an inquiry.
pub(super) fn put_inquiry(number: u64, inquiry: Inquiry, out: &mut Vec<u8>) {
    out.push(INQUIRY);
    put_varint(number, out);
    match inquiry {
        Inquiry::Node => out.push(OF_NODE),
        Inquiry::Session(uid) => {
            out.push(OF_SESSION);
            put_uid(uid, out);
        }
    }
}

/// Appends an answer. One that is too long says nothing, as if the inquiry were unknown.
pub(super) fn put_answer(number: u64, answer: &[u8], out: &mut Vec<u8>) {
    out.push(ANSWER);
    put_varint(number, out);
    if answer.len() <= ANSWER_BYTES_MAX {
        out.extend_from_slice(answer);
    }
}

fn read_inquiry(bytes: &[u8]) -> Result<Control, Undecodable> {
    const WHAT: &str = "an inquiry";
    let mut reader = ByteReader::new(bytes);
    let number = reader.varint(WHAT)?;
    let inquiry = match reader.byte(WHAT)? {
        OF_NODE => Some(Inquiry::Node),
        OF_SESSION => Some(Inquiry::Session(reader.uid()?)),
        _ => None,
    };
    Ok(Control::Inquiry(number, inquiry))
}

fn read_answer(bytes: &[u8]) -> Result<Control, Undecodable> {
    const WHAT: &str = "an answer";
    let mut reader = ByteReader::new(bytes);
    let number = reader.varint(WHAT)?;
    if reader.rest().len() > ANSWER_BYTES_MAX {
        return Err(Undecodable::TooLong(WHAT));
    }
    Ok(Control::Answer(number, reader.rest().to_vec()))
}

/// Reads a control message.
///
/// # Errors
/// Says what the other node got wrong.
pub(super) fn read(message: &[u8]) -> Result<Control, ControlFault> {
    match message.split_first() {
        None => Err(ControlFault::Empty),
        Some((&HELLO, rest)) => Ok(Control::Hello(Hello::decode(rest)?)),
        Some((&PEER, rest)) => Ok(Control::Peer(Box::new(decode_peer_message(rest)?))),
        Some((&INQUIRY, rest)) => Ok(read_inquiry(rest)?),
        Some((&ANSWER, rest)) => Ok(read_answer(rest)?),
        Some(_) => Ok(Control::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::node_link::FORMAT;
    use crate::core::ownership::{NodeIncarnation, NodeName};
    use crate::ident::InstanceUid;

    #[test]
    fn each_family_is_read_as_it_was_written() {
        let (name, incarnation) = (NodeName::try_new("a").unwrap(), NodeIncarnation::new(1));
        let hello = Hello { format: FORMAT, incarnation: incarnation.unwrap(), name };
        let mut bytes = Vec::new();
        put_hello(&hello, &mut bytes);
        assert_eq!(read(&bytes), Ok(Control::Hello(hello)));
        bytes.clear();
        put_peer(&PeerMessage::Confirm(7), &mut bytes);
        assert_eq!(read(&bytes), Ok(Control::Peer(Box::new(PeerMessage::Confirm(7)))));
    }

    /// Another version must read what this one writes: a change here is a new format.
    #[test]
    fn inquiries_and_answers_are_written_as_ever() {
        let uid = InstanceUid::from_bytes([7; 16]);
        let mut bytes = Vec::new();
        put_inquiry(300, Inquiry::Node, &mut bytes);
        assert_eq!(bytes, [2, 0xac, 2, 0]);
        assert_eq!(read(&bytes), Ok(Control::Inquiry(300, Some(Inquiry::Node))));
        bytes.clear();
        put_inquiry(1, Inquiry::Session(uid), &mut bytes);
        assert_eq!(bytes, [&[2, 1, 1, 0][..], &[7; 16]].concat());
        assert_eq!(read(&bytes), Ok(Control::Inquiry(1, Some(Inquiry::Session(uid)))));
        bytes.clear();
        put_answer(2, b"{}", &mut bytes);
        assert_eq!(bytes, [3, 2, b'{', b'}']);
        assert_eq!(read(&bytes), Ok(Control::Answer(2, b"{}".to_vec())));
        bytes.clear();
        put_answer(2, &vec![1; ANSWER_BYTES_MAX + 1], &mut bytes);
        assert_eq!(read(&bytes), Ok(Control::Answer(2, Vec::new())));
    }

    #[test]
    fn what_a_later_version_says_is_passed_over_and_nonsense_is_named() {
        assert_eq!(read(&[9, 1, 2]), Ok(Control::Other));
        assert_eq!(read(&[]), Err(ControlFault::Empty));
        assert_eq!(read(&[PEER]), Err(ControlFault::Peer(ValueFault::Ends)));
        assert!(matches!(read(&[HELLO, 1]), Err(ControlFault::Undecodable(_))));
        assert_eq!(read(&[INQUIRY, 5, 99]), Ok(Control::Inquiry(5, None)));
        let long = vec![ANSWER; ANSWER_BYTES_MAX + 3];
        assert!(matches!(read(&long), Err(ControlFault::Undecodable(_))));
    }
}
