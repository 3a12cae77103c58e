//! What waits on a link: frames in one buffer for a WebSocket, as many as there are in one write, or
//! bodies one by one for POSTs. The link's state, and what becomes of messages, are for its users.

use bytes::Bytes;

use crate::core::http_mode::PostOrder;
use crate::core::session::Route;
use crate::core::suspects::{MessagePart, Sent, Suspect, Unanswered, parts};
use crate::ident::InstanceUid;
use crate::websocket;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkBounds {
    pub(super) bytes_max: usize,
    pub(super) messages_max: usize,
}

/// A message that is the body of a request of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Post {
    /// Whose message it is: the response is for the same agent.
    pub(super) uid: InstanceUid,
    /// The way it went: that of the time when it was taken for sending.
    pub(super) route: Route,
    /// The message, as it is in the body.
    pub(super) body: Bytes,
}

/// The queue of one link. The link bounds it.
#[derive(Debug)]
pub(super) enum LinkQueue {
    Frames(FrameQueue),
    Posts(PostQueue),
}

#[derive(Debug, Default)]
pub(super) struct FrameQueue {
    /// Encoded frames.
    frames: Vec<u8>,
    /// Whose messages those are.
    messages: Vec<WaitingFrame>,
    /// What was written and is yet to be answered.
    unanswered: Unanswered,
    /// What messages bring is remembered until they are answered.
    remembers_parts: bool,
    /// Pings and pongs, which go before everything; at most `CONTROL_BYTES_MAX` and one more.
    control: Vec<u8>,
}

/// A message among the frames.
#[derive(Debug)]
struct WaitingFrame {
    uid: InstanceUid,
    bytes: usize,
    parts: Vec<MessagePart>,
}

#[derive(Debug, Default)]
pub(super) struct PostQueue {
    posts: PostOrder<(InstanceUid, Bytes)>,
    bytes: usize,
    /// Agents that have a message under way beside the channel, which theirs must not overtake: a few.
    busy: Vec<InstanceUid>,
    /// Agents whose last exchange beside the channel failed, the latest last.
    slow: Vec<InstanceUid>,
}

/// Agents that a channel remembers as slow.
const SLOW_MAX: usize = 16;

/// Pongs wait for one write at most. A server that pings faster than it reads gets fewer pongs.
const CONTROL_BYTES_MAX: usize = 4 << 10;

impl LinkQueue {
    /// Of a WebSocket.
    pub(super) fn frames() -> Self {
        Self::Frames(FrameQueue::default())
    }

    /// Of a WebSocket that one agent has for itself.
    pub(super) fn own_frames() -> Self {
        Self::Frames(FrameQueue { remembers_parts: true, ..FrameQueue::default() })
    }

    /// Of a channel of mode `http`.
    pub(super) fn posts() -> Self {
        Self::Posts(PostQueue::default())
    }

    pub(super) const fn is_frames(&self) -> bool {
        matches!(self, Self::Frames(_))
    }

