//! Carries out what fronts and homes do, and brings frames to them.

use seawall::core::attachment::{ConnectionAt, HomeAttachment, HomeMoment, SessionCall};
use seawall::core::node_link::{
    CloseOrder, Detach, DetachReason, ForAgentKind, Handle, ToFront, ToHome,
};
use seawall::core::ownership::{MapVersion, shard_of};
use seawall::ident::InstanceUid;

use super::agent::Say;
use super::node::{FrontEffect, HomeEffects, Place, epoch};
use super::oracle::CustomOrder;
use super::session::{SimSession, Wish};
use super::world::{Event, World};

impl World {
    pub(super) fn front_does(&mut self, node: usize, handle: Handle, effect: FrontEffect) {
        match effect {
            FrontEffect::ToHome(home, frame) => {
                if let Some(to) = self.node_of(home) {
                    self.send(node, to, frame);
                }
            }
            FrontEffect::Heartbeats(home, entry) => {
                let batch = self.nodes[node].batches.entry(home.get()).or_default();
                assert!(!batch.add(entry), "two agents fill no batch");
            }
            // A request takes its answer and nothing else.
            FrontEffect::ToAgent(ForAgentKind::Unasked, ..) if self.is_request(node, handle) => {}
            FrontEffect::ToAgent(kind, number, bytes) => {
                self.brings(node, handle, kind, &bytes);
                if number > 0 {
                    self.with_front(node, handle, |front, _, port| front.written(number, port));
                }
            }
            FrontEffect::Acknowledge => self.counts_reply(node, handle),
            FrontEffect::Ping(_) if self.is_request(node, handle) => {}
            FrontEffect::Ping(question) => {
                if self.nodes[node].fronts.get(&handle).is_some_and(|front| front.open) {
                    self.soon(1, 20, Event::Pong { node, handle, question });
                }
            }
            FrontEffect::Close(order) => self.closes(node, handle, order),
            FrontEffect::ReadMap => {
                if let Some(front) = self.nodes[node].fronts.get_mut(&handle) {
                    front.away = true;
                }
                self.soon(10, 200, Event::ReadMap(node));
            }
        }
    }

    fn is_request(&self, node: usize, handle: Handle) -> bool {
        self.nodes[node].fronts.get(&handle).is_some_and(|front| front.polls)
    }

    /// In which order a home must take custom messages. A socket that is left behind looks open: its front can vouch
    /// for it after its agent has gone on. A process that begins anew may come to the number that an old request has.
    fn order_of(&self, uid: InstanceUid) -> CustomOrder {
        let mut its = self.agents.iter().filter(|agent| agent.uid == uid);
        if its.clone().any(|agent| agent.polls && agent.is_restarted()) {
            CustomOrder::Any
        } else if self.plan.clones || self.plan.moves && its.any(|agent| !agent.polls) {
            CustomOrder::OfConnection
        } else {
            CustomOrder::OfAgent
        }
    }

    fn agent_polls(&self, uid: InstanceUid) -> bool {
        self.agents.iter().any(|agent| agent.uid == uid && agent.polls)
    }

    fn counts_reply(&mut self, node: usize, handle: Handle) {
        if let Some(front) = self.nodes[node].fronts.get_mut(&handle) {
            front.replied += 1;
            self.oracle.replied(front);
            if front.polls {
                self.soon(1, 30, Event::Answered { node, handle });
            }
        }
    }

    /// A request has its answer: it is over.
    pub(super) fn answered(&mut self, node: usize, handle: Handle) {
        let Some(front) = self.nodes[node].fronts.get_mut(&handle).filter(|front| front.open)
        else {
            return;
        };
        front.open = false;
        let agent = front.agent;
        self.agents[agent].at.take_if(|at| *at == (node, handle));
        self.with_front(node, handle, |front, moment, port| {
            front.closed(DetachReason::Answered, moment, port);
        });
    }

    fn brings(&mut self, node: usize, handle: Handle, kind: ForAgentKind, bytes: &[u8]) {
        if kind == ForAgentKind::Answer {
            self.counts_reply(node, handle);
        }
        let Some(front) = self.nodes[node].fronts.get_mut(&handle).filter(|front| front.open)
        else {
            return;
        };
        if kind == ForAgentKind::Unasked && bytes.is_empty() {
            self.oracle.violated("an empty push".to_owned());
        }
        let agent = front.agent;
        if let Some(offer) = self.agents[agent].hear(bytes) {
            self.oracle.offered(front, offer);
            self.tell(|| format!("agent {agent} gets offer {offer}"));
        }
    }

