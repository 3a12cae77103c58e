//! What servers say to agents whose sessions are not here: messages that wait until it is known where they belong, and
//! messages that went to another home, which has yet to say that it has taken them.
//!
//! ```text
//!            the home is in reach             it has taken it
//!   waits ───────────────────────► sent ─────────────────────────► (gone)
//!     ▲ │                            │
//!     │ │ the shard is here: to      │ the link to it is lost
//!     │ └──────► the session         │
//!     └──────────────────────────────┘
//! ```
//!
//! A message has one name for all its ways, so that a home knows it again. Messages for one agent keep their order: one
//! waits as long as an earlier one waits, or is at another home. Bounded in count, bytes and time over all shards.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::taken::TakenWords;
use crate::clock;
use crate::core::node_link::{NamedWord, ServerSaid, WordName};
use crate::core::ownership::NodeIncarnation;
use crate::core::session::Route;
use crate::ident::InstanceUid;
use crate::opamp::server::ServerScan;

const WORDS_MAX: usize = 16_384;
const BYTES_MAX: usize = 32 << 20;
/// For so long a home may be unknown or out of reach before the server has to find out by itself.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);
/// Nodes of an earlier version that are known as such: members.
const PLAIN_MAX: usize = 64;

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::sessions) struct Words(Mutex<AllWords>);

#[derive(Debug, Default)]
struct AllWords {
    /// By agent, in the order in which they came.
    words: BTreeMap<(InstanceUid, u64), Word>,
    /// The numbers of those that this node has named.
    own: BTreeSet<u64>,
    /// Numbers that were given.
    given: u64,
    bytes: usize,
    taken: TakenWords,
    /// Nodes that do not say what they have taken.
    plain: HashSet<NodeIncarnation>,
}

/// Where a message has been.
#[derive(Debug, Clone)]
pub(in crate::sessions) struct WordPast {
    is_passed_on: bool,
    /// The name that another node gave it.
    pub(super) name: Option<WordName>,
    /// The nodes that passed it on to this one, and wait to hear that it is taken.
    pub(super) askers: Vec<NodeIncarnation>,
    since: Instant,
    /// The home that it went to last.
    last: Option<NodeIncarnation>,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) from: Route,
    pub(super) past: WordPast,
    name: WordName,
    /// `None`: there was no room for a copy.
    bytes: Option<Box<[u8]>>,
    is_command: bool,
    /// It has been given to [`super::OtherHomes::pass_on`].
    is_passed: bool,
    at: Option<NodeIncarnation>,
}

/// A message that comes.
#[derive(Clone, Copy)]
pub(super) struct NewWord<'a> {
    pub(super) uid: InstanceUid,
    pub(super) from: Route,
    pub(super) scan: &'a ServerScan<'a>,
    pub(super) past: Option<&'a WordPast>,
    /// This node.
    pub(super) me: NodeIncarnation,
}

/// A server's message that has found no session here.
#[derive(Clone, Copy)]
pub(in crate::sessions) struct Homeless<'a> {
    pub(in crate::sessions) uid: InstanceUid,
    pub(in crate::sessions) from: Route,
    pub(in crate::sessions) scan: &'a ServerScan<'a>,
    /// `None`: it has just come from its server.
    pub(in crate::sessions) past: Option<&'a WordPast>,
    /// The agent has a session, which takes nothing.
    pub(in crate::sessions) has_session: bool,
}

impl<'a> Homeless<'a> {
    pub(super) const fn word(self, me: NodeIncarnation) -> NewWord<'a> {
        let Self { uid, from, scan, past, .. } = self;
        NewWord { uid, from, scan, past, me }
    }
}

/// What became of a message that is to go to another home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// It went there, and is kept until it is taken.
    Sent,
    /// It went there, and is forgotten here: nothing will be heard of it.
    Forgotten,
    /// It waits.
    Waits,
    /// There is no room for it.
    Full,
}

