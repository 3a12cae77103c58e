//! Whose message it was that a server answered by ending the connection: the agents that share a link share its end,
//! and must not share it again and again.
//!
//! ```text
//!             a link is lost                 its own link is lost, too
//!   others ───────────────────► on probation ──────────────────────────► a part of its message is held back,
//!     ▲      those under way,      │    ▲                                or the agent: it is denied
//!     │      who were so before    │    └─────────────────────────────────────┘
//!     └────── it has held out ─────┘
//! ```
//!
//! *Suspected* is who was unanswered when a link was lost. Where the server says that a message is the cause (1009, 1002,
//! 1003, 1007, 1008), the likeliest go on probation at once: the largest, or the first in line. Where it says nothing,
//! those go who were unanswered at two losses of the same link in a row, if they are few. A loss that others share (the
//! server cannot be dialled, another link went at the same moment) accuses no agent: so a server that is restarted, or
//! killed, is no reason to suspect an agent.
//!
//! *On probation* an agent has a link of its own, and goes on as it did. What ends that link ends it for this
//! agent alone. The part that ends it, known by its content, is cut out of all messages from then on: the largest
//! part is tried first, and parts that were accused on the way to the culprit have a second chance. An agent whose bare
//! announcement ends the link is denied, and its link is dialled again ever more seldom.
//!
//! What is held back is held until it changes, for an hour at most: the server may have been mended.
//!
//! Also learnt here: the size that a server refuses, so that no other agent has to find it out.

mod held;
mod limit;
mod loss;
mod part;
mod trial;
mod unanswered;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use loss::LossKind;
pub use part::{MessagePart, parts, without};
pub use unanswered::{Sent, Suspect, Unanswered};

use crate::ident::InstanceUid;
use held::HeldParts;
use limit::{Fit, SizeLimit};
use trial::{Judgement, Trial};

/// Agents with links of their own at one time, for this reason.
const APART_MAX: usize = 64;
/// Agents that go on probation for one loss.
const SUSPECTS_MAX: usize = 8;
/// Of these, where the server has said that a message was too large.
const TOO_LARGE_MAX: usize = 2;
/// Losses further apart than this have nothing to do with each other.
const LOSSES_WITHIN: Duration = Duration::from_secs(600);
/// Links that are lost this close to each other, or dials that fail this close to a loss, have one cause.
const TOGETHER: Duration = Duration::from_secs(1);
/// Findings that wait to be told; more than this are counted alone.
const FINDINGS_MAX: usize = 1_024;
/// No server's limit is as low as this: what refuses smaller messages for their size says something else.
const LIMIT_MIN: usize = 16 << 10;
/// Agents of which it is known how often they went apart.
const REPEATERS_MAX: usize = 1_024;
/// Losses of its own link in a row, of unclear cause, that convict an agent: on probation, and where all
/// agents have links of their own.
const LOSSES_OF_SUSPECT: u8 = 2;
const LOSSES_OF_ANY: u8 = 3;

/// What was found out about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuspectFinding {
    /// A part of its messages is held back from now on.
    Held {
        /// The agent.
        uid: InstanceUid,
        /// The part.
        part: MessagePart,
        /// What had been too large, in bytes, if that was it.
        size: Option<usize>,
    },
    /// The server refuses the agent altogether.
    Denied {
        /// The agent.
        uid: InstanceUid,
    },
    /// What was held back of this agent may go again: the fields' numbers.
    Freed {
        /// The agent.
        uid: InstanceUid,
        /// What goes again.
        parts: Vec<MessagePart>,
    },
    /// The agent goes with the others again, once its own link has ended.
    Rejoins {
        /// The agent.
        uid: InstanceUid,
    },
}

/// What becomes of a message on its way to the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes as it is.
    Whole,
    /// This goes instead.
    Cut(Vec<u8>),
    /// It must not go where others would suffer: its agent goes apart.
    Apart,
}

/// Where a message would go, for [`Suspects::passage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageWay {
    /// On a link that others share.
    Shared,
    /// Where its end would be its agent's alone.
    Own,
}

