//! The gateway's end of the links: what `upstream` is to the sessions, with queues in place of
//! sockets. It does what src/upstream does (place, link, failover, release), and says afterwards what
//! it was asked to do, because it is called with a session locked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use seawall::clock;
use seawall::core::backoff::Rule;
use seawall::core::http_mode::PostOrder;
pub(crate) use seawall::core::link::LinkPhase as State;
use seawall::core::link::{LinkLife, LinkRefusal};
use seawall::core::pacing::{Class, Permit};
use seawall::core::placement::{self, Seed};
use seawall::core::server::{KeyedBy, ServerEffect, ServerEvent, ServerRules, ServerState};
use seawall::core::session::Route;
use seawall::ident::{Incarnation, InstanceUid, LinkId, ServerId};
use seawall::opamp::server::ServerScan;
use seawall::sessions::{NotSent, ServerHello, Uplink};

use crate::pace::ServerPace;
use crate::plan::Plan;
use crate::world::{NodeKey, Time};

/// By what times a server is judged; the defaults of `upstream.failover_after` and `stable_after`.
/// `shared`: 0 for agents' own links, where a server has to be dialled to see whether it is back.
fn rules(shared: u16) -> ServerRules {
    let rule = backoff_rule();
    let stable_after = rule.stable_after;
    let dial_probes = (shared == 0).then_some(rule);
    ServerRules {
        failover_after: Time::from_secs(30),
        stable_after,
        dial_probes,
        keyed_by: KeyedBy::Auto,
    }
}

/// `upstream.backoff`, shorter.
pub(crate) const fn backoff_rule() -> Rule {
    let stable_after = Time::from_secs(10);
    Rule { initial: Time::from_millis(250), max: Time::from_secs(1), stable_after }
}

/// Names a link for the whole run, those of earlier nodes included.
pub(crate) type Key = u32;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// In per-agent mode the one agent whose link it is.
    pub(crate) owner: Option<InstanceUid>,
    pub(crate) incarnation: u32,
    pub(crate) state: State,
    /// Its server was told that it is up.
    pub(crate) counted: bool,
    pub(crate) queue: PostOrder<Vec<u8>>,
}

impl Link {
    /// Takes out all that waits.
    pub(crate) fn take_all(&mut self) -> Vec<Vec<u8>> {
        let waiting = self.queue.iter().cloned().collect();
        self.queue = PostOrder::default();
        waiting
    }

    pub(crate) const fn route(&self) -> Route {
        Route::of_link(self.id, Incarnation(self.incarnation))
    }
}

/// A server, as the gateway sees it.
#[derive(Debug)]
pub(crate) struct ServerEnd {
    seed: Seed,
    pub(crate) shared: Vec<Key>,
    pub(crate) owned: BTreeMap<InstanceUid, Key>,
    /// What upstream's servers have, too.
    pub(crate) state: ServerState,
    pub(crate) server_hello: Arc<ServerHello>,
    pub(crate) pace: ServerPace,
    /// The agents that are polled for in mode `http`.
    pub(crate) polled: BTreeSet<InstanceUid>,
}

/// What the sessions had done.
#[derive(Debug)]
pub(crate) enum Note {
    /// A message was taken.
    Sent { key: Key, incarnation: u32, uid: InstanceUid, bytes: Vec<u8> },
    /// A link refused one.
    Refused { uid: InstanceUid, route: Route, why: NotSent },
    /// An agent's own link must be dialled.
    Made(Key),
    /// An agent's own link must be closed once what waits is written.
    Released(Key),
}

