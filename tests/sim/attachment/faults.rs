//! What goes wrong, and how it is mended.

use std::time::Duration;

use seawall::core::attachment::{HomeAttachment, HomeRecord};
use seawall::core::ownership::NodeIncarnation;
use seawall::ident::InstanceUid;

use super::links;
use super::node::{HomeEntry, Place, incarnation};
use super::world::{Event, NODES, World};

impl World {
    pub(super) fn fault(&mut self, event: Event) {
        match event {
            Event::Cut => self.cut(),
            Event::HandOver(agent) => self.hand_over(agent),
            Event::Crash => self.crash(),
            Event::FormerSpeaks => {
                self.soon(50, 1_500, Event::FormerSpeaks);
                self.former_speaks();
            }
            _ => {}
        }
    }

    fn cut(&mut self) {
        self.soon(300, 5_000, Event::Cut);
        let a = self.random.index(NODES);
        let b = (a + 1 + self.random.index(NODES - 1)) % NODES;
        if self.links[&(a, b)].up {
            let outage = links::outage(&mut self.random);
            self.cut_link(a, b, outage);
        }
    }

    fn cut_link(&mut self, a: usize, b: usize, outage: Duration) {
        self.tell(|| format!("the link of {a} and {b} is cut for {outage:?}"));
        self.disturbed = self.now + outage;
        for (from, to) in [(a, b), (b, a)] {
            if let Some(link) = self.links.get_mut(&(from, to)) {
                link.cut();
            }
            self.soon(0, 150, Event::LostNoticed { at: from, peer: to });
        }
        let at = self.now + outage;
        self.at(at, Event::Restore(a, b));
    }

    pub(super) fn lost_noticed(&mut self, at: usize, peer: usize) {
        self.nodes[at].reaches[peer] = false;
        let view = self.nodes[at].view.iter();
        let lost: Vec<InstanceUid> =
            view.filter(|(_, place)| place.node == peer).map(|(uid, _)| *uid).collect();
        let fronts = self.nodes[at].fronts.keys().filter(|handle| lost.contains(&handle.uid));
        for handle in fronts.copied().collect::<Vec<_>>() {
            self.with_front(at, handle, |front, _, port| front.home_lost(port));
        }
        let front = self.nodes[peer].incarnation;
        for uid in self.nodes[at].homes.keys().copied().collect::<Vec<_>>() {
            self.with_home(at, uid, |home, _, _| home.link_lost(front));
        }
    }

    pub(super) fn restore(&mut self, a: usize, b: usize) {
        self.disturbed = self.disturbed.max(self.now);
        for (from, to) in [(a, b), (b, a)] {
            if let Some(link) = self.links.get_mut(&(from, to)) {
                link.restore(self.now);
            }
            self.nodes[from].reaches[to] = true;
        }
        self.tell(|| format!("the link of {a} and {b} is back"));
        for (at, peer) in [(a, b), (b, a)] {
            let view = self.nodes[at].view.iter();
            let reached: Vec<InstanceUid> =
                view.filter(|(_, place)| place.node == peer).map(|(uid, _)| *uid).collect();
            for uid in reached {
                self.attach_again(at, uid);
            }
        }
    }

    /// A node reads the map: what has another home now, or is waiting for one, attaches.
    pub(super) fn read_map(&mut self, node: usize) {
        let map = self.map.clone();
        let before = std::mem::replace(&mut self.nodes[node].view, map.clone());
        for (uid, place) in map {
            let fronts = self.nodes[node].fronts.iter();
            let waits = fronts.filter(|(handle, _)| handle.uid == uid).any(|(_, front)| front.away);
            if before.get(&uid) != Some(&place) || waits {
                self.attach_again(node, uid);
            }
        }
    }

    fn all_read_map(&mut self) {
        for node in 0..NODES {
            self.soon(5, 800, Event::ReadMap(node));
        }
    }

