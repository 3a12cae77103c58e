//! How often the agent gives a sign of life: the interval that its server has asked for, and over plain HTTP the one that
//! it keeps ("OpAMPConnectionSettings.heartbeat_interval_seconds"). The configuration's times are for agents of which
//! nothing is known. Whole seconds, since there are a million of them.

use std::time::Duration;

use super::{Policy, Session};

/// The interval of heartbeats that the specification recommends, and most agents keep.
const USUAL_S: u16 = 30;
/// An agent counts as silent when it has missed this many of the intervals that its server has asked for.
const OFFERED_MISSED_MAX: u32 = 3;
/// The same of the intervals that it keeps: what was observed is the longest of late.
const OBSERVED_MISSED_MAX: u32 = 2;
/// A longer pause between two polls is an outage, and says no more of the interval than this.
const OBSERVED_MAX_S: u16 = 600;

/// See the module's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rhythm {
    /// The interval that the server has offered last, in seconds; 0 is none.
    pub offered_s: u16,
    /// The longest pause between two polls of late, in seconds; 0 before the second poll.
    pub observed_s: u16,
}

impl Rhythm {
    /// The server offers an interval, or says nothing of it: then the last one holds.
    pub(super) fn offer(&mut self, seconds: Option<u64>) {
        if let Some(seconds) = seconds {
            self.offered_s = u16::try_from(seconds).unwrap_or(u16::MAX);
        }
    }

    /// The agent has polled, after a pause. A report between two polls comes sooner, so the longest pause counts, and
    /// fades.
    pub(super) fn note_pause(&mut self, pause: Duration) {
        let fading = self.observed_s - self.observed_s.div_ceil(8);
        self.observed_s = whole_seconds(pause).max(fading);
    }

    /// The agent has stayed silent for too long, so far.
    pub(super) fn note_silence(&mut self, silence: Duration) {
        self.observed_s = whole_seconds(silence).max(self.observed_s);
    }

    /// The agent is back, after its silence was taken for its end.
    pub(super) fn note_return(&mut self, since: Duration) {
        if self.observed_s > 0 {
            self.note_silence(Duration::from_secs(self.observed_s.into()) + since);
        }
    }

    /// The agent has said goodbye: how long it stays away says nothing of its polls.
    pub(super) const fn stop(&mut self) {
        self.observed_s = 0;
    }

    fn silence_max(self, policy: &Policy) -> Duration {
        let times = |seconds: u16, by: u32| Duration::from_secs(seconds.into()) * by;
        let offered = times(self.offered_s, OFFERED_MISSED_MAX);
        let observed = times(self.observed_s, OBSERVED_MISSED_MAX);
        policy.poll_timeout.max(offered).max(observed)
    }

    /// The interval that the server has offered; zero is none.
    pub(super) fn offered(self) -> Duration {
        Duration::from_secs(self.offered_s.into())
    }

    /// R9: one heartbeat in each such interval goes on to the server, if that has a budget for it. A server that asked for an
    /// interval hears of the agent in each: a heartbeat that comes a little early counts for its own.
    pub(super) fn forward_interval(self, policy: &Policy) -> Duration {
        let configured = policy.heartbeat_forward_interval;
        if self.offered_s == 0 {
            return configured;
        }
        configured.min(Duration::from_secs(self.offered_s.into()) * 3 / 4)
    }

    /// The same of reports that say nothing new. An agent may say one each second; none needs to be heard of more often than
    /// by heartbeats.
    pub(super) fn report_interval(self, policy: &Policy) -> Duration {
        let heartbeats = if self.offered_s == 0 { USUAL_S } else { self.offered_s };
        let early = Duration::from_secs(heartbeats.into()) * 3 / 4;
        self.forward_interval(policy).max(early)
    }
}

fn whole_seconds(time: Duration) -> u16 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u16::try_from(seconds).unwrap_or(u16::MAX).min(OBSERVED_MAX_S)
}

/// Silence after which the agent, if it polls, counts as absent.
pub fn silence_max(session: &Session, policy: &Policy) -> Duration {
    session.rhythm.silence_max(policy)
}

#[cfg(test)]
mod tests {
    use super::super::tests::POLICY;
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_interval_that_was_offered_is_waited_for() {
        let mut rhythm = Rhythm::default();
        assert_eq!(rhythm.silence_max(&POLICY), POLICY.poll_timeout);
        assert_eq!(rhythm.forward_interval(&POLICY), POLICY.heartbeat_forward_interval);
        rhythm.offer(Some(150));
        assert_eq!(rhythm.silence_max(&POLICY), seconds(450));
        assert_eq!(rhythm.forward_interval(&POLICY), POLICY.heartbeat_forward_interval);
        rhythm.offer(Some(20));
        rhythm.offer(None);
        assert_eq!(rhythm.silence_max(&POLICY), POLICY.poll_timeout);
        assert_eq!(rhythm.forward_interval(&POLICY), seconds(15));
        rhythm.offer(Some(u64::MAX));
        assert_eq!(rhythm.silence_max(&POLICY), seconds(3 * 65_535), "it has a bound");
        let all = Policy { heartbeat_forward_interval: Duration::ZERO, ..POLICY };
        assert_eq!(rhythm.forward_interval(&all), Duration::ZERO);
    }

    #[test]
    fn the_longest_pause_of_late_counts() {
        let mut rhythm = Rhythm::default();
        rhythm.note_pause(seconds(80));
        rhythm.note_pause(Duration::from_millis(20));
        assert_eq!(rhythm.silence_max(&POLICY), seconds(140), "a report between two polls");
        (0..40).for_each(|_| rhythm.note_pause(seconds(1)));
        assert_eq!(rhythm, Rhythm { offered_s: 0, observed_s: 1 });
        rhythm.note_pause(seconds(100_000));
        assert_eq!(rhythm.observed_s, OBSERVED_MAX_S);
        rhythm.stop();
        rhythm.note_return(seconds(100));
        assert_eq!(rhythm, Rhythm::default(), "it had said goodbye");
        rhythm.note_silence(seconds(90));
        rhythm.note_return(seconds(30));
        assert_eq!(rhythm.silence_max(&POLICY), seconds(240));
    }
}
