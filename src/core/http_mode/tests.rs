//! Lives of channels and probes, event by event.

use std::time::{Duration, Instant};

use super::*;
use crate::core::backoff::Rule;
use crate::core::link::LossReason;
use crate::core::server::Blame;
use ChannelEffect::{
    Closed, Deliver, Dial, DialFailed, Discard, Down, End, GiveUp, NotTaken, Opened, PauseServer,
    Post, PostFailed, Refuse, Requeue, ServerFailed, ServerServed, Up, Wait,
};
use ChannelEvent::{ConnectionClosed, Delivered, Dialled, NotPosted, Silenced, Wake};

const SECOND: Duration = Duration::from_secs(1);
const RULE: Rule =
    Rule { initial: SECOND, max: Duration::from_secs(30), stable_after: Duration::from_secs(10) };
const CALM: ChannelFacts = ChannelFacts {
    healthy: true,
    released: false,
    holds_still: false,
    waiting: false,
    pause: None,
    jitter: 0.5,
};
const WAITING: ChannelFacts = ChannelFacts { waiting: true, ..CALM };
const RELEASED: ChannelFacts = ChannelFacts { released: true, ..CALM };
const FAILING: ChannelFacts = ChannelFacts { healthy: false, ..CALM };
const STILL: ChannelFacts = ChannelFacts { holds_still: true, ..CALM };
const IDLE: ChannelEffect = Wait { until: None, closable: true };

/// A channel, and its time in seconds since the start.
struct Life {
    channel: HttpChannel,
    start: Instant,
}

impl Life {
    fn new() -> Self {
        let start = crate::clock::now();
        Self { channel: HttpChannel::new(RULE, start), start }
    }

    /// With an open connection.
    fn open() -> Self {
        let mut life = Self::new();
        assert_eq!(life.at(0, Wake, CALM), [Dial]);
        assert_eq!(life.at(0, Dialled { accepted: true }, CALM), [Opened, Up]);
        life
    }

    fn at(&mut self, second: u32, event: ChannelEvent, facts: ChannelFacts) -> Vec<ChannelEffect> {
        self.channel.handle(event, facts, self.start + SECOND * second)
    }

    /// A message goes, and this comes of it.
    fn post(&mut self, second: u32, answered: Answered) -> Vec<ChannelEffect> {
        assert_eq!(self.at(second, Wake, WAITING), [Post]);
        self.at(second, ChannelEvent::Answered(answered), WAITING)
    }

    fn rest(&self, until: f64) -> ChannelEffect {
        let until = Some(self.start + SECOND.mul_f64(until));
        Wait { until, closable: false }
    }
}

fn status(status: u16) -> Answered {
    Answered::Status { status, retry_after: None }
}

fn closed(reason: LossReason, held: u64) -> ChannelEffect {
    Closed { reason, held: Duration::from_secs(held) }
}

#[test]
fn a_connection_that_ends_idle_says_nothing_of_the_server() {
    let mut life = Life::open();
    assert_eq!(life.at(0, Wake, CALM), [IDLE]);
    assert_eq!(life.post(1, Answered::Message), [Deliver]);
    assert_eq!(life.at(1, Delivered { taken: true }, CALM), [ServerServed]);
    assert_eq!(life.at(2, ConnectionClosed, CALM), [closed(LossReason::Closed, 2)]);
    assert!(life.channel.is_up());
    assert_eq!(life.at(2, Wake, CALM), [life.rest(3.0)]);
    assert_eq!(life.at(2, Wake, WAITING), [Dial], "a message need not wait");
    assert_eq!(life.at(2, Dialled { accepted: true }, CALM), [Opened], "it was up all the time");
    // The next one has held for long, and starts the waits over.
    assert_eq!(life.at(12, ConnectionClosed, CALM), [closed(LossReason::Closed, 10)]);
    assert_eq!(life.at(13, Wake, CALM), [Dial]);
}