    /// A front closes a connection on its home's order.
    fn closes(&mut self, node: usize, handle: Handle, order: CloseOrder) {
        let Some(front) = self.nodes[node].fronts.get(&handle) else { return };
        let (agent, is_live) = (front.agent, front.open);
        self.tell(|| {
            format!("node {node} closes {:?} of agent {agent}: {order:?}", handle.connection)
        });
        if is_live {
            self.agents[agent].at = None;
            let calm = self.now - self.disturbed > std::time::Duration::from_secs(8);
            if calm && !self.plan.clones {
                self.oracle.violated(format!("a live connection was closed: {order:?}"));
            }
            if order == CloseOrder::Cloned {
                self.is_renamed(agent);
            }
            self.soon(10, 500, Event::Connect(agent));
        }
        self.socket_closed(node, handle);
    }

    /// The agent goes on under another uid, as a new process would.
    fn is_renamed(&mut self, agent: usize) {
        let n = u8::try_from(self.map.len()).unwrap();
        let uid = InstanceUid::from_bytes([n + 1; 16]);
        let place = Place { node: self.random.index(super::world::NODES), epoch: 1 };
        self.new_home(uid, place);
        for node in &mut self.nodes {
            node.view.insert(uid, place);
        }
        self.agents[agent].uid = uid;
        self.agents[agent].offer = None;
        self.agents[agent].restart();
        self.tell(|| format!("agent {agent} is {uid} from now on"));
    }

    /// The front notices that a socket is closed.
    pub(super) fn socket_closed(&mut self, node: usize, handle: Handle) {
        let Some(front) = self.nodes[node].fronts.get_mut(&handle) else { return };
        front.open = false;
        self.with_front(node, handle, |front, moment, port| {
            front.closed(DetachReason::Lost, moment, port);
        });
    }

    pub(super) fn flush_batches(&mut self, node: usize) {
        let batches = std::mem::take(&mut self.nodes[node].batches);
        for (home, mut batch) in batches {
            let incarnation = seawall::core::ownership::NodeIncarnation::new(home).unwrap();
            if let Some(to) = self.node_of(incarnation) {
                let mut frame = Vec::new();
                batch.flush(&mut frame);
                self.send(node, to, frame);
            }
        }
    }

    pub(super) fn arrives(&mut self, from: usize, to: usize, frame: &[u8]) {
        match ToHome::decode(frame) {
            Ok(ToHome::Heartbeats(batch)) => {
                let front = self.nodes[from].incarnation;
                for entry in batch.iter() {
                    self.with_home(to, entry.handle.uid, |home, _, port| {
                        home.heartbeats(front, &entry, port);
                    });
                }
            }
            Ok(ToHome::AllHere(shard)) => {
                let front = self.nodes[from].incarnation;
                let homes = self.nodes[to].homes.keys().filter(|uid| shard_of(**uid) == shard);
                for uid in homes.copied().collect::<Vec<_>>() {
                    self.with_home(to, uid, |home, moment, port| {
                        home.not_here(front, moment, port);
                    });
                }
            }
            Ok(message) => self.for_home(from, to, &message),
            Err(_) => self.for_front(from, to, &ToFront::decode(frame).unwrap()),
        }
    }

    fn for_home(&mut self, from: usize, to: usize, message: &ToHome<'_>) {
        let (ToHome::Attach(handle, _)
        | ToHome::Message(handle, _)
        | ToHome::Open(handle)
        | ToHome::Alive(handle, _)
        | ToHome::Written(handle, _)
        | ToHome::Detach(handle, _)) = message
        else {
            return;
        };
        let handle = *handle;
        self.tell(|| format!("  node {to} gets of {from}: {message:?}"));
        if self.nodes[to].homes.get(&handle.uid).is_none_or(|entry| entry.frozen) {
            let mut frame = Vec::new();
            ToFront::NotMine(handle, MapVersion(1)).encode(&mut frame);
            return self.send(to, from, frame);
        }
        let front = self.nodes[from].incarnation;
        let at = ConnectionAt { front, connection: handle.connection };
        self.with_home(to, handle.uid, |home, moment, port| match message {
            ToHome::Attach(_, attach) => home.attach(at, attach, moment, port),
            ToHome::Message(_, message) => home.message(at, message, port),
            ToHome::Open(_) => home.open(at, moment, port),
            ToHome::Alive(_, question) => home.alive(at, *question, port),
            ToHome::Written(_, number) => home.written(at, *number),
            ToHome::Detach(_, detach) => home.detach(at, detach, moment, port),
            ToHome::Heartbeats(_)
            | ToHome::AllHere(_)
            | ToHome::WasAlive(_)
            | ToHome::FrontLeaves => {}
        });
    }

