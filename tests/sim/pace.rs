//! What `upstream::servers::shared_pacer` is to a server: its pacer, and whether a permit is due sooner than
//! the pacer has said. What `upstream::permits` does with a permit is in `links`.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Instant;

use seawall::clock;
use seawall::core::pacing::{Class, Next, Pacer, PacerParams, Permit};
use seawall::ident::InstanceUid;
use seawall::sessions::Answer;

use crate::simulation::random::Random;

/// How fast a server may be spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaceSettings {
    pub(crate) most: u32,
    pub(crate) least: u32,
    pub(crate) in_flight: u32,
    /// How many percent of the messages have to wait for a permit though the pacer would let them go.
    pub(crate) refusals: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ServerPace {
    pacer: Pacer,
    random: Random,
    pub(crate) refusals: u64,
    /// Something may go sooner than was said.
    woken: bool,
}

impl ServerPace {
    /// `links`: 0 in per-agent mode, where all are counted as one.
    pub(crate) fn new(pace: PaceSettings, links: u16, random: Random) -> Self {
        let number = |n| NonZeroU32::new(n).unwrap();
        let params = PacerParams {
            pace_max: number(pace.most),
            pace_min: number(pace.least),
            in_flight_max: number(pace.in_flight),
            liveness: NonZeroU32::new(1_000),
            links: NonZeroU16::new(links.max(1)).unwrap(),
        };
        let pacer = Pacer::new(params, clock::now());
        Self { pacer, random, refusals: pace.refusals, woken: false }
    }

    /// Whether a message that has just come may go to the server at once.
    pub(crate) fn admit(&mut self) -> Permit {
        if self.random.percent(self.refusals) {
            return Permit::Wait { soon: self.random.percent(50) };
        }
        self.pacer.admit(clock::now())
    }

    /// A session wants a permit.
    pub(crate) fn enqueue(&mut self, uid: InstanceUid, class: Class) {
        self.woken |= self.pacer.enqueue(uid, class);
    }

    /// The permit that was just granted is wanted again.
    pub(crate) fn requeue(&mut self, uid: InstanceUid, class: Class) {
        self.pacer.refund(class);
        self.pacer.enqueue(uid, class);
    }

    /// The permit that was just granted went unused.
    pub(crate) fn refund(&mut self, class: Class) {
        self.pacer.refund(class);
    }

    pub(crate) fn next(&mut self) -> Next {
        self.pacer.next(clock::now())
    }

    /// Whether it is worth asking for the next permit sooner than was said.
    pub(crate) const fn take_woken(&mut self) -> bool {
        std::mem::replace(&mut self.woken, false)
    }

    pub(crate) fn sent(&mut self, link: u16) {
        self.pacer.sent(link, clock::now());
    }

    pub(crate) fn orphaned(&mut self, link: u16, messages: u32) {
        self.pacer.orphaned(link, messages, clock::now());
    }

    pub(crate) fn answered(&mut self, link: u16, answer: Answer) {
        if let Some(asked) = answer.introduction {
            self.pacer.announce_answered(asked);
        }
        self.woken |= if answer.orphan {
            self.pacer.orphan_answered(answer.after, clock::now())
        } else {
            self.pacer.answered(link, answer.after, clock::now())
        };
    }

    /// A shared link is lost; agents' own links are counted together.
    pub(crate) fn link_lost(&mut self, link: u16) {
        self.pacer.link_lost(link);
        self.woken = true;
    }

    pub(crate) fn links_all_lost(&mut self) {
        self.pacer.links_all_lost(clock::now());
    }

    pub(crate) fn pause(&mut self, until: Instant) {
        self.pacer.pause(until, clock::now());
    }

    /// How long the server's pause still lasts.
    pub(crate) fn paused(&self) -> Option<std::time::Duration> {
        self.pacer.paused(clock::now())
    }

    pub(crate) const fn state_lost(&self) -> bool {
        self.pacer.state_lost()
    }

    /// Takes everything, for another server.
    pub(crate) fn drain(&mut self) -> Vec<(InstanceUid, Class)> {
        self.pacer.drain()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pacer.is_empty()
    }
}
