//! Control messages of node links: one byte that says of which family, then the message. A family that a later
//! version adds is passed over.

use crate::core::codec::Undecodable;
use crate::core::node_link::Hello;
use crate::core::ownership::PeerMessage;
use crate::core::ownership::encoding::{ValueFault, decode_peer_message, encode_peer_message};

const HELLO: u8 = 0;
const PEER: u8 = 1;

/// What another node says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Who it is, and which formats it knows.
    Hello(Hello),
    /// Something about leases and homes.
    Peer(Box<PeerMessage>),
    /// Something that this version does not know.
    Other,
}

/// What another node got wrong. Its fault; another try does not help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ControlFault {
    /// A message without bytes.
    #[error("a control message is empty")]
    Empty,
    /// Its greeting.
    #[error(transparent)]
    Hello(#[from] Undecodable),
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

/// Reads a control message.
///
/// # Errors
/// Says what the other node got wrong.
pub(super) fn read(message: &[u8]) -> Result<Control, ControlFault> {
    match message.split_first() {
        None => Err(ControlFault::Empty),
        Some((&HELLO, rest)) => Ok(Control::Hello(Hello::decode(rest)?)),
        Some((&PEER, rest)) => Ok(Control::Peer(Box::new(decode_peer_message(rest)?))),
        Some(_) => Ok(Control::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::node_link::FORMAT;
    use crate::core::ownership::{NodeIncarnation, NodeName};

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

    #[test]
    fn what_a_later_version_says_is_passed_over_and_nonsense_is_named() {
        assert_eq!(read(&[9, 1, 2]), Ok(Control::Other));
        assert_eq!(read(&[]), Err(ControlFault::Empty));
        assert_eq!(read(&[PEER]), Err(ControlFault::Peer(ValueFault::Ends)));
        assert!(matches!(read(&[HELLO, 1]), Err(ControlFault::Hello(_))));
    }
}
