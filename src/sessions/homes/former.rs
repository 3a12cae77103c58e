//! A shard's former home and its present one. The former home passes on what servers still say to its agents, and
//! says when its links to them end; the present one takes that as the former home's word.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::super::uplink::SharedLink;
use super::super::{Joined, Sessions};
use super::shards::ShardStage;
use super::words::{Homeless, LeftWords, Passed, Word, WordArrival, WordPast};
use super::{HomeSide, ShardMoves};
use crate::core::node_link::{FORMAT, LetGo, LinkEnded, ServerSaid, ToNext, WordTaken};
use crate::core::ownership::{NodeIncarnation, shard_of};
use crate::core::placement;
use crate::core::server::Keying;
use crate::core::session::{Answer, FormerLinksEnded, Moved, Peer, Route};
use crate::ident::{Incarnation, InstanceUid, ServerId};
use crate::opamp::server::ServerScan;
use crate::telemetry::events::homes::{PassOutcome, PassedOn};

/// Agents whose servers' messages are known to be lost on their way to another home. What is beyond is forgotten,
/// and the server finds out with the agent's next full report.
const MISSED_MAX: usize = 4_096;

/// What became of a message that was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sessions) enum PassedAway {
    /// It is kept until its home has taken it, or its server is made to find out.
    Kept,
    /// It is gone, as far as this node will ever know.
    Forgotten,
}

/// What could not be passed on, by agent. See the module's text.
#[derive(Debug, Default)]
pub(super) struct Missed(Mutex<HashMap<InstanceUid, ServerId>>);

/// The home's side, as far as its shards' former and present homes concern it.
#[derive(Clone, Copy)]
pub(in crate::sessions) struct OtherHomes<'a> {
    sessions: &'a Sessions,
    joined: &'a Joined,
}

impl<'a> OtherHomes<'a> {
    pub(in crate::sessions) const fn of(homes: HomeSide<'a>) -> Self {
        Self { sessions: homes.sessions, joined: homes.joined }
    }

    /// A server says something to an agent whose shard is at another home: that one gets it. `answer`: what it is as
    /// the answer to a message that this node sent. `None`: the shard is not elsewhere.
    pub(in crate::sessions) fn pass_on(
        self,
        message: Homeless<'_>,
        answer: Option<Answer>,
    ) -> Option<PassedAway> {
        let Homeless { uid, from, scan, .. } = message;
        if self.joined.homes.shards.stage(shard_of(uid)) != ShardStage::NotHeld {
            return None;
        }
        let home = self.present_home(uid);
        let passed = self.joined.homes.words.pass(
            message.word(self.joined.ways.me()),
            home,
            &mut |to, said| self.say_to(to, uid, &ToNext::ServerSaid(*said)),
        );
        let outcome = match passed {
            Passed::Sent | Passed::Forgotten => PassOutcome::Sent,
            Passed::Waits => PassOutcome::NoLink,
            Passed::Full => PassOutcome::GivenUp,
        };
        PassedOn { outcome }.emit();
        if passed == Passed::Full {
            self.note_missed(uid, from, scan);
        }
        // The last one answers the goodbye, where one was said.
        let is_last = answer.is_some_and(|answer| answer.after.is_some());
        if let Some(home) = home
            && is_last
            && self.sessions.uplink.keying(from.server()) == Keying::Exclusive
        {
            let let_go = LetGo { uid, server: from.server(), missed: false };
            self.say_to(home, uid, &ToNext::LetGo(let_go));
        }
        Some(if passed == Passed::Forgotten { PassedAway::Forgotten } else { PassedAway::Kept })
    }

