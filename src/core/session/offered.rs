//! What waits for an agent that is away or polls (R7).

use super::Session;
use std::time::Instant;

use crate::mutation::{Breach, is_on};
use crate::opamp::offers::{Absorbed, Offers, OffersLimits};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, ServerScan};
use crate::opamp::splice::{self, Additions};

impl Session {
    /// Whether anything waits for the agent.
    pub fn has_offers(&self) -> bool {
        self.offers().is_some_and(|offers| !offers.is_empty())
    }

    fn offers(&self) -> Option<&Offers> {
        self.rare.as_ref()?.offers.as_deref()
    }

    fn offers_mut(&mut self) -> Option<&mut Offers> {
        self.rare.as_mut()?.offers.as_deref_mut()
    }

    /// Whether a question for the component map waits for the agent.
    pub(super) fn asks_for_map_wait(&self) -> bool {
        self.offers().is_some_and(|offers| offers.flags() & REPORT_AVAILABLE_COMPONENTS != 0)
    }

    /// Bytes that wait for the agent.
    pub fn offers_bytes(&self) -> usize {
        self.offers().map_or(0, Offers::bytes)
    }

    /// Keeps a server's message. What finds no room is lost; the agent's full report then shows
    /// the server what the agent does not have.
    pub fn keep_offer(&mut self, scan: &ServerScan<'_>, limits: OffersLimits) -> Absorbed {
        if is_on(Breach::R7KeepsFirst) && self.has_offers() {
            return Absorbed::default();
        }
        let absorbed = self.rare_mut().offers.get_or_insert_default().absorb(scan, limits);
        if absorbed.dropped_offers > 0 {
            self.offer_may_be_lost();
        }
        self.forget_empty_offers();
        absorbed
    }

    /// Writes the next message for the agent, or an acknowledgement if nothing waits. Returns
    /// whether more is left. The additions are in it, or go with the next.
    pub fn take_offer(
        &mut self,
        additions: &Additions<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        let uid = self.uid;
        // A question that is lost is asked again; an offer has to be found missing.
        if self.offers().is_some_and(Offers::has_content) {
            self.content_written(now);
        }
        let Some(offers) = self.offers_mut() else {
            splice::acknowledge(uid, additions, out);
            return false;
        };
        let more = offers.take(uid, additions, out);
        self.forget_empty_offers();
        more
    }

    /// Forgets what waits for an agent that will not come; returns whether that was anything.
    pub fn drop_offers(&mut self) -> bool {
        let offers = self.rare.as_mut().and_then(|rare| rare.offers.take());
        offers.is_some_and(|offers| !offers.is_empty())
    }

    /// R7: a restart meant for the process that is gone.
    pub(super) fn drop_restart(&mut self) -> bool {
        if is_on(Breach::R7RestartsNewProcess) {
            return false;
        }
        let dropped = self.offers_mut().is_some_and(Offers::clear_command);
        self.forget_empty_offers();
        dropped
    }

    fn forget_empty_offers(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.offers.take_if(|offers| offers.is_empty());
        }
    }
}