/// Messages that have left, by what follows.
#[derive(Debug, Default)]
pub(super) struct LeftWords {
    /// The server has to find out.
    pub(super) given_up: Vec<(InstanceUid, Word)>,
    /// The nodes that passed them on have to know that they need not be kept.
    pub(super) settled: Vec<(InstanceUid, WordPast)>,
    /// How many were sent for the first time, and again.
    pub(super) sent: usize,
    pub(super) again: usize,
}

/// What is known of a message that another node passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordArrival {
    New,
    /// It is here, and has yet to find its session.
    Waits,
    /// It has found it before.
    Taken,
}

/// Sends a message. `false`: it has gone nowhere.
pub(super) type Send<'a> = &'a mut dyn FnMut(NodeIncarnation, &ServerSaid<'_>) -> bool;

impl WordPast {
    /// It has come from another node.
    pub(super) fn passed_on_by(node: NodeIncarnation, word: Option<NamedWord>) -> Self {
        let name = word.map(|word| word.name);
        let askers = name.map(|_| node).into_iter().collect();
        Self { is_passed_on: true, name, askers, since: clock::now(), last: None }
    }

    /// Whether another node has passed it on to this one.
    pub(super) const fn is_passed_on(&self) -> bool {
        self.is_passed_on
    }

    fn new() -> Self {
        Self {
            is_passed_on: false,
            name: None,
            askers: Vec::new(),
            since: clock::now(),
            last: None,
        }
    }
}

impl Word {
    /// The bytes; empty if there was no room for a copy.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// An agent that restarts twice has done it for nothing: once another home may have it, it goes to no other.
    pub(super) const fn is_for_no_other_home(&self) -> bool {
        self.is_command && self.past.last.is_some()
    }
}

impl AllWords {
    /// Returns the number of its place, and whether there was room for a copy; `None`: there is no room at all.
    fn add(&mut self, new: NewWord<'_>, is_passed: bool) -> Option<(u64, bool)> {
        if self.words.len() >= WORDS_MAX {
            return None;
        }
        let NewWord { uid, from, scan, past, me } = new;
        let past = past.cloned().unwrap_or_else(WordPast::new);
        self.given += 1;
        let place = self.given;
        // One that this node has named and has given out gets another number: the former one counts as settled.
        let name = past.name.unwrap_or(WordName { origin: me, number: place });
        if past.name.is_none() {
            self.own.insert(place);
        }
        let fits = self.bytes + scan.bytes.len() <= BYTES_MAX;
        let bytes: Option<Box<[u8]>> = fits.then(|| scan.bytes.into());
        self.bytes += bytes.as_ref().map_or(0, |bytes| bytes.len());
        let is_command = scan.command.is_some();
        let word = Word { from, past, name, bytes, is_command, is_passed, at: None };
        self.words.insert((uid, place), word);
        Some((place, fits))
    }

    fn remove(&mut self, key: (InstanceUid, u64)) -> Option<Word> {
        let word = self.words.remove(&key)?;
        self.bytes -= word.bytes().len();
        self.own.remove(&key.1);
        Some(word)
    }

    fn places(&self, which: impl Fn(&Word) -> bool) -> Vec<(InstanceUid, u64)> {
        let those = self.words.iter().filter(|(_, word)| which(word));
        those.map(|(key, _)| *key).collect()
    }

    fn places_of(&self, uid: InstanceUid) -> Vec<(InstanceUid, u64)> {
        self.words.range((uid, 0)..=(uid, u64::MAX)).map(|(key, _)| *key).collect()
    }

    /// A message as it is sent now.
    fn named(&self, (key, word): ((InstanceUid, u64), &Word)) -> NamedWord {
        let settled = if self.own.contains(&key.1) {
            self.own.first().copied().unwrap_or(key.1)
        } else {
            self.taken.settled(word.name.origin)
        };
        NamedWord { name: word.name, settled }
    }

    /// Sends the agent's messages that wait, as far as their order lets them go.
    fn send(&mut self, uid: InstanceUid, home: NodeIncarnation, send: Send<'_>) -> LeftWords {
        let mut left = LeftWords::default();
        for key in self.places_of(uid) {
            let Some(word) = self.words.get(&key) else { continue };
            let moves = word.past.last.is_some_and(|last| last != home);
            match word.at {
                Some(at) if at == home => continue,
                // It will say that it has taken it, or be lost.
                Some(_) => break,
                // Back to the node that sent it here it goes once that node says so.
                None if word.past.askers.contains(&home) => break,
                None if moves && word.is_for_no_other_home() => {
                    left.given_up.extend(self.remove(key).map(|word| (uid, word)));
                    continue;
                }
                None => {}
            }
            let said = ServerSaid {
                uid,
                link: word.from.link,
                incarnation: word.from.incarnation,
                message: word.bytes(),
                word: Some(self.named((key, word))),
            };
            if !send(home, &said) {
                break;
            }
            *(if word.past.last.is_some() { &mut left.again } else { &mut left.sent }) += 1;
            if self.plain.contains(&home) {
                left.settled.extend(self.remove(key).map(|word| (uid, word.past)));
            } else if let Some(word) = self.words.get_mut(&key) {
                (word.at, word.past.last) = (Some(home), Some(home));
            }
        }
        left
    }
}

impl Words {
    /// Keeps a message of which it is not known where it belongs, if `is_wanted`. Asked under the lock that a change of
    /// stage takes afterwards: none is left behind.
    pub(super) fn put(&self, new: NewWord<'_>, is_wanted: impl FnOnce() -> bool) -> Option<Passed> {
        let all = &mut *self.0.lock();
        if !is_wanted() {
            return None;
        }
        let Some((place, fits)) = all.add(new, false) else { return Some(Passed::Full) };
        if !fits {
            all.remove((new.uid, place));
            return Some(Passed::Full);
        }
        Some(Passed::Waits)
    }

    /// Takes a message for this home; `None`: it is out of reach, and the message waits.
    pub(super) fn pass(
        &self,
        new: NewWord<'_>,
        home: Option<NodeIncarnation>,
        send: Send<'_>,
    ) -> Passed {
        let NewWord { uid, from, scan, past, .. } = new;
        let all = &mut *self.0.lock();
        let is_behind = all
            .words
            .range((uid, 0)..=(uid, u64::MAX))
            .any(|(_, word)| word.at.is_none() || word.at != home);
        let came_from = |home| past.is_some_and(|past| past.askers.contains(&home));
        let home_now = home.filter(|home| !is_behind && !came_from(*home));
        // An acknowledgement is no loss.
        let nothing_follows = |home| scan.is_empty_ack() || all.plain.contains(&home);
        let plain = |home, word, send: Send<'_>| {
            let (link, incarnation) = (from.link, from.incarnation);
            send(home, &ServerSaid { uid, link, incarnation, message: scan.bytes, word })
        };
        if home_now.is_some_and(|home| nothing_follows(home) && plain(home, None, send)) {
            return Passed::Forgotten;
        }
        let Some((place, fits)) = all.add(new, true) else {
            let is_sent = home_now.is_some_and(|home| plain(home, None, send));
            return if is_sent { Passed::Forgotten } else { Passed::Full };
        };
        let key = (uid, place);
        let word = all.words.get(&key).map(|word| all.named((key, word)));
        if let Some(home) = home_now.filter(|home| plain(*home, word, send)) {
            if let Some(word) = all.words.get_mut(&key) {
                (word.at, word.past.last) = (Some(home), Some(home));
            }
            return Passed::Sent;
        }
        if !fits {
            all.remove(key);
            return Passed::Full;
        }
        Passed::Waits
    }

    /// Sends the agent's messages that wait to this home.
    pub(super) fn send(
        &self,
        uid: InstanceUid,
        home: NodeIncarnation,
        send: Send<'_>,
    ) -> LeftWords {
        self.0.lock().send(uid, home, send)
    }

    /// Agents of whom `which` says so and for whom something waits.
    pub(super) fn waiting(&self, which: impl Fn(InstanceUid) -> bool) -> Vec<InstanceUid> {
        let all = self.0.lock();
        let waits = all.words.iter().filter(|(_, word)| word.at.is_none());
        let mut uids: Vec<_> = waits.map(|((uid, _), _)| *uid).collect();
        drop(all);
        uids.dedup();
        uids.retain(|uid| which(*uid));
        uids
    }

    /// Takes what waits for an agent, in its order. `unpassed`: only what was not passed on yet.
    pub(super) fn take(&self, uid: InstanceUid, unpassed: bool) -> Vec<Word> {
        let all = &mut *self.0.lock();
        let mut taken = Vec::new();
        for key in all.places_of(uid) {
            let takes = |word: &Word| word.at.is_none() && !(unpassed && word.is_passed);
            if all.words.get(&key).is_some_and(takes) {
                taken.extend(all.remove(key));
            }
        }
        taken
    }

    /// A home has taken a message. `None`: nothing is known of it any more.
    pub(super) fn settle(&self, uid: InstanceUid, name: WordName) -> Option<WordPast> {
        let all = &mut *self.0.lock();
        let mut its = all.places_of(uid).into_iter();
        let key = its.find(|key| all.words.get(key).is_some_and(|word| word.name == name))?;
        let word = all.remove(key)?;
        Some(word.past)
    }

    /// The link to a node is lost. What that node has not confirmed waits again. What waits here on its behalf is
    /// forgotten: the node has it still, and sends it to the home that there is by then. Returns that of which there is no
    /// copy.
    pub(super) fn lost(&self, node: NodeIncarnation) -> Vec<(InstanceUid, Word)> {
        let all = &mut *self.0.lock();
        let mut given_up = Vec::new();
        for key in all.places(|word| word.at == Some(node) || word.past.askers.contains(&node)) {
            let Some(word) = all.words.get_mut(&key) else { continue };
            let was_asked = !word.past.askers.is_empty();
            word.past.askers.retain(|asker| *asker != node);
            let is_unasked = was_asked && word.past.askers.is_empty();
            if word.at == Some(node) {
                word.at = None;
            }
            if word.at.is_none() && is_unasked {
                all.remove(key);
            } else if word.at.is_none() && word.bytes.is_none() {
                given_up.extend(all.remove(key).map(|word| (key.0, word)));
            }
        }
        given_up
    }

    /// A node does not say what it has taken: what was sent to it is past. Returns that.
    pub(super) fn is_plain(&self, node: NodeIncarnation) -> Vec<(InstanceUid, WordPast)> {
        let all = &mut *self.0.lock();
        if all.plain.len() < PLAIN_MAX {
            all.plain.insert(node);
        }
        let keys = all.places(|word| word.at == Some(node));
        let past = |key| all.remove(key).map(|word| (key.0, word.past));
        keys.into_iter().filter_map(past).collect()
    }

    /// Takes what has waited too long.
    pub(super) fn give_up(&self, now: Instant) -> Vec<(InstanceUid, Word)> {
        let all = &mut *self.0.lock();
        let is_old = |word: &Word| now.saturating_duration_since(word.past.since) > WAIT_MAX;
        let keys = all.places(is_old);
        keys.into_iter().filter_map(|key| Some((key.0, all.remove(key)?))).collect()
    }

    /// Another node passes a message on.
    pub(super) fn arrives(
        &self,
        uid: InstanceUid,
        word: NamedWord,
        asker: NodeIncarnation,
    ) -> WordArrival {
        let all = &mut *self.0.lock();
        if all.taken.has(word) {
            return WordArrival::Taken;
        }
        let its = all.words.range_mut((uid, 0)..=(uid, u64::MAX));
        let Some((_, known)) = its.into_iter().find(|(_, known)| known.name == word.name) else {
            return WordArrival::New;
        };
        // As many as there are members.
        if !known.past.askers.contains(&asker) {
            known.past.askers.push(asker);
        }
        WordArrival::Waits
    }

    /// A message that another node has named is taken.
    pub(super) fn note_taken(&self, name: WordName) {
        self.0.lock().taken.note(name);
    }

    /// A node is no member any more.
    pub(super) fn forget(&self, node: NodeIncarnation) {
        let all = &mut *self.0.lock();
        all.taken.forget(node);
        all.plain.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::ident::{Incarnation, LinkId, ServerId};
    use crate::opamp::proto::{CustomMessage, ServerToAgent};

    fn node(number: u64) -> NodeIncarnation {
        NodeIncarnation::new(number).unwrap()
    }

    fn uid(number: u64) -> InstanceUid {
        InstanceUid::from_bytes(u128::from(number).to_be_bytes())
    }

    fn message(bytes: usize) -> Vec<u8> {
        let custom = CustomMessage { data: vec![1; bytes], ..CustomMessage::default() };
        ServerToAgent { custom_message: Some(custom), ..ServerToAgent::default() }.encode_to_vec()
    }

    /// Passes a message for this agent on to node 2.
    fn passes(words: &Words, n: u64, bytes: &[u8], sent: &mut Vec<Option<NamedWord>>) -> Passed {
        let link = LinkId { server: ServerId(0), index: 0 };
        let from = Route::of_link(link, Incarnation(1));
        let scan = ServerScan::parse(bytes).unwrap();
        let new = NewWord { uid: uid(n), from, scan: &scan, past: None, me: node(1) };
        words.pass(new, Some(node(2)), &mut |_, said| {
            sent.push(said.word);
            true
        })
    }

    #[test]
    fn bounded_in_count() {
        let (words, bytes, mut sent) = (Words::default(), message(1), Vec::new());
        for n in 0..WORDS_MAX as u64 {
            assert_eq!(passes(&words, n, &bytes, &mut sent), Passed::Sent);
        }
        assert_eq!(passes(&words, 0, &bytes, &mut sent), Passed::Forgotten);
        assert_eq!(sent.last(), Some(&None), "it has no name");
        assert!(words.lost(node(2)).is_empty());
        assert_eq!(passes(&words, 0, &bytes, &mut sent), Passed::Full, "an earlier one waits");
        assert_eq!(words.give_up(clock::now() + WAIT_MAX * 2).len(), WORDS_MAX);
        let all = words.0.lock();
        assert!(all.words.is_empty() && all.own.is_empty() && all.bytes == 0);
    }

    #[test]
    fn bounded_in_bytes() {
        let (words, bytes, mut sent) = (Words::default(), message(20 << 20), Vec::new());
        assert_eq!(passes(&words, 1, &bytes, &mut sent), Passed::Sent);
        assert_eq!(passes(&words, 2, &bytes, &mut sent), Passed::Sent, "without a copy");
        let given_up = words.lost(node(2));
        assert_eq!(given_up.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), [uid(2)]);
        assert_eq!(words.waiting(|_| true), [uid(1)]);
        assert_eq!(passes(&words, 1, &bytes, &mut sent), Passed::Full);
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn a_message_says_which_others_are_settled() {
        let (words, bytes, mut sent) = (Words::default(), message(1), Vec::new());
        (1..=3).for_each(|n| assert_eq!(passes(&words, n, &bytes, &mut sent), Passed::Sent));
        let settled = |sent: &[Option<NamedWord>]| sent.last().unwrap().unwrap().settled;
        let names: Vec<WordName> = sent.iter().map(|word| word.unwrap().name).collect();
        assert_eq!(settled(&sent), names[0].number);
        assert!(
            words.settle(uid(2), names[1]).is_some() && words.settle(uid(2), names[1]).is_none()
        );
        assert!(words.settle(uid(1), names[0]).is_some());
        assert_eq!(passes(&words, 1, &bytes, &mut sent), Passed::Sent);
        assert_eq!(settled(&sent), names[2].number);
    }
}
