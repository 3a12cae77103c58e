//! Several agents on one WebSocket ("ServerToAgent.instance_uid"), as a gateway before this one brings them: what a new
//! uid on the connection means, and whether an agent that has fallen silent is there still. The connection is alive
//! for as long as its other agents speak, so that each is judged by itself.
//!
//! ```text
//!           silent for longer than its rhythm allows         ANSWER_WAIT
//!   There ─────────────────────────────────────────► Asked ─────────────► Gone: absent, as by a lost connection
//!     ▲                                                │
//!     └──────────────── it speaks ─────────────────────┘
//! ```
//!
//! An agent that has not spoken twice has no rhythm, and is taken to be there: a gateway may keep heartbeats back.

use std::time::{Duration, Instant};

use crate::ident::SequenceNum;

/// An agent may miss this many of its intervals.
const MISSED_MAX: u32 = 3;
/// How long an agent that is asked has for its answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Whether a message under a uid that is new on the connection may come from the only agent there so far, which has
/// changed its uid by itself: its numbers go on, and `next` is the one that it would use. Another agent's number may happen to be the same, so that the former
/// uid is asked for before it counts as gone.
pub fn may_be_renamed(next: Option<SequenceNum>, number: Option<SequenceNum>) -> bool {
    next.is_some() && next == number
}

/// What silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSilence {
    /// It is there.
    There,
    /// It must be asked for a sign of life. It counts as asked.
    Ask,
    /// It has left the connection.
    Gone,
}

/// How often one agent of a connection speaks. See the module's text.
#[derive(Debug, Clone, Copy)]
pub struct SpeakingRhythm {
    heard: Instant,
    /// The longest pause of late, in seconds, which fades; 0 before the second message.
    pause_s: u16,
    asked: Option<Instant>,
}

impl SpeakingRhythm {
    /// For an agent that has just spoken.
    pub const fn new(now: Instant) -> Self {
        Self { heard: now, pause_s: 0, asked: None }
    }

    /// It speaks.
    pub fn heard(&mut self, now: Instant) {
        let pause = now.saturating_duration_since(self.heard);
        let pause_s = u16::try_from(pause.as_secs()).unwrap_or(u16::MAX).saturating_add(1);
        let fading = self.pause_s - self.pause_s.div_ceil(8);
        *self = Self { heard: now, pause_s: pause_s.max(fading), asked: None };
    }

    /// What its silence means. `patience`: it is silent for longer than that, whatever its rhythm.
    pub fn look(&mut self, now: Instant, patience: Duration) -> AgentSilence {
        if let Some(asked) = self.asked {
            let waited = now.saturating_duration_since(asked);
            return if waited > ANSWER_WAIT { AgentSilence::Gone } else { AgentSilence::There };
        }
        let rhythm = Duration::from_secs(self.pause_s.into()) * MISSED_MAX;
        let silence = now.saturating_duration_since(self.heard);
        if self.pause_s == 0 || silence <= patience.max(rhythm) {
            return AgentSilence::There;
        }
        self.asked = Some(now);
        AgentSilence::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(90);

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_number_that_goes_on_may_be_a_renaming() {
        let at = |number| Some(SequenceNum(number));
        assert!(may_be_renamed(at(1), at(1)) && may_be_renamed(at(8), at(8)));
        assert!(!may_be_renamed(at(1), at(0)) && !may_be_renamed(at(4), None));
        assert!(!may_be_renamed(None, at(0)) && !may_be_renamed(None, None));
    }

    #[test]
    fn an_agent_is_judged_by_its_own_rhythm_and_asked_first() {
        let now = crate::clock::now();
        let mut voice = SpeakingRhythm::new(now);
        assert_eq!(voice.look(now + seconds(100_000), PATIENCE), AgentSilence::There, "no rhythm");
        let second = now + seconds(120);
        voice.heard(second);
        assert_eq!(voice.look(second + seconds(360), PATIENCE), AgentSilence::There);
        let asked = second + seconds(364);
        assert_eq!(voice.look(asked, PATIENCE), AgentSilence::Ask);
        assert_eq!(voice.look(asked + ANSWER_WAIT, PATIENCE), AgentSilence::There);
        let mut silent = voice;
        assert_eq!(silent.look(asked + ANSWER_WAIT * 2, PATIENCE), AgentSilence::Gone);
        voice.heard(asked + seconds(1));
        assert_eq!(
            voice.look(asked + seconds(1000), PATIENCE),
            AgentSilence::There,
            "a longer pause"
        );
        assert_eq!(voice.look(asked + seconds(1100), PATIENCE), AgentSilence::Ask);
    }

    #[test]
    fn a_pause_fades_and_patience_is_the_least() {
        let now = crate::clock::now();
        let (mut voice, mut at) = (SpeakingRhythm::new(now), now + seconds(300));
        voice.heard(at);
        for _ in 0..60 {
            at += seconds(1);
            voice.heard(at);
        }
        assert_eq!(voice.look(at + PATIENCE, PATIENCE), AgentSilence::There);
        assert_eq!(voice.look(at + PATIENCE + seconds(1), PATIENCE), AgentSilence::Ask);
    }
}
