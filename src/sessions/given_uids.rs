//! Uids that servers, or this node, have given to agents that have yet to speak under them ("AgentToServer.flags",
//! `RequestInstanceUid`). What a server says to such a uid waits for the agent: the server knows it from the moment at
//! which it was given. And an agent that speaks under it is the one that it was given to.
//!
//! In a fleet what is said to a uid whose shard has another home than its agent's former one goes to that home, which
//! does not know the uid yet: it is counted as a message for an unknown agent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::carrier::{EventContext, FollowUp};
use super::entry::LockedEntry;
use super::{InstanceUid, Sessions};
use crate::clock;
use crate::core::session::Route;
use crate::opamp::server::ServerScan;

/// For how long an agent is waited for.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Uids of which is known that they were given.
const UIDS_MAX: usize = 8_192;
/// Messages that wait for one agent, and their bytes.
const MESSAGES_MAX: usize = 16;
const BYTES_MAX: usize = 1 << 20;
/// Bytes of the messages that wait for all such agents.
const TOTAL_BYTES_MAX: usize = 16 << 20;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct GivenUids {
    /// How many there are, to be read without the lock: seldom any.
    len: AtomicUsize,
    state: Mutex<AllGiven>,
}

#[derive(Debug, Default)]
struct AllGiven {
    uids: HashMap<InstanceUid, GivenUid>,
    bytes: usize,
}

#[derive(Debug)]
struct GivenUid {
    /// The uid of the agent that it was given to.
    to: InstanceUid,
    until: Instant,
    messages: Vec<(Route, Box<[u8]>)>,
}

impl GivenUid {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|(_, message)| message.len()).sum()
    }
}

impl AllGiven {
    fn remove(&mut self, uid: InstanceUid) -> Option<GivenUid> {
        let given = self.uids.remove(&uid)?;
        self.bytes -= given.bytes();
        Some(given)
    }

    /// Makes room for one more.
    fn make_room(&mut self, now: Instant) {
        if self.uids.len() < UIDS_MAX {
            return;
        }
        let past = |given: &GivenUid| given.until <= now;
        let past: Vec<_> =
            self.uids.iter().filter(|(_, given)| past(given)).map(|(uid, _)| *uid).collect();
        for uid in past {
            self.remove(uid);
        }
        if self.uids.len() >= UIDS_MAX
            && let Some((first, _)) = self.uids.iter().min_by_key(|(_, given)| given.until)
        {
            let first = *first;
            self.remove(first);
        }
    }
}

impl GivenUids {
    fn change<T>(&self, change: impl FnOnce(&mut AllGiven) -> T) -> T {
        let mut state = self.state.lock();
        let changed = change(&mut state);
        self.len.store(state.uids.len(), Ordering::Relaxed);
        changed
    }

    fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// The agent `to` is told to go on under this uid.
    pub(super) fn note(&self, uid: InstanceUid, to: InstanceUid, now: Instant) {
        self.change(|all| {
            if let Some(given) = all.uids.get_mut(&uid) {
                (given.to, given.until) = (to, now + KEPT_FOR);
                return;
            }
            all.make_room(now);
            let given = GivenUid { to, until: now + KEPT_FOR, messages: Vec::new() };
            all.uids.insert(uid, given);
        });
    }