    /// Bytes and messages that wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        match self {
            Self::Frames(queue) => (queue.frames.len(), queue.messages.len()),
            Self::Posts(queue) => (queue.bytes, queue.posts.len()),
        }
    }

    /// Appends what `write` writes; returns the bytes that this adds.
    pub(super) fn push(&mut self, uid: InstanceUid, write: &mut dyn FnMut(&mut Vec<u8>)) -> usize {
        match self {
            Self::Frames(queue) => {
                let before = queue.frames.len();
                let mask = Some(rand::random());
                let frame = websocket::begin_message(mask, 1024, &mut queue.frames);
                let message = queue.frames.len();
                write(&mut queue.frames);
                let message = &queue.frames[message..];
                let parts = if queue.remembers_parts { parts(message) } else { Vec::new() };
                queue.messages.push(WaitingFrame { uid, bytes: message.len(), parts });
                websocket::finish_message(frame, &mut queue.frames);
                queue.frames.len() - before
            }
            Self::Posts(queue) => {
                let mut body = Vec::new();
                write(&mut body);
                let bytes = body.len();
                queue.bytes += bytes;
                queue.posts.push((uid, body.into()));
                bytes
            }
        }
    }

    /// Appends a ping or pong, if there is room; these are for WebSockets alone.
    pub(super) fn control(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if let Self::Frames(queue) = self
            && queue.control.len() < CONTROL_BYTES_MAX
        {
            encode(&mut queue.control);
        }
    }

    /// Swaps the frames that wait into `buffer`, which is empty. Returns whether there are any.
    pub(super) fn take_frames(&mut self, buffer: &mut Vec<u8>) -> bool {
        let Self::Frames(queue) = self else { return false };
        if !queue.control.is_empty() {
            *buffer = std::mem::take(&mut queue.control);
            return true;
        }
        if queue.frames.is_empty() {
            return false;
        }
        for WaitingFrame { uid, bytes, parts } in queue.messages.drain(..) {
            queue.unanswered.sent(uid, bytes, parts);
        }
        std::mem::swap(&mut queue.frames, buffer);
        true
    }

    /// Takes out the POST that goes next.
    pub(super) fn take_post(&mut self) -> Option<(InstanceUid, Bytes)> {
        let Self::Posts(queue) = self else { return None };
        let busy = &queue.busy;
        let (uid, body) = queue.posts.take_if(|(uid, _)| !busy.contains(uid))?;
        queue.bytes -= body.len();
        Some((uid, body))
    }

    /// Whether a POST can go, beside one of `besides`.
    pub(super) fn has_post(&self, besides: Option<InstanceUid>) -> bool {
        let Self::Posts(queue) = self else { return false };
        queue.posts.iter().any(|(uid, _)| Some(*uid) != besides && !queue.busy.contains(uid))
    }

    /// Whether a message of this agent's is under way beside the channel.
    pub(super) fn set_busy(&mut self, uid: InstanceUid, is_busy: bool) {
        let Self::Posts(queue) = self else { return };
        queue.busy.retain(|busy| *busy != uid);
        if is_busy {
            queue.busy.push(uid);
        }
    }

    /// Whether this agent's last exchange beside the channel failed: then its next need not be waited for as long.
    pub(super) fn set_slow(&mut self, uid: InstanceUid, is_slow: bool) {
        let Self::Posts(queue) = self else { return };
        queue.slow.retain(|slow| *slow != uid);
        if is_slow {
            let older = (queue.slow.len() + 1).saturating_sub(SLOW_MAX);
            queue.slow.drain(..older);
            queue.slow.push(uid);
        }
    }

    pub(super) fn is_slow(&self, uid: InstanceUid) -> bool {
        matches!(self, Self::Posts(queue) if queue.slow.contains(&uid))
    }

    pub(super) fn is_busy(&self, uid: InstanceUid) -> bool {
        matches!(self, Self::Posts(queue) if queue.busy.contains(&uid))
    }

    /// Puts a POST before all others.
    pub(super) fn requeue(&mut self, uid: InstanceUid, body: Bytes) {
        if let Self::Posts(queue) = self {
            queue.bytes += body.len();
            queue.posts.put_back((uid, body));
        }
    }

    /// Drops the POSTs that `stays` says false of. Returns how many.
    pub(super) fn give_up(&mut self, stays: impl Fn(&[u8]) -> bool) -> usize {
        let Self::Posts(queue) = self else { return 0 };
        let before = queue.posts.len();
        queue.posts.retain(|(_, body)| stays(body));
        queue.bytes = queue.posts.iter().map(|(_, body)| body.len()).sum();
        before - queue.posts.len()
    }

    /// The server has said something to this agent, or to one that it did not name. Returns the longest message that is
    /// answered with that, if all of the agent's are.
    pub(super) fn answered(&mut self, uid: Option<InstanceUid>) -> Option<usize> {
        let Self::Frames(queue) = self else { return None };
        match uid {
            Some(uid) => queue.unanswered.answered(uid),
            None => queue.unanswered.answered_first(),
        }
    }

    /// Whether all that was written is answered.
    pub(super) fn is_answered(&self) -> bool {
        if let Self::Frames(queue) = self { queue.unanswered.is_empty() } else { true }
    }

    /// Drops everything, and the memory with it. Returns what was written and is left unanswered.
    pub(super) fn clear(&mut self) -> Vec<(Suspect, Sent)> {
        match self {
            Self::Frames(queue) => {
                let unanswered = queue.unanswered.take();
                let remembers_parts = queue.remembers_parts;
                *queue = FrameQueue { remembers_parts, ..FrameQueue::default() };
                unanswered
            }
            Self::Posts(queue) => {
                let (busy, slow) =
                    (std::mem::take(&mut queue.busy), std::mem::take(&mut queue.slow));
                *queue = PostQueue { busy, slow, ..PostQueue::default() };
                Vec::new()
            }
        }
    }
}