#[test]
fn a_dial_that_fails_takes_the_channel_down() {
    let mut life = Life::open();
    life.at(20, ConnectionClosed, CALM);
    assert_eq!(life.at(21, Wake, CALM), [Dial]);
    let failed = life.at(21, ChannelEvent::DialFailed, CALM);
    assert_eq!(failed, [Down, DialFailed { wait: SECOND.mul_f64(1.5) }]);
    assert_eq!(life.at(21, Wake, WAITING), [life.rest(22.5)], "all messages wait");
    assert_eq!(life.at(23, Wake, CALM), [Dial]);
    let failed = life.at(23, ChannelEvent::DialFailed, CALM);
    assert_eq!(failed, [DialFailed { wait: SECOND.mul_f64(2.25) }]);
    assert_eq!(life.at(26, Wake, CALM), [Dial]);
    assert_eq!(life.at(26, Dialled { accepted: true }, CALM), [Opened, Up]);
}

#[test]
fn whose_fault_an_answer_is() {
    for (answered, result, blame) in [
        (status(500), PostResult::Failed, Blame::Server),
        (status(401), PostResult::Credential, Blame::Credential),
        (status(404), PostResult::Address, Blame::Address),
        (Answered::Foreign, PostResult::Foreign, Blame::Server),
    ] {
        let mut life = Life::open();
        let expected = [PostFailed(result), NotTaken { again: true }, ServerFailed(blame)];
        assert_eq!(life.post(1, answered), expected);
        assert_eq!(life.at(1, Wake, WAITING), [life.rest(2.0)], "the server is given time");
        assert_eq!(life.at(1, Wake, RELEASED), [closed(LossReason::Released, 1)]);
    }
    let mut life = Life::open();
    let refuse = Refuse { status: 413, objection: Objection::Size };
    assert_eq!(life.post(1, status(413)), [refuse, ServerServed]);
    assert_eq!(life.at(1, Wake, WAITING), [Post], "it concerns one message alone");
}

#[test]
fn a_pause_holds_the_same_message_back() {
    let mut life = Life::open();
    let short = Some(SECOND / 10);
    let answered = life.post(1, Answered::Status { status: 503, retry_after: short });
    let unavailable = PostFailed(PostResult::Unavailable);
    assert_eq!(answered, [unavailable, Requeue, PauseServer(Some(SECOND))], "a second at least");
    let paused = ChannelFacts { pause: Some(SECOND), ..WAITING };
    assert_eq!(life.at(1, Wake, paused), [life.rest(2.5)]);
    assert_eq!(life.at(2, Wake, WAITING), [life.rest(2.5)], "channels go on apart");
    assert_eq!(life.at(3, Wake, WAITING), [Post]);
    let answered = ChannelEvent::Answered(status(429));
    assert_eq!(life.at(3, answered, WAITING), [unavailable, Requeue, PauseServer(None)]);
    let released = ChannelFacts { released: true, ..paused };
    assert_eq!(life.at(3, Wake, released), [GiveUp]);
    assert_eq!(life.at(3, Wake, RELEASED), [closed(LossReason::Released, 3)]);
    assert_eq!(life.at(3, Wake, RELEASED), [Down, End]);
    assert_eq!(life.at(3, Wake, RELEASED), [End]);
}

