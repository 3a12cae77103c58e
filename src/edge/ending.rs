//! How a WebSocket ends, and what an agent is told of a message that is rejected: in one place for this protocol,
//! as `refusal` is for HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use super::agents::RejectedSpeech;
use super::refusal::{COME_AGAIN, OVERLOADED_RETRY_AFTER, message_fault};
use crate::opamp::splice::{self, Additions};
use crate::sessions::Rejected;
use crate::telemetry::events::edge::{
    CloseReason, MessageFault, MessageRejected, MessageSent, SendKind,
};
use crate::websocket;

/// At this many rejected messages in a row the peer counts as something else than an agent.
const REJECTED_MAX: u8 = 16;

/// How a connection ends: with a code for the agent, and a reason for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SocketEnding {
    /// RFC 6455, section 7.4.1.
    pub(super) code: u16,
    pub(super) reason: CloseReason,
}

/// The answer to an upgrade whose sender is to come again, and obeys a message alone: the connection ends behind it.
pub(super) fn upgraded_and_refused(key: &websocket::Key, retry_after: Duration) -> Vec<u8> {
    let mut answer = Vec::new();
    websocket::accept_response(key, &mut answer);
    come_again(retry_after, &mut answer);
    answer
}

/// Tells an agent on its WebSocket to come again after this time.
pub(super) fn come_again(retry_after: Duration, out: &mut Vec<u8>) {
    let frame = websocket::begin_message(None, 100, out);
    splice::unavailable(None, COME_AGAIN, retry_after, out);
    websocket::finish_message(frame, out);
}

/// Within this time agents of a drained node come again that obey what they are told.
const DRAIN_SPREAD: Duration = Duration::from_secs(10);

/// When an agent of a drained node that obeys comes again: soon, and not all at once. Its connection was closed at its
/// moment, so that a short spread suffices. `chance` is in 0..1.
pub(super) fn after_drain(chance: f64) -> Duration {
    Duration::from_secs(1) + DRAIN_SPREAD.mul_f64(chance)
}

/// The agent broke the WebSocket protocol.
pub(super) fn broken(fault: websocket::Fault, peer: SocketAddr) -> SocketEnding {
    let (reason, label) = match fault {
        websocket::Fault::Text => (CloseReason::UnsupportedData, MessageFault::Text),
        websocket::Fault::TooBig => (CloseReason::TooBig, MessageFault::TooBig),
        _ => (CloseReason::ProtocolFault, MessageFault::Frame),
    };
    MessageRejected { peer, fault: label }.emit();
    SocketEnding { code: fault.close_code(), reason }
}

/// Answers a message that was rejected, the last of `in_a_row`: the agent learns what is wrong with it. Returns
/// how the connection ends, if it does. Where several agents share it, the answer names whom it is for.
pub(super) fn reject(
    rejected: &RejectedSpeech,
    peer: SocketAddr,
    in_a_row: u8,
    out: &mut Vec<u8>,
) -> Option<SocketEnding> {
    let RejectedSpeech { why, uid, shared } = rejected;
    let named = uid.filter(|_| *shared);
    let before = out.len();
    let frame = websocket::begin_message(None, 100, out);
    match why {
        Rejected::Malformed(_) | Rejected::Uid(_) | Rejected::TooManyHere { .. } => {
            splice::bad_request(named, &why.to_string(), out);
        }
        Rejected::Cloned { uid, fresh } => {
            splice::new_instance_uid(*uid, *fresh, &Additions::default(), out);
        }
        Rejected::Full | Rejected::Busy => {
            splice::unavailable(named, &why.to_string(), OVERLOADED_RETRY_AFTER, out);
        }
    }
    websocket::finish_message(frame, out);
    MessageRejected { peer, fault: message_fault(why) }.emit();
    MessageSent { kind: SendKind::Error, bytes: out.len() - before }.emit();
    if in_a_row >= REJECTED_MAX {
        return Some(SocketEnding { code: 1002, reason: CloseReason::ProtocolFault });
    }
    (matches!(why, Rejected::Full) && !shared)
        .then_some(SocketEnding { code: 1013, reason: CloseReason::OverLimit })
}
