//! The way from a session to its agent's connection when that ends at a front: what the session asks of it becomes
//! frames, by `core::attachment`.

use std::cell::RefCell;
use std::time::Instant;

use super::super::Joined;
use super::super::attachment_port::{AttachmentEnd, AttachmentPort, Credit};
use super::super::contents::Contents;
use super::super::counters::Counters;
use super::messages;
use crate::clock;
use crate::core::attachment::{HomeAttachment, HomePort, SessionCall, may_say_more};
use crate::core::node_link::{AgentReport, CloseOrder, ForAgentKind, ToFront};
use crate::core::ownership::{AbsenceBegan, NodeIncarnation};
use crate::core::session::{Session, ToAgent, follows, is_cloned};
use crate::ident::{ConnectionId, InstanceUid, SequenceNum};
use crate::opamp::field_set::FieldSet;
use crate::telemetry::events::homes::{AttachmentChanged, AttachmentEvent};

/// What a session of a fleet has beside itself: its agent's attachment, and what follows from where the session and
/// its agent have been.
#[derive(Debug)]
pub(in crate::sessions) struct FarHome {
    pub(super) home: HomeAttachment,
    /// What the session calls the present connection.
    pub(super) connection: FarConnection,
    /// These parts go to the server once more then: an earlier home may have told it something else last.
    pub(super) tell_again: Option<(Instant, FieldSet)>,
    /// The link to the front of the present connection is lost.
    pub(super) cut: Option<AbsenceBegan>,
    /// The deadline that the list of deadlines has.
    pub(super) noted: Option<Instant>,
}

/// A connection, as the session knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum FarConnection {
    #[default]
    None,
    Socket(ConnectionId),
    Request(u32),
}

impl FarHome {
    pub(super) const fn new(home: HomeAttachment) -> Self {
        let connection = FarConnection::None;
        Self { home, connection, tell_again: None, cut: None, noted: None }
    }

    /// Bytes that wait for the agent.
    pub(in crate::sessions) fn unwritten_bytes(&self) -> usize {
        self.home.unwritten_bytes()
    }

    /// The front of the connection that has the session.
    pub(in crate::sessions) fn front(&self) -> Option<NodeIncarnation> {
        self.home.holder().map(|at| at.front)
    }

    /// When to look at it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let again = self.tell_again.map(|(at, _)| at);
        let cut = self.cut.map(super::reach::cut_ends);
        [self.home.deadline(), again, cut].into_iter().flatten().min()
    }
}

/// The port of an attachment: frames go out at once, calls of the session are gathered.
pub(super) struct FarPort<'p, 'f> {
    joined: &'p Joined,
    uid: InstanceUid,
    /// What is known of the agent's state; `None` while the session itself acts, which brings no message.
    known: Option<(&'p Session, &'p Contents)>,
    pub(super) calls: Vec<SessionCall<'f>>,
}

impl<'p> FarPort<'p, '_> {
    pub(super) const fn new(
        joined: &'p Joined,
        uid: InstanceUid,
        known: Option<(&'p Session, &'p Contents)>,
    ) -> Self {
        Self { joined, uid, known, calls: Vec::new() }
    }
}

impl<'f> HomePort<'f> for FarPort<'_, 'f> {
    fn to_front(&mut self, front: NodeIncarnation, message: &ToFront<'_>) {
        self.joined.to_front(front, self.uid, message);
    }

    fn needs(&self, report: &AgentReport<'_>) -> FieldSet {
        let Some((session, contents)) = self.known else { return FieldSet::EMPTY };
        let secret_id = self.joined.homes.key.read().secret_id;
        messages::needs(report, secret_id, session, contents)
    }

    fn follows(&self, number: SequenceNum) -> bool {
        self.known.is_none_or(|(session, _)| follows(session, number))
    }

    fn session(&mut self, call: SessionCall<'f>) {
        self.calls.push(call);
    }

    fn is_cloned(&self) -> bool {
        self.known.is_some_and(|(session, _)| is_cloned(session, clock::now()))
    }

    fn next_number(&mut self) -> u64 {
        self.joined.homes.next_attachment()
    }
}

/// See the module's text. Lives as long as the session is locked.
pub(in crate::sessions) struct FarWay<'a> {
    joined: &'a Joined,
    uid: InstanceUid,
    far: RefCell<&'a mut FarHome>,
}

impl<'a> FarWay<'a> {
    pub(in crate::sessions) const fn new(
        joined: &'a Joined,
        uid: InstanceUid,
        far: &'a mut FarHome,
    ) -> Self {
        Self { joined, uid, far: RefCell::new(far) }
    }

    fn close(&self, order: CloseOrder, counters: &Counters) {
        let home = &mut self.far.borrow_mut().home;
        let (before, is_attached) = (home.unwritten_bytes(), home.is_attached());
        home.close(order, &mut FarPort::new(self.joined, self.uid, None));
        if is_attached && !home.is_attached() {
            let event = match order {
                CloseOrder::Replaced => AttachmentEvent::Replaced,
                CloseOrder::Cloned => AttachmentEvent::Cloned,
                // The other orders let the connection go once its front says that it is over.
                _ => AttachmentEvent::Left,
            };
            AttachmentChanged { event }.emit();
        }
        counters.outbox_changed(before, home.unwritten_bytes());
    }
}

impl AttachmentPort for FarWay<'_> {
    fn message(
        &self,
        kind: ToAgent,
        credit: &Credit<'_>,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let Some(epoch) = self.joined.homes.shards.speaks_to_agents(self.uid) else { return false };
        if !credit.has_room_for(kind) {
            return false;
        }
        let mut bytes = Vec::with_capacity(kind.expected_bytes());
        write(&mut bytes);
        let kind = match kind {
            ToAgent::ReplyNow | ToAgent::Acknowledgement | ToAgent::Reply(_) => {
                ForAgentKind::Answer
            }
            ToAgent::Push(_) | ToAgent::Stored(_) => ForAgentKind::Unasked,
        };
        let home = &mut self.far.borrow_mut().home;
        let before = home.unwritten_bytes();
        let mut port = FarPort::new(self.joined, self.uid, None);
        let fits = home.for_agent(kind, &bytes, epoch, &mut port);
        credit.counters.outbox_changed(before, home.unwritten_bytes());
        fits
    }

    fn reply_due(&self, at: Option<Instant>) {
        self.far.borrow_mut().home.reply_due(at);
    }

    fn confirm(&self, ping: u16, _: &Counters) {
        let home = &mut self.far.borrow_mut().home;
        home.ping(ping, &mut FarPort::new(self.joined, self.uid, None));
    }

    fn may_read(&self, may: bool, _: Instant) {
        let home = &mut self.far.borrow_mut().home;
        may_say_more(home, may, &mut FarPort::new(self.joined, self.uid, None));
    }

    fn close(&self, counters: &Counters, why: AttachmentEnd) {
        let order = match why {
            AttachmentEnd::Replaced => CloseOrder::Replaced,
            AttachmentEnd::Overflowed => CloseOrder::Overflowed,
            AttachmentEnd::Left | AttachmentEnd::Answered { .. } => CloseOrder::Left,
            AttachmentEnd::Stopping => CloseOrder::Stopping,
            AttachmentEnd::Draining => CloseOrder::Draining,
        };
        self.close(order, counters);
    }

    fn close_when_written(&self) {
        let home = &mut self.far.borrow_mut().home;
        home.close(CloseOrder::Draining, &mut FarPort::new(self.joined, self.uid, None));
    }
}