#[derive(Debug)]
pub(crate) struct Ends {
    /// The process is dead: what still calls is its remains.
    pub(crate) dead: bool,
    pub(crate) links: BTreeMap<Key, Link>,
    pub(crate) servers: Vec<ServerEnd>,
    pub(crate) notes: Vec<Note>,
    /// Messages that may wait on a link.
    pub(crate) room: usize,
    /// Mode `http`.
    is_http: bool,
    next: Key,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Wires {
    pub(crate) ends: Mutex<Ends>,
}

/// Links of one node's life, at most.
const KEYS: Key = 10_000;

/// The node whose link this is.
pub(crate) const fn node_of_key(key: Key) -> NodeKey {
    key / KEYS
}

impl Wires {
    /// With no link yet up.
    pub(crate) fn new(node: NodeKey, plan: &Plan, paces: Vec<ServerPace>) -> Self {
        // How many links each server has; 0: one an agent.
        let (shared, room, is_http) = (plan.links, plan.room, plan.http);
        let mut ends = Ends {
            dead: false,
            links: BTreeMap::new(),
            servers: Vec::new(),
            notes: Vec::new(),
            room,
            is_http,
            next: node * KEYS,
        };
        let rules = rules(shared);
        for (index, pace) in paces.into_iter().enumerate() {
            let server = ServerId(u16::try_from(index).unwrap());
            let links = 0..shared;
            let shared = links.map(|index| ends.make(LinkId { server, index }, None)).collect();
            ends.servers.push(ServerEnd {
                seed: Seed::of_name(&format!("server-{index}")),
                shared,
                owned: BTreeMap::new(),
                state: ServerState::new(rules, clock::now()),
                server_hello: Arc::default(),
                pace,
                polled: BTreeSet::new(),
            });
        }
        Self { ends: Mutex::new(ends) }
    }
}

impl Ends {
    fn make(&mut self, id: LinkId, owner: Option<InstanceUid>) -> Key {
        let key = self.next;
        self.next += 1;
        let link = Link {
            id,
            owner,
            incarnation: 1,
            state: State::Down,
            counted: false,
            queue: PostOrder::default(),
        };
        self.links.insert(key, link);
        key
    }

    /// The server an agent belongs to.
    pub(crate) fn place(&self, uid: InstanceUid) -> usize {
        let servers = self.servers.iter().map(|server| (server.seed, server.state.in_use()));
        placement::place(uid, servers).unwrap_or(0)
    }

    /// The link an agent's messages take to a server.
    pub(crate) fn link_of(&self, server: usize, uid: InstanceUid) -> Option<Key> {
        let server = &self.servers[server];
        let count = u16::try_from(server.shared.len()).unwrap();
        let shared = server.shared.get(usize::from(placement::link_of(uid, count)));
        shared.or_else(|| server.owned.get(&uid)).copied()
    }

    /// An agent's own link, made when it is first needed.
    fn own_link(&mut self, server: usize, uid: InstanceUid) -> Key {
        let released = |key: &Key| self.links[key].state == State::Closing;
        if let Some(key) = self.servers[server].owned.get(&uid).filter(|key| !released(key)) {
            return *key;
        }
        let id = LinkId { server: ServerId(u16::try_from(server).unwrap()), index: 0 };
        let key = self.make(id, Some(uid));
        self.servers[server].owned.insert(uid, key);
        self.notes.push(Note::Made(key));
        key
    }

    /// Whether a good part of a link's queue is free.
    pub(crate) fn has_room(&self, key: Key) -> bool {
        self.links[&key].queue.len() * 2 < self.room
    }

    /// Tells a server's state of an event, and the pacer of what follows for it. Returns the rest.
    pub(crate) fn handle(&mut self, server: usize, event: ServerEvent) -> Vec<ServerEffect> {
        let server = &mut self.servers[server];
        let mut effects = server.state.handle(event, clock::now());
        effects.retain(|effect| match *effect {
            ServerEffect::LastLinkLost => {
                server.pace.links_all_lost();
                false
            }
            ServerEffect::Pause(pause) => {
                server.pace.pause(clock::now() + pause);
                false
            }
            _ => true,
        });
        effects
    }

