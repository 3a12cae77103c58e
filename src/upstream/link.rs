//! One way to a server, shared by the senders and the task that serves it: its life, which
//! `core::link::LinkLife` decides on, and the queue before it. What the queue holds is `queue`'s; sockets
//! are the task's.
//!
//! Each message asks for the link's route, so the link's life can be read from one atomic. It changes
//! with the queue locked, and `send` looks at it with the queue locked: a message goes into the queue of
//! exactly the incarnation that it was meant for.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::queue::{LinkBounds, LinkQueue, Post};
use crate::core::link::{LinkLife, LinkPhase, LinkRefusal};
use crate::core::session::Route;
use crate::core::suspects::{Sent, Suspect};
use crate::ident::{Incarnation, InstanceUid, LinkId};
use crate::sessions::NotSent;
use crate::telemetry::events::upstream::LinkName;

/// The number of every link that an agent has for itself, for a while, at a server whose agents share links.
pub(super) const APART: u16 = u16::MAX;

/// A link as its users see it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// In mode `per-agent` the one agent whose link it is. Such a link takes messages while it is
    /// being dialled. A shared one refuses them until it is up, when its agents come again.
    pub(super) owner: Option<InstanceUid>,
    bounds: LinkBounds,
    published: Published,
    queue: Mutex<LinkQueue>,
    pub(super) wake: Notify,
}

/// The link's life as one number: the phase is in the two lowest bits, the incarnation above them.
#[derive(Debug)]
struct Published(AtomicU64);

impl Published {
    fn new() -> Self {
        let published = Self(AtomicU64::new(0));
        published.store(LinkLife::FIRST);
        published
    }

    fn load(&self) -> LinkLife {
        let packed = self.0.load(Ordering::Acquire);
        let phase = match packed & 3 {
            0 => LinkPhase::Down,
            1 => LinkPhase::Up,
            _ => LinkPhase::Closing,
        };
        // What was packed fits.
        let incarnation = Incarnation(u32::try_from(packed >> 2).unwrap_or_default());
        LinkLife { incarnation, phase }
    }

    /// Called with the queue locked.
    fn store(&self, life: LinkLife) {
        let phase = match life.phase {
            LinkPhase::Down => 0,
            LinkPhase::Up => 1,
            LinkPhase::Closing => 2,
        };
        self.0.store(u64::from(life.incarnation.0) << 2 | phase, Ordering::Release);
    }
}

/// What the task finds when it looks for frames to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outbound {
    /// Bytes to write are in the buffer.
    Write,
    /// The queue is empty.
    Wait,
    /// The queue is empty and stays so.
    Close,
}

impl Link {
    /// A link of one agent's own, or one that many share.
    pub(super) fn new(
        id: LinkId,
        owner: Option<InstanceUid>,
        bounds: LinkBounds,
        queue: LinkQueue,
    ) -> Self {
        let (published, queue) = (Published::new(), Mutex::new(queue));
        Self { id, owner, bounds, published, queue, wake: Notify::new() }
    }

    /// Its first incarnation is this one.
    pub(super) fn starting_at(self, incarnation: Incarnation) -> Self {
        self.published.store(LinkLife { incarnation, ..LinkLife::FIRST });
        self
    }

