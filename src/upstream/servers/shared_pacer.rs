//! One server's pacer, shared: senders ask it, links report to it, and one task grants its permits.
//! Its lock is held for a few comparisons at a time, and it is the last lock that is taken: it may be
//! taken with a session locked.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::pacing::{Class, Liveness, LivenessNews, Next, Pacer, PacerParams, Permit};
use crate::ident::InstanceUid;
use crate::sessions::Answer;
use crate::telemetry::events::upstream::PaceMeasured;
use crate::upstream::params::{ServerParams, UpstreamParams};

pub(in crate::upstream) struct SharedPacer {
    pacer: Mutex<Pacer>,
    /// Something may go sooner than the task that grants permits believes.
    woken: Notify,
}

impl SharedPacer {
    pub(super) fn new(server: &ServerParams, all: &UpstreamParams, now: Instant) -> Self {
        // All agents' own links are counted as one.
        let links = NonZeroU16::new(server.mode.shared_links()).unwrap_or(NonZeroU16::MIN);
        let params = PacerParams {
            pace_max: all.pace_max,
            pace_min: all.pace_min,
            in_flight_max: all.in_flight_max,
            liveness: server.liveness_budget,
            links,
        };
        Self { pacer: Mutex::new(Pacer::new(params, now)), woken: Notify::new() }
    }

    /// Sets other bounds of the pace, from now on.
    pub(in crate::upstream) fn set_pace(&self, most: NonZeroU32, least: NonZeroU32, now: Instant) {
        self.pacer.lock().set_pace(most, least, now);
        self.woken.notify_one();
    }

    pub(in crate::upstream) fn admit(&self, now: Instant) -> Permit {
        self.pacer.lock().admit(now)
    }

    /// A sign of life has come of an agent from which the server wants one in each `asked`.
    pub(in crate::upstream) fn liveness(&self, asked: Duration, now: Instant) -> Liveness {
        self.pacer.lock().liveness(asked, now)
    }

    /// What an operator is to know of the budget for signs of life.
    pub(in crate::upstream) fn liveness_news(&self, now: Instant) -> Option<LivenessNews> {
        self.pacer.lock().liveness_news(now)
    }

    pub(in crate::upstream) fn enqueue(&self, uid: InstanceUid, class: Class) {
        if self.pacer.lock().enqueue(uid, class) {
            self.woken.notify_one();
        }
    }

    pub(in crate::upstream) fn next(&self, now: Instant) -> Next {
        self.pacer.lock().next(now)
    }

    /// The last permit was left unused.
    pub(in crate::upstream) fn refund(&self, class: Class) {
        self.pacer.lock().refund(class);
    }

    /// The last permit was left unused, and its session waits for another one.
    pub(in crate::upstream) fn requeue(&self, uid: InstanceUid, class: Class) {
        let mut pacer = self.pacer.lock();
        pacer.refund(class);
        // Its one caller is the task that would have to be woken.
        pacer.enqueue(uid, class);
    }

    /// Returns when a permit may be due sooner than was said.
    pub(in crate::upstream) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// A message went out on this link.
    pub(in crate::upstream) fn sent(&self, link: u16, now: Instant) {
        self.pacer.lock().sent(link, now);
    }

    /// The session has ended whose last `messages` messages went out on this link.
    pub(in crate::upstream) fn orphaned(&self, link: u16, messages: u32, now: Instant) {
        self.pacer.lock().orphaned(link, messages, now);
    }

    /// A message that came on this link is an answer.
    pub(in crate::upstream) fn answered(&self, link: u16, answer: Answer, now: Instant) {
        let mut pacer = self.pacer.lock();
        if let Some(asked) = answer.introduction {
            pacer.announce_answered(asked);
        }
        let wakes = if answer.orphan {
            pacer.orphan_answered(answer.after, now)
        } else {
            pacer.answered(link, answer.after, now)
        };
        drop(pacer);
        if wakes {
            self.woken.notify_one();
        }
    }