    /// Learns what a server says of itself.
    pub(crate) fn learn(&mut self, server: usize, scan: &ServerScan<'_>) {
        let known = &mut self.servers[server].server_hello;
        let custom = scan.custom_capabilities.clone().map(|range| scan.bytes[range].to_vec());
        *known = Arc::new(ServerHello {
            capabilities: scan.capabilities.or(known.capabilities),
            custom_capabilities: custom.or_else(|| known.custom_capabilities.clone()),
        });
    }

    fn try_send(
        &mut self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        let server = usize::from(route.link.server.0);
        if self.servers[server].state.holds_still() {
            return Err(NotSent::Down);
        }
        let shared = self.servers[server].shared.get(usize::from(route.link.index)).copied();
        let key = shared.unwrap_or_else(|| self.own_link(server, uid));
        let room = self.room;
        let link = self.links.get_mut(&key).ok_or(NotSent::Stale)?;
        let life = LinkLife { incarnation: Incarnation(link.incarnation), phase: link.state };
        life.accepts(route.incarnation, link.owner.is_some()).map_err(|refusal| match refusal {
            LinkRefusal::Stale => NotSent::Stale,
            LinkRefusal::Down => NotSent::Down,
        })?;
        if link.queue.len() >= room {
            return Err(NotSent::Full);
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        link.queue.push(bytes.clone());
        let incarnation = link.incarnation;
        self.servers[server].pace.sent(route.link.index);
        self.servers[server].polled.insert(uid);
        self.notes.push(Note::Sent { key, incarnation, uid, bytes });
        Ok(())
    }
}

impl Uplink for Wires {
    fn route(&self, uid: InstanceUid) -> Option<Route> {
        let ends = self.ends.lock();
        let server = ends.place(uid);
        let first = Route::of_link(
            LinkId { server: ServerId(u16::try_from(server).unwrap()), index: 0 },
            Incarnation(1),
        );
        let link = ends.link_of(server, uid).map(|key| &ends.links[&key]);
        Some(link.filter(|link| link.state != State::Closing).map_or(first, Link::route))
    }

    fn admit(&self, _: InstanceUid, route: Route) -> Permit {
        let server = &mut self.ends.lock().servers[usize::from(route.link.server.0)];
        if server.state.holds_still() {
            return Permit::Wait { soon: false };
        }
        server.pace.admit()
    }

    fn state_lost(&self, route: Route) -> bool {
        self.ends.lock().servers[usize::from(route.link.server.0)].pace.state_lost()
    }

    fn send(
        &self,
        uid: InstanceUid,
        route: Route,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        let mut ends = self.ends.lock();
        if ends.dead {
            return Err(NotSent::Down);
        }
        let sent = ends.try_send(uid, route, write);
        if let Err(why) = sent {
            ends.notes.push(Note::Refused { uid, route, why });
        }
        sent
    }

    fn orphaned(&self, route: Route, messages: u32) {
        let server = usize::from(route.link.server.0);
        self.ends.lock().servers[server].pace.orphaned(route.link.index, messages);
    }

    fn announced(&self, _: InstanceUid, _: ServerId) {}

    fn is_polled(&self, _: ServerId) -> bool {
        self.ends.lock().is_http
    }

    fn server_hello(&self, server: ServerId) -> Arc<ServerHello> {
        Arc::clone(&self.ends.lock().servers[usize::from(server.0)].server_hello)
    }

    fn enqueue(&self, uid: InstanceUid, class: Class) {
        let mut ends = self.ends.lock();
        let server = ends.place(uid);
        ends.servers[server].pace.enqueue(uid, class);
    }

    fn release(&self, uid: InstanceUid) {
        let mut ends = self.ends.lock();
        for server in 0..ends.servers.len() {
            if let Some(key) = ends.servers[server].owned.get(&uid).copied() {
                ends.links.get_mut(&key).unwrap().state = State::Closing;
                ends.notes.push(Note::Released(key));
            }
        }
    }
}