/// How far the server has come, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct SoFar {
    /// The largest message that it has answered.
    pub taken: usize,
    /// How many it has answered.
    pub answers: u64,
    /// The moment.
    pub now: Instant,
}

/// A shared link's loss, to be judged once the link is up again.
#[derive(Debug)]
struct Loss {
    at: Instant,
    kind: LossKind,
    suspects: Vec<Suspect>,
}

/// Of one server. See the module's text.
#[derive(Debug, Default)]
pub struct Suspects {
    losses: BTreeMap<u16, Loss>,
    /// Who was unanswered at the last loss of this link, or at the last losses.
    strikes: BTreeMap<u16, (Instant, BTreeSet<InstanceUid>)>,
    /// The latest losses of shared links.
    lost_at: BTreeMap<u16, Instant>,
    dial_failed_at: Option<Instant>,
    apart: BTreeMap<InstanceUid, Trial>,
    repeaters: BTreeMap<InstanceUid, u32>,
    held: HeldParts,
    limit: SizeLimit,
    findings: VecDeque<SuspectFinding>,
}

impl Suspects {
    /// A link that many share is lost.
    pub fn shared_lost(
        &mut self,
        link: u16,
        kind: Option<LossKind>,
        of: Vec<Suspect>,
        now: Instant,
    ) {
        self.lost_at.insert(link, now);
        match kind {
            Some(kind) => self.losses.insert(link, Loss { at: now, kind, suspects: of }),
            None => self.losses.remove(&link),
        };
    }

    /// A dial has failed: the server is not there.
    pub fn dial_failed(&mut self, now: Instant) {
        self.dial_failed_at = Some(now);
    }

    /// A link that many share is about to be up again: its loss is judged. Returns how many agents go apart.
    pub fn shared_opens(&mut self, link: u16, taken: usize, answers: u64, now: Instant) -> usize {
        let Some(loss) = self.losses.remove(&link) else { return 0 };
        if loss.kind != LossKind::Size
            && self.is_disturbed((loss.at - TOGETHER, loss.at), Some(link))
        {
            self.strikes.remove(&link);
            return 0;
        }
        let before = self.strikes.remove(&link).filter(|(at, _)| loss.at - *at <= LOSSES_WITHIN);
        let both: Vec<Suspect> = before
            .map(|(_, uids)| {
                loss.suspects.iter().filter(|one| uids.contains(&one.uid)).copied().collect()
            })
            .unwrap_or_default();
        let accused = match loss.kind {
            LossKind::Size => largest(&loss.suspects, taken),
            LossKind::Message => {
                let first = loss.suspects.iter().take(SUSPECTS_MAX / 2).copied();
                first.chain(both.iter().take(SUSPECTS_MAX / 2).copied()).collect()
            }
            LossKind::Unclear if both.len() <= SUSPECTS_MAX => both.clone(),
            LossKind::Unclear => Vec::new(),
        };
        let narrowed = if both.is_empty() { &loss.suspects } else { &both };
        let uids = narrowed.iter().map(|one| one.uid).collect();
        self.strikes.insert(link, (loss.at, uids));
        accused.iter().filter(|one| self.set_apart(one.uid, answers, now)).count()
    }

    /// Whether a loss between these two moments has a cause that has nothing to do with one link.
    fn is_disturbed(&self, (since, at): (Instant, Instant), link: Option<u16>) -> bool {
        let dial = self.dial_failed_at.is_some_and(|failed| failed >= since);
        let is_near = |lost: Instant| lost >= since && lost <= at + TOGETHER;
        let mut others = self.lost_at.iter().filter(|(other, _)| Some(**other) != link);
        dial || others.any(|(_, lost)| is_near(*lost))
    }

    fn set_apart(&mut self, uid: InstanceUid, answers: u64, now: Instant) -> bool {
        if self.apart.contains_key(&uid) || self.apart.len() >= APART_MAX {
            return false;
        }
        if self.repeaters.len() >= REPEATERS_MAX {
            self.repeaters.clear();
        }
        let times = self.repeaters.entry(uid).or_default();
        self.apart.insert(uid, Trial::new(*times, answers, now));
        *times = times.saturating_add(1);
        true
    }