    /// An agent's own link has ended after its session, and `messages` of these, the last sent `after` ago, stay
    /// unanswered.
    pub(in crate::upstream) fn orphans_lost(&self, messages: u32, after: Duration, now: Instant) {
        if self.pacer.lock().orphans_lost(messages, after, now) {
            self.woken.notify_one();
        }
    }

    /// A shared link is lost.
    pub(in crate::upstream) fn link_lost(&self, link: u16) {
        self.pacer.lock().link_lost(link);
        self.woken.notify_one();
    }

    pub(in crate::upstream) fn links_all_lost(&self, now: Instant) {
        self.pacer.lock().links_all_lost(now);
    }

    pub(in crate::upstream) fn pause(&self, until: Instant, now: Instant) {
        self.pacer.lock().pause(until, now);
    }

    /// How long the server's pause still lasts.
    pub(in crate::upstream) fn paused(&self, now: Instant) -> Option<Duration> {
        self.pacer.lock().paused(now)
    }

    pub(in crate::upstream) fn state_lost(&self) -> bool {
        self.pacer.lock().state_lost()
    }

    /// Sessions that wait.
    pub(in crate::upstream) fn waiting(&self) -> usize {
        self.pacer.lock().len()
    }

    /// Sessions that wait with news, in every class but [`Class::Liveness`].
    pub(in crate::upstream) fn backlog(&self) -> usize {
        let pacer = self.pacer.lock();
        pacer.len() - pacer.len_of(Class::Liveness)
    }

    /// Takes out everything that waits, for another server.
    pub(in crate::upstream) fn drain(&self) -> Vec<(InstanceUid, Class)> {
        self.pacer.lock().drain()
    }

    pub(in crate::upstream) fn measure(&self, now: Instant) -> PaceMeasured {
        let mut pacer = self.pacer.lock();
        PaceMeasured {
            waiting: Class::ALL.map(|class| pacer.len_of(class)),
            in_flight: pacer.in_flight(now),
            window: pacer.window(now),
            liveness_every: pacer.liveness_every(),
            per_second: pacer.pace(now),
            paused: pacer.paused(now).unwrap_or(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::core::pacing::Next;
    use crate::upstream::params::Mode;

    fn pacer() -> SharedPacer {
        let server = ServerParams {
            mode: Mode::Multiplexed { links: NonZeroU16::MIN },
            ..ServerParams::at(http::Uri::from_static("ws://127.0.0.1:1/"))
        };
        SharedPacer::new(&server, &UpstreamParams::default(), clock::now())
    }

    /// Whether the task that grants permits would be woken now.
    async fn wakes(pacer: &SharedPacer) -> bool {
        tokio::time::timeout(Duration::from_millis(1), pacer.woken()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_that_grants_permits_is_woken_by_what_lets_one_go() {
        let (pacer, uid) = (pacer(), |n| InstanceUid::from_bytes([n; 16]));
        pacer.enqueue(uid(0), Class::Change);
        assert!(wakes(&pacer).await, "the first that waits");
        for n in 1..100 {
            pacer.enqueue(uid(n), Class::Change);
        }
        assert!(!wakes(&pacer).await, "permits are being granted already");
        while let Next::Permit(..) = pacer.next(clock::now()) {
            pacer.sent(0, clock::now());
        }
        let answer = Answer {
            after: Some(Duration::from_millis(2)),
            introduction: Some(true),
            orphan: false,
        };
        pacer.answered(0, answer, clock::now());
        assert!(wakes(&pacer).await, "the window has room again");
        while let Next::Permit(..) = pacer.next(clock::now()) {
            pacer.sent(0, clock::now());
        }
        pacer.link_lost(0);
        assert!(wakes(&pacer).await, "nothing is in flight any more");
        assert!(!pacer.state_lost(), "after one question");
        let measured = pacer.measure(clock::now());
        assert_eq!((measured.in_flight, measured.waiting[1]), (0, pacer.waiting()));
    }
}