#[test]
fn what_a_broken_connection_took_goes_again() {
    let failed = ServerFailed(Blame::Server);
    let mut life = Life::open();
    // A first request that breaks is a failure of the server's.
    let lost = [PostFailed(PostResult::Lost), NotTaken { again: true }, failed];
    let broken = life.post(1, Answered::Lost);
    assert_eq!((&broken[..3], broken[3]), (&lost[..], closed(LossReason::Reset, 1)));
    assert_eq!(life.at(1, Wake, WAITING), [life.rest(2.0)]);

    for (served, unsent) in [(true, &[Requeue][..]), (false, &[failed, Requeue])] {
        let mut life = Life::open();
        if served {
            life.post(1, Answered::Message);
            life.at(1, Delivered { taken: false }, CALM);
        }
        let broken = life.post(2, Answered::Unsent);
        let (last, before) = broken.split_last().unwrap();
        assert_eq!((before, *last), (unsent, closed(LossReason::Closed, 2)));
        let next = if served { Dial } else { life.rest(3.0) };
        assert_eq!(life.at(2, Wake, WAITING), [next]);
    }

    let mut life = Life::open();
    life.post(1, Answered::Message);
    life.at(1, Delivered { taken: true }, CALM);
    let late = [PostFailed(PostResult::Timeout), NotTaken { again: true }, failed];
    let broken = life.post(2, Answered::Timeout);
    assert_eq!((&broken[..3], broken[3]), (&late[..], closed(LossReason::RequestTimeout, 2)));
    assert_eq!(life.at(2, Wake, WAITING), [life.rest(3.0)], "though it has served");

    let mut life = Life::open();
    let big = [PostFailed(PostResult::TooBig), NotTaken { again: false }, ServerServed];
    let broken = life.post(1, Answered::TooBig);
    assert_eq!((&broken[..3], broken[3]), (&big[..], closed(LossReason::TooBig, 1)));
    assert_eq!(life.at(1, Wake, WAITING), [Dial]);
}

#[test]
fn an_answer_to_another_message_is_none() {
    let mut life = Life::open();
    assert_eq!(life.post(1, Answered::Message), [Deliver]);
    assert_eq!(life.at(1, Delivered { taken: false }, CALM), [NotTaken { again: false }]);
    assert_eq!(life.at(2, Wake, WAITING), [Post]);
    assert_eq!(life.at(2, NotPosted, CALM), [], "what was withheld");
    assert_eq!(life.at(2, Wake, CALM), [IDLE]);
}

#[test]
fn channels_of_a_failing_server_are_down_until_it_recovers() {
    let until_healthy = Wait { until: None, closable: false };
    let mut life = Life::open();
    assert_eq!(life.at(1, Wake, FAILING), [Down, closed(LossReason::Unhealthy, 1)]);
    assert_eq!(life.at(1, Wake, FAILING), [until_healthy]);
    assert_eq!(life.at(2, Wake, CALM), [Dial]);
    // Another channel's answer has just decided otherwise.
    assert_eq!(life.at(2, Dialled { accepted: true }, FAILING), [Discard]);
    assert_eq!(life.at(2, Wake, FAILING), [until_healthy]);
    assert_eq!(life.at(3, Wake, CALM), [Dial]);
    life.at(3, ChannelEvent::DialFailed, CALM);
    assert_eq!(life.at(3, Wake, FAILING), [until_healthy]);
    assert_eq!(life.at(3, Wake, CALM), [Dial], "there is nothing more to wait for");
    assert_eq!(life.at(3, Dialled { accepted: true }, CALM), [Opened, Up]);
}

#[test]
fn a_node_that_holds_still_posts_nothing_and_gives_up_what_is_under_way() {
    let until_it_may_speak = Wait { until: None, closable: false };
    let silenced = closed(LossReason::HoldsStill, 1);
    let mut life = Life::open();
    assert_eq!(life.at(1, Wake, WAITING), [Post]);
    assert_eq!(life.at(1, Silenced, STILL), [Down, silenced]);
    assert_eq!(life.at(2, Wake, STILL), [until_it_may_speak]);
    assert_eq!(life.at(3, Wake, CALM), [Dial], "at once, for the server is innocent");
    assert_eq!(life.at(3, Dialled { accepted: true }, STILL), [Discard]);
    assert_eq!(life.at(4, Wake, CALM), [Dial]);
    assert_eq!(life.at(4, Silenced, CALM), []);
    assert_eq!(life.at(4, Wake, CALM), [Dial], "it may speak again before it was looked at");
    assert_eq!(life.at(4, Dialled { accepted: true }, CALM), [Opened, Up]);
    let held = ChannelFacts { waiting: true, ..STILL };
    assert_eq!(life.at(5, Wake, held), [Down, silenced], "what waits is not written");
    let last = ChannelFacts { waiting: true, released: true, ..STILL };
    assert_eq!(life.at(6, Wake, last), [GiveUp, End]);
}

