//! What is held back, for each agent: parts, known by their content. It outlives agents' connections and sessions.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::part::MessagePart;
use crate::ident::InstanceUid;

/// The longest time that a part is held back: the server may have been mended, and says nothing of it.
const HELD_FOR: Duration = Duration::from_secs(3_600);
/// Agents of which something is held back; the oldest make room for more.
const AGENTS_MAX: usize = 16_384;
/// Parts held back of one agent; the oldest make room for more.
const PARTS_MAX: usize = 16;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct HeldParts {
    agents: BTreeMap<InstanceUid, Vec<(MessagePart, Instant)>>,
    /// Oldest first; some may be gone since.
    order: VecDeque<InstanceUid>,
}

impl HeldParts {
    pub(super) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Whether anything is held back of this agent.
    pub(super) fn has(&self, uid: InstanceUid) -> bool {
        self.agents.contains_key(&uid)
    }

    /// The part is held back. Returns whether that is new.
    pub(super) fn hold(&mut self, uid: InstanceUid, part: MessagePart, now: Instant) -> bool {
        if self.holds(uid, &part, now) {
            return false;
        }
        if !self.agents.contains_key(&uid) {
            if self.order.len() >= AGENTS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.agents.remove(&oldest);
            }
            self.order.push_back(uid);
        }
        let held = self.agents.entry(uid).or_default();
        if held.len() >= PARTS_MAX {
            held.remove(0);
        }
        held.push((part, now + HELD_FOR));
        true
    }

    pub(super) fn holds(&self, uid: InstanceUid, part: &MessagePart, now: Instant) -> bool {
        let held = self.agents.get(&uid);
        held.is_some_and(|held| held.iter().any(|(one, until)| one == part && now < *until))
    }

    /// Whether a field of which a part is held back has another content now. What was held back is past then.
    pub(super) fn has_changed(
        &mut self,
        uid: InstanceUid,
        parts: &[MessagePart],
        now: Instant,
    ) -> bool {
        let Some(held) = self.agents.get_mut(&uid) else { return false };
        let before = held.len();
        // Of a field that may stand several times, one that is as it was says nothing of the others.
        let is_there = |part: &MessagePart| parts.contains(part);
        let is_replaced =
            |part: &MessagePart| parts.iter().any(|other| other.number == part.number);
        held.retain(|(part, until)| now < *until && (is_there(part) || !is_replaced(part)));
        let changed = held.len() < before;
        self.drop_empty(uid);
        changed
    }

    /// These parts are let go.
    pub(super) fn free(&mut self, uid: InstanceUid, parts: &[MessagePart]) {
        if let Some(held) = self.agents.get_mut(&uid) {
            held.retain(|(part, _)| !parts.contains(part));
        }
        self.drop_empty(uid);
    }

    /// What has been held back for long enough is let go.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(InstanceUid, Vec<MessagePart>)> {
        let mut expired = Vec::new();
        // Agents come in the order in which the first of their parts was held back, about.
        while let Some(uid) = self.order.front().copied() {
            let held = self.agents.get(&uid).and_then(|held| held.first());
            if held.is_some_and(|(_, until)| now < *until) {
                break;
            }
            self.order.pop_front();
            let held = self.agents.remove(&uid).unwrap_or_default();
            let (still, past): (Vec<_>, Vec<_>) =
                held.into_iter().partition(|(_, until)| now < *until);
            if !still.is_empty() {
                self.agents.insert(uid, still);
                self.order.push_back(uid);
            }
            expired.push((uid, past.into_iter().map(|(part, _)| part).collect()));
        }
        expired
    }

    fn drop_empty(&mut self, uid: InstanceUid) {
        if self.agents.get(&uid).is_some_and(Vec::is_empty) {
            self.agents.remove(&uid);
            self.order.retain(|one| *one != uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opamp::field_set::agent_field::{EFFECTIVE_CONFIG, HEALTH};
    use crate::opamp::splice;

    fn part(number: u32, content: &[u8]) -> MessagePart {
        let mut message = Vec::new();
        splice::field(number, content, &mut message);
        super::super::part::parts(&message)[0]
    }

    #[test]
    fn what_is_held_back_is_held_until_it_changes_or_its_time_is_over() {
        let now = crate::clock::now();
        let uid = |n: u128| InstanceUid::from_bytes(n.to_be_bytes());
        let (bad, good) = (part(EFFECTIVE_CONFIG, b"bad"), part(EFFECTIVE_CONFIG, b"good"));
        let health = part(HEALTH, b"bad");
        let mut held = HeldParts::default();
        assert!(held.hold(uid(1), bad, now) && !held.hold(uid(1), bad, now));
        assert!(!held.holds(uid(2), &bad, now), "another agent's");
        assert!(!held.has_changed(uid(1), &[health], now), "the field is left out");
        assert!(!held.has_changed(uid(1), &[bad, health], now));
        assert!(held.has_changed(uid(1), &[good], now) && held.is_empty());
        held.hold(uid(1), bad, now);
        held.hold(uid(1), health, now);
        held.free(uid(1), &[health]);
        assert!(held.expire(now + HELD_FOR / 2).is_empty());
        assert!(!held.holds(uid(1), &bad, now + HELD_FOR));
        assert_eq!(held.expire(now + HELD_FOR), [(uid(1), vec![bad])]);
        assert!(held.is_empty());
    }

    #[test]
    fn parts_that_are_added_later_keep_no_other_beyond_its_time() {
        let now = crate::clock::now();
        let uid = |n: u8| InstanceUid::from_bytes([n; 16]);
        let (first, second) = (part(EFFECTIVE_CONFIG, b"bad"), part(HEALTH, b"bad"));
        let mut held = HeldParts::default();
        held.hold(uid(1), first, now);
        held.hold(uid(2), first, now);
        held.hold(uid(1), second, now + HELD_FOR / 2);
        let expired = held.expire(now + HELD_FOR);
        assert_eq!(expired, [(uid(1), vec![first]), (uid(2), vec![first])]);
        assert!(held.holds(uid(1), &second, now + HELD_FOR));
        assert_eq!(held.expire(now + HELD_FOR * 2), [(uid(1), vec![second])]);
        assert!(held.is_empty() && held.order.is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let now = crate::clock::now();
        let uid = |n: usize| InstanceUid::from_bytes((n as u128).to_be_bytes());
        let mut held = HeldParts::default();
        let bad = part(HEALTH, b"bad");
        (0..=AGENTS_MAX).for_each(|n| assert!(held.hold(uid(n), bad, now)));
        assert!(!held.holds(uid(0), &bad, now) && held.holds(uid(1), &bad, now));
        assert_eq!((held.agents.len(), held.order.len()), (AGENTS_MAX, AGENTS_MAX));
        for n in 0..=PARTS_MAX {
            held.hold(uid(7), part(HEALTH, &[u8::try_from(n).unwrap()]), now);
        }
        assert_eq!(held.agents[&uid(7)].len(), PARTS_MAX);
    }
}
