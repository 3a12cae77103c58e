//! A channel in the hands of a driver that obeys it, while servers, agents and time do as they like.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::core::backoff::Rule;
use crate::core::link::LossReason;

const RULE: Rule = Rule {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(30),
    stable_after: Duration::from_secs(10),
};

/// What the driver meets at one call.
#[derive(Debug, Clone, Copy)]
struct Chance {
    dial_fails: bool,
    closes: bool,
    answered: Answered,
    taken: bool,
    healthy: bool,
    pause: bool,
    arrives: bool,
    withheld: bool,
    /// The node loses the right to speak; it may have it back by the next call.
    silenced: bool,
    holds_still: bool,
    jitter: f64,
}

fn answers() -> impl Strategy<Value = Answered> {
    let status = prop::sample::select(vec![400, 401, 404, 413, 429, 500, 503]);
    prop_oneof![
        4 => Just(Answered::Message),
        2 => status.prop_map(|status| Answered::Status { status, retry_after: None }),
        1 => Just(Answered::Unsent),
        1 => Just(Answered::Lost),
        1 => Just(Answered::Timeout),
        1 => Just(Answered::TooBig),
        1 => Just(Answered::Foreign),
    ]
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let rest = (prop::bool::weighted(0.8), prop::bool::weighted(0.2), 0.0..1.0, answers());
    let silence = (prop::bool::weighted(0.05), prop::bool::weighted(0.1));
    let chance = (flags, rest, silence).prop_map(|(flags, rest, (silenced, holds_still))| {
        let (dial_fails, closes, taken, arrives, withheld) = flags;
        let (healthy, pause, jitter, answered) = rest;
        let withheld = withheld && dial_fails;
        Chance {
            dial_fails,
            closes,
            answered,
            taken,
            healthy,
            pause,
            arrives,
            withheld,
            silenced,
            holds_still,
            jitter,
        }
    });
    prop::collection::vec(chance, 1..200)
}

/// The other side of a channel: what has become of its connection and its messages.
#[derive(Default)]
struct Driver {
    connected: bool,
    /// The connection counts as open.
    counted: bool,
    up: bool,
    queue: u32,
    under_way: bool,
    arrived: u32,
    settled: u32,
}

impl Driver {
    /// Carries out an effect; returns the event that it ends in.
    fn carry_out(&mut self, effect: ChannelEffect, chance: Chance) -> Option<ChannelEvent> {
        match effect {
            ChannelEffect::Wait { closable, .. } => {
                assert_eq!(self.connected, self.counted, "what is held is counted");
                assert!(!closable || self.connected, "there is a connection that may close");
                let closed = closable && chance.closes;
                return Some(if chance.silenced {
                    ChannelEvent::Silenced
                } else if closed {
                    ChannelEvent::ConnectionClosed
                } else {
                    ChannelEvent::Wake
                });
            }
            ChannelEffect::Dial => {
                assert!(!self.connected, "one connection at a time");
                return Some(if chance.silenced {
                    ChannelEvent::Silenced
                } else if chance.dial_fails {
                    ChannelEvent::DialFailed
                } else {
                    self.connected = true;
                    ChannelEvent::Dialled { accepted: true }
                });
            }
            ChannelEffect::Post => {
                assert!(self.counted && !self.under_way, "one message at a time");
                self.queue -= 1;
                if chance.withheld {
                    self.settled += 1;
                    return Some(ChannelEvent::NotPosted);
                }
                self.under_way = true;
                return Some(if chance.silenced {
                    ChannelEvent::Silenced
                } else {
                    ChannelEvent::Answered(chance.answered)
                });
            }
            ChannelEffect::Deliver => return Some(ChannelEvent::Delivered { taken: chance.taken }),
            ChannelEffect::Opened => {
                assert!(self.connected && !std::mem::replace(&mut self.counted, true));
            }
            ChannelEffect::Discard => {
                assert!(!self.counted && std::mem::take(&mut self.connected));
            }
            ChannelEffect::Closed { reason, .. } => {
                if reason == LossReason::HoldsStill && self.under_way {
                    self.settle();
                }
                assert!(std::mem::take(&mut self.counted), "opened and closed in pairs");
                assert!(std::mem::take(&mut self.connected));
            }
            ChannelEffect::Up => assert!(!std::mem::replace(&mut self.up, true)),
            ChannelEffect::Down => {
                assert!(std::mem::take(&mut self.up), "up and down in pairs");
                self.settled += std::mem::take(&mut self.queue);
            }
            ChannelEffect::Requeue => {
                assert!(std::mem::take(&mut self.under_way));
                self.queue += 1;
            }
            ChannelEffect::NotTaken { .. } | ChannelEffect::Refuse { .. } => self.settle(),
            ChannelEffect::ServerServed if self.under_way => self.settle(),
            ChannelEffect::GiveUp => self.settled += std::mem::take(&mut self.queue),
            _ => {}
        }
        None
    }

    fn settle(&mut self) {
        assert!(std::mem::take(&mut self.under_way), "a message is told its end once");
        self.settled += 1;
    }
}

proptest! {
    /// Connections and incarnations come in pairs, each message ends once, and the channel ends when
    /// it is released, whatever happened before.
    #[test]
    fn a_channel_keeps_its_account(chances in chances()) {
        let mut now: Instant = crate::clock::now();
        let mut channel = HttpChannel::new(RULE, now);
        let mut driver = Driver::default();
        let mut event = ChannelEvent::Wake;
        let last = chances[chances.len() - 1];
        // After the end of the story, time for all rests.
        let calm = Chance {
            healthy: true,
            pause: false,
            answered: Answered::Message,
            silenced: false,
            holds_still: false,
            ..last
        };
        let after = std::iter::repeat_n(calm, 4_000);
        for (step, chance) in chances.iter().copied().chain(after).enumerate() {
            let released = step >= chances.len();
            // A link takes messages while it is up.
            if chance.arrives && driver.up && !released {
                driver.queue += 1;
                driver.arrived += 1;
            }
            let facts = ChannelFacts {
                healthy: chance.healthy,
                released,
                holds_still: chance.holds_still,
                waiting: driver.queue > 0,
                pause: chance.pause.then_some(Duration::from_secs(1)),
                jitter: chance.jitter,
            };
            let effects = channel.handle(event, facts, now);
            event = ChannelEvent::Wake;
            if effects.contains(&ChannelEffect::End) {
                for effect in effects {
                    driver.carry_out(effect, chance);
                }
                prop_assert!(!driver.connected && !driver.up && !driver.under_way);
                prop_assert_eq!(driver.settled, driver.arrived);
                return Ok(());
            }
            for effect in effects {
                event = driver.carry_out(effect, chance).unwrap_or(event);
            }
            prop_assert_eq!(driver.up, channel.is_up());
            now += Duration::from_millis(250);
        }
        prop_assert!(false, "a released channel ends");
    }
}
