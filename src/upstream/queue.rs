//! What waits on a link: frames in one buffer for a WebSocket, as many as there are in one write, or
//! bodies one by one for POSTs. The link's state, and what becomes of messages, are for its users.

use bytes::Bytes;

use crate::core::http_mode::PostOrder;
use crate::core::session::Route;
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
    /// How many messages those are.
    messages: usize,
    /// Pings and pongs, which go before everything; at most `CONTROL_BYTES_MAX` and one more.
    control: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct PostQueue {
    posts: PostOrder<(InstanceUid, Bytes)>,
    bytes: usize,
}

/// Pongs wait for one write at most. A server that pings faster than it reads gets fewer pongs.
const CONTROL_BYTES_MAX: usize = 4 << 10;

impl LinkQueue {
    /// Of a WebSocket.
    pub(super) fn frames() -> Self {
        Self::Frames(FrameQueue::default())
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
            Self::Frames(queue) => (queue.frames.len(), queue.messages),
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
                write(&mut queue.frames);
                websocket::finish_message(frame, &mut queue.frames);
                queue.messages += 1;
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
        queue.messages = 0;
        std::mem::swap(&mut queue.frames, buffer);
        true
    }

    /// Takes out the POST that goes next.
    pub(super) fn take_post(&mut self) -> Option<(InstanceUid, Bytes)> {
        let Self::Posts(queue) = self else { return None };
        let (uid, body) = queue.posts.take()?;
        queue.bytes -= body.len();
        Some((uid, body))
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

    /// Drops everything, and the memory with it.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Frames(queue) => *queue = FrameQueue::default(),
            Self::Posts(queue) => *queue = PostQueue::default(),
        }
    }
}
