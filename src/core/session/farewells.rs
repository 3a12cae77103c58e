//! Agents of which servers were told lately that they have left. A goodbye that is said once more, since its answer was
//! lost, is told to no server twice. An agent whose long silence was taken for its end polls at long intervals, and its
//! next session knows.
//!
//! Bounded in count and in time. Of an agent that is forgotten a goodbye goes to its server as the first one does.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Session;
use super::rhythm::Rhythm;
use crate::ident::InstanceUid;

/// How long an end is remembered.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// Ends that are remembered at one time; the oldest make room for more.
const AGENTS_MAX: usize = 1 << 16;

/// The end of a session of which a server was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// When.
    pub at: Instant,
    /// How often the agent gave a sign of life.
    pub rhythm: Rhythm,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Farewells {
    told: BTreeMap<InstanceUid, Farewell>,
    /// Oldest first. Some agents may have come back since.
    order: VecDeque<(Instant, InstanceUid)>,
}

impl Farewells {
    /// A server has been told that the agent has left.
    pub fn told(&mut self, uid: InstanceUid, farewell: Farewell) {
        self.forget(farewell.at);
        self.told.insert(uid, farewell);
        self.order.push_back((farewell.at, uid));
    }

    /// The agent is heard of again.
    pub fn take(&mut self, uid: InstanceUid, now: Instant) -> Option<Farewell> {
        let farewell = self.told.remove(&uid)?;
        (now < farewell.at + REMEMBERED_FOR).then_some(farewell)
    }

    /// Forgets what is past.
    pub fn forget(&mut self, now: Instant) {
        while let Some((at, uid)) = self.order.front().copied()
            && (at + REMEMBERED_FOR <= now || self.order.len() >= AGENTS_MAX)
        {
            self.order.pop_front();
            if self.told.get(&uid).is_some_and(|farewell| farewell.at == at) {
                self.told.remove(&uid);
            }
        }
    }
}

/// A session that is new follows one of the same agent's that has ended.
pub fn succeed(session: &mut Session, farewell: Farewell, now: Instant) {
    session.last_said.is_told_gone = true;
    session.rhythm = farewell.rhythm;
    session.rhythm.note_return(now.saturating_duration_since(farewell.at));
}

#[cfg(test)]
mod tests {
    use super::super::tests::UID;
    use super::*;

    #[test]
    fn an_end_is_remembered_for_a_while_and_once() {
        let at = crate::clock::now();
        let farewell = Farewell { at, rhythm: Rhythm::default() };
        let mut farewells = Farewells::default();
        farewells.told(UID, farewell);
        assert_eq!(farewells.take(UID, at), Some(farewell));
        assert_eq!(farewells.take(UID, at), None);
        farewells.told(UID, farewell);
        assert_eq!(farewells.take(UID, at + REMEMBERED_FOR), None);
        farewells.told(UID, farewell);
        farewells.forget(at + REMEMBERED_FOR);
        assert!(farewells.told.is_empty() && farewells.order.is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let at = crate::clock::now();
        let farewell = Farewell { at, rhythm: Rhythm::default() };
        let mut farewells = Farewells::default();
        for number in 0..=AGENTS_MAX as u128 {
            farewells.told(InstanceUid::from_bytes(number.to_be_bytes()), farewell);
        }
        assert_eq!((farewells.told.len(), farewells.order.len()), (AGENTS_MAX, AGENTS_MAX));
    }
}