#[test]
fn a_released_channel_sends_what_waits_and_ends() {
    let mut life = Life::new();
    let last = ChannelFacts { waiting: true, ..RELEASED };
    assert_eq!(life.at(0, Wake, last), [Dial]);
    assert_eq!(life.at(0, Dialled { accepted: false }, last), [Opened], "it takes no messages");
    assert_eq!(life.at(0, Wake, last), [Post]);
    life.at(0, ChannelEvent::Answered(Answered::Message), RELEASED);
    life.at(0, Delivered { taken: true }, RELEASED);
    assert_eq!(life.at(0, Wake, RELEASED), [closed(LossReason::Released, 0)]);
    assert_eq!(life.at(0, Wake, RELEASED), [End]);
}

#[test]
fn a_failing_server_is_probed_at_the_pace_of_a_backoff_and_after_its_pause() {
    let start = crate::clock::now();
    let at = |seconds: f64| start + SECOND.mul_f64(seconds);
    let healthy = ProbeFacts { healthy: true, holds_still: false, pause: None, jitter: 0.5 };
    let failing = ProbeFacts { healthy: false, ..healthy };
    let mut probe = HttpProbe::new(RULE, start);
    assert_eq!(probe.handle(ProbeEvent::Wake, healthy, at(0.0)), ProbeStep::Wait(None));
    let wait = |until| ProbeStep::Wait(Some(until));
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(20.0)), wait(at(21.0)));
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(20.5)), wait(at(21.0)));
    let still = ProbeFacts { holds_still: true, ..failing };
    assert_eq!(probe.handle(ProbeEvent::Wake, still, at(21.0)), ProbeStep::Wait(None));
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(21.0)), ProbeStep::Try(1));
    let bad = ProbeEvent::Tried(ProbeOutcome::BAD);
    assert_eq!(probe.handle(bad, failing, at(21.0)), wait(at(22.5)));
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(22.5)), ProbeStep::Try(2));
    let paused = ProbeFacts { pause: Some(SECOND * 5), ..failing };
    assert_eq!(probe.handle(bad, paused, at(22.5)), wait(at(27.5)));
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(27.5)), ProbeStep::Try(3));
    let good = ProbeEvent::Tried(ProbeOutcome::Good);
    assert_eq!(probe.handle(good, failing, at(28.0)), ProbeStep::Served);
    assert_eq!(probe.handle(ProbeEvent::Wake, healthy, at(28.0)), ProbeStep::Wait(None));
    // It answers probes alone: the wait goes on growing, unless it held for `stable_after`.
    let fourth = SECOND.mul_f64(1.5_f64.powi(3)).as_secs_f64();
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(29.0)), wait(at(29.0 + fourth)));
    assert_eq!(probe.handle(ProbeEvent::Wake, healthy, at(30.0)), ProbeStep::Wait(None));
    assert_eq!(probe.handle(ProbeEvent::Wake, failing, at(40.0)), wait(at(41.0)));
}

#[test]
fn what_an_answer_to_a_probe_says_of_the_server() {
    for (answered, good) in [
        (Answered::Message, true),
        (Answered::TooBig, true),
        (status(400), true),
        (status(500), false),
        (status(401), false),
        (status(503), false),
        (Answered::Unsent, false),
        (Answered::Lost, false),
        (Answered::Timeout, false),
        (Answered::Foreign, false),
    ] {
        assert_eq!(ProbeOutcome::of(answered) == ProbeOutcome::Good, good, "{answered:?}");
    }
}
