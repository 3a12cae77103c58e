//! One link's queue: frames in one buffer, bounded in count and bytes, that senders append to and
//! the link's task swaps out.
//!
//! ```text
//!             dialled                   lost: incarnation + 1, queue emptied
//!   Down ───────────────► Up ─────────────────────────────────────────────────► Down
//!     └──── released ─────┴──► Closing ──► the task ends
//! ```

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

/// A link as its users see it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// In `per-agent` mode the one agent whose link it is. Such a link takes messages while it is
    /// being dialled; a shared one does not, for its agents come again when it is up.
    pub(super) owner: Option<InstanceUid>,
    bounds: Bounds,
    queue: Mutex<Queue>,
    pub(super) wake: Notify,
}

#[derive(Debug)]
struct Queue {
    incarnation: Incarnation,
    state: State,
    /// Encoded frames.
    bytes: Vec<u8>,
    messages: usize,
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
    pub(super) fn new(id: LinkId, owner: Option<InstanceUid>, bounds: Bounds) -> Self {
        Self {
            id,
            owner,
            bounds,
            queue: Mutex::new(Queue {
                incarnation: Incarnation(1),
                state: State::Down,
                bytes: Vec::new(),
                messages: 0,
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
        self.queue.lock().bytes.len()
    }

    /// Whether a good part of the queue is free: what is paced leaves room for what is not.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.queue.lock();
        queue.bytes.len() < self.bounds.bytes_max / 2
            && queue.messages < self.bounds.messages_max / 2
    }

    pub(super) fn send(
        &self,
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
        if queue.bytes.len() >= self.bounds.bytes_max || queue.messages >= self.bounds.messages_max
        {
            return Err(NotSent::Full);
        }
        let before = queue.bytes.len();
        let frame = websocket::begin_message(Some(rand::random()), 1024, &mut queue.bytes);
        write(&mut queue.bytes);
        websocket::finish_message(frame, &mut queue.bytes);
        queue.messages += 1;
        let added = queue.bytes.len() - before;
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
        if !queue.bytes.is_empty() {
            queue.messages = 0;
            std::mem::swap(&mut queue.bytes, buffer);
            return Next::Write;
        }
        if queue.state == State::Closing { Next::Close } else { Next::Wait }
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
        queue.bytes = Vec::new();
        queue.control = Vec::new();
        queue.messages = 0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::ServerId;

    const BOUNDS: Bounds = Bounds { bytes_max: 100, messages_max: 3 };

    fn link(owner: Option<InstanceUid>) -> Link {
        Link::new(LinkId { server: ServerId(0), index: 0 }, owner, BOUNDS)
    }

    fn send(link: &Link, incarnation: u32, bytes: usize) -> Result<usize, NotSent> {
        link.send(Incarnation(incarnation), &mut |out| out.resize(out.len() + bytes, 7))
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
    fn an_agents_own_link_takes_messages_while_dialling() {
        let link = link(Some(InstanceUid::from_bytes([1; 16])));
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
