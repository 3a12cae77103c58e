//! What an agent said and its home has not confirmed: in order, numbered, bounded in count and bytes. What is sent
//! when, and to whom, is the front's decision.
//!
//! Over its bound in bytes, the parts of the oldest messages are given up first: their digests stay, and a home that
//! lacks them has the agent asked. What is said once stays.

use std::collections::VecDeque;

use crate::core::node_link::{AgentReport, DIGEST_BYTES, DIGESTED, Numbered, PartDigests};
use crate::core::session::reports_map;
use crate::ident::SequenceNum;
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::Digest;
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice;

/// The fields that stand in a frame's head.
pub(super) const IN_HEAD: FieldSet = FieldSet::of(&[
    agent_field::INSTANCE_UID,
    agent_field::SEQUENCE_NUM,
    agent_field::CAPABILITIES,
    agent_field::FLAGS,
]);

/// Up to this length, a message that is not its connection's first takes the parts of its state along as bytes. Agents
/// leave out what has not changed, so the home would ask for them: one more round trip costs both nodes more than these
/// bytes.
const WHOLE_BYTES_MAX: usize = 2 << 10;

/// The same for what a connection that is over has left behind: its agent goes on elsewhere meanwhile.
const LAST_BYTES_MAX: usize = 32 << 10;

/// What a message costs beside its bytes. An estimate.
const OVERHEAD_BYTES: usize = 256;

/// Digests of a message's parts, as they are taken.
#[derive(Debug, Default)]
pub(super) struct TakenDigests {
    pub(super) secret: u64,
    taken: Vec<(u32, Digest)>,
}

impl TakenDigests {
    /// Adds the digest of a part; capabilities, which travel as a number, are passed over.
    pub(super) fn put(&mut self, number: u32, digest: Digest) {
        if DIGESTED.contains(number) {
            self.taken.push((number, digest));
        }
    }
}

/// One message.
#[derive(Debug)]
struct HeldMessage {
    number: u64,
    sequence_num: SequenceNum,
    capabilities: u64,
    flags: u64,
    present: FieldSet,
    heartbeats: Option<SequenceNum>,
    secret: u64,
    digested: FieldSet,
    digests: Box<[u8]>,
    /// The message, or what is left of it.
    bytes: Box<[u8]>,
    /// See [`AgentReport::has_map`].
    has_map: bool,
    /// Parts that go as bytes: the home has asked for them, or would.
    wanted: FieldSet,
    gone: FieldSet,
    /// How long the frame is that is under way; 0 if none is.
    under_way: usize,
}

impl HeldMessage {
    fn new(scan: &AgentScan<'_>, mut digests: TakenDigests, number: u64) -> Self {
        digests.taken.sort_unstable_by_key(|(number, _)| *number);
        digests.taken.dedup_by_key(|(number, _)| *number);
        let numbers: Vec<u32> = digests.taken.iter().map(|(number, _)| *number).collect();
        let digested = FieldSet::of(&numbers);
        let goes_whole = number > 1 && scan.bytes.len() <= WHOLE_BYTES_MAX;
        Self {
            number,
            sequence_num: scan.sequence_num,
            capabilities: scan.capabilities,
            flags: scan.flags,
            present: scan.present,
            heartbeats: None,
            secret: digests.secret,
            digested,
            digests: digests.taken.iter().flat_map(|(_, digest)| digest.0).collect(),
            bytes: scan.bytes.into(),
            has_map: reports_map(scan),
            wanted: if goes_whole { digested } else { FieldSet::EMPTY },
            gone: FieldSet::EMPTY,
            under_way: 0,
        }
    }

    const fn size(&self) -> usize {
        OVERHEAD_BYTES + self.bytes.len() + self.digests.len()
    }

    /// The fields that go as bytes.
    const fn carried(&self) -> FieldSet {
        let said_once = self.present.minus(self.digested).minus(IN_HEAD);
        said_once.union(self.wanted).minus(self.gone)
    }

    fn write_carried(&self, out: &mut Vec<u8>) {
        let carried = self.carried();
        if carried.is_empty() {
            return;
        }
        // The bytes are those of a message that was scanned, or fields that were taken from it.
        if let Ok(scan) = AgentScan::parse(&self.bytes) {
            splice::bare_fields(&scan, carried, out);
        }
    }

    fn report<'a>(&'a self, fields: &'a [u8]) -> AgentReport<'a> {
        AgentReport {
            sequence_num: self.sequence_num,
            capabilities: self.capabilities,
            flags: self.flags,
            present: self.present,
            heartbeats: self.heartbeats,
            has_map: self.has_map,
            digests: PartDigests::new(self.secret, self.digested, &self.digests)
                .filter(|digests| !digests.parts().is_empty()),
            gone: self.gone,
            fields,
        }
    }

    /// Gives the parts up that have a digest. `false`: there is nothing to give up.
    fn give_up_parts(&mut self) -> bool {
        if self.gone == self.digested {
            return false;
        }
        self.gone = self.digested;
        let mut left = Vec::new();
        self.write_carried(&mut left);
        self.bytes = left.into();
        true
    }
}

