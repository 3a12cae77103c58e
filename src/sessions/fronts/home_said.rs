//! What homes say to connections of this front.

use super::FrontSide;
use crate::core::node_link::{Detach, DetachReason, ToFront, ToHome};
use crate::core::ownership::NodeIncarnation;
use crate::telemetry::events::fronts::HomeSaid;

impl FrontSide<'_> {
    /// A home says something. One that speaks of a connection that is not here (any more) hears so.
    pub(in crate::sessions) fn home_said(self, from: NodeIncarnation, message: &ToFront<'_>) {
        HomeSaid { message }.emit();
        let handle = message.handle();
        if let Some(entry) = self.joined.fronts.table.find(handle) {
            return self.with(&entry, None, |front, moment, port| {
                front.home_said(from, message, moment, port);
            });
        }
        if !matches!(message, ToFront::Close(..) | ToFront::NotMine(..) | ToFront::Told(..)) {
            let gone = Detach { reason: DetachReason::Lost, heartbeats: None, missed: false };
            let gone = ToHome::Detach(handle, gone);
            self.joined.to_home(from, handle.uid, &mut |out| gone.encode(out));
            self.handle_loopback(handle.uid);
        }
    }
}