    /// Whether the agent has a link of its own.
    pub fn is_apart(&self, uid: InstanceUid) -> bool {
        self.apart.contains_key(&uid)
    }

    /// Whether the agent's own link must not be made again: it goes back to the others once that has ended.
    pub fn rejoins(&self, uid: InstanceUid) -> bool {
        self.apart.get(&uid).is_some_and(Trial::rejoins)
    }

    /// Agents with links of their own.
    pub fn apart(&self) -> usize {
        self.apart.len()
    }

    /// How long the agent's own link must not be dialled.
    pub fn paused(&self, uid: InstanceUid, now: Instant) -> Option<Duration> {
        self.apart.get(&uid)?.paused(now)
    }

    /// An agent's own link is lost, with this unanswered on it.
    pub fn own_lost(
        &mut self,
        uid: InstanceUid,
        kind: Option<LossKind>,
        sent: Option<Sent>,
        SoFar { answers, now, .. }: SoFar,
    ) {
        let Some(kind) = kind else {
            if let Some(trial) = self.apart.get_mut(&uid) {
                trial.went_down(now);
            }
            return;
        };
        if sent.is_some() && !self.apart.contains_key(&uid) {
            // All agents have links of their own.
            self.set_apart(uid, answers, now);
        }
        if let Some(trial) = self.apart.get_mut(&uid) {
            trial.lost(kind, sent, now);
        }
    }

    /// An agent's own link is about to be up: what it was lost with is judged. `is_only_way`: all agents have links of
    /// their own. Returns whether the link may go up.
    pub fn own_opens(
        &mut self,
        uid: InstanceUid,
        is_only_way: bool,
        answers: u64,
        now: Instant,
    ) -> bool {
        let Some(mut trial) = self.apart.remove(&uid) else { return true };
        let most = if is_only_way { LOSSES_OF_ANY } else { LOSSES_OF_SUSPECT };
        let judgement = trial.opens(
            most,
            SoFar { taken: 0, answers, now },
            |part| self.held.holds(uid, part, now),
            |between| self.is_disturbed(between, None),
        );
        let may_go_up = trial.paused(now).is_none();
        self.apart.insert(uid, trial);
        match judgement {
            Judgement::Open => {}
            Judgement::Deny { first, freed } => {
                // The server hears of them when it has the agent.
                self.held.free(uid, &freed);
                if first {
                    self.found(SuspectFinding::Denied { uid });
                }
            }
            Judgement::Hold { parts, size } => {
                if let Some(size) = size.filter(|size| *size >= LIMIT_MIN) {
                    self.limit.refused(size, now);
                }
                parts.into_iter().for_each(|part| self.hold(uid, part, size, now));
            }
        }
        may_go_up
    }

    /// The server has refused a message of this agent's for its size, and the connection holds (mode `http`); the
    /// agent has been told.
    pub fn too_large(&mut self, uid: InstanceUid, message: &[u8], now: Instant) {
        if message.len() < LIMIT_MIN {
            return;
        }
        self.limit.refused(message.len(), now);
        if let Some(part) = parts(message).into_iter().max_by_key(|part| part.bytes) {
            self.held.hold(uid, part, now);
        }
    }

    /// The connection broke on which a message of this agent's went alone (mode `http`).
    pub fn post_lost(&mut self, uid: InstanceUid, message: &[u8], answers: u64, now: Instant) {
        let sent = Some(Sent::of(message));
        let so_far = SoFar { taken: message.len(), answers, now };
        self.own_lost(uid, Some(LossKind::Unclear), sent, so_far);
        // There is another connection at once.
        self.own_opens(uid, true, answers, now);
    }

    fn hold(&mut self, uid: InstanceUid, part: MessagePart, size: Option<usize>, now: Instant) {
        if self.held.hold(uid, part, now) {
            self.found(SuspectFinding::Held { uid, part, size });
        }
    }

