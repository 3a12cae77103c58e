//! Faults that follow each other for a reason. Chance alone would put them together too seldom.

use seawall::core::ownership::{NodeIncarnation, NodePhase, Registry};

use crate::events::Event;
use crate::plan::LEASE;
use crate::process::Key;
use crate::world::{Time, World};

/// One that has begun.
#[derive(Debug)]
pub(crate) enum Scene {
    /// See [`Fault::Newcomer`](crate::plan::Fault::Newcomer): the place whose node leaves.
    Newcomer(usize),
    /// See [`Fault::StoreChangesSides`](crate::plan::Fault::StoreChangesSides): the place that is cut off, and what
    /// the replica on its side holds.
    ChangesSides(usize, Box<Registry>),
    /// See [`Fault::HandOverCut`](crate::plan::Fault::HandOverCut): it waits for an offer.
    HandOverCut,
}

impl World {
    /// A node leaves, and the store is lost to the others.
    pub(crate) fn newcomer(&mut self) {
        let place = self.random.index(self.plan.places);
        if let (None, Some(key)) = (&self.scene, self.places[place].running) {
            self.scene = Some(Scene::Newcomer(place));
            self.leave(key);
        }
    }

    /// The node has left: the others have a moment to hear of it.
    pub(crate) fn newcomer_may_come(&mut self, left: usize) {
        if matches!(self.scene, Some(Scene::Newcomer(place)) if place == left) {
            self.after(Time::from_millis(500), Event::SceneGoesOn);
        }
    }

    /// A node is cut off from the others and the store; a replica of that is on its side.
    pub(crate) fn changes_sides(&mut self) {
        let alone = self.random.index(self.plan.places);
        let master = self.store.masters.values().next();
        let Some(replica) = master.map(|master| Box::new(master.registry.clone())) else { return };
        if self.scene.is_some() || self.store.is_split() {
            return;
        }
        self.say(|| format!("  place {alone} is cut off, with a replica"));
        self.scene = Some(Scene::ChangesSides(alone, replica));
        self.oracle.unrest(self.now);
        let lease = u64::try_from(LEASE.as_millis()).unwrap();
        let promoted = self.random.ms(lease * 3 / 2, lease * 3);
        let heals = promoted + self.random.ms(lease * 3 / 2, lease * 4);
        self.store.cut[alone] = true;
        for other in (0..self.plan.places).filter(|other| *other != alone) {
            for (from, to) in [(alone, other), (other, alone)] {
                self.links.of(from, to).cut = true;
                self.after(heals, Event::LinksHeal(from, to));
            }
        }
        (0..self.plan.places).for_each(|place| self.after(heals, Event::NodeHeals(place)));
        self.after(promoted, Event::SceneGoesOn);
    }

    /// A node leaves: when it is back it asks for its share.
    pub(crate) fn joiner(&mut self) {
        let place = self.random.index(self.plan.places);
        if let (None, Some(key)) = (&self.scene, self.places[place].running) {
            self.scene = Some(Scene::HandOverCut);
            self.leave(key);
        }
    }

    /// A node offers a shard, and does not leave.
    pub(crate) fn hand_over_is_cut(&mut self, from: Key, to: NodeIncarnation) {
        let Some((_, (home, joiner))) = self.way(from, to) else { return };
        let stays = self.processes[&from].node.phase() == NodePhase::Member;
        if !stays || self.calm || !matches!(self.scene, Some(Scene::HandOverCut)) {
            return;
        }
        self.scene = None;
        self.say(|| format!("  {from} will not hear from place {joiner}, and die"));
        self.link_is_cut(joiner, home);
        self.after(Time::from_secs(5), Event::LinkCut(home, joiner));
        let dies = self.random.ms(12_000, 20_000);
        self.after(dies, Event::Crash(from));
        self.after(dies, Event::LinksHeal(joiner, home));
        self.after(dies, Event::LinksHeal(home, joiner));
    }

    pub(crate) fn link_is_cut(&mut self, from: usize, to: usize) {
        if !self.calm {
            self.links.of(from, to).cut = true;
            self.oracle.unrest(self.now);
        }
    }

    /// A process dies. Another one starts in its place.
    pub(crate) fn crash(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key).filter(|_| !self.calm) else { return };
        let place = process.place;
        self.end(key);
        let delay = self.random.ms(100, 30_000);
        self.after(delay, Event::Start(place));
    }

    /// What comes next.
    pub(crate) fn scene_goes_on(&mut self) {
        if self.calm {
            return;
        }
        match self.scene.take() {
            Some(Scene::Newcomer(place)) => {
                self.say(|| format!("only place {place} reaches the store"));
                let heals = self.plan.params.autonomy + LEASE * 5;
                for other in (0..self.plan.places).filter(|other| *other != place) {
                    self.store.cut[other] = true;
                    self.after(heals, Event::NodeHeals(other));
                }
            }
            Some(Scene::ChangesSides(alone, replica)) => {
                if !self.store.is_split() && !self.store.masters.is_empty() {
                    self.oracle.trouble(self.now);
                    let number = self.replace_store(*replica);
                    self.say(|| format!("the replica at {alone} is the store, as {number}"));
                    (0..self.plan.places).for_each(|p| self.store.cut[p] = p != alone);
                }
            }
            other => self.scene = other,
        }
    }
}
