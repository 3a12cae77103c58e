//! A shard's former home and its present one. The former home passes on what servers still say to its agents, and
//! says when its links to them end; the present one takes that as the former home's word.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::super::uplink::SharedLink;
use super::super::{Joined, Sessions};
use super::shards::ShardStage;
use super::{HomeSide, ShardMoves};
use crate::core::node_link::{LetGo, LinkEnded, ServerSaid, ToNext};
use crate::core::ownership::{NodeIncarnation, shard_of};
use crate::core::placement;
use crate::core::server::Keying;
use crate::core::session::{Answer, Delivered, FormerLinksEnded, Moved, Peer, Route};
use crate::ident::{Incarnation, InstanceUid, ServerId};
use crate::opamp::server::ServerScan;
use crate::telemetry::events::homes::{PassOutcome, PassedOn};

/// Agents whose servers' messages are known to be lost on their way to another home. What is beyond is forgotten,
/// and the server finds out with the agent's next full report.
const MISSED_MAX: usize = 4_096;

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
    /// the answer to a message that this node sent. Returns whether the shard is elsewhere.
    pub(in crate::sessions) fn pass_on(
        self,
        uid: InstanceUid,
        from: Route,
        scan: &ServerScan<'_>,
        answer: Option<Answer>,
    ) -> bool {
        if self.joined.homes.shards.stage(shard_of(uid)) != ShardStage::NotHeld {
            return false;
        }
        let Some(home) = self.present_home(uid) else {
            self.keep(uid, from, scan);
            return true;
        };
        let said =
            ServerSaid { uid, link: from.link, incarnation: from.incarnation, message: scan.bytes };
        let sent = self.say_to(home, uid, &ToNext::ServerSaid(said));
        if sent {
            PassedOn { outcome: PassOutcome::Sent }.emit();
        } else {
            self.keep(uid, from, scan);
        }
        // The last one answers the goodbye, where one was said.
        let is_last = answer.is_some_and(|answer| answer.after.is_some());
        if is_last && self.sessions.uplink.keying(from.server()) == Keying::Exclusive {
            let let_go = LetGo { uid, server: from.server(), missed: false };
            self.say_to(home, uid, &ToNext::LetGo(let_go));
        }
        true
    }

    /// The home is out of reach: the message waits for it.
    fn keep(self, uid: InstanceUid, from: Route, scan: &ServerScan<'_>) {
        PassedOn { outcome: PassOutcome::NoLink }.emit();
        let Self { sessions, joined } = self;
        ShardMoves { sessions, joined }.set_aside(uid, from, scan, true);
    }

    /// A message did not reach its agent's home. That node hears so much once it is in reach.
    pub(super) fn note_missed(self, uid: InstanceUid, from: Route, scan: &ServerScan<'_>) {
        if !scan.is_empty_ack() {
            self.joined.homes.missed.note(uid, from.server());
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

    /// A former home says something.
    pub(in crate::sessions) fn former_home_said(self, home: NodeIncarnation, said: &ToNext<'_>) {
        let peer = Peer::of(home);
        match *said {
            ToNext::ServerSaid(said) => self.server_said_there(peer, &said),
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

    /// A node is in reach again: it learns of the messages that were lost on their way to it.
    pub(in crate::sessions) fn tell_missed(self, home: NodeIncarnation) {
        for (uid, server) in
            self.joined.homes.missed.take(|uid| self.present_home(uid) == Some(home))
        {
            let let_go = LetGo { uid, server, missed: true };
            self.say_to(home, uid, &ToNext::LetGo(let_go));
        }
    }

    fn server_said_there(self, peer: Peer, said: &ServerSaid<'_>) {
        let Ok(scan) = ServerScan::parse(said.message) else {
            return PassedOn { outcome: PassOutcome::Malformed }.emit();
        };
        let route = Route::of_peer(peer, said.link, said.incarnation);
        let delivered = self.sessions.from_server(said.uid, route, &scan).delivered;
        let is_unknown = delivered == Delivered::Unknown;
        let outcome = if is_unknown { PassOutcome::NoSession } else { PassOutcome::Taken };
        PassedOn { outcome }.emit();
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
