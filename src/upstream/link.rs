//! One link's queue, bounded in count and bytes, that senders append to and the link's task takes from:
//! frames in one buffer for a WebSocket, or messages one by one for POSTs.
//!
//! ```text
//!             dialled                   lost: incarnation + 1, queue emptied
//!   Down ───────────────► Up ─────────────────────────────────────────────────► Down
//!     └──── released ─────┴──► Closing ──► the task ends
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::session::Route;
use crate::ident::{Incarnation, InstanceUid, LinkId};
use crate::sessions::NotSent;
use crate::websocket;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes_max: usize,
    pub(super) messages_max: usize,
}

/// What the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// WebSocket frames, as many as there are in one write.
    Frames,
    /// Bodies of POSTs, one a request.
    Posts,
}

/// A message that is the body of a request of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Post {
    /// Whose message it is: the response is for the same agent.
    pub(super) uid: InstanceUid,
    /// The way it went: that of the time when it was taken for sending.
    pub(super) route: Route,
    /// Without the header of WebSocket messages.
    pub(super) body: Bytes,
}

/// A link as its users see it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// In `per-agent` mode the one agent whose link it is. Such a link takes messages while it is
    /// being dialled; a shared one does not, for its agents come again when it is up.
    pub(super) owner: Option<InstanceUid>,
    carries: Carries,
    bounds: Bounds,
    queue: Mutex<Queue>,
    pub(super) wake: Notify,
}

#[derive(Debug)]
struct Queue {
    incarnation: Incarnation,
    state: State,
    /// Encoded frames.
    frames: Vec<u8>,
    /// How many messages those are.
    messages: usize,
    posts: VecDeque<(InstanceUid, Bytes)>,
    posts_bytes: usize,
    /// Pings, pongs and Close, which go before everything; bounded in `control`.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down,
    Up,
    Closing,
}

/// Pongs wait for one write at most; a server that pings faster than it reads gets no more.
const CONTROL_BYTES_MAX: usize = 4 << 10;

/// What the task finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Bytes to write are in the buffer.
    Write,
    /// Nothing to write.
    Wait,
    /// Nothing to write, and nothing will come.
    Close,
}

impl Link {
    /// A link of one agent's own, or one that many share.
    pub(super) fn new(
        id: LinkId,
        owner: Option<InstanceUid>,
        carries: Carries,
        bounds: Bounds,
    ) -> Self {
        Self {
            id,
            owner,
            carries,
            bounds,
            queue: Mutex::new(Queue {
                incarnation: Incarnation(1),
                state: State::Down,
                frames: Vec::new(),
                messages: 0,
                posts: VecDeque::new(),
                posts_bytes: 0,
                control: Vec::new(),
            }),
            wake: Notify::new(),
        }
    }

    pub(super) fn route(&self) -> Route {
        Route { link: self.id, incarnation: self.queue.lock().incarnation }
    }

    pub(super) fn is_up(&self) -> bool {
        self.queue.lock().state == State::Up
    }

