//! R7: what waits for an agent that is away or polls, and what was written to it and it has yet to confirm. A question
//! that is lost is asked again; an offer goes again.
//!
//! ```text
//!              connected: written                 pong to the ping behind it
//!   waits ────────────────────────► unconfirmed ────────────────────────────► past
//!     ▲                                  │
//!     └──────────────────────────────────┘ the connection is lost, or another one has the session
//! ```
//!
//! A copy that finds no room is given up. Then the server has to find out, from the agent's state, what it lacks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::opamp::offers::{Absorbed, Offers, OffersLimits};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, ServerScan};
use crate::opamp::splice::{self, Additions};

/// Content of which there is no copy counts as arrived when the agent is heard this much later.
const DOUBT_CLEARED_AFTER: Duration = Duration::from_secs(5);
/// An agent that answers no pings has what was written this long before it was heard.
const CONFIRMED_AFTER: Duration = Duration::from_secs(30);

/// What a session's record says of what waits for its agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxRecord {
    /// The offers that wait.
    pub offers: Option<Box<Offers>>,
    /// What the agent has yet to confirm, in the order in which it was written.
    pub unconfirmed: VecDeque<Written>,
    /// The number of the last ping that the agent was to confirm something with.
    pub last_ping: u16,
    /// When content without a copy was last written to the agent; set until the agent proves that it arrived.
    pub in_doubt: Option<Instant>,
    /// The server told the agent to use another uid.
    pub renamed: bool,
}

/// The copy of a message that was written to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The ping behind it.
    pub ping: u16,
    /// When it was written.
    pub at: Instant,
    /// It was the answer to a request. The agent's next number says whether it has arrived.
    pub in_answer: bool,
    /// The message, a `ServerToAgent`.
    pub message: Box<[u8]>,
}

impl Written {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.message.len()
    }
}

/// See the module's text. `default()` is the empty mailbox that most agents have.
#[derive(Debug, Default, Clone)]
pub(super) struct Mailbox {
    offers: Option<Box<Offers>>,
    /// What the agent has yet to confirm, in the order in which it was written.
    unconfirmed: VecDeque<Written>,
    /// When content without a copy was last written to the agent; set until the agent proves that it arrived.
    in_doubt: Option<Instant>,
    /// The server told the agent to use another uid.
    renamed: bool,
    /// The largest offer that was dropped because there was no room, in bytes: its server has to find out. 0: none.
    dropped: usize,
}

/// How a copy of a message is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copying {
    pub(super) now: Instant,
    /// The ping that goes behind it.
    pub(super) ping: u16,
    /// Bytes that copies for all agents may still take.
    pub(super) free: usize,
    pub(super) limits: OffersLimits,
    /// The message answers a request.
    pub(super) in_answer: bool,
}

impl Mailbox {
    pub(super) fn to_record(&self, last_ping: u16) -> MailboxRecord {
        let Self { offers, unconfirmed, in_doubt, renamed, .. } = self.clone();
        MailboxRecord { offers, unconfirmed, last_ping, in_doubt, renamed }
    }

