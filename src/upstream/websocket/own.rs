//! Mode `per-agent`: a WebSocket for each agent, made when the agent has something to say for the first
//! time, and gone with its session. Where agents share links, one that goes apart for a while has such a link, too
//! (`core::suspects`).

use std::sync::Arc;
use std::sync::OnceLock;

use dashmap::{DashMap, Entry};
use tokio::runtime::Handle;

use super::keep::{LinkTask, keep_link};
use crate::clock;
use crate::core::node_link::LinkEnded;
use crate::core::session::Route;
use crate::ident::{InstanceUid, LinkId};
use crate::sessions::Sessions;
use crate::upstream::link::{APART, Link};
use crate::upstream::queue::{LinkBounds, LinkQueue};
use crate::upstream::servers::{Apart, Server, Servers};

/// The links of one server's agents.
pub(in crate::upstream) struct OwnLinks {
    server: Arc<Server>,
    bounds: LinkBounds,
    /// What all of them are called: [`APART`] where agents share links.
    index: u16,
    links: Arc<DashMap<InstanceUid, Arc<Link>>>,
    /// What their tasks need; there from the start of the node's service on.
    starter: OnceLock<Starter>,
}

struct Starter {
    servers: Arc<Servers>,
    sessions: Arc<Sessions>,
    runtime: Handle,
}

impl OwnLinks {
    pub(in crate::upstream) fn new(server: &Arc<Server>, bounds: LinkBounds) -> Self {
        let (server, links) = (Arc::clone(server), Arc::default());
        Self { server, bounds, index: 0, links, starter: OnceLock::new() }
    }

    /// For agents that go apart.
    pub(in crate::upstream) fn apart(server: &Arc<Server>, bounds: LinkBounds) -> Self {
        Self { index: APART, ..Self::new(server, bounds) }
    }

    /// The link of an agent that goes apart.
    pub(in crate::upstream) fn of_apart(&self, uid: InstanceUid) -> Option<Arc<Link>> {
        match self.server.suspects.apart(uid)? {
            Apart::Stays => Some(self.make(uid)),
            Apart::Rejoins => self.links.get(&uid).map(|link| Arc::clone(&link)),
        }
    }

    /// Whether all is answered on this agent's link, if it has one.
    pub(in crate::upstream) fn is_quiet(&self, uid: InstanceUid) -> bool {
        self.links.get(&uid).is_none_or(|link| link.is_quiet())
    }

    /// From here on, links are dialled.
    pub(in crate::upstream) fn start(&self, servers: &Arc<Servers>, sessions: &Arc<Sessions>) {
        let (servers, sessions) = (Arc::clone(servers), Arc::clone(sessions));
        let _ = self.starter.set(Starter { servers, sessions, runtime: Handle::current() });
    }

    /// The way of one agent's messages, if its link is there and stays.
    pub(in crate::upstream) fn route(&self, uid: InstanceUid) -> Option<Route> {
        let link = self.links.get(&uid)?;
        (!link.is_released()).then(|| link.route())
    }

    /// The link of one agent, if it has one that stays.
    pub(in crate::upstream) fn get(&self, uid: InstanceUid) -> Option<Arc<Link>> {
        let link = self.links.get(&uid)?;
        (!link.is_released()).then(|| Arc::clone(&link))
    }

    /// The same; made and dialled if it is missing.
    pub(in crate::upstream) fn make(&self, uid: InstanceUid) -> Arc<Link> {
        let mut made = false;
        let mut make = || {
            made = true;
            let id = LinkId { server: self.server.id, index: self.index };
            let link = Link::new(id, Some(uid), self.bounds, LinkQueue::own_frames());
            let is_apart = self.index == APART;
            let first = is_apart.then(|| self.server.suspects.next_incarnation());
            Arc::new(match first {
                Some(first) => link.starting_at(first),
                None => link,
            })
        };
        let link = match self.links.entry(uid) {
            Entry::Vacant(place) => Arc::clone(&place.insert(make())),
            // The agent left and is back before its old link has ended.
            Entry::Occupied(mut place) if place.get().is_released() => {
                place.insert(make());
                Arc::clone(place.get())
            }
            Entry::Occupied(place) => Arc::clone(place.get()),
        };
        if made {
            self.spawn(uid, &link);
        }
        link
    }

    fn spawn(&self, uid: InstanceUid, link: &Arc<Link>) {
        let Some(starter) = self.starter.get() else { return };
        let task = LinkTask {
            servers: Arc::clone(&starter.servers),
            server: Arc::clone(&self.server),
            link: Arc::clone(link),
            sessions: Arc::clone(&starter.sessions),
        };
        let kept = KeptLink {
            uid,
            link: Arc::clone(link),
            links: Arc::clone(&self.links),
            server: Arc::clone(&self.server),
            sessions: Arc::clone(&starter.sessions),
            ended: false,
        };
        starter.runtime.spawn(async move {
            keep_link(task).await;
            kept.end();
        });
    }

    /// The agent's session is over: its link ends once what waits is written.
    pub(in crate::upstream) fn release(&self, uid: InstanceUid) {
        if let Some(link) = self.links.get(&uid) {
            link.release();
        }
    }

    /// The agent goes with the others again once its link has ended.
    pub(in crate::upstream) fn rejoin(&self, uid: InstanceUid, sessions: &Sessions) {
        if self.links.contains_key(&uid) {
            return self.release(uid);
        }
        self.server.suspects.own_ended(uid, clock::now());
        sessions.enqueue_one(uid);
    }

    /// All of them.
    pub(in crate::upstream) fn all(&self) -> Vec<Arc<Link>> {
        self.links.iter().map(|link| Arc::clone(&link)).collect()
    }

    /// Bytes in all their queues.
    pub(in crate::upstream) fn waiting_bytes(&self) -> usize {
        self.links.iter().map(|link| link.waiting_bytes()).sum()
    }
}
/// A link that has a task. When the task ends, by a panic too, the agent's next message makes another link.
struct KeptLink {
    uid: InstanceUid,
    link: Arc<Link>,
    links: Arc<DashMap<InstanceUid, Arc<Link>>>,
    server: Arc<Server>,
    sessions: Arc<Sessions>,
    /// The task came to its end. If not, the process stops, or the task has panicked.
    ended: bool,
}

impl KeptLink {
    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for KeptLink {
    fn drop(&mut self) {
        if !self.ended && !std::thread::panicking() {
            return;
        }
        let Self { uid, link, links, server, sessions, .. } = self;
        // A server that closes at once, or too slowly, leaves the agent's goodbye unanswered.
        let now = clock::now();
        if let Some((messages, after)) = sessions.own_link_ended(*uid, link.id, now) {
            server.pacer.orphans_lost(messages, after, now);
        }
        let removed = links.remove_if(uid, |_, current| Arc::ptr_eq(current, link));
        if removed.is_some() && link.id.index == APART {
            server.suspects.own_ended(*uid, now);
            sessions.enqueue_one(*uid);
        }
        if let Some(fleet) = sessions.in_fleet() {
            // The agent may be at another home by now, which waits for this.
            let up_to = link.route().incarnation;
            fleet.server_link_ended(LinkEnded { link: link.id, links: 0, up_to }, Some(*uid));
        }
    }
}
