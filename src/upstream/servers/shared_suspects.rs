//! What is known of the messages that end one server's links, shared: senders ask, links report, and the task that
//! watches the server tells what was found. Its lock guards plain values and is the last that is taken: it may be taken
//! with a session locked. Most calls end at one atomic, because most servers end no link.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::link::LossReason;
use crate::core::suspects::{
    LossKind, MessageWay, Passage, Sent, SoFar, Suspect, SuspectFinding, Suspects,
};
use crate::ident::{Incarnation, InstanceUid};

/// Incarnations of links that agents have for a while differ from those of all others, so that a session takes no two
/// ways for one.
const FIRST_APART: u32 = 1 << 30;
const APART_STEP: u32 = 1 << 12;

/// How a link ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream) struct HowEnded {
    pub(in crate::upstream) reason: LossReason,
    /// The code of the server's Close.
    pub(in crate::upstream) code: Option<u16>,
}

impl HowEnded {
    fn kind(self) -> Option<LossKind> {
        LossKind::of(self.reason, self.code)
    }

    /// Whether a message may have to do with it.
    pub(in crate::upstream) fn accuses(self) -> bool {
        self.kind().is_some()
    }

    /// Whether a message has ended it.
    pub(in crate::upstream) fn names_message(self) -> bool {
        matches!(self.kind(), Some(LossKind::Size | LossKind::Message))
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::upstream) struct SharedSuspects {
    suspects: Mutex<Suspects>,
    /// Messages that were answered, and the longest of them.
    answers: AtomicU64,
    taken: AtomicUsize,
    /// Mirrors: whether messages have to be looked at, and how many agents go apart.
    is_active: AtomicBool,
    apart: AtomicUsize,
    links_made: AtomicU32,
}

impl SharedSuspects {
    fn with<T>(&self, now: Instant, act: impl FnOnce(&mut Suspects) -> T) -> T {
        let mut suspects = self.suspects.lock();
        let done = act(&mut suspects);
        let is_active = suspects.is_active(self.taken.load(Ordering::Relaxed), now);
        self.is_active.store(is_active, Ordering::Relaxed);
        self.apart.store(suspects.apart(), Ordering::Relaxed);
        done
    }

    fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn so_far(&self, now: Instant) -> SoFar {
        SoFar { taken: self.taken.load(Ordering::Relaxed), answers: self.answers(), now }
    }

    /// The server has answered a message; the longest that is answered with that, if it is known.
    pub(in crate::upstream) fn answered(&self, bytes: Option<usize>) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        bytes.into_iter().for_each(|bytes| self.took(bytes));
    }

