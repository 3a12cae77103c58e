//! The session's side of the attachment: what it has for its agent, and when it lets the connection go. This is what
//! stands behind an `AttachmentPort` whose connection ends at another node.

use std::time::Instant;

use super::{HeldBy, HomeAttachment, HomePort};
use crate::core::node_link::{CloseOrder, ForAgentKind, Handle, ToFront};
use crate::core::ownership::Epoch;
use crate::ident::InstanceUid;

/// Set in the number of a ping that the session asks for; of the others, each is a question of R10.
pub(super) const OF_SESSION: u32 = 1 << 31;

/// The session's number of a ping, if it is the session's.
pub(super) fn ping_of_session(question: u32) -> Option<u16> {
    u16::try_from(question.checked_sub(OF_SESSION)?).ok()
}

/// Sends the session's ping, for the first time or because the link to the front was lost since.
pub(super) fn ping_again<'a, P: HomePort<'a>>(uid: InstanceUid, current: &HeldBy, port: &mut P) {
    if let Some(ping) = current.asked.filter(|_| current.reached) {
        let handle = Handle { uid, connection: current.at.connection };
        let ping = ToFront::Ping(handle, OF_SESSION | u32::from(ping));
        port.to_front(current.at.front, &ping);
    }
}

impl HomeAttachment {
    /// After the calls of an event: tells the front what was taken, unless something else has, or will soon. While
    /// another connection wants the session, what this one holds must be known.
    pub fn settle<'a, P: HomePort<'a>>(&mut self, port: &mut P) {
        let is_contested = self.candidate.is_some();
        if is_contested || self.current.as_ref().is_some_and(|it| !it.is_told_later()) {
            self.confirm(port);
        }
    }

    /// Tells the front what was taken.
    pub(super) fn confirm<'a, P: HomePort<'a>>(&mut self, port: &mut P) {
        let uid = self.uid;
        if let Some(current) = &mut self.current
            && current.telling.told < current.had
            && current.reached
        {
            current.telling.holds_back = false;
            let handle = Handle { uid, connection: current.at.connection };
            port.to_front(current.at.front, &ToFront::Confirmed(handle, current.tell()));
        }
    }

    /// Servers have answered all that the session had to tell them. A front that takes something of it for being on
    /// its way hears so: a home after this one need not tell it once more.
    pub fn all_told<'a, P: HomePort<'a>>(&mut self, port: &mut P) {
        let uid = self.uid;
        if let Some(current) = &mut self.current
            && current.reached
            && current.under_way.take_if(|number| *number <= current.had).is_some()
        {
            let handle = Handle { uid, connection: current.at.connection };
            port.to_front(current.at.front, &ToFront::Told(handle, current.had));
        }
    }

    /// The session has something for the agent. `false`: the credit is used up; what waited is dropped, and the
    /// connection closes.
    pub fn for_agent<'a, P: HomePort<'a>>(
        &mut self,
        kind: ForAgentKind,
        bytes: &[u8],
        epoch: Epoch,
        port: &mut P,
    ) -> bool {
        let uid = self.uid;
        let Some(current) = &mut self.current else { return true };
        if current.closing {
            return true;
        }
        let Some(message) = current.unwritten.add(kind, bytes, &mut current.greeted) else {
            self.close(CloseOrder::Overflowed, port);
            return false;
        };
        if current.reached {
            let handle = Handle { uid, connection: current.at.connection };
            let message = message.to_send(epoch.number, current.tell());
            port.to_front(current.at.front, &ToFront::AgentFrame(handle, message));
        }
        true
    }

    /// The session wants its agent to answer a ping of this number, behind what it has for it.
    pub fn ping<'a, P: HomePort<'a>>(&mut self, ping: u16, port: &mut P) {
        if let Some(current) = &mut self.current {
            current.asked = Some(ping);
            ping_again(self.uid, current, port);
        }
    }

    /// When the session wants to be called for an overdue reply.
    pub fn reply_due(&mut self, at: Option<Instant>) {
        if let Some(current) = &mut self.current {
            current.reply_due = at;
        }
    }

    /// The session closes the connection.
    pub fn close<'a, P: HomePort<'a>>(&mut self, order: CloseOrder, port: &mut P) {
        // Otherwise the front would take it for lost.
        self.confirm(port);
        let uid = self.uid;
        let Some(current) = &mut self.current else { return };
        if !current.closing {
            let handle = Handle { uid, connection: current.at.connection };
            port.to_front(current.at.front, &ToFront::Close(handle, order));
        }
        if order.lets_go() {
            self.take_current();
        } else {
            current.closing = order != CloseOrder::Draining;
        }
    }
}

/// Whether the agent may say more (R6). If not, its front is not told what was taken, so that it reads on for as long as
/// it has room itself.
pub fn may_say_more<'a, P: HomePort<'a>>(home: &mut HomeAttachment, may: bool, port: &mut P) {
    let Some(current) = &mut home.current else { return };
    let held_back = std::mem::replace(&mut current.telling.holds_back, !may);
    if may && held_back {
        home.confirm(port);
    }
}