    fn for_front(&mut self, from: usize, to: usize, message: &ToFront<'_>) {
        let handle = message.handle();
        self.tell(|| format!("  node {to} hears of {from}: {message:?}"));
        let home = self.nodes[from].incarnation;
        let Some(front) = self.nodes[to].fronts.get_mut(&handle) else {
            if !matches!(message, ToFront::Close(..) | ToFront::NotMine(..) | ToFront::Told(..)) {
                let mut frame = Vec::new();
                let gone = Detach { reason: DetachReason::Lost, heartbeats: None, missed: false };
                ToHome::Detach(handle, gone).encode(&mut frame);
                self.send(to, from, frame);
            }
            return;
        };
        if let ToFront::Attached(_, attached) = message {
            front.epoch = front.epoch.max(attached.epoch);
        }
        self.with_front(to, handle, |front, moment, port| {
            front.home_said(home, message, moment, port);
        });
    }

    /// Calls an entry of a home's attachment, and carries out what it does: frames, then the session's calls.
    pub(super) fn with_home<'a>(
        &mut self,
        node: usize,
        uid: InstanceUid,
        call: impl FnOnce(&mut HomeAttachment, &HomeMoment<'_>, &mut HomeEffects<'_, 'a>),
    ) {
        let order = self.order_of(uid);
        let it = &mut self.nodes[node];
        let Some(entry) = it.homes.get_mut(&uid).filter(|entry| !entry.frozen) else { return };
        let place = Place { node, epoch: entry.epoch };
        let moment = HomeMoment { now: self.now, epoch: epoch(place), policy: Self::home_policy() };
        let mut effects = HomeEffects {
            session: &entry.session,
            secret: it.secret,
            next_number: &mut it.next_number,
            frames: Vec::new(),
            calls: Vec::new(),
        };
        call(&mut entry.home, &moment, &mut effects);
        let (frames, calls) = (effects.frames, effects.calls);
        let mut wishes = Vec::new();
        let mut opened = false;
        for call in &calls {
            opened |= matches!(call, SessionCall::Open { .. });
            wishes.extend(entry.session.call(call, it.secret));
        }
        for (_, frame) in &frames {
            if let Ok(ToFront::Attached(_, attached)) = ToFront::decode(frame) {
                self.oracle.attached(&mut entry.highest, attached.id);
            }
        }
        let SimSession { customs, customs_on_connection, .. } = &entry.session;
        self.oracle.took_customs(customs, *customs_on_connection, order);
        for (front, frame) in frames {
            if let Some(to) = self.node_of(front) {
                self.send(node, to, frame);
            }
        }
        if !calls.is_empty() {
            self.tell(|| format!("  node {node}'s session: {calls:?}"));
        }
        self.grant(node, uid, &wishes);
        if opened && self.nodes[node].homes[&uid].session.offer.is_some() {
            // What was written to an earlier connection may be lost with it.
            self.make_offer(node, uid);
        }
        self.settle(node, uid);
    }

    fn grant(&mut self, node: usize, uid: InstanceUid, wishes: &[Wish]) {
        for wish in wishes {
            match wish {
                Wish::Gap(why) => {
                    // Whose agent polls may be answered by one node, and go on over another.
                    let stays = !self.plan.moves && !self.agent_polls(uid);
                    let gentle = stays && !self.plan.crashes && !self.plan.clones;
                    if gentle && !self.plan.foreign_secret {
                        self.oracle.violated(format!("a gap, though none was made: {why}"));
                    }
                }
                Wish::Reply => {
                    let entry = &self.nodes[node].homes[&uid];
                    let (epoch, generation) = (entry.epoch, entry.session.generation);
                    if self.random.percent(60) {
                        self.reply(uid, epoch, generation);
                    } else {
                        self.soon(0, 2_500, Event::Reply { uid, epoch, generation });
                    }
                }
            }
        }
    }

