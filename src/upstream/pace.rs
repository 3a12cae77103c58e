//! One server's pacer, shared: senders ask it, links report to it, and one task carries its turns
//! out. Its lock is held for a few comparisons at a time, and nothing else is locked meanwhile: it may
//! be taken with a session locked.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::params::{Mode, ServerParams, UpstreamParams};
use crate::core::pacing::{Class, Next, Pacer, PacerParams, Permit};
use crate::ident::InstanceUid;
use crate::sessions::Answer;
use crate::telemetry::events::upstream::PaceMeasured;

pub(super) struct Pace {
    pacer: Mutex<Pacer>,
    /// Something may go sooner than the task that gives turns believes.
    woken: Notify,
}

impl Pace {
    pub(super) fn new(server: &ServerParams, all: &UpstreamParams, now: Instant) -> Self {
        let links = match server.mode {
            Mode::Multiplexed { links } => links,
            // All agents' own links are counted as one.
            Mode::PerAgent => NonZeroU16::MIN,
            Mode::Http { connections, .. } => connections,
        };
        let params = PacerParams {
            pace_max: all.pace_max,
            pace_min: all.pace_min,
            in_flight_max: all.in_flight_max,
            links,
        };
        Self { pacer: Mutex::new(Pacer::new(params, now)), woken: Notify::new() }
    }

    pub(super) fn admit(&self, now: Instant) -> Permit {
        self.pacer.lock().admit(now)
    }

    pub(super) fn enqueue(&self, uid: InstanceUid, class: Class) {
        if self.pacer.lock().enqueue(uid, class) {
            self.woken.notify_one();
        }
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        self.pacer.lock().next(now)
    }

    /// The last turn came to nothing.
    pub(super) fn refund(&self, class: Class) {
        self.pacer.lock().refund(class);
    }

    /// The last turn came to nothing, and the session wants another one.
    pub(super) fn requeue(&self, uid: InstanceUid, class: Class) {
        let mut pacer = self.pacer.lock();
        pacer.refund(class);
        // Its one caller is the task that would have to be woken.
        pacer.enqueue(uid, class);
    }

    /// Returns when a turn may be due sooner than was said.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// A message went out on this link.
    pub(super) fn sent(&self, link: u16, now: Instant) {
        self.pacer.lock().sent(link, now);
    }

    /// So many of the messages that went out on this link are no session's any more.
    pub(super) fn orphaned(&self, link: u16, messages: u32, now: Instant) {
        self.pacer.lock().orphaned(link, messages, now);
    }

    /// A message that came on this link is an answer.
    pub(super) fn answered(&self, link: u16, answer: Answer, now: Instant) {
        let mut pacer = self.pacer.lock();
        if let Some(asked) = answer.introduction {
            pacer.introduction_answered(asked);
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

    /// A shared link is lost.
    pub(super) fn link_lost(&self, link: u16) {
        self.pacer.lock().link_lost(link);
        self.woken.notify_one();
    }

    pub(super) fn links_all_lost(&self, now: Instant) {
        self.pacer.lock().links_all_lost(now);
    }

    pub(super) fn pause(&self, until: Instant, now: Instant) {
        self.pacer.lock().pause(until, now);
    }

    /// For how much longer the server wants peace.
    pub(super) fn paused(&self, now: Instant) -> Option<Duration> {
        self.pacer.lock().paused(now)
    }

    pub(super) fn state_lost(&self) -> bool {
        self.pacer.lock().state_lost()
    }

    /// Sessions that wait.
    pub(super) fn waiting(&self) -> usize {
        self.pacer.lock().len()
    }

    /// Takes out everything that waits, for another server.
    pub(super) fn drain(&self) -> Vec<(InstanceUid, Class)> {
        self.pacer.lock().drain()
    }

    pub(super) fn measure(&self, now: Instant) -> PaceMeasured {
        let mut pacer = self.pacer.lock();
        PaceMeasured {
            waiting: Class::ALL.map(|class| pacer.len_of(class)),
            in_flight: pacer.in_flight(now),
            window: pacer.window(),
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

    fn pace() -> Pace {
        let server = ServerParams {
            name: "a".to_owned(),
            url: http::Uri::from_static("ws://127.0.0.1:1/"),
            mode: Mode::Multiplexed { links: NonZeroU16::MIN },
            headers: Vec::new(),
            ca_file: None,
        };
        Pace::new(&server, &UpstreamParams::default(), clock::now())
    }

    /// Whether the task that gives turns would be woken now.
    async fn wakes(pace: &Pace) -> bool {
        tokio::time::timeout(Duration::from_millis(1), pace.woken()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_turns_is_woken_by_what_lets_one_go() {
        let (pace, uid) = (pace(), |n| InstanceUid::from_bytes([n; 16]));
        pace.enqueue(uid(0), Class::Change);
        assert!(wakes(&pace).await, "the first that waits");
        for n in 1..100 {
            pace.enqueue(uid(n), Class::Change);
        }
        assert!(!wakes(&pace).await, "turns are being given already");
        while let Next::Permit(..) = pace.next(clock::now()) {
            pace.sent(0, clock::now());
        }
        let answer = Answer {
            after: Some(Duration::from_millis(2)),
            introduction: Some(true),
            orphan: false,
        };
        pace.answered(0, answer, clock::now());
        assert!(wakes(&pace).await, "the window has room again");
        while let Next::Permit(..) = pace.next(clock::now()) {
            pace.sent(0, clock::now());
        }
        pace.link_lost(0);
        assert!(wakes(&pace).await, "nothing is in flight any more");
        assert!(!pace.state_lost(), "after one question");
        let measured = pace.measure(clock::now());
        assert_eq!((measured.in_flight, measured.waiting[1]), (0, pace.waiting()));
    }
}
