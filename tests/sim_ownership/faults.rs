//! What goes wrong, and how it is mended.

use seawall::core::ownership::{NodeEvent, Registry, RunId};

use crate::events::Event;
use crate::plan::{Fault, LEASE};
use crate::process::{Key, Stop};
use crate::world::World;

impl World {
    /// One of the plan's faults happens.
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let delay = self.plan.fault_every.mul_f64(0.25 + 1.75 * self.random.unit());
        self.after(delay, Event::Fault);
        let fault = self.plan.faults[self.random.index(self.plan.faults.len())];
        self.say(|| format!("fault: {fault:?}"));
        if fault.is_of_the_store() {
            self.oracle.store_is_bad(self.now);
        }
        match fault {
            Fault::StoreLoses => {
                self.store.loses = self.random.pick(&[10, 40, 80]);
                self.heal_later(Event::StoreHeals, 20_000);
            }
            Fault::StoreRefuses => {
                self.store.refuses = self.random.pick(&[30, 70, 100]);
                self.heal_later(Event::StoreHeals, 40_000);
            }
            Fault::StoreDelays => {
                self.store.slow = self.random.pick(&[500, 2_000, 6_000]);
                self.heal_later(Event::StoreHeals, 20_000);
            }
            Fault::StoreRestarts => {
                self.store_stops();
                self.heal_later(Event::StoreStarts, 60_000);
            }
            Fault::StorePauses => {
                let until = self.now + self.random.ms(500, 40_000);
                for master in self.store.masters.values_mut() {
                    master.frozen_until = until;
                }
            }
            Fault::StoreFailsOver => self.goes_back(10_000),
            Fault::StoreFromDump => self.goes_back(60_000),
            Fault::StoreForgets => {
                let registry = Registry::new(RunId(0));
                let number = self.store.number();
                self.replace_store(registry.restarted(RunId(u128::from(number))));
            }
            Fault::StoreSplits => self.splits(),
            Fault::Partition => self.partition(),
            Fault::NodeCut | Fault::LinkCut | Fault::LinkSlow | Fault::LinkBreaks => {
                self.network_fault(fault);
            }
            Fault::Crash | Fault::Pause | Fault::WallClock | Fault::Leave => {
                self.node_fault(fault);
            }
        }
    }

    fn heal_later(&mut self, event: Event, most_ms: u64) {
        let delay = self.random.ms(500, most_ms);
        self.after(delay, event);
    }

    fn store_stops(&mut self) {
        if let Some(master) = self.store.masters.values().next_back() {
            self.oracle.store_is_bad(self.now);
            self.store.stopped_with = Some(master.registry.clone());
            self.store.stop();
        }
    }

    /// The store starts again, if it is stopped.
    pub(crate) fn store_starts(&mut self) {
        if let Some(registry) = self.store.stopped_with.clone() {
            let number = self.replace_store(registry);
            self.store.stopped_with = None;
            self.oracle.store_is_bad(self.now);
            self.say(|| format!("the store starts as {number}"));
        }
    }

    /// The store works as it should.
    pub(crate) fn store_heals(&mut self) {
        (self.store.loses, self.store.refuses, self.store.slow) = (0, 0, 10);
    }

    /// A replica takes over, or a dump is loaded.
    fn goes_back(&mut self, most_ms: u64) {
        if self.store.is_split() || self.store.masters.is_empty() {
            return;
        }
        let back = self.random.ms(0, most_ms);
        let Some(registry) = self.store.as_of(self.now.saturating_sub(back)) else { return };
        if self.now.saturating_sub(back) <= self.oracle.last_trouble {
            self.oracle.trouble(self.now);
        }
        let number = self.replace_store(registry);
        self.say(|| format!("the store goes back by {back:?} as {number}"));
    }

    /// The store has another state now, in another life. It may have forgotten members.
    fn replace_store(&mut self, registry: Registry) -> u64 {
        let before = self.store.members();
        let after = registry.read().leases.iter().map(|lease| lease.incarnation).collect();
        let number = self.store.replace(registry);
        self.oracle.forgotten.store_replaced(&before, &after, number, self.now);
        number
    }

    /// A replica is made master while the old one goes on.
    fn splits(&mut self) {
        if self.store.is_split() {
            return;
        }
        let back = self.random.ms(0, 3_000);
        let Some(registry) = self.store.as_of(self.now.saturating_sub(back)) else { return };
        if self.store.masters.is_empty() {
            return;
        }
        let number = self.store.add(registry);
        for place in 0..self.plan.places {
            if self.random.percent(50) {
                self.store.routes[place] = Some(number);
            }
        }
        let routes = self.store.routes.clone();
        self.say(|| format!("two masters: {routes:?}"));
        self.heal_later(Event::SplitEnds, 40_000);
    }

    /// One of two masters stays.
    pub(crate) fn split_ends(&mut self) {
        if !self.store.is_split() {
            return;
        }
        let numbers: Vec<u64> = self.store.masters.keys().copied().collect();
        let stays = numbers[self.random.index(numbers.len())];
        self.store.masters.retain(|number, _| *number == stays);
        self.store.routes.fill(Some(stays));
        self.oracle.store_is_bad(self.now);
        self.store.forget_history();
        self.say(|| format!("the store is one again: {stays}"));
    }

    fn network_fault(&mut self, fault: Fault) {
        let (from, to) = (self.random.index(self.plan.places), self.random.index(self.plan.places));
        if fault == Fault::NodeCut {
            self.store.cut[from] = true;
            return self.heal_later(Event::NodeHeals(from), 40_000);
        }
        self.oracle.unrest(self.now);
        let both = self.random.percent(50);
        let slow = self.random.pick(&[1_000, 4_000, 8_000]);
        let loses = self.random.pick(&[0, 30]);
        for (from, to) in [(from, to), (to, from)].into_iter().take(1 + usize::from(both)) {
            let link = self.links.of(from, to);
            match fault {
                Fault::LinkCut => link.cut = true,
                Fault::LinkSlow => (link.slow, link.loses) = (slow, loses),
                _ => link.generation += 1,
            }
            self.heal_later(Event::LinksHeal(from, to), 40_000);
        }
    }

    /// A node can reach the store again.
    pub(crate) fn node_heals(&mut self, place: usize) {
        self.store.cut[place] = false;
    }

    /// One direction of a node link works again.
    pub(crate) fn links_heal(&mut self, from: usize, to: usize) {
        self.links.heal(from, to);
        self.oracle.unrest(self.now);
    }

    fn resume_later(&mut self, key: Key) {
        let lease = u64::try_from(LEASE.as_millis()).unwrap();
        let delay = self.random.ms(lease / 4, lease * 4);
        self.after(delay, Event::Resume(key));
    }

    /// A node that has just called the store is stopped.
    pub(crate) fn stop_if_wanted(&mut self, key: Key) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        if std::mem::take(&mut process.stops_with_call) && process.stopped.is_none() {
            process.stopped = Some(Stop { since: self.now, clock: false });
            self.say(|| format!("  process {key} is stopped with a call under way"));
            self.oracle.unrest(self.now);
            self.resume_later(key);
        }
    }

    /// Some nodes and the store on one side, the other nodes on the other.
    fn partition(&mut self) {
        let delay = self.random.ms(500, 60_000);
        let far: Vec<bool> = (0..self.plan.places).map(|_| self.random.percent(50)).collect();
        self.oracle.unrest(self.now);
        self.say(|| format!("  far from the store: {far:?}"));
        for from in 0..self.plan.places {
            self.store.cut[from] |= far[from];
            self.after(delay, Event::NodeHeals(from));
            for to in 0..self.plan.places {
                self.links.of(from, to).cut |= far[from] != far[to];
                self.after(delay, Event::LinksHeal(from, to));
            }
        }
    }

    fn node_fault(&mut self, fault: Fault) {
        let place = self.random.index(self.plan.places);
        let Some(key) = self.places[place].running else { return };
        self.oracle.unrest(self.now);
        self.say(|| format!("  at {place}: process {key}"));
        let Some(process) = self.processes.get_mut(&key) else { return };
        match fault {
            Fault::Crash if process.stopped.is_none() => {
                self.end(key);
                let delay = self.random.ms(100, 30_000);
                self.after(delay, Event::Start(place));
            }
            Fault::Pause if process.stopped.is_none() => {
                // With both clocks at a stand no machine could know that it was stopped.
                let clock = self.random.percent(50) && !process.machine.wall_sticks();
                if self.random.percent(40) {
                    process.stops_with_call = true;
                    return;
                }
                process.stopped = Some(Stop { since: self.now, clock });
                self.resume_later(key);
            }
            Fault::WallClock if process.stopped.is_none() => {
                process.machine.mislead(self.now, &mut self.random)
            }
            Fault::Leave => self.deliver(key, NodeEvent::LeaveWanted),
            _ => {}
        }
    }
}
