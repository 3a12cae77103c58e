//! The store that the nodes share: the real meaning of its calls, and what goes wrong around it. A store that fails
//! over may go back to an earlier state; while it is split two masters take writes, each from some of the nodes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use seawall::core::ownership::{CallId, NodeIncarnation, Registry, RunId, StoreAnswer, StoreCall};

use crate::process::Key;
use crate::world::Time;

/// States that a store may go back to.
const HISTORY_MAX: usize = 600;

/// One server that takes writes.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) registry: Registry,
    /// Calls are carried out from then on.
    pub(crate) frozen_until: Time,
}

/// A call under way, or its answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: Key,
    pub(crate) id: CallId,
    pub(crate) call: StoreCall,
    pub(crate) master: u64,
    pub(crate) answer: Option<StoreAnswer>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Store {
    /// Those that are alive, by number.
    pub(crate) masters: BTreeMap<u64, Master>,
    /// The master that each place talks to.
    pub(crate) routes: Vec<Option<u64>>,
    /// Places that cannot reach any.
    pub(crate) cut: Vec<bool>,
    pub(crate) calls: BTreeMap<u64, Call>,
    history: VecDeque<(Time, Registry)>,
    /// The data of a store that is stopped.
    pub(crate) stopped_with: Option<Registry>,
    next: u64,
    /// In percent: calls, or answers, that are lost.
    pub(crate) loses: u64,
    /// In percent: calls that are answered by an error.
    pub(crate) refuses: u64,
    /// Milliseconds that a call takes at most.
    pub(crate) slow: u64,
}

impl Store {
    pub(crate) fn new(places: usize) -> Self {
        let registry = Registry::new(RunId(1));
        let masters = BTreeMap::from([(1, Master { registry, frozen_until: Time::ZERO })]);
        Self {
            masters,
            routes: vec![Some(1); places],
            cut: vec![false; places],
            calls: BTreeMap::new(),
            history: VecDeque::new(),
            stopped_with: None,
            next: 2,
            loses: 0,
            refuses: 0,
            slow: 10,
        }
    }

    /// The members that its data names: of each master, or of the one that is stopped.
    pub(crate) fn members(&self) -> BTreeSet<NodeIncarnation> {
        let alive = self.masters.values().map(|master| &master.registry);
        let leases = alive.chain(&self.stopped_with).flat_map(|registry| registry.read().leases);
        leases.map(|lease| lease.incarnation).collect()
    }

    pub(crate) const fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Notes the state of the only master.
    pub(crate) fn remember(&mut self, now: Time) {
        let mut all = self.masters.values();
        if let (Some(master), None) = (all.next(), all.next()) {
            if self.history.len() == HISTORY_MAX {
                self.history.pop_front();
            }
            self.history.push_back((now, master.registry.clone()));
        }
    }

    /// The state as it was then, at the latest.
    pub(crate) fn as_of(&self, at: Time) -> Option<Registry> {
        let before = self.history.iter().rev().find(|(noted, _)| *noted <= at);
        before.or(self.history.front()).map(|(_, registry)| registry.clone())
    }

    /// A master with this state takes the place of all others.
    pub(crate) fn replace(&mut self, registry: Registry) -> u64 {
        self.masters.clear();
        let number = self.add(registry);
        self.routes.fill(Some(number));
        self.history.clear();
        number
    }

    /// What was before says nothing about what is now.
    pub(crate) fn forget_history(&mut self) {
        self.history.clear();
    }

    /// One more master, in a new life.
    pub(crate) fn add(&mut self, registry: Registry) -> u64 {
        let number = self.number();
        let registry = registry.restarted(RunId(u128::from(number)));
        self.masters.insert(number, Master { registry, frozen_until: Time::ZERO });
        number
    }

    /// Every master is gone.
    pub(crate) fn stop(&mut self) {
        self.masters.clear();
        self.routes.fill(None);
    }

    pub(crate) fn is_split(&self) -> bool {
        self.masters.len() > 1
    }

    /// Whether each place can call it, and is answered.
    pub(crate) fn is_fine(&self, now: Time) -> bool {
        self.masters.len() == 1
            && self.masters.values().all(|master| master.frozen_until <= now)
            && !self.cut.contains(&true)
            && (self.loses, self.refuses, self.slow) == (0, 0, 10)
    }
}
