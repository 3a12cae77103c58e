//! One agent that goes apart: what its own link has shown so far.

use std::time::{Duration, Instant};

use super::SoFar;
use super::loss::LossKind;
use super::part::MessagePart;
use super::unanswered::Sent;

/// How long an agent goes apart at least. It grows with each time that the agent had to go apart before.
pub(super) const PROBATION: Duration = Duration::from_secs(10);
/// How long an agent may be without a link of its own before it goes with the others again.
const UNREACHED_MAX: Duration = Duration::from_secs(60);
const PROBATION_MAX: Duration = Duration::from_secs(600);
/// The first pause of an agent that the server will not have at all; it doubles.
const PAUSE_MIN: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// What is next for the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrialPhase {
    /// Its own link is tried.
    OnProbation,
    /// The server ends every connection on which it speaks: its link is dialled again then.
    Denied { until: Instant, pause: Duration },
    /// Its own link ends; once it has, it goes with the others.
    Rejoins,
}

/// The loss of its own link, to be judged once the server has taken another connection.
#[derive(Debug)]
struct OwnLoss {
    /// When it came up, or was last seen to end, and when it was lost.
    between: (Instant, Instant),
    kind: LossKind,
    sent: Sent,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Trial {
    phase: TrialPhase,
    probation: Duration,
    up_since: Option<Instant>,
    /// When its link was last seen to end, or this began.
    down_since: Instant,
    loss: Option<OwnLoss>,
    /// Losses in a row that leave open what they come of.
    unclear_losses: u8,
    /// What was under way at each of them.
    common: Vec<MessagePart>,
    /// What all agents together had been answered when this began.
    answers_before: u64,
    /// What has been held back since.
    accused: Vec<MessagePart>,
    /// What was accused before the culprit was found has had a second chance.
    retried: bool,
}

/// What an agent's own link has come to.
#[derive(Debug, PartialEq)]
pub(super) enum Judgement {
    /// Nothing yet.
    Open,
    /// These parts are held back. `size`: the message's, if it was its size.
    Hold { parts: Vec<MessagePart>, size: Option<usize> },
    /// The agent's mere presence is refused. `first`: it was let speak before.
    Deny {
        first: bool,
        /// Parts that were accused before, and are innocent.
        freed: Vec<MessagePart>,
    },
}

impl Trial {
    /// The `times`th time that this agent goes apart.
    pub(super) fn new(times: u32, answers: u64, now: Instant) -> Self {
        let factor = 2_u32.saturating_pow(times.min(10));
        Self {
            phase: TrialPhase::OnProbation,
            probation: (PROBATION * factor).min(PROBATION_MAX),
            up_since: None,
            down_since: now,
            loss: None,
            unclear_losses: 0,
            common: Vec::new(),
            answers_before: answers,
            accused: Vec::new(),
            retried: false,
        }
    }

    pub(super) fn is_denied(&self) -> bool {
        matches!(self.phase, TrialPhase::Denied { .. })
    }

    /// Whether the agent was denied long ago, and has not been seen since.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let TrialPhase::Denied { until, .. } = self.phase else { return false };
        self.up_since.is_none() && now.saturating_duration_since(until) >= PAUSE_MAX
    }

    pub(super) fn rejoins(&self) -> bool {
        self.phase == TrialPhase::Rejoins
    }

    /// How long the agent's own link must not be dialled.
    pub(super) fn paused(&self, now: Instant) -> Option<Duration> {
        let TrialPhase::Denied { until, .. } = self.phase else { return None };
        (until > now).then(|| until - now)
    }

    /// Its own link is lost.
    pub(super) fn lost(&mut self, kind: LossKind, sent: Option<Sent>, now: Instant) {
        let between = (self.up_since.unwrap_or(self.down_since), now);
        self.went_down(now);
        if sent.is_none() {
            // Connections end here with nothing under way, too.
            self.starts_over();
        }
        self.loss = sent.map(|sent| OwnLoss { between, kind, sent });
    }

    /// Its own link is there no more, for a reason that accuses no agent.
    pub(super) fn went_down(&mut self, now: Instant) {
        (self.up_since, self.down_since) = (None, now);
    }