    /// Keeps a server's message for an agent that has yet to speak under this uid. `false`: none is known, or there
    /// is no room.
    pub(super) fn keep(
        &self,
        uid: InstanceUid,
        (from, scan): (Route, &ServerScan<'_>),
        now: Instant,
    ) -> bool {
        if self.is_empty() {
            return false;
        }
        self.change(|all| {
            let AllGiven { uids, bytes } = all;
            let Some(given) = uids.get_mut(&uid).filter(|given| now < given.until) else {
                return false;
            };
            let added = scan.bytes.len();
            let fits = given.messages.len() < MESSAGES_MAX
                && given.bytes() + added <= BYTES_MAX
                && *bytes + added <= TOTAL_BYTES_MAX;
            if fits {
                given.messages.push((from, scan.bytes.into()));
                *bytes += added;
            }
            fits
        })
    }

    /// To whom this uid was given, if that agent has yet to speak under it.
    pub(super) fn given_to(&self, uid: InstanceUid, now: Instant) -> Option<InstanceUid> {
        if self.is_empty() {
            return None;
        }
        let state = self.state.lock();
        state.uids.get(&uid).filter(|given| now < given.until).map(|given| given.to)
    }

    /// The agent speaks under this uid: what has waited for it.
    fn take(&self, uid: InstanceUid, now: Instant) -> Vec<(Route, Box<[u8]>)> {
        if self.is_empty() {
            return Vec::new();
        }
        let given = self.change(|all| all.remove(uid)).filter(|given| now < given.until);
        given.map(|given| given.messages).unwrap_or_default()
    }
}

/// To whom a server has given this uid, if that agent has yet to speak under it.
pub fn given_to(sessions: &Sessions, uid: InstanceUid) -> Option<InstanceUid> {
    sessions.ended.given.given_to(uid, clock::now())
}

/// An agent's session is about to be entered: what servers have said to its uid before it was there waits for it
/// there from now on.
pub(super) fn bring_kept(sessions: &Sessions, locked: &mut LockedEntry<'_>) -> Option<FollowUp> {
    let messages = sessions.ended.given.take(locked.session.uid(), clock::now());
    let mut brought = None::<FollowUp>;
    for (from, message) in messages {
        let Ok(scan) = ServerScan::parse(&message) else { continue };
        let (_, follow_up) =
            sessions.apply(locked, EventContext::default(), |session, moment, port| {
                session.server_message(&scan, from, moment, port)
            });
        brought = Some(match brought {
            Some(before) => before.and(follow_up),
            None => follow_up,
        });
    }
    brought
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::session::Memory;
    use crate::ident::{Incarnation, LinkId, ServerId};

    const fn uid(n: u8) -> InstanceUid {
        InstanceUid::from_bytes([n; 16])
    }

    fn route() -> Route {
        let link = LinkId { server: ServerId(0), index: 0 };
        Route { link, incarnation: Incarnation(1), memory: Memory::Own(Incarnation(1)) }
    }

    fn keep(given: &GivenUids, n: u8, bytes: &[u8], now: Instant) -> bool {
        let scan = ServerScan { bytes, ..ServerScan::parse(&[]).unwrap() };
        given.keep(uid(n), (route(), &scan), now)
    }

    #[test]
    fn what_is_said_to_a_uid_just_given_waits_for_its_agent() {
        let (given, now) = (GivenUids::default(), clock::now());
        assert!(!keep(&given, 2, b"early", now), "nobody was given it");
        given.note(uid(2), uid(1), now);
        assert_eq!(given.given_to(uid(2), now), Some(uid(1)));
        assert!(keep(&given, 2, b"one", now) && keep(&given, 2, b"two", now));
        let taken: Vec<_> = given.take(uid(2), now).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(taken, [b"one".as_slice().into(), b"two".as_slice().into()]);
        assert!(given.is_empty() && given.state.lock().bytes == 0);
        given.note(uid(2), uid(1), now);
        let later = now + KEPT_FOR;
        assert!(!keep(&given, 2, b"late", later) && given.take(uid(2), later).is_empty());
        assert_eq!(given.given_to(uid(2), later), None);
    }

    #[test]
    fn all_of_it_has_a_bound() {
        let (given, now) = (GivenUids::default(), clock::now());
        given.note(uid(1), uid(9), now);
        assert!(keep(&given, 1, &vec![0; BYTES_MAX], now) && !keep(&given, 1, b"more", now));
        given.note(uid(2), uid(9), now);
        let kept = (0..MESSAGES_MAX + 1).filter(|_| keep(&given, 2, b"x", now)).count();
        assert_eq!(kept, MESSAGES_MAX);
        for n in 0..UIDS_MAX {
            let uid = InstanceUid::from_bytes((n as u128 + 1000).to_be_bytes());
            given.note(uid, uid, now + Duration::from_millis(1));
        }
        let state = given.state.lock();
        assert!(state.uids.len() == UIDS_MAX && !state.uids.contains_key(&uid(1)));
        assert_eq!(state.bytes, 0);
    }
}