    /// A home freezes a session and sends it to another node.
    fn hand_over(&mut self, agent: usize) {
        self.soon(1_000, 5_000, Event::HandOver(agent));
        let uid = self.agents[agent].uid;
        let Some(place) = self.map.get(&uid).copied() else { return };
        let Some(entry) = self.nodes[place.node].homes.get_mut(&uid) else { return };
        if entry.frozen {
            return;
        }
        entry.frozen = true;
        let to = (place.node + 1 + self.random.index(NODES - 1)) % NODES;
        self.tell(|| format!("node {} hands {uid} over to node {to}", place.node));
        self.disturbed = self.disturbed.max(self.now);
        self.soon(5, 600, Event::Arrives { uid, to });
    }

    pub(super) fn handed_over(&mut self, uid: InstanceUid, to: usize) {
        let Some(place) = self.map.get(&uid).copied() else { return };
        let Some(entry) = self.nodes[place.node].homes.get(&uid).filter(|entry| entry.frozen)
        else {
            return;
        };
        let mut bytes = Vec::new();
        entry.home.to_record(self.now).encode(&mut bytes);
        let record = HomeRecord::decode(&bytes).unwrap();
        let home = HomeAttachment::from_record(uid, record, self.now);
        let next = Place { node: to, epoch: place.epoch + 1 };
        let session = entry.session.clone();
        let highest = entry.highest;
        let arrived = HomeEntry { home, session, epoch: next.epoch, frozen: false, highest };
        self.nodes[place.node].homes.remove(&uid);
        self.nodes[to].homes.insert(uid, arrived);
        self.map.insert(uid, next);
        self.oracle.handed_over(uid, (place.epoch, next.epoch));
        self.disturbed = self.disturbed.max(self.now);
        self.tell(|| format!("node {to} has {uid}"));
        self.all_read_map();
    }

    /// A node crashes, or sleeps until others have taken its sessions over.
    fn crash(&mut self) {
        let node = self.random.index(NODES);
        let sleeps = self.random.percent(50);
        self.tell(|| format!("node {node} {}", if sleeps { "sleeps" } else { "crashes" }));
        self.disturbed = self.now + Duration::from_secs(2);
        for (uid, entry) in std::mem::take(&mut self.nodes[node].homes) {
            let Some(place) = self.map.get(&uid).copied() else { continue };
            let to = (node + 1 + self.random.index(NODES - 1)) % NODES;
            self.new_home(uid, Place { node: to, epoch: place.epoch + 1 });
            if sleeps {
                self.nodes[node].former.push((uid, entry));
            }
        }
        self.all_read_map();
        if sleeps {
            return;
        }
        let former = self.nodes[node].incarnation;
        for (_, front) in std::mem::take(&mut self.nodes[node].fronts) {
            if front.open {
                self.agents[front.agent].at = None;
                self.soon(1, 500, Event::Connect(front.agent));
            }
        }
        self.lives += 1;
        let it = &mut self.nodes[node];
        it.incarnation = incarnation(node, self.lives);
        it.former.clear();
        it.batches.clear();
        it.next_number = 0;
        for peer in (0..NODES).filter(|peer| *peer != node) {
            if self.links[&(node, peer)].up {
                self.cut_link(node, peer, Duration::from_millis(700));
            }
        }
        self.soon(200, 600, Event::FrontGone(former));
    }

    /// A front is gone for good: so are its connections. A home that hands a session over lets the next one know.
    pub(super) fn front_gone(&mut self, front: NodeIncarnation) {
        for node in 0..NODES {
            if self.nodes[node].homes.values().any(|entry| entry.frozen) {
                self.soon(50, 200, Event::FrontGone(front));
            }
            for uid in self.nodes[node].homes.keys().copied().collect::<Vec<_>>() {
                self.with_home(node, uid, |home, moment, port| {
                    home.front_gone(front, moment, port);
                });
            }
        }
    }

    /// Nothing goes wrong from now on, and what has gone wrong is noticed.
    pub(super) fn calms(&mut self) {
        self.calm = true;
        self.tell(|| "calm".to_owned());
        for agent in 0..self.agents.len() {
            self.connect(agent);
            self.says_last(agent);
        }
    }
}
