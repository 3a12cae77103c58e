//! R7: what waits for an agent that is away or polls, and content that was written to the agent and may
//! be lost. A question that is lost is asked again; an offer has to be found missing by the server.

use std::time::{Duration, Instant};

use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::opamp::offers::{Absorbed, Offers, OffersLimits};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, ServerScan};
use crate::opamp::splice::{self, Additions};

/// Content written to an agent counts as arrived when the agent is heard this much later.
const DOUBT_CLEARED_AFTER: Duration = Duration::from_secs(5);

/// What a session's record says of what waits for its agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxRecord {
    /// The offers that wait.
    pub offers: Option<Box<Offers>>,
    /// When content was last written to the agent; set until the agent proves that it arrived.
    pub in_doubt: Option<Instant>,
    /// The server told the agent to use another uid.
    pub renamed: bool,
}

/// See the module's text. `default()` is the empty mailbox that most agents have.
#[derive(Debug, Default, Clone)]
pub(super) struct Mailbox {
    offers: Option<Box<Offers>>,
    /// When content was last written to the agent; set until the agent proves that it arrived.
    in_doubt: Option<Instant>,
    /// The server told the agent to use another uid.
    renamed: bool,
}

impl Mailbox {
    pub(super) fn to_record(&self) -> MailboxRecord {
        let Self { offers, in_doubt, renamed } = self.clone();
        MailboxRecord { offers, in_doubt, renamed }
    }

    pub(super) fn from_record(record: MailboxRecord) -> Self {
        let MailboxRecord { offers, in_doubt, renamed } = record;
        Self { offers, in_doubt, renamed }
    }

    /// Whether anything waits for the agent.
    pub(super) fn has_offers(&self) -> bool {
        self.offers.as_ref().is_some_and(|offers| !offers.is_empty())
    }

    /// Whether a question for the component map waits for the agent.
    pub(super) fn asks_for_map(&self) -> bool {
        let flags = self.offers.as_ref().map_or(0, |offers| offers.flags());
        flags & REPORT_AVAILABLE_COMPONENTS != 0
    }

    /// Bytes that wait for the agent.
    pub(super) fn bytes(&self) -> usize {
        self.offers.as_ref().map_or(0, |offers| offers.bytes())
    }

    /// Adds a server's message. What exceeds the room is lost: the caller sees to it.
    pub(super) fn absorb(&mut self, scan: &ServerScan<'_>, limits: OffersLimits) -> Absorbed {
        if is_on(Breach::R7KeepsFirst) && self.has_offers() {
            return Absorbed::default();
        }
        let absorbed = self.offers.get_or_insert_default().absorb(scan, limits);
        self.drop_empty();
        absorbed
    }

    /// Writes the next message for the agent, or an acknowledgement if nothing waits. An error or a
    /// command goes alone: then `additions` follow with the next message.
    pub(super) fn write_next(
        &mut self,
        (uid, additions): (InstanceUid, &Additions<'_>),
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        if self.offers.as_ref().is_some_and(|offers| offers.has_content()) {
            self.in_doubt = Some(now);
        }
        match &mut self.offers {
            Some(offers) => {
                offers.take(uid, additions, out);
                self.drop_empty();
            }
            None => splice::acknowledge(uid, additions, out),
        }
    }

    /// Forgets what waits for an agent that stays away; returns whether that was anything.
    pub(super) fn drop_offers(&mut self) -> bool {
        self.offers.take().is_some_and(|offers| !offers.is_empty())
    }

    /// Drops a restart that was meant for a process that is gone. Returns whether there was one.
    pub(super) fn drop_restart(&mut self) -> bool {
        if is_on(Breach::R7RestartsNewProcess) {
            return false;
        }
        let dropped = self.offers.as_mut().is_some_and(|offers| offers.clear_command());
        self.drop_empty();
        dropped
    }

    fn drop_empty(&mut self) {
        self.offers.take_if(|offers| offers.is_empty());
    }

    /// Content, more than an acknowledgement, was written to the agent.
    pub(super) const fn content_written(&mut self, now: Instant) {
        self.in_doubt = Some(now);
    }

    /// The agent was heard: what was written well before has arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        self.in_doubt.take_if(|at| now.saturating_duration_since(*at) > DOUBT_CLEARED_AFTER);
    }

    /// Takes the doubt away, and returns whether there was one.
    pub(super) const fn take_doubt(&mut self) -> bool {
        self.in_doubt.take().is_some()
    }

    /// Notes that the server told the agent to use another uid, or that another connection speaks for it.
    pub(super) const fn set_renamed(&mut self, renamed: bool) {
        self.renamed = renamed;
    }

    pub(super) const fn is_renamed(&self) -> bool {
        self.renamed
    }

    /// Whether the mailbox is empty, and all that was written has arrived.
    pub(super) fn is_idle(&self) -> bool {
        self.offers.is_none() && self.in_doubt.is_none() && !self.renamed
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::message::{self, bytes};
    use super::super::tests::{POLICY, UID};
    use super::*;
    use crate::opamp::proto::{ServerToAgent, ServerToAgentCommand};
    use prost::Message;

    fn absorb(mailbox: &mut Mailbox, message: &ServerToAgent) {
        let bytes = bytes(message);
        mailbox.absorb(&ServerScan::parse(&bytes).unwrap(), POLICY.offers);
    }

    #[test]
    fn the_latest_offer_waits_and_is_in_doubt_once_written() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        absorb(&mut mailbox, &message::offer(1));
        absorb(&mut mailbox, &message::offer(2));
        let mut out = Vec::new();
        mailbox.write_next((UID, &Additions::default()), now, &mut out);
        assert_eq!(ServerToAgent::decode(&out[..]).unwrap(), message::offer(2));
        assert!(!mailbox.has_offers() && !mailbox.is_idle());
        mailbox.heard(now + DOUBT_CLEARED_AFTER);
        assert!(!mailbox.is_idle(), "that may have crossed");
        mailbox.heard(now + DOUBT_CLEARED_AFTER + Duration::from_millis(1));
        assert!(mailbox.is_idle());
    }

    #[test]
    fn a_lost_question_leaves_no_doubt() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        absorb(&mut mailbox, &message::ask());
        assert!(mailbox.has_offers() && !mailbox.asks_for_map());
        mailbox.write_next((UID, &Additions::default()), now, &mut Vec::new());
        assert!(!mailbox.take_doubt());
        mailbox.content_written(now);
        assert!(mailbox.take_doubt() && !mailbox.take_doubt());
    }

    #[test]
    fn a_restart_is_dropped_and_the_rest_waits_on() {
        let command = Some(ServerToAgentCommand::default());
        let mut mailbox = Mailbox::default();
        absorb(&mut mailbox, &ServerToAgent { command, ..message::ack() });
        assert!(mailbox.bytes() > 0 && mailbox.drop_restart() && !mailbox.drop_restart());
        assert!(!mailbox.drop_offers() && mailbox.is_idle());
    }
}