    /// Bytes that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queue.lock().waiting().0
    }

    /// Whether a good part of the queue is free: what is paced leaves room for what is not.
    pub(super) fn has_room(&self) -> bool {
        let (bytes, messages) = self.queue.lock().waiting();
        bytes < self.bounds.bytes_max / 2 && messages < self.bounds.messages_max / 2
    }

    /// Takes a message of this agent's for sending; returns the bytes that this adds to the queue.
    pub(super) fn send(
        &self,
        uid: InstanceUid,
        incarnation: Incarnation,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<usize, NotSent> {
        let mut queue = self.queue.lock();
        if queue.incarnation != incarnation {
            return Err(NotSent::Stale);
        }
        match queue.state {
            State::Up => {}
            State::Down if self.owner.is_some() => {}
            State::Down | State::Closing => return Err(NotSent::Down),
        }
        // The last message may go over: one of any size always fits an empty queue.
        let (bytes, messages) = queue.waiting();
        if bytes >= self.bounds.bytes_max || messages >= self.bounds.messages_max {
            return Err(NotSent::Full);
        }
        let added = match self.carries {
            Carries::Frames => queue.push_frame(write),
            Carries::Posts => queue.push_post(uid, write),
        };
        drop(queue);
        self.wake.notify_one();
        Ok(added)
    }

    /// A ping or pong of the link's own.
    pub(super) fn control(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.queue.lock();
        if queue.control.len() < CONTROL_BYTES_MAX {
            encode(&mut queue.control);
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Swaps what waits into `buffer`, which is empty.
    pub(super) fn take(&self, buffer: &mut Vec<u8>) -> Next {
        let mut queue = self.queue.lock();
        if !queue.control.is_empty() {
            std::mem::swap(&mut queue.control, buffer);
            if queue.control.capacity() > 0 {
                queue.control = Vec::new();
            }
            return Next::Write;
        }
        if !queue.frames.is_empty() {
            queue.messages = 0;
            std::mem::swap(&mut queue.frames, buffer);
            return Next::Write;
        }
        if queue.state == State::Closing { Next::Close } else { Next::Wait }
    }

    /// Takes what waited longest, with the way it goes.
    pub(super) fn take_post(&self) -> Option<Post> {
        let mut queue = self.queue.lock();
        let (uid, body) = queue.posts.pop_front()?;
        queue.posts_bytes -= body.len();
        let route = Route { link: self.id, incarnation: queue.incarnation };
        Some(Post { uid, route, body })
    }

    /// The server has not taken a message: it goes first when messages go again. The last that was
    /// taken out finds room, whatever came since.
    pub(super) fn requeue(&self, post: Post) {
        let mut queue = self.queue.lock();
        queue.posts_bytes += post.body.len();
        queue.posts.push_front((post.uid, post.body));
    }

    /// Gives up those POSTs that are not to be kept. Returns how many.
    pub(super) fn give_up(&self, keep: impl Fn(&[u8]) -> bool) -> usize {
        let mut queue = self.queue.lock();
        let before = queue.posts.len();
        queue.posts.retain(|(_, body)| keep(body));
        queue.posts_bytes = queue.posts.iter().map(|(_, body)| body.len()).sum();
        before - queue.posts.len()
    }

    /// Messages that wait.
    pub(super) fn waiting_messages(&self) -> usize {
        self.queue.lock().waiting().1
    }

    /// The link is established. `false`: it has been released meanwhile.
    pub(super) fn up(&self) -> bool {
        let mut queue = self.queue.lock();
        if queue.state == State::Closing {
            return false;
        }
        queue.state = State::Up;
        true
    }

    /// The link is lost, and with it what waited on it: sessions see it by the incarnation.
    pub(super) fn down(&self) {
        let mut queue = self.queue.lock();
        queue.incarnation = Incarnation(queue.incarnation.0.wrapping_add(1));
        queue.frames = Vec::new();
        queue.messages = 0;
        queue.posts = VecDeque::new();
        queue.posts_bytes = 0;
        queue.control = Vec::new();
        if queue.state == State::Up {
            queue.state = State::Down;
        }
    }

    /// Nobody needs the link any more: it ends once what waits is written.
    pub(super) fn release(&self) {
        self.queue.lock().state = State::Closing;
        self.wake.notify_one();
    }

    pub(super) fn is_released(&self) -> bool {
        self.queue.lock().state == State::Closing
    }
}

impl Queue {
    /// Bytes and messages that wait.
    fn waiting(&self) -> (usize, usize) {
        (self.frames.len() + self.posts_bytes, self.messages + self.posts.len())
    }

    fn push_frame(&mut self, write: &mut dyn FnMut(&mut Vec<u8>)) -> usize {
        let before = self.frames.len();
        let frame = websocket::begin_message(Some(rand::random()), 1024, &mut self.frames);
        write(&mut self.frames);
        websocket::finish_message(frame, &mut self.frames);
        self.messages += 1;
        self.frames.len() - before
    }

    fn push_post(&mut self, uid: InstanceUid, write: &mut dyn FnMut(&mut Vec<u8>)) -> usize {
        let mut body = Vec::new();
        write(&mut body);
        let bytes = body.len();
        self.posts_bytes += bytes;
        self.posts.push_back((uid, body.into()));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::ServerId;

    const BOUNDS: Bounds = Bounds { bytes_max: 100, messages_max: 3 };

    fn link(owner: Option<InstanceUid>) -> Link {
        Link::new(LinkId { server: ServerId(0), index: 0 }, owner, Carries::Frames, BOUNDS)
    }

    fn agent(n: u8) -> InstanceUid {
        InstanceUid::from_bytes([n; 16])
    }

    fn send(link: &Link, incarnation: u32, bytes: usize) -> Result<usize, NotSent> {
        link.send(agent(1), Incarnation(incarnation), &mut |out| out.resize(out.len() + bytes, 7))
    }

    #[test]
    fn bounded_in_count_and_bytes_but_one_always_fits() {
        let link = link(None);
        assert_eq!(send(&link, 1, 1), Err(NotSent::Down));
        assert!(link.up());
        assert!(send(&link, 1, 5_000).is_ok());
        assert_eq!(send(&link, 1, 1), Err(NotSent::Full));
        let mut buffer = Vec::new();
        assert_eq!(link.take(&mut buffer), Next::Write);
        assert_eq!(link.take(&mut Vec::new()), Next::Wait);
        for _ in 0..3 {
            assert!(send(&link, 1, 1).is_ok());
        }
        assert_eq!(send(&link, 1, 1), Err(NotSent::Full));
    }

    #[test]
    fn what_an_earlier_incarnation_should_have_taken_is_refused() {
        let link = link(None);
        link.up();
        assert!(send(&link, 1, 1).is_ok());
        link.down();
        link.up();
        assert_eq!(send(&link, 1, 1), Err(NotSent::Stale));
        assert_eq!(link.take(&mut Vec::new()), Next::Wait, "the old message is gone");
        assert!(send(&link, 2, 1).is_ok());
    }

    #[test]
    fn posts_are_taken_one_by_one_within_the_same_bounds() {
        let id = LinkId { server: ServerId(0), index: 3 };
        let link = Link::new(id, None, Carries::Posts, BOUNDS);
        link.up();
        for n in 1..=3 {
            let sent = link.send(agent(n), Incarnation(1), &mut |out| out.push(n));
            assert_eq!(sent, Ok(1), "without any framing");
        }
        assert_eq!(send(&link, 1, 1), Err(NotSent::Full));
        let first = link.take_post().unwrap();
        assert_eq!(
            (first.uid, first.body.as_ref(), first.route),
            (agent(1), &[1][..], link.route())
        );
        link.requeue(first.clone());
        assert_eq!((link.waiting_messages(), link.waiting_bytes()), (3, 3));
        assert_eq!(link.take_post(), Some(first), "before those that came later");
        assert_eq!(link.give_up(|body| body != [2]), 1);
        assert_eq!((link.waiting_messages(), link.waiting_bytes()), (1, 1));
        let sent = link.send(agent(2), Incarnation(1), &mut |out| out.push(2));
        assert_eq!(sent, Ok(1));
        assert_eq!((link.waiting_bytes(), send(&link, 1, 200)), (2, Ok(200)));
        assert_eq!(send(&link, 1, 1), Err(NotSent::Full));
        link.down();
        assert_eq!((link.take_post(), link.waiting_bytes()), (None, 0));
    }

    #[test]
    fn an_agents_own_link_takes_messages_while_dialling() {
        let link = link(Some(agent(1)));
        assert!(send(&link, 1, 1).is_ok());
        assert!(link.up());
        assert_eq!(link.take(&mut Vec::new()), Next::Write);
    }

    #[test]
    fn a_released_link_writes_what_waits_and_ends() {
        let link = link(None);
        link.up();
        assert!(send(&link, 1, 1).is_ok());
        link.release();
        assert_eq!(send(&link, 1, 1), Err(NotSent::Down));
        let mut buffer = Vec::new();
        assert_eq!(link.take(&mut buffer), Next::Write);
        assert_eq!(link.take(&mut Vec::new()), Next::Close);
        assert!(!link.up());
    }
}