    /// The session answers one message.
    pub(super) fn reply(&mut self, uid: InstanceUid, epoch: u64, generation: u64) {
        let Some(place) = self.map.get(&uid).copied() else { return };
        let Some(entry) = self.nodes[place.node].homes.get_mut(&uid) else { return };
        let is_owed = entry.epoch == epoch || self.plan.hand_overs;
        if is_owed && !entry.frozen && entry.session.generation == generation {
            let message = entry.session.next_message(None, self.now);
            self.says(place.node, uid, ForAgentKind::Answer, &message);
        }
    }

    /// The session asks its agent, if it has to.
    pub(super) fn ask(&mut self, node: usize) {
        let now = self.now;
        let homes = self.nodes[node].homes.iter();
        let asks = homes.filter(|(_, entry)| !entry.frozen && entry.session.has_question(now));
        for uid in asks.map(|(uid, _)| *uid).collect::<Vec<_>>() {
            if let Some(entry) = self.nodes[node].homes.get_mut(&uid) {
                let message = entry.session.next_message(None, now);
                self.says(node, uid, ForAgentKind::Unasked, &message);
            }
        }
    }

    pub(super) fn offer(&mut self, agent: usize) {
        if self.calm {
            return;
        }
        self.soon(300, 4_000, Event::Offer(agent));
        let uid = self.agents[agent].uid;
        if let Some(place) = self.map.get(&uid).copied() {
            self.make_offer(place.node, uid);
        }
    }

    fn make_offer(&mut self, node: usize, uid: InstanceUid) {
        let Some(entry) = self.nodes[node].homes.get_mut(&uid).filter(|entry| !entry.frozen) else {
            return;
        };
        self.last_offer += 1;
        self.oracle.offered_in.insert(self.last_offer, (uid, entry.epoch));
        entry.session.offer = Some(self.last_offer);
        let message = entry.session.next_message(Some(self.last_offer), self.now);
        if entry.session.attached {
            self.says(node, uid, ForAgentKind::Unasked, &message);
        }
    }

    fn says(&mut self, node: usize, uid: InstanceUid, kind: ForAgentKind, message: &[u8]) {
        let it = &mut self.nodes[node];
        let Some(entry) = it.homes.get_mut(&uid) else { return };
        let frames = speak(&mut entry.home, (node, entry.epoch), kind, message);
        for (front, frame) in frames {
            if let Some(to) = self.node_of(front) {
                self.send(node, to, frame);
            }
        }
    }

    fn settle(&mut self, node: usize, uid: InstanceUid) {
        let it = &mut self.nodes[node];
        let Some(entry) = it.homes.get_mut(&uid) else { return };
        let mut effects = HomeEffects {
            session: &entry.session,
            secret: it.secret,
            next_number: &mut it.next_number,
            frames: Vec::new(),
            calls: Vec::new(),
        };
        entry.home.settle(&mut effects);
        for (front, frame) in effects.frames {
            if let Some(to) = self.node_of(front) {
                self.send(node, to, frame);
            }
        }
    }

    /// A session that another node has taken over says something.
    pub(super) fn former_speaks(&mut self) {
        for node in 0..self.nodes.len() {
            for (uid, mut entry) in std::mem::take(&mut self.nodes[node].former) {
                self.last_offer += 1;
                self.oracle.offered_in.insert(self.last_offer, (uid, entry.epoch));
                let message = entry.session.next_message(Some(self.last_offer), self.now);
                let kind = ForAgentKind::Unasked;
                let frames = speak(&mut entry.home, (node, entry.epoch), kind, &message);
                self.tell(|| format!("node {node}, no home any more, speaks to {uid}"));
                for (front, frame) in frames {
                    if let Some(to) = self.node_of(front) {
                        self.send(node, to, frame);
                    }
                }
                self.nodes[node].former.push((uid, entry));
            }
        }
    }

    /// A change that an agent wants to tell at the end, so that the last word is a new one.
    pub(super) fn says_last(&mut self, agent: usize) {
        self.agents[agent].wants_to_say.push_back(Say::Changed);
    }
}

type Frames = Vec<(seawall::core::ownership::NodeIncarnation, Vec<u8>)>;

/// The session has something for its agent.
fn speak(
    home: &mut HomeAttachment,
    (node, tenure): (usize, u64),
    kind: ForAgentKind,
    message: &[u8],
) -> Frames {
    let session = super::session::SimSession::default();
    let mut effects = HomeEffects {
        session: &session,
        secret: 0,
        next_number: &mut 0,
        frames: Vec::new(),
        calls: Vec::new(),
    };
    home.for_agent(kind, message, epoch(Place { node, epoch: tenure }), &mut effects);
    effects.frames
}