    /// The server has taken a message of this size.
    pub(in crate::upstream) fn took(&self, bytes: usize) {
        if bytes > self.taken.load(Ordering::Relaxed) {
            self.taken.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    pub(in crate::upstream) fn dial_failed(&self, now: Instant) {
        self.with(now, |suspects| suspects.dial_failed(now));
    }

    /// A link that many share is lost.
    pub(in crate::upstream) fn shared_lost(
        &self,
        link: u16,
        end: HowEnded,
        of: Vec<Suspect>,
        now: Instant,
    ) {
        self.with(now, |suspects| suspects.shared_lost(link, end.kind(), of, now));
    }

    /// A link that many share is about to be up. Returns how many agents go apart from now on.
    pub(in crate::upstream) fn shared_opens(&self, link: u16, now: Instant) -> usize {
        let (taken, answers) = (self.taken.load(Ordering::Relaxed), self.answers());
        self.with(now, |suspects| suspects.shared_opens(link, taken, answers, now))
    }

    /// An agent's own link is lost, with this under way.
    pub(in crate::upstream) fn own_lost(
        &self,
        uid: InstanceUid,
        end: HowEnded,
        sent: Option<Sent>,
        now: Instant,
    ) {
        let (so_far, kind) = (self.so_far(now), end.kind());
        if let Some(sent) = sent.as_ref().filter(|_| kind == Some(LossKind::Size)) {
            self.refused(sent.bytes_max);
        }
        self.with(now, |suspects| suspects.own_lost(uid, kind, sent, so_far));
    }

    /// The server refuses this size. It may take less than it did.
    fn refused(&self, bytes: usize) {
        self.taken.fetch_min(bytes.saturating_sub(1), Ordering::Relaxed);
    }

    /// An agent's own link is about to be up. Returns whether it may. `is_only_way`: all agents have their own.
    pub(in crate::upstream) fn own_opens(
        &self,
        uid: InstanceUid,
        is_only_way: bool,
        now: Instant,
    ) -> bool {
        if self.apart.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let answers = self.answers();
        self.with(now, |suspects| suspects.own_opens(uid, is_only_way, answers, now))
    }

    /// How long the agent's own link must not be dialled.
    pub(in crate::upstream) fn paused(&self, uid: InstanceUid, now: Instant) -> Option<Duration> {
        if self.apart.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.suspects.lock().paused(uid, now)
    }

    /// Whether the agent goes apart, and if so, whether only as long as its link is there.
    pub(in crate::upstream) fn apart(&self, uid: InstanceUid) -> Option<Apart> {
        if self.apart.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let suspects = self.suspects.lock();
        suspects
            .is_apart(uid)
            .then(|| if suspects.rejoins(uid) { Apart::Rejoins } else { Apart::Stays })
    }

    /// Its own link has ended.
    pub(in crate::upstream) fn own_ended(&self, uid: InstanceUid, now: Instant) {
        self.with(now, |suspects| suspects.own_ended(uid, now));
    }

    /// Whether messages have to be looked at before they go.
    pub(in crate::upstream) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Relaxed)
    }

    /// What becomes of a message.
    pub(in crate::upstream) fn passage(
        &self,
        uid: InstanceUid,
        way: MessageWay,
        message: &[u8],
        now: Instant,
    ) -> Passage {
        let so_far = self.so_far(now);
        self.with(now, |suspects| suspects.passage((uid, way), message, so_far))
    }

    /// A POST was refused for its size.
    pub(in crate::upstream) fn too_large(&self, uid: InstanceUid, message: &[u8], now: Instant) {
        self.refused(message.len());
        self.with(now, |suspects| suspects.too_large(uid, message, now));
    }

    /// The connection broke on which a POST of this agent's went.
    pub(in crate::upstream) fn post_lost(&self, uid: InstanceUid, message: &[u8], now: Instant) {
        let answers = self.answers();
        self.with(now, |suspects| suspects.post_lost(uid, message, answers, now));
    }

    /// A POST of this agent's was answered.
    pub(in crate::upstream) fn post_answered(&self, uid: InstanceUid, bytes: usize) {
        self.took(bytes);
        if self.apart.load(Ordering::Relaxed) > 0 {
            self.suspects.lock().post_answered(uid);
        }
    }

    /// Time has passed. Returns what there is to tell.
    pub(in crate::upstream) fn tick(
        &self,
        is_only_way: bool,
        is_quiet: impl Fn(InstanceUid) -> bool,
        now: Instant,
    ) -> Vec<SuspectFinding> {
        let is_idle = self.apart.load(Ordering::Relaxed) == 0;
        if is_idle && !self.is_active() {
            return Vec::new();
        }
        let answers = self.answers();
        self.with(now, |suspects| suspects.tick(is_only_way, is_quiet, (answers, now)))
    }

    /// How many agents go apart, and the size that the server is known to refuse.
    pub(in crate::upstream) fn figures(&self, now: Instant) -> (usize, Option<usize>) {
        let taken = self.taken.load(Ordering::Relaxed);
        (self.apart.load(Ordering::Relaxed), self.suspects.lock().limit(taken, now))
    }

    /// The first incarnation of the next link that an agent has for a while.
    pub(in crate::upstream) fn next_incarnation(&self) -> Incarnation {
        let made = self.links_made.fetch_add(1, Ordering::Relaxed);
        Incarnation(FIRST_APART.wrapping_add(made.wrapping_mul(APART_STEP)))
    }
}

/// How an agent goes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Apart {
    /// Over a link of its own, which is made if it is missing.
    Stays,
    /// As long as that link is there.
    Rejoins,
}
