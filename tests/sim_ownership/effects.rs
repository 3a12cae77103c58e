//! Carries out what a node wants done: calls to the store, and messages on node links. What its data plane does is in
//! `data_plane`.

use seawall::core::ownership::{
    NodeEffect, NodeEvent, NodeIncarnation, PeerMessage, ShardId, StoreCall,
};

use crate::events::Event;
use crate::plan::LEASE;
use crate::process::{Key, Process};
use crate::sessions::Records;
use crate::store::Call;
use crate::world::{Carried, Message, Time, World};

impl World {
    /// All effects of one event, in their order.
    pub(crate) fn carry_out(&mut self, key: Key, effects: Vec<NodeEffect>) {
        for effect in effects {
            match effect {
                NodeEffect::CallStore { id, call, deadline } => {
                    self.after(deadline, Event::CallDue(key, id));
                    self.call_store(key, id, *call);
                    self.stop_if_wanted(key);
                }
                NodeEffect::Say(to, message) => self.send(key, to, message),
                NodeEffect::Standing(standing) => {
                    self.say(|| format!("  {key} stands: {standing:?}"));
                }
                NodeEffect::UseSecret(_) => {}
                NodeEffect::TakeNewIncarnation => {
                    self.say(|| format!("  {key} was taken over"));
                    let Process { place, node, .. } = &self.processes[&key];
                    let (place, hands_over) = (*place, node.hands_over());
                    let machine = self.end(key);
                    self.start(place, machine);
                    if let Some(key) = self.places[place].running.filter(|_| hands_over) {
                        self.deliver(key, NodeEvent::HandOverWanted);
                        if self.calm {
                            // Who was to tell its former incarnation to leave tells this one.
                            self.after(LEASE, Event::Leaves(key));
                        }
                    }
                }
                NodeEffect::Left => {
                    if !self.processes[&key].may_leave {
                        self.oracle.fail("M2", || format!("{key} leaves without being told to"));
                    }
                    self.left(key, "left");
                }
                NodeEffect::NameInUse(_) => self.left(key, "ends, because its name is in use"),
                other => self.data_plane(key, other),
            }
        }
    }

    fn left(&mut self, key: Key, what: &str) {
        let what = what.to_owned();
        self.say(|| format!("  {key} {what}"));
        let place = self.processes[&key].place;
        self.end(key);
        let delay = self.random.ms(1_000, 15_000);
        self.after(delay, Event::Start(place));
        self.newcomer_may_come(place);
    }

    fn call_store(&mut self, key: Key, id: seawall::core::ownership::CallId, call: StoreCall) {
        let place = self.processes[&key].place;
        let route = self.store.routes[place].filter(|_| !self.store.cut[place]);
        let Some(master) = route else { return };
        if self.random.percent(self.store.loses) {
            return;
        }
        if self.store.refuses > 0 && self.random.percent(self.store.refuses) {
            let delay = self.random.ms(1, self.store.slow + 2);
            return self.after(delay, Event::ErrorArrives(key, id));
        }
        let number = self.store.number();
        self.store.calls.insert(number, Call { key, id, call, master, answer: None });
        let delay = self.random.ms(1, self.store.slow + 2);
        self.after(delay, Event::CallArrives(number));
    }

    fn send(&mut self, from: Key, to: NodeIncarnation, message: Box<PeerMessage>) {
        let Some((to, places)) = self.way(from, to) else { return };
        let at = self.links.send(places, self.now, &mut self.random);
        self.carry(from, to, at, Carried::Said(message));
    }

    /// Sessions take other streams than what nodes say of shards: they may come before, or after.
    pub(crate) fn send_records(&mut self, from: Key, to: NodeIncarnation, records: Records) {
        let Some((to, places)) = self.way(from, to) else { return };
        let at = self.links.send_apart(places, self.now, &mut self.random);
        self.carry(from, to, at, Carried::Sessions(records));
    }

    /// The process of a node, and the places of both.
    pub(crate) fn way(&self, from: Key, to: NodeIncarnation) -> Option<(Key, (usize, usize))> {
        let mut running = self.processes.iter();
        let (key, other) = running.find(|(_, process)| process.node.incarnation() == to)?;
        Some((*key, (self.processes[&from].place, other.place)))
    }