/// How much may be held of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldLimits {
    pub(super) bytes_max: usize,
    /// The newest message is held whole, whatever its length: a large state must arrive some time.
    pub(super) newest_stays: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct HeldMessages {
    messages: VecDeque<HeldMessage>,
    /// The home has the content of all up to this number.
    confirmed: u64,
    /// All up to this number went, in this life of the link.
    sent: u64,
    bytes: usize,
    /// Something was given up.
    given_up: bool,
    /// Heartbeats that were answered after the last message.
    heartbeats: Option<SequenceNum>,
}

impl HeldMessages {
    /// Holds a message. Returns whether parts of its state go as bytes.
    pub(super) fn push(
        &mut self,
        scan: &AgentScan<'_>,
        digests: TakenDigests,
        limits: HeldLimits,
    ) -> bool {
        let mut message = HeldMessage::new(scan, digests, self.last() + 1);
        message.heartbeats =
            self.heartbeats.take().filter(|_| !is_on(Breach::AttachmentHeartbeatsLate));
        self.bytes += message.size();
        let takes_parts = !message.wanted.is_empty();
        self.messages.push_back(message);
        let mut place = 0;
        let end = self.messages.len() - usize::from(limits.newest_stays);
        while self.bytes > limits.bytes_max
            && place < end
            && let Some(message) = self.messages.get_mut(place)
        {
            let before = message.size();
            message.give_up_parts();
            self.bytes -= before - message.size();
            place += 1;
        }
        takes_parts
    }

    /// Whether one message more may come.
    pub(super) fn has_room(&self, messages_max: usize, bytes_max: usize) -> bool {
        self.messages.len() < messages_max && self.bytes < bytes_max
    }

    /// The agent sent a heartbeat, which the front has answered.
    pub(super) const fn heartbeat(&mut self, number: SequenceNum) {
        self.heartbeats = Some(number);
    }

    /// Heartbeats after the last message, while no message is unconfirmed.
    pub(super) fn heartbeats(&self) -> Option<SequenceNum> {
        self.heartbeats.filter(|_| self.messages.is_empty())
    }

    /// The number of the last message that was held.
    pub(super) fn last(&self) -> u64 {
        self.confirmed + self.messages.len() as u64
    }

    /// The number that comes after what is confirmed.
    pub(super) const fn next(&self) -> u64 {
        self.confirmed + 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The home has the content of all up to `number`.
    pub(super) fn confirm(&mut self, number: u64) {
        while self.messages.front().is_some_and(|message| message.number <= number)
            && let Some(message) = self.messages.pop_front()
        {
            self.bytes -= message.size();
            self.confirmed = message.number;
        }
        self.sent = self.sent.max(self.confirmed);
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }

    /// Gives up what is unconfirmed.
    pub(super) fn give_up(&mut self) {
        self.given_up |= !self.messages.is_empty();
        self.confirmed = self.last();
        self.messages = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether something is lost if no more is sent.
    pub(super) fn is_any_lost(&self) -> bool {
        self.given_up || !self.messages.is_empty()
    }

    /// What is unconfirmed goes again.
    pub(super) fn send_again(&mut self) {
        if is_on(Breach::AttachmentForgetsHeld) {
            return;
        }
        self.sent = self.confirmed;
        for message in &mut self.messages {
            message.under_way = 0;
        }
    }

    /// Short messages take the parts of their state along as bytes.
    pub(super) fn send_whole(&mut self) {
        for message in self.messages.iter_mut().filter(|it| it.bytes.len() <= LAST_BYTES_MAX) {
            message.wanted = message.digested;
        }
    }

    /// The newest message goes again, once all went.
    pub(super) fn repeat_newest(&mut self) {
        let newest = self.last();
        if self.sent == newest
            && let Some(message) = self.messages.back_mut()
        {
            message.under_way = 0;
            self.sent = newest - 1;
        }
    }

    /// The home wants these parts of a message, and what follows it once more. `false`: the message is not held.
    pub(super) fn want(&mut self, number: u64, parts: FieldSet) -> bool {
        let Some(message) = self.messages.iter_mut().find(|message| message.number == number)
        else {
            return false;
        };
        message.wanted = message.wanted.union(parts.intersection(message.digested));
        self.sent = self.sent.min(number - 1);
        let sent = self.sent;
        for message in self.messages.iter_mut().filter(|message| message.number > sent) {
            message.under_way = 0;
        }
        true
    }

    /// Hands out what goes next, with `fields` as its space; `None` if all went, or `credit` is used up.
    pub(super) fn next_to_send<'a>(
        &'a mut self,
        credit: usize,
        fields: &'a mut Vec<u8>,
    ) -> Option<Numbered<'a>> {
        let under_way: usize = self.messages.iter().map(|message| message.under_way).sum();
        let sent = self.sent;
        let message = self.messages.iter_mut().find(|message| message.number > sent)?;
        fields.clear();
        message.write_carried(fields);
        let length = fields.len() + message.digested.len() * DIGEST_BYTES + 1;
        if under_way > 0 && under_way + length > credit {
            return None;
        }
        message.under_way = length;
        self.sent = message.number;
        Some(Numbered { number: message.number, report: message.report(fields) })
    }
}