    /// What was lost so far had to do with something else.
    pub(super) fn starts_over(&mut self) {
        self.unclear_losses = 0;
        self.common.clear();
    }

    /// One more loss of unclear cause. Several count together if the same was under way at all of them, or nothing but
    /// the agent's presence, and the link had come up just before.
    fn count_unclear(&mut self, (up, lost): (Instant, Instant), parts: &[MessagePart]) {
        let common: Vec<MessagePart> =
            parts.iter().filter(|part| self.common.contains(part)).copied().collect();
        let is_short = lost.saturating_duration_since(up) < PROBATION;
        let is_bare = parts.is_empty() && self.common.is_empty() && is_short;
        if self.unclear_losses > 0 && (is_bare || !common.is_empty()) {
            (self.unclear_losses, self.common) = (self.unclear_losses + 1, common);
        } else {
            (self.unclear_losses, self.common) = (1, parts.to_vec());
        }
    }

    /// Its own link is about to be up again. `is_disturbed`: whether what was lost between two moments has a common cause.
    /// `answers`: what all agents together have been answered.
    pub(super) fn opens(
        &mut self,
        losses_unclear_max: u8,
        SoFar { answers, now, .. }: SoFar,
        is_held: impl Fn(&MessagePart) -> bool,
        is_disturbed: impl Fn((Instant, Instant)) -> bool,
    ) -> Judgement {
        self.up_since = Some(now);
        let Some(OwnLoss { between, kind, sent }) = self.loss.take() else {
            return Judgement::Open;
        };
        let server_is_well = answers > self.answers_before && !is_disturbed(between);
        let mut free: Vec<MessagePart> =
            sent.parts.into_iter().filter(|part| !is_held(part)).collect();
        match kind {
            LossKind::Size => {}
            LossKind::Message | LossKind::Unclear if !server_is_well => {
                self.starts_over();
                return Judgement::Open;
            }
            LossKind::Message => {}
            LossKind::Unclear => {
                self.count_unclear(between, &free);
                if self.unclear_losses < losses_unclear_max {
                    return Judgement::Open;
                }
                free = std::mem::take(&mut self.common);
            }
        }
        self.starts_over();
        // The largest first: of a message that is too large it is the culprit.
        free.sort_by_key(|part| part.bytes);
        let size = (kind == LossKind::Size).then_some(sent.bytes_max);
        let again = |part: &&MessagePart| self.accused.contains(part);
        let mut parts: Vec<MessagePart> = free.iter().filter(again).copied().collect();
        if parts.is_empty() {
            // Without a part the agent's presence alone has ended the connection.
            let Some(part) = free.pop() else { return self.deny(now) };
            self.accused.push(part);
            parts.push(part);
        }
        Judgement::Hold { parts, size }
    }

    fn deny(&mut self, now: Instant) -> Judgement {
        let (first, pause) = match self.phase {
            TrialPhase::Denied { pause, .. } => (false, (pause * 2).min(PAUSE_MAX)),
            _ => (true, PAUSE_MIN),
        };
        self.phase = TrialPhase::Denied { until: now + pause, pause };
        self.up_since = None;
        Judgement::Deny { first, freed: std::mem::take(&mut self.accused) }
    }

    /// Whether the link has held for as long as it has to. With all answered, the agent rejoins the others, or parts
    /// that were accused on the way to the culprit are let go: these are returned.
    pub(super) fn held_out(&mut self, now: Instant) -> Option<Vec<MessagePart>> {
        let is_over = match self.up_since {
            Some(since) => now.saturating_duration_since(since) >= self.probation,
            // Where the server takes no more connections, no agent must be cut off by this.
            None => {
                let down = now.saturating_duration_since(self.down_since);
                self.phase == TrialPhase::OnProbation && down >= UNREACHED_MAX
            }
        };
        if !is_over || self.rejoins() {
            return None;
        }
        if self.retried || self.accused.len() < 2 {
            self.phase = TrialPhase::Rejoins;
            return Some(Vec::new());
        }
        (self.retried, self.up_since) = (true, Some(now));
        let culprit = self.accused.len() - 1;
        Some(self.accused[..culprit].to_vec())
    }
}
