//! What the server has of the agent's state: a digest for each part that was sent on the present
//! incarnation of its link (R1, R2).
//!
//! Sent counts as accepted until the server says otherwise: an error, a wish for full state, or the
//! loss of the link each void what they cast doubt on. A report then goes out in full, or in the
//! parts that changed.

use super::{Route, Session};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, Digester, RawHash, Scratch, report_hash};
use crate::opamp::field_set::{FieldSet, agent_field};

/// The parts of an agent's state, each with its place in [`Known`]. All that the schema does not
/// know is one part.
const PARTS: [u32; 10] = [
    FieldSet::OTHER,
    agent_field::AGENT_DESCRIPTION,
    agent_field::CAPABILITIES,
    agent_field::HEALTH,
    agent_field::EFFECTIVE_CONFIG,
    agent_field::REMOTE_CONFIG_STATUS,
    agent_field::PACKAGE_STATUSES,
    agent_field::CUSTOM_CAPABILITIES,
    agent_field::AVAILABLE_COMPONENTS,
    agent_field::CONNECTION_SETTINGS_STATUS,
];

/// Digests of parts; those in `held` count.
#[derive(Debug, Clone)]
pub(super) struct Known {
    held: FieldSet,
    /// Of the report whose digests were taken last: equal bytes need no second look.
    hash: RawHash,
    /// What parts that report had.
    parts: FieldSet,
    digests: [Digest; PARTS.len()],
}

/// What a report says that the server does not have.
#[derive(Debug)]
pub struct News {
    changed: FieldSet,
    /// `None`: the report has the bytes of the last one, and so its digests.
    taken: Option<Known>,
}

/// What of a report goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// Nothing: the server has it all (R1).
    Nothing,
    /// These fields (R2).
    Fields(FieldSet),
    /// The message as it is.
    Whole,
}

impl Session {
    /// Compares a report with what the server has.
    pub fn news(&self, scan: &AgentScan<'_>, digester: &Digester, scratch: &mut Scratch) -> News {
        let hash = report_hash(&digester.key, scan);
        if let Some(known) = self.known.as_deref()
            && known.hash == hash
        {
            return News { changed: known.parts.minus(known.held), taken: None };
        }
        let mut taken = Known {
            held: FieldSet::EMPTY,
            hash,
            parts: FieldSet::EMPTY,
            digests: [Digest([0; 16]); PARTS.len()],
        };
        let mut changed = FieldSet::EMPTY;
        digester.report(scan, scratch, |number, digest| {
            let Some(place) = PARTS.iter().position(|part| *part == number) else { return };
            taken.parts.insert(number);
            taken.digests[place] = digest;
            let same = self
                .known
                .as_deref()
                .is_some_and(|known| known.held.contains(number) && known.digests[place] == digest);
            if !same {
                changed.insert(number);
            }
        });
        // A message over all limits has no digests of its parts: they count as changed.
        let without = scan.present.intersection(agent_field::STATUS).minus(taken.parts);
        News { changed: changed.union(without), taken: Some(taken) }
    }

    /// What of a report that goes on has to.
    pub fn carry(&self, scan: &AgentScan<'_>, news: &News, route: Option<Route>) -> Carry {
        if scan.disconnects() || !self.is_introduced(route) {
            return Carry::Whole;
        }
        let keep = news.changed.union(super::upstream_side::one_shot(scan));
        if keep.is_empty() {
            return Carry::Nothing;
        }
        /// These go with every message.
        const ALWAYS: FieldSet = FieldSet::of(&[
            agent_field::INSTANCE_UID,
            agent_field::SEQUENCE_NUM,
            agent_field::CAPABILITIES,
            FieldSet::OTHER,
        ]);
        if scan.present.is_subset(keep.union(ALWAYS)) { Carry::Whole } else { Carry::Fields(keep) }
    }

    /// The report's news, or all of it, went to the server.
    pub fn learn(&mut self, news: News) {
        let Some(taken) = news.taken else {
            if let Some(known) = &mut self.known {
                known.held = known.held.union(known.parts);
            }
            return;
        };
        match &mut self.known {
            Some(known) => {
                for (place, part) in PARTS.into_iter().enumerate() {
                    if taken.parts.contains(part) {
                        known.digests[place] = taken.digests[place];
                    }
                }
                known.held = known.held.union(taken.parts);
                known.hash = taken.hash;
                known.parts = taken.parts;
            }
            None => self.known = Some(Box::new(Known { held: taken.parts, ..taken })),
        }
    }

    /// The report said nothing that the server does not have: for the account of what the agent was
    /// asked, that is as good as sent.
    pub fn suppressed(&mut self, scan: &AgentScan<'_>) {
        if self.full_state.made_whole_by(scan) {
            self.full_state = super::FullState::Reported;
        }
    }

    /// The server may lack what was sent to it.
    pub(super) fn forget_known(&mut self) {
        self.known = None;
    }

    /// The server wants the component map, not its hash alone.
    pub(super) fn forget_components(&mut self) {
        if let Some(known) = &mut self.known {
            known.held = known.held.minus(FieldSet::of(&[agent_field::AVAILABLE_COMPONENTS]));
        }
    }
}