    pub(super) fn from_record(record: MailboxRecord) -> Self {
        let MailboxRecord { offers, unconfirmed, in_doubt, renamed, .. } = record;
        Self { offers, unconfirmed, in_doubt, renamed, dropped: 0 }
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

    /// Bytes of copies.
    pub(super) fn copied_bytes(&self) -> usize {
        self.unconfirmed.iter().map(Written::bytes).sum()
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
    /// command goes alone: then `additions` follow with the next message. A copy stays.
    pub(super) fn write_next(
        &mut self,
        (uid, additions): (InstanceUid, &Additions<'_>),
        copying: Copying,
        out: &mut Vec<u8>,
    ) {
        let before = out.len();
        match &mut self.offers {
            Some(offers) => {
                offers.take(uid, additions, out);
                self.drop_empty();
                self.copy(&out[before..], copying);
            }
            None => splice::acknowledge(uid, additions, out),
        }
    }

    /// Keeps a copy of a message that was written to the agent, unless it is a question or a reply that says nothing.
    pub(super) fn copy(&mut self, message: &[u8], copying: Copying) {
        let Ok(scan) = ServerScan::parse(message) else { return };
        // An error answers one message, and the next one gets an answer of its own.
        if scan.without_flags(u64::MAX).is_empty_ack() || scan.error_response.is_some() {
            return;
        }
        let Copying { now, ping, free, limits, in_answer } = copying;
        let written = Written { ping, at: now, in_answer, message: message.into() };
        if written.bytes() > free || is_on(Breach::R7ForgetsWritten) {
            // Without the latest, earlier ones would be wrong.
            self.unconfirmed = VecDeque::new();
            self.in_doubt = Some(now);
            return;
        }
        self.unconfirmed.push_back(written);
        while self.unconfirmed.len() > 1
            && (self.copied_bytes() > limits.bytes_max
                || self.unconfirmed.len() > limits.custom_messages_max)
        {
            self.unconfirmed.pop_front();
            self.in_doubt = Some(now);
        }
    }

    /// What was written may be lost: it waits once more, before what has come since. Returns what there was no
    /// room for; `None`: nothing was to be confirmed.
    pub(super) fn take_back(&mut self, uid: InstanceUid, limits: OffersLimits) -> Option<Absorbed> {
        if self.unconfirmed.is_empty() {
            return None;
        }
        let (written, mut later) = (std::mem::take(&mut self.unconfirmed), self.offers.take());
        let mut dropped = Absorbed::default();
        for Written { message, .. } in written {
            if let Ok(mut scan) = ServerScan::parse(&message).map(|it| it.without_flags(u64::MAX)) {
                // What was asked is asked again otherwise, and each connection begins with a greeting.
                scan.capabilities = None;
                dropped.add(self.absorb(&scan, limits));
            }
        }
        while let Some(later) = later.as_mut().filter(|later| !later.is_empty()) {
            let mut message = Vec::new();
            later.take(uid, &Additions::default(), &mut message);
            if let Ok(scan) = ServerScan::parse(&message) {
                dropped.add(self.absorb(&scan, limits));
            }
        }
        Some(dropped)
    }

    /// The largest message that the agent has yet to confirm is given up. Returns its size.
    pub(super) fn drop_largest_unconfirmed(&mut self) -> Option<usize> {
        let sizes = self.unconfirmed.iter().map(|written| written.message.len());
        let (place, bytes) = sizes.enumerate().max_by_key(|(_, bytes)| *bytes)?;
        self.unconfirmed.remove(place);
        Some(bytes)
    }

    /// What waits is given up; what was written is as it was.
    pub(super) fn drop_waiting(&mut self) {
        self.offers = None;
    }

    /// Whether the agent has yet to confirm something.
    pub(super) fn is_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Whether the agent has yet to confirm the answer to a request.
    pub(super) fn is_unconfirmed_answer(&self) -> bool {
        self.unconfirmed.back().is_some_and(|last| last.in_answer)
    }

    /// The agent has all that was written to it before this ping. `last`: the last ping that was sent.
    pub(super) fn confirmed(&mut self, ping: u16, last: u16) {
        let is_before = |it: &Written| ping.wrapping_sub(it.ping) <= u16::MAX / 2;
        while self.unconfirmed.front().is_some_and(is_before) {
            self.unconfirmed.pop_front();
        }
        if self.unconfirmed.is_empty() {
            self.unconfirmed = VecDeque::new();
        }
        self.in_doubt.take_if(|_| ping == last);
    }

    /// The agent has all that was written to it.
    pub(super) fn all_confirmed(&mut self) {
        (self.unconfirmed, self.in_doubt) = (VecDeque::new(), None);
    }

    /// Forgets what waits for an agent that stays away; returns whether that was anything.
    pub(super) fn drop_offers(&mut self) -> bool {
        self.unconfirmed = VecDeque::new();
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

    /// The agent was heard: what was written well before has arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        let is_past = |at: Instant, after| now.saturating_duration_since(at) > after;
        self.in_doubt.take_if(|at| is_past(*at, DOUBT_CLEARED_AFTER));
        let has = |it: &Written| !it.in_answer && is_past(it.at, CONFIRMED_AFTER);
        while self.unconfirmed.front().is_some_and(has) {
            self.unconfirmed.pop_front();
        }
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

    /// An offer of this many bytes was dropped because there was no room.
    pub(super) fn note_dropped(&mut self, bytes: usize) {
        self.dropped = self.dropped.max(bytes).max(1);
    }

    /// Whether an offer was dropped of which the server has yet to hear.
    pub(super) const fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    /// Whether an offer was dropped for which there is room now: the server is to hear of it.
    pub(super) fn take_dropped(&mut self, free: usize) -> bool {
        let is_told = self.dropped > 0 && self.dropped <= free;
        if is_told {
            self.dropped = 0;
        }
        is_told
    }

    /// Whether the mailbox is empty, and the agent has all that was written.
    pub(super) fn is_idle(&self) -> bool {
        let none_waits = self.offers.is_none() && self.unconfirmed.is_empty();
        none_waits && self.in_doubt.is_none() && !self.renamed && self.dropped == 0
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

    fn copying(now: Instant, free: usize) -> Copying {
        Copying { now, ping: 1, free, limits: POLICY.offers, in_answer: false }
    }

    fn next(mailbox: &mut Mailbox, copying: Copying) -> ServerToAgent {
        let mut out = Vec::new();
        mailbox.write_next((UID, &Additions::default()), copying, &mut out);
        ServerToAgent::decode(&out[..]).unwrap()
    }

    #[test]
    fn the_latest_offer_waits_and_is_copied_once_written() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        absorb(&mut mailbox, &message::offer(1));
        absorb(&mut mailbox, &message::offer(2));
        assert_eq!(next(&mut mailbox, copying(now, 10_000)), message::offer(2));
        assert!(!mailbox.has_offers() && !mailbox.is_idle());
        assert!(mailbox.copied_bytes() > 0 && mailbox.bytes() == 0);
        mailbox.heard(now + CONFIRMED_AFTER);
        assert!(!mailbox.is_idle(), "that may have crossed");
        let mut confirmed = mailbox.clone();
        confirmed.confirmed(0, 1);
        assert!(!confirmed.is_idle(), "an earlier ping");
        confirmed.confirmed(1, 1);
        assert!(confirmed.is_idle());
        mailbox.heard(now + CONFIRMED_AFTER + Duration::from_millis(1));
        assert!(mailbox.is_idle());
    }

    #[test]
    fn what_is_taken_back_goes_before_what_came_since() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        let custom = |data| {
            let custom_message = crate::opamp::proto::CustomMessage { data, ..Default::default() };
            ServerToAgent { custom_message: Some(custom_message), ..message::ack() }
        };
        for data in [1, 2] {
            mailbox.copy(&bytes(&custom(vec![data])), copying(now, 10_000));
        }
        mailbox.copy(&bytes(&message::offer(1)), copying(now, 10_000));
        absorb(&mut mailbox, &message::offer(2));
        absorb(&mut mailbox, &custom(vec![3]));
        assert_eq!(mailbox.take_back(UID, POLICY.offers), Some(Absorbed::default()));
        assert_eq!(mailbox.take_back(UID, POLICY.offers), None);
        let first = next(&mut mailbox, copying(now, 10_000));
        assert_eq!(first.remote_config, message::offer(2).remote_config);
        let rest: Vec<_> = [(); 2].map(|()| next(&mut mailbox, copying(now, 10_000))).into();
        let all = [vec![first], rest].concat();
        let data: Vec<_> = all.into_iter().map(|m| m.custom_message.unwrap().data).collect();
        assert_eq!(data, [[1], [2], [3]]);
    }

    #[test]
    fn without_room_for_a_copy_there_is_doubt() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        absorb(&mut mailbox, &message::offer(1));
        next(&mut mailbox, copying(now, 3));
        assert!(mailbox.copied_bytes() == 0 && !mailbox.is_idle());
        assert!(mailbox.take_doubt() && !mailbox.take_doubt());
        absorb(&mut mailbox, &message::offer(1));
        next(&mut mailbox, copying(now, 3));
        mailbox.heard(now + DOUBT_CLEARED_AFTER);
        assert!(!mailbox.is_idle());
        mailbox.confirmed(1, 1);
        assert!(mailbox.is_idle(), "a pong says that all before it has arrived");
    }

    #[test]
    fn copies_have_bounds_and_the_oldest_goes() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        for number in 0..=4 {
            mailbox.copy(&bytes(&message::offer(number)), copying(now, 10_000));
        }
        assert_eq!(mailbox.unconfirmed.len(), POLICY.offers.custom_messages_max);
        assert!(mailbox.take_doubt());
        let large = ServerToAgent { instance_uid: vec![0; 1 << 10], ..message::offer(9) };
        mailbox.copy(&bytes(&large), copying(now, 10_000));
        assert_eq!(mailbox.unconfirmed.len(), 1, "one is kept, however large");
        mailbox.take_back(UID, POLICY.offers);
        assert_eq!(next(&mut mailbox, copying(now, 10_000)).remote_config, large.remote_config);
    }

    #[test]
    fn a_lost_question_leaves_no_doubt() {
        let now = crate::clock::now();
        let mut mailbox = Mailbox::default();
        absorb(&mut mailbox, &message::ask());
        assert!(mailbox.has_offers() && !mailbox.asks_for_map());
        next(&mut mailbox, copying(now, 10_000));
        assert!(mailbox.is_idle() && !mailbox.take_doubt());
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
