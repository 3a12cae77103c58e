//! Which messages that other nodes pass on have found their sessions here, by the names that their origins gave them. A
//! message comes once more if its sender has not heard of that.

use std::collections::{BTreeSet, HashMap};

use crate::core::node_link::{NamedWord, WordName};
use crate::core::ownership::NodeIncarnation;

/// Messages of one origin that are taken while an earlier one is not. Of more the first are forgotten, and would be
/// delivered twice.
const TAKEN_MAX: usize = 1 << 16;
/// Origins: members, and what they were before. The messages of more would be delivered twice.
const ORIGINS_MAX: usize = 64;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct TakenWords(HashMap<NodeIncarnation, OfOrigin>);

#[derive(Debug, Default)]
struct OfOrigin {
    /// None with a lower number is sent any more.
    settled: u64,
    taken: BTreeSet<u64>,
}

impl TakenWords {
    /// A message has come. `true`: it is taken, or given up by its origin.
    pub(super) fn has(&mut self, word: NamedWord) -> bool {
        let NamedWord { name: WordName { origin, number }, settled } = word;
        let Some(known) = self.0.get_mut(&origin) else { return false };
        let is_done = number < known.settled || known.taken.contains(&number);
        if settled > known.settled {
            known.settled = settled;
            known.taken = known.taken.split_off(&settled);
        }
        is_done
    }

    /// It has found its session.
    pub(super) fn note(&mut self, name: WordName) {
        if !self.0.contains_key(&name.origin) && self.0.len() >= ORIGINS_MAX {
            return;
        }
        let known = self.0.entry(name.origin).or_default();
        if name.number >= known.settled {
            known.taken.insert(name.number);
        }
        if known.taken.len() > TAKEN_MAX {
            known.taken.pop_first();
        }
    }

    /// Which of an origin's messages are done with, as it said last.
    pub(super) fn settled(&self, origin: NodeIncarnation) -> u64 {
        self.0.get(&origin).map_or(0, |known| known.settled)
    }

    /// The node is no member any more.
    pub(super) fn forget(&mut self, origin: NodeIncarnation) {
        self.0.remove(&origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(origin: u64, number: u64, settled: u64) -> NamedWord {
        let origin = NodeIncarnation::new(origin).unwrap();
        NamedWord { name: WordName { origin, number }, settled }
    }

    #[test]
    fn a_message_is_known_by_its_name_until_its_origin_is_done_with_it() {
        let mut taken = TakenWords::default();
        assert!(!taken.has(word(1, 5, 0)));
        taken.note(word(1, 5, 0).name);
        assert!(taken.has(word(1, 5, 4)) && !taken.has(word(1, 4, 4)) && !taken.has(word(2, 5, 4)));
        assert!(!taken.has(word(1, 8, 6)), "all before it are settled");
        assert!(taken.has(word(1, 5, 6)) && taken.has(word(1, 4, 6)), "given up");
        assert!(taken.0.values().all(|known| known.taken.is_empty()));
        assert_eq!(taken.settled(word(1, 0, 0).name.origin), 6);
        taken.forget(word(1, 0, 0).name.origin);
        assert!(!taken.has(word(1, 5, 0)));
    }

    #[test]
    fn bounded() {
        let mut taken = TakenWords::default();
        (0..100).for_each(|origin| taken.note(word(origin + 1, 1, 0).name));
        assert_eq!(taken.0.len(), ORIGINS_MAX);
        (0..TAKEN_MAX as u64 + 5).for_each(|number| taken.note(word(1, number, 0).name));
        assert!(taken.0.values().all(|known| known.taken.len() <= TAKEN_MAX));
        assert!(!taken.has(word(1, 4, 0)) && taken.has(word(1, 5, 0)));
    }
}
