//! What waits for an agent that is away or polls (R7).

use super::Session;
use crate::opamp::offers::{Absorbed, OffersLimits};
use crate::opamp::server::ServerScan;
use crate::opamp::splice::{self, Additions};

impl Session {
    /// Whether anything waits for the agent.
    pub fn has_offers(&self) -> bool {
        self.offers.as_ref().is_some_and(|offers| !offers.is_empty())
    }

    /// Bytes that wait for the agent.
    pub fn offers_bytes(&self) -> usize {
        self.offers.as_ref().map_or(0, |offers| offers.bytes())
    }

    /// Keeps a server's message. What finds no room is lost; the agent's full report then shows
    /// the server what the agent does not have.
    pub fn keep_offer(&mut self, scan: &ServerScan<'_>, limits: OffersLimits) -> Absorbed {
        let absorbed = self.offers.get_or_insert_default().absorb(scan, limits);
        if absorbed.dropped_offers > 0 {
            self.want_full_state();
        }
        self.forget_empty_offers();
        absorbed
    }

    /// Writes the next message for the agent, or an acknowledgement if nothing waits. Returns
    /// whether more is left. The additions are in it, or go with the next.
    pub fn take_offer(&mut self, additions: &Additions<'_>, out: &mut Vec<u8>) -> bool {
        let uid = self.uid;
        let Some(offers) = &mut self.offers else {
            splice::acknowledge(uid, additions, out);
            return false;
        };
        let more = offers.take(uid, additions, out);
        self.forget_empty_offers();
        more
    }

    /// Forgets what waits for an agent that will not come; returns whether that was anything.
    pub fn drop_offers(&mut self) -> bool {
        self.offers.take().is_some_and(|offers| !offers.is_empty())
    }

    /// R7: a restart meant for the process that is gone.
    pub(super) fn drop_restart(&mut self) -> bool {
        let dropped = self.offers.as_mut().is_some_and(|offers| offers.clear_command());
        self.forget_empty_offers();
        dropped
    }

    fn forget_empty_offers(&mut self) {
        self.offers.take_if(|offers| offers.is_empty());
    }
}