    /// How the log shows this link of the server with this name. A pooled connection, or one agent's
    /// own, comes and goes; a WebSocket that many share is worth a line.
    pub(super) fn name<'a>(&self, server: &'a str) -> LinkName<'a> {
        let shared = self.owner.is_none() && self.queue.lock().is_frames();
        LinkName { server, link: self.id.index, shared }
    }

    pub(super) fn route(&self) -> Route {
        Route::of_link(self.id, self.published.load().incarnation)
    }

    pub(super) fn is_up(&self) -> bool {
        self.published.load().phase == LinkPhase::Up
    }

    /// Bytes in the queue.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queue.lock().waiting().0
    }

    /// Messages in the queue.
    pub(super) fn waiting_messages(&self) -> usize {
        self.queue.lock().waiting().1
    }

    /// Whether a good part of the queue is free: what is paced leaves room for what is urgent.
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
        match self
            .published
            .load()
            .accepts(incarnation, self.owner.is_some() && self.id.index != APART)
        {
            Ok(()) => {}
            Err(LinkRefusal::Stale) => return Err(NotSent::Stale),
            Err(LinkRefusal::Down) => return Err(NotSent::Down),
        }
        // The last message may go over: one of any size always fits an empty queue.
        let (bytes, messages) = queue.waiting();
        if bytes >= self.bounds.bytes_max || messages >= self.bounds.messages_max {
            return Err(NotSent::Full);
        }
        let added = queue.push(uid, write);
        drop(queue);
        self.wake.notify_one();
        Ok(added)
    }

    /// A ping or pong of the link's own.
    pub(super) fn control(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.queue.lock().control(encode);
        self.wake.notify_one();
    }

    /// Swaps the frames that wait into `buffer`, which is empty.
    pub(super) fn take(&self, buffer: &mut Vec<u8>) -> Outbound {
        let mut queue = self.queue.lock();
        if queue.take_frames(buffer) {
            return Outbound::Write;
        }
        if self.is_released() { Outbound::Close } else { Outbound::Wait }
    }

    /// Takes the POST that goes next, with the way it goes.
    pub(super) fn take_post(&self) -> Option<Post> {
        let mut queue = self.queue.lock();
        let (uid, body) = queue.take_post()?;
        Some(Post { uid, route: self.route(), body })
    }

    /// Whether a POST can go; of another agent than `besides`.
    pub(super) fn has_post(&self, besides: Option<InstanceUid>) -> bool {
        self.queue.lock().has_post(besides)
    }

    /// Whether a message of this agent's is under way beside the channel: its other messages wait.
    pub(super) fn set_busy(&self, uid: InstanceUid, is_busy: bool) {
        self.queue.lock().set_busy(uid, is_busy);
        self.wake.notify_one();
    }

    /// Whether this agent's last exchange beside the channel failed.
    pub(super) fn set_slow(&self, uid: InstanceUid, is_slow: bool) {
        self.queue.lock().set_slow(uid, is_slow);
    }

    /// See [`Link::set_slow`].
    pub(super) fn is_slow(&self, uid: InstanceUid) -> bool {
        self.queue.lock().is_slow(uid)
    }

    /// See [`Link::set_busy`].
    pub(super) fn is_busy(&self, uid: InstanceUid) -> bool {
        self.queue.lock().is_busy(uid)
    }

    /// A message is still to be delivered: it goes first when messages go again. The last one that was
    /// taken out finds room, whatever came since.
    pub(super) fn requeue(&self, post: Post) {
        self.queue.lock().requeue(post.uid, post.body);
    }

    /// Drops the POSTs that `stays` says false of. Returns how many.
    pub(super) fn give_up(&self, stays: impl Fn(&[u8]) -> bool) -> usize {
        self.queue.lock().give_up(stays)
    }

    /// The link is established. `false`: it has been released meanwhile.
    pub(super) fn up(&self) -> bool {
        let _queue = self.queue.lock();
        let up = self.published.load().up();
        up.iter().for_each(|life| self.published.store(*life));
        up.is_some()
    }

    /// The link is lost, and with it what waited on it: sessions see it by the incarnation. Returns what it had carried
    /// that is unanswered.
    pub(super) fn down(&self) -> Vec<(Suspect, Sent)> {
        let mut queue = self.queue.lock();
        let unanswered = queue.clear();
        self.published.store(self.published.load().lost());
        unanswered
    }

    /// The server has said something to this agent, or to one that it did not name: see [`LinkQueue::answered`].
    pub(super) fn answered(&self, uid: Option<InstanceUid>) -> Option<usize> {
        self.queue.lock().answered(uid)
    }

    /// Whether nothing waits on it and nothing is unanswered.
    pub(super) fn is_quiet(&self) -> bool {
        let queue = self.queue.lock();
        queue.waiting().1 == 0 && queue.is_answered()
    }

    /// The link has served its purpose: it ends once what waits is written.
    pub(super) fn release(&self) {
        let queue = self.queue.lock();
        self.published.store(self.published.load().released());
        drop(queue);
        self.wake.notify_one();
    }

    pub(super) fn is_released(&self) -> bool {
        self.published.load().phase == LinkPhase::Closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::ServerId;

    const BOUNDS: LinkBounds = LinkBounds { bytes_max: 100, messages_max: 3 };

    fn link(owner: Option<InstanceUid>, queue: LinkQueue) -> Link {
        Link::new(LinkId { server: ServerId(0), index: 3 }, owner, BOUNDS, queue)
    }

    fn agent(n: u8) -> InstanceUid {
        InstanceUid::from_bytes([n; 16])
    }

    fn send(link: &Link, incarnation: u32, bytes: usize) -> Result<usize, NotSent> {
        link.send(agent(1), Incarnation(incarnation), &mut |out| out.resize(out.len() + bytes, 7))
    }

    #[test]
    fn bounded_in_count_and_bytes_but_one_always_fits() {
        let link = link(None, LinkQueue::frames());
        assert_eq!(send(&link, 1, 1), Err(NotSent::Down));
        assert!(link.up());
        assert!(send(&link, 1, 5_000).is_ok());
        assert_eq!(send(&link, 1, 1), Err(NotSent::Full));
        let mut buffer = Vec::new();
        assert_eq!(link.take(&mut buffer), Outbound::Write);
        assert_eq!(link.take(&mut Vec::new()), Outbound::Wait);
        for _ in 0..3 {
            assert!(send(&link, 1, 1).is_ok());
        }
        assert_eq!(send(&link, 1, 1), Err(NotSent::Full));
    }

    #[test]
    fn what_an_earlier_incarnation_should_have_taken_is_refused() {
        let link = link(None, LinkQueue::frames());
        link.up();
        assert!(send(&link, 1, 1).is_ok());
        link.down();
        assert!(!link.is_up() && link.route().incarnation == Incarnation(2));
        link.up();
        assert_eq!(send(&link, 1, 1), Err(NotSent::Stale));
        assert_eq!(link.take(&mut Vec::new()), Outbound::Wait, "the old message is gone");
        assert!(send(&link, 2, 1).is_ok());
    }

    #[test]
    fn posts_are_taken_one_by_one_within_the_same_bounds() {
        let link = link(None, LinkQueue::posts());
        link.up();
        for n in 1..=3 {
            let sent = link.send(agent(n), Incarnation(1), &mut |out| out.push(n));
            assert_eq!(sent, Ok(1), "the body alone");
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
        let link = link(Some(agent(1)), LinkQueue::frames());
        assert!(send(&link, 1, 1).is_ok());
        assert!(link.up());
        assert_eq!(link.take(&mut Vec::new()), Outbound::Write);
    }

    #[test]
    fn a_released_link_writes_what_waits_and_ends() {
        let link = link(None, LinkQueue::frames());
        link.up();
        assert!(send(&link, 1, 1).is_ok());
        link.release();
        assert_eq!(send(&link, 1, 1), Err(NotSent::Down));
        let mut buffer = Vec::new();
        assert_eq!(link.take(&mut buffer), Outbound::Write);
        assert_eq!(link.take(&mut Vec::new()), Outbound::Close);
        assert!(!link.up());
        link.down();
        assert!(link.is_released() && !link.is_up(), "a released link stays so");
    }

    #[test]
    fn a_link_that_many_share_for_long_is_worth_a_line() {
        let shown = |link: Link| link.name("a").shared;
        assert!(shown(link(None, LinkQueue::frames())));
        assert!(!shown(link(Some(agent(1)), LinkQueue::frames())));
        assert!(!shown(link(None, LinkQueue::posts())));
    }
}