    fn carry(&mut self, from: Key, to: Key, at: Option<Time>, what: Carried) {
        let Some(at) = at else { return };
        let number = self.store.number();
        let places = (self.processes[&from].place, self.processes[&to].place);
        let generation = self.links.of(places.0, places.1).generation;
        let from = self.processes[&from].node.incarnation();
        self.messages.insert(number, Message { from, places, to, generation, what });
        self.at(at, Event::MessageArrives(number));
    }

    /// What an event has made of a process.
    pub(crate) fn look_at(&mut self, key: Key) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&key) else { return };
        let moment = process.moment(now);
        let speaks = process.node.standing(moment).is_ok();
        if speaks && process.must_drop {
            self.oracle.fail("L1", || format!("{key} speaks before it has dropped what waits"));
        }
        process.spoke = speaks;
        process.claims = 0;
        let mut fell = Vec::new();
        let shards = ShardId::all().take(process.epochs.len());
        for (shard, shown) in shards.zip(&mut process.epochs) {
            if process.node.is_home_of(shard) {
                process.claims |= 1 << shard.get();
            }
            let Some(home) = process.node.home(shard) else { continue };
            if home.epoch.number < shown.0 {
                fell.push((shard, *shown));
            }
            *shown = (home.epoch.number, Some(home.node));
        }
        for (shard, shown) in fell {
            self.check_fall(key, shard, shown);
        }
    }

    /// E1: a node goes back to an older epoch of a shard only if the home of the newer one has yet to know of it. That
    /// another one has a still newer one, of which this node has never heard, it cannot know.
    fn check_fall(
        &mut self,
        key: Key,
        shard: ShardId,
        (shown, of): (u64, Option<NodeIncarnation>),
    ) {
        let has_it = |process: &Process| {
            let own = process.node.home(shard).filter(|_| process.node.is_home_of(shard));
            Some(process.node.incarnation()) == of
                && own.is_some_and(|home| home.epoch.number >= shown)
        };
        if self.processes.values().any(has_it) {
            let fault = || format!("{key} believes in an older epoch of {shard:?} than its home");
            self.oracle.fail("E1", fault);
        }
    }

    /// O1: at most one node speaks for a shard.
    pub(crate) fn check_speaking(&mut self) {
        if self.is_excused() {
            self.oracle.excuse(self.now, self.plan.params.autonomy);
        }
        let mut spoken = 0_u64;
        for (key, process) in &self.processes {
            let speaks = process.speaks_for(self.now);
            let twice = speaks & spoken;
            spoken |= speaks;
            if twice != 0
                && self.now >= self.oracle.excused_until
                && let Some((first, shard)) = self.speaks_unexcused(*key, twice)
            {
                let key = *key;
                self.oracle.fail("O1", || format!("{first} and {key} speak for shard {shard}"));
            }
        }
        self.oracle.spoken = spoken;
    }

    /// The first process that speaks for one of these shards together with that one, and the shard, unless the store
    /// has forgotten one of both.
    fn speaks_unexcused(&self, second: Key, shards: u64) -> Option<(Key, u16)> {
        let both = ShardId::all().take(self.oracle.silent_since.len());
        let both = both.filter(|shard| shards & (1 << shard.get()) != 0);
        let pairs = both.flat_map(|shard| {
            let earlier = self.processes.range(..second);
            let speaks =
                move |process: &Process| process.speaks_for(self.now) & (1 << shard.get()) != 0;
            earlier.filter(move |(_, first)| speaks(first)).map(move |(first, _)| (*first, shard))
        });
        let excused = |first: Key, shard| {
            let (first, second) = (&self.processes[&first], &self.processes[&second]);
            let excuses =
                |former, other| self.oracle.forgotten.excuses(former, other, shard, self.now);
            let confirm = |speaks, other| self.oracle.forgotten.confirm(speaks, other, self.now);
            excuses(first, second)
                || excuses(second, first)
                || confirm(first, second)
                || confirm(second, first)
        };
        let mut pairs = pairs.filter(|(first, shard)| !excused(*first, *shard));
        pairs.next().map(|(first, shard)| (first, shard.get()))
    }

    /// While two masters take writes, nodes that cannot hear each other, or have yet to, cannot know.
    fn is_excused(&self) -> bool {
        let settled = self.now.saturating_sub(self.oracle.last_unrest);
        self.store.is_split() && (!self.links.are_fine() || settled < LEASE * 3)
    }
}
