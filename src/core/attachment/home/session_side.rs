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
pub(super) fn confirm_again<'a, P: HomePort<'a>>(uid: InstanceUid, current: &HeldBy, port: &mut P) {
    if let Some(ping) = current.asked.filter(|_| current.reached) {
        let handle = Handle { uid, connection: current.at.connection };
        let ping = ToFront::Ping(handle, OF_SESSION | u32::from(ping));
        port.to_front(current.at.front, &ping);
    }
}

impl HomeAttachment {
    /// After the calls of an event: tells the front what was taken, unless something else has. `all_told`: servers have
    /// answered all that the session had to tell them. A front that takes something of it for being on its way hears so,
    /// and a home after this one need not tell it once more.
    pub fn settle<'a, P: HomePort<'a>>(&mut self, all_told: bool, port: &mut P) {
        let uid = self.uid;
        let Some(current) = self.current.as_mut().filter(|current| current.reached) else { return };
        let handle = Handle { uid, connection: current.at.connection };
        if current.told < current.had {
            current.told = current.had;
            port.to_front(current.at.front, &ToFront::Confirmed(handle, current.had));
        }
        let known = current.under_way.take_if(|number| all_told && *number <= current.had);
        if known.is_some() {
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
        let Some(message) = current.unwritten.add(kind, bytes) else {
            self.close(CloseOrder::Overflowed, port);
            return false;
        };
        if current.reached {
            current.told = current.had;
            let handle = Handle { uid, connection: current.at.connection };
            let message = message.to_send(epoch.number, current.had);
            port.to_front(current.at.front, &ToFront::AgentFrame(handle, message));
        }
        true
    }

    /// The session wants its agent to answer a ping of this number, behind what it has for it.
    pub fn confirm<'a, P: HomePort<'a>>(&mut self, ping: u16, port: &mut P) {
        if let Some(current) = &mut self.current {
            current.asked = Some(ping);
            confirm_again(self.uid, current, port);
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