    fn found(&mut self, finding: SuspectFinding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push_back(finding);
        }
    }

    /// Whether messages have to be looked at on their way.
    pub fn is_active(&mut self, taken: usize, now: Instant) -> bool {
        !self.held.is_empty() || self.limit.known(taken, now).is_some()
    }

    /// The size that the server is known to refuse.
    pub fn limit(&mut self, taken: usize, now: Instant) -> Option<usize> {
        self.limit.known(taken, now)
    }

    /// What becomes of a message of this agent's.
    pub fn passage(
        &mut self,
        (uid, way): (InstanceUid, MessageWay),
        message: &[u8],
        SoFar { taken, answers, now }: SoFar,
    ) -> Passage {
        let fits = self.limit.fits(message.len(), taken, now) == Fit::Goes;
        if fits && !self.held.has(uid) {
            return Passage::Whole;
        }
        let mut all = parts(message);
        let is_new = self.held.has_changed(uid, &all, now);
        if is_new && way == MessageWay::Shared && self.set_apart(uid, answers, now) {
            return Passage::Apart;
        }
        let before = all.len();
        all.retain(|part| !self.held.holds(uid, part, now));
        let mut cut =
            (all.len() < before).then(|| without(message, |part| self.held.holds(uid, part, now)));
        loop {
            let bytes = cut.as_ref().map_or(message.len(), Vec::len);
            match self.limit.fits(bytes, taken, now) {
                Fit::Goes => break,
                Fit::Doubtful if way == MessageWay::Shared && self.set_apart(uid, answers, now) => {
                    return Passage::Apart;
                }
                Fit::Doubtful => break,
                Fit::TooLarge => {
                    all.sort_by_key(|part| part.bytes);
                    let Some(part) = all.pop() else { break };
                    self.hold(uid, part, Some(bytes), now);
                    cut = Some(without(cut.as_deref().unwrap_or(message), |other| *other == part));
                }
            }
        }
        cut.map_or(Passage::Whole, Passage::Cut)
    }

    /// The agent's own link has ended: whatever comes next of this agent goes with the others, unless it is denied. What
    /// is held back of it stays so.
    pub fn own_ended(&mut self, uid: InstanceUid, now: Instant) {
        match self.apart.get_mut(&uid) {
            Some(trial) if trial.is_denied() => trial.went_down(now),
            _ => drop(self.apart.remove(&uid)),
        }
    }

    /// The server has answered a message of this agent's that went alone (mode `http`).
    pub fn post_answered(&mut self, uid: InstanceUid) {
        self.apart.get_mut(&uid).into_iter().for_each(Trial::starts_over);
    }

    /// Time has passed. `is_quiet`: whether nothing is unanswered on an agent's own link. `goes_on`: all agents have
    /// links of their own, and keep them. Returns what there is to tell.
    pub fn tick(
        &mut self,
        goes_on: bool,
        is_quiet: impl Fn(InstanceUid) -> bool,
        (answers, now): (u64, Instant),
    ) -> Vec<SuspectFinding> {
        self.apart.retain(|_, trial| !trial.is_forgotten(now));
        let mut over = Vec::new();
        for (uid, trial) in self.apart.iter_mut().filter(|(uid, _)| is_quiet(**uid)) {
            if let Some(parts) = trial.held_out(now) {
                over.push((*uid, parts));
            }
        }
        for (uid, parts) in over {
            if !parts.is_empty() {
                self.held.free(uid, &parts);
                self.found(SuspectFinding::Freed { uid, parts });
            } else if goes_on {
                self.apart.remove(&uid);
            } else {
                self.found(SuspectFinding::Rejoins { uid });
            }
        }
        for (uid, parts) in self.held.expire(now) {
            // Where it may do harm, it waits until it changes.
            if goes_on || self.is_apart(uid) || self.set_apart(uid, answers, now) {
                self.found(SuspectFinding::Freed { uid, parts });
            }
        }
        self.findings.drain(..).collect()
    }
}

/// The largest messages: all that are larger than what the server has taken before, or, if there are none, because
/// it takes less than before, the largest of all.
fn largest(suspects: &[Suspect], taken: usize) -> Vec<Suspect> {
    let mut all = suspects.to_vec();
    all.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    let larger = all.iter().take_while(|one| one.bytes > taken).count();
    all.truncate(larger.clamp(1, TOO_LARGE_MAX));
    all
}