    const fn moves(self) -> ShardMoves<'a> {
        ShardMoves { sessions: self.sessions, joined: self.joined }
    }

    /// What waits for an agent goes to its home.
    pub(super) fn send_waiting(self, uid: InstanceUid, home: NodeIncarnation) {
        let left = self
            .joined
            .homes
            .words
            .send(uid, home, &mut |to, said| self.say_to(to, uid, &ToNext::ServerSaid(*said)));
        let LeftWords { given_up, settled, sent, again } = left;
        (0..sent).for_each(|_| PassedOn { outcome: PassOutcome::Sent }.emit());
        (0..again).for_each(|_| PassedOn { outcome: PassOutcome::Again }.emit());
        given_up.into_iter().for_each(|(uid, word)| self.give_up(uid, &word));
        settled.into_iter().for_each(|(uid, past)| self.moves().settled(uid, &past));
    }

    /// The link to a node is lost: what it has not said that it has taken waits for the next one, or for another home.
    pub(in crate::sessions) fn words_lost(self, node: NodeIncarnation) {
        for (uid, word) in self.joined.homes.words.lost(node) {
            self.give_up(uid, &word);
        }
    }

    /// Says which format of frames a node speaks. One of the first format does not say what it has taken.
    pub(in crate::sessions) fn node_speaks(self, node: NodeIncarnation, format: u8) {
        if format < FORMAT {
            for (uid, past) in self.joined.homes.words.is_plain(node) {
                self.moves().settled(uid, &past);
            }
        }
    }

    /// A message will not reach its agent.
    pub(super) fn give_up(self, uid: InstanceUid, word: &Word) {
        PassedOn { outcome: PassOutcome::GivenUp }.emit();
        // One without a copy was more than an acknowledgement.
        match ServerScan::parse(word.bytes()) {
            Ok(scan) if scan.is_empty_ack() && !word.bytes().is_empty() => {}
            _ => self.missed(uid, word.from.server()),
        }
    }

    /// A message did not reach its agent's home.
    pub(super) fn note_missed(self, uid: InstanceUid, from: Route, scan: &ServerScan<'_>) {
        if !scan.is_empty_ack() {
            self.missed(uid, from.server());
        }
    }

    /// The agent's home has its server find out: at once, or once it is in reach.
    fn missed(self, uid: InstanceUid, server: ServerId) {
        if self.joined.homes.shards.held(uid).is_some() {
            self.sessions.with(uid, |session, moment, port| {
                Moved::of(session).server_message_missed(moment, port);
            });
            return;
        }
        let let_go = ToNext::LetGo(LetGo { uid, server, missed: true });
        if !self.present_home(uid).is_some_and(|home| self.say_to(home, uid, &let_go)) {
            self.joined.homes.missed.note(uid, server);
        }
    }

    /// A link to a server has ended. `owner`: the agent whose own it was.
    pub(in crate::sessions) fn server_link_ended(
        self,
        ended: LinkEnded,
        owner: Option<InstanceUid>,
    ) {
        if let Some(uid) = owner {
            if let Some(home) = self.present_home(uid) {
                let let_go = LetGo { uid, server: ended.link.server, missed: false };
                self.say_to(home, uid, &ToNext::LetGo(let_go));
            }
            return;
        }
        self.joined.ways.linked().into_iter().for_each(|node| self.tell_ended(node, ended));
    }

    fn tell_ended(self, node: NodeIncarnation, ended: LinkEnded) {
        // Of no agent: any stream will do.
        self.say_to(node, InstanceUid::from_bytes([0; 16]), &ToNext::LinkEnded(ended));
    }

    /// A node is in reach again: it learns which links have ended meanwhile, whether it has been told or not.
    pub(in crate::sessions) fn tell_all_ended(self, node: NodeIncarnation) {
        for SharedLink { route, links } in self.sessions.uplink.shared_links() {
            if let Some(before) = route.incarnation.0.checked_sub(1).filter(|before| *before > 0) {
                self.tell_ended(
                    node,
                    LinkEnded { link: route.link, links, up_to: Incarnation(before) },
                );
            }
        }
    }

    /// A former home says something, or a present one answers.
    pub(in crate::sessions) fn former_home_said(self, home: NodeIncarnation, said: &ToNext<'_>) {
        let peer = Peer::of(home);
        match *said {
            ToNext::ServerSaid(said) => self.server_said_there(home, &said),
            ToNext::WordTaken(taken) => self.word_taken(taken),
            ToNext::LetGo(LetGo { uid, server, missed }) => {
                let ended =
                    FormerLinksEnded { server: Some(server), ..FormerLinksEnded::all(peer) };
                self.memory_ends(uid, ended, missed);
            }
            ToNext::LinkEnded(ended) => {
                // Sessions that have yet to arrive will find it.
                self.joined.homes.ended.note(peer, ended);
                let LinkEnded { link, links, up_to } = ended;
                let (server, up_to) = (Some(link.server), Some(up_to));
                let ended = FormerLinksEnded { server, up_to, ..FormerLinksEnded::all(peer) };
                for uid in self.joined.homes.shards.sessions_held() {
                    if placement::link_of(uid, links) == link.index {
                        self.memory_ends(uid, ended, false);
                    }
                }
            }
        }
    }

    /// A node is gone, and its links to servers with it.
    pub(in crate::sessions) fn former_home_gone(self, home: NodeIncarnation) {
        let home = Peer::of(home);
        for uid in self.joined.homes.shards.sessions_held() {
            self.memory_ends(uid, FormerLinksEnded::all(home), false);
        }
        self.joined.homes.ended.forget(home);
    }

    /// What a node has yet to take that is gone waits for the next home.
    pub(in crate::sessions) fn present_home_gone(self, home: NodeIncarnation) {
        self.words_lost(home);
        self.joined.homes.words.forget(home);
    }

    /// A node is in reach again: it learns of the messages that were lost on their way to it.
    pub(in crate::sessions) fn tell_missed(self, home: NodeIncarnation) {
        for (uid, server) in
            self.joined.homes.missed.take(|uid| self.present_home(uid) == Some(home))
        {
            let let_go = LetGo { uid, server, missed: true };
            self.say_to(home, uid, &ToNext::LetGo(let_go));
        }
    }

    fn server_said_there(self, former: NodeIncarnation, said: &ServerSaid<'_>) {
        let uid = said.uid;
        let past = WordPast::passed_on_by(former, said.word);
        let words = &self.joined.homes.words;
        match said.word.map_or(WordArrival::New, |word| words.arrives(uid, word, former)) {
            WordArrival::New => {}
            WordArrival::Waits => return PassedOn { outcome: PassOutcome::Repeated }.emit(),
            WordArrival::Taken => {
                PassedOn { outcome: PassOutcome::Repeated }.emit();
                return self.moves().settled(uid, &past);
            }
        }
        let Ok(scan) = ServerScan::parse(said.message) else {
            PassedOn { outcome: PassOutcome::Malformed }.emit();
            return self.moves().settled(uid, &past);
        };
        let route = Route::of_peer(Peer::of(former), said.link, said.incarnation);
        let home = HomeSide { sessions: self.sessions, joined: self.joined };
        let heard = home.server_said(uid, (route, &scan), &past);
        if heard.is_settled {
            self.moves().arrived(uid, heard.delivery.delivered, &past);
        }
    }

    /// A home needs a message no more. Those behind it may go to another home.
    fn word_taken(self, WordTaken { uid, name }: WordTaken) {
        let Some(past) = self.joined.homes.words.settle(uid, name) else { return };
        PassedOn { outcome: PassOutcome::Confirmed }.emit();
        self.moves().settled(uid, &past);
        self.moves().deliver_to(uid);
    }

    /// The link that the server's memory of an agent rests on has ended. Whether this node's is up, is seen here.
    fn memory_ends(self, uid: InstanceUid, ended: FormerLinksEnded, missed: bool) {
        let uplink = &self.sessions.uplink;
        let by_uid = |route: &Route| uplink.keying(route.server()) == Keying::Uid;
        let own = uplink.route(uid).filter(by_uid).filter(|own| uplink.is_up(uid, *own));
        let ended = FormerLinksEnded { own, ..ended };
        self.sessions.with(uid, |session, moment, port| {
            Moved::of(session).former_link_ended(ended, moment, port);
            if missed {
                Moved::of(session).server_message_missed(moment, port);
            }
        });
    }

    /// The agent's home, if it is another node.
    pub(super) fn present_home(self, uid: InstanceUid) -> Option<NodeIncarnation> {
        let ways = &self.joined.ways;
        let shard = shard_of(uid);
        let elsewhere = self.joined.homes.shards.stage(shard) == ShardStage::NotHeld;
        let home = ways.home(shard).filter(|_| elsewhere)?;
        (home.node != ways.me()).then_some(home.node)
    }

    fn say_to(self, node: NodeIncarnation, uid: InstanceUid, said: &ToNext<'_>) -> bool {
        self.joined.ways.send(node, uid, &mut |out| said.encode(out))
    }
}

impl Missed {
    fn note(&self, uid: InstanceUid, server: ServerId) {
        let mut missed = self.0.lock();
        if missed.len() < MISSED_MAX {
            missed.insert(uid, server);
        }
    }

    /// Takes out those of which `which` says so.
    fn take(&self, which: impl Fn(InstanceUid) -> bool) -> Vec<(InstanceUid, ServerId)> {
        self.0.lock().extract_if(|uid, _| which(*uid)).collect()
    }
}
