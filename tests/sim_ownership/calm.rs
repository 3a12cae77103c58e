//! What must be true while all is well, or while only the store is not: every shard has a voice. And the calm at the
//! end, in which one more node dies.

use seawall::core::ownership::{NodeEvent, NodePhase};

use crate::events::Event;
use crate::plan::LEASE;
use crate::world::{OBSERVE_EVERY, Time, World};

/// A shard may be silent for this long while it moves, or while nodes find out that the store is back.
const GAP: Time = Time::from_secs(2);

impl World {
    /// The oracle looks at everything.
    pub(crate) fn observe(&mut self) {
        self.after(OBSERVE_EVERY, Event::Observe);
        let now = self.now;
        if self.store.is_split() {
            self.oracle.split_last = now;
        }
        if self.store.is_fine(now) {
            if now >= self.oracle.store_bad_last + LEASE * 3 {
                self.oracle.store_bad_since = None;
            }
        } else {
            self.oracle.store_is_bad(now);
        }
        self.sessions_live();
        let spoken = self.oracle.spoken;
        let serene = self.is_serene();
        for shard in 0..self.oracle.silent_since.len() {
            let since = &mut self.oracle.silent_since[shard];
            if spoken & (1 << shard) != 0 {
                *since = None;
                continue;
            }
            let since = *since.get_or_insert(now);
            let began_serene = since > self.oracle.last_trouble + LEASE * 3;
            if serene && began_serene && now > since + GAP {
                self.oracle.fail("O2", || format!("no node speaks for shard {shard} any more"));
            }
        }
    }

    /// For three lease times nothing has happened to nodes, links and the map: then every shard keeps its voice,
    /// whatever the store does, for as long as nodes may go on alone.
    fn is_serene(&self) -> bool {
        let oracle = &self.oracle;
        // Maps that two masters have led apart must first become one.
        let settled = self.now > oracle.last_trouble.max(oracle.split_last) + LEASE * 3;
        let autonomous = oracle
            .store_bad_since
            .is_none_or(|since| self.now + LEASE < since + self.plan.params.autonomy);
        let members = self.member_keys().len();
        let all_run = members == self.places.iter().filter(|place| place.wanted).count()
            && members == self.processes.len();
        let lone = |process: &crate::process::Process| process.node.members().count() < 2;
        let alone = self.processes.values().any(lone) && oracle.store_bad_since.is_some();
        let awake = self.processes.values().all(|process| process.stopped.is_none());
        settled && autonomous && all_run && awake && !alone && self.links.are_fine()
    }

    /// From here on everything works.
    pub(crate) fn become_calm(&mut self) {
        self.calm = true;
        self.say(|| "calm".to_owned());
        self.store_starts();
        self.split_ends();
        self.store_heals();
        self.store.masters.values_mut().for_each(|master| master.frozen_until = Time::ZERO);
        for place in 0..self.plan.places {
            self.node_heals(place);
            self.places[place].wanted = true;
            self.after(Time::from_secs(1), Event::Start(place));
            for other in 0..self.plan.places {
                self.links_heal(place, other);
            }
        }
        self.processes.values_mut().for_each(|process| process.stops_with_call = false);
        for key in self.processes.keys().copied().collect::<Vec<_>>() {
            self.after(Time::ZERO, Event::Resume(key));
            if self.processes[&key].node.hands_over() {
                self.after(Time::ZERO, Event::Leaves(key));
            }
        }
    }

    /// All is well, and one more node dies.
    pub(crate) fn crash_in_the_calm(&mut self) {
        self.all_must_be_well("when it has been calm for a while");
        if self.plan.places == 1 {
            return;
        }
        let place = self.random.index(self.plan.places);
        if let Some(key) = self.places[place].running {
            self.say(|| format!("process {key} dies in the calm"));
            self.places[place].wanted = false;
            self.end(key);
        }
    }

    /// Two lease times later its shards have homes.
    pub(crate) fn start_in_the_calm(&mut self) {
        let long = |since: &Option<Time>| since.is_some_and(|since| self.now > since + LEASE);
        if self.oracle.silent_since.iter().any(long) {
            self.oracle.fail("O2", || "shards of a dead node have no voice".to_owned());
        }
        for place in 0..self.plan.places {
            self.places[place].wanted = true;
            self.after(Time::ZERO, Event::Start(place));
        }
    }

    /// All is well, and one more node is to hand over.
    pub(crate) fn hand_over_in_the_calm(&mut self) {
        self.all_must_be_well("when it has been calm for a while");
        let place = self.random.index(self.plan.places);
        if let Some(key) = self.places[place].running.filter(|_| self.plan.places > 1) {
            self.say(|| format!("process {key} hands over in the calm"));
            self.oracle.hands_over = Some(key);
            self.deliver(key, NodeEvent::HandOverWanted);
        }
    }

    /// A lease time later it has no shard, and is a member still. Then it leaves.
    pub(crate) fn leave_in_the_calm(&mut self) {
        let Some(key) = self.oracle.hands_over.take() else { return };
        let process = self.processes.get(&key);
        if !process.is_some_and(|it| it.claims == 0 && it.node.phase() == NodePhase::Leaving) {
            self.oracle.fail("H4", || format!("{key} has yet to hand over, or is gone"));
        }
        if self.oracle.spoken != self.oracle.all {
            self.oracle.fail("H4", || "shards that were handed over have no voice".to_owned());
        }
        self.leave(key);
    }

    /// Every shard has a voice, every node its share.
    pub(crate) fn all_must_be_well(&mut self, when: &str) {
        self.check_speaking();
        if self.oracle.spoken != self.oracle.all {
            let silent = self.oracle.all & !self.oracle.spoken;
            self.oracle.fail("O2", || format!("{when} no node speaks for shards {silent:b}"));
        }
        let running = self.processes.values();
        let members = running.filter(|process| process.node.phase() == NodePhase::Member);
        let loads: Vec<u32> = members.map(|process| process.claims.count_ones()).collect();
        let share = u32::from(self.plan.params.shards) / u32::try_from(self.plan.places).unwrap();
        if loads.len() != self.plan.places || loads.iter().any(|load| *load < share) {
            self.oracle.fail("B1", || format!("{when} the nodes have {loads:?} shards"));
        }
    }
}
