//! R10 by numbers: two live agents with one uid. Over plain HTTP neither has a connection whose end would tell them
//! apart, and one on a WebSocket and one that polls replace each other without a word. But each counts its own
//! messages: where one goes on where the other has interrupted it, time after time, there are two.
//!
//! ```text
//!  said:   7   8   512   9   513   10      512 interrupts 8; 9 goes on behind 8, 513 behind 512, 10 behind 9
//! ```
//!
//! The numbers of one agent rise, whatever is lost: after a jump it never goes on where it was before. What was under
//! way for long, and comes late, looks like that once or twice.

use std::time::{Duration, Instant};

use super::Session;
use crate::ident::SequenceNum;
use crate::opamp::agent::AgentScan;

/// At this many interruptions in a row there are two agents.
const INTERRUPTIONS_MAX: u8 = 3;
/// A longer pause between two of them starts the count again.
const MEMORY: Duration = Duration::from_secs(300);

/// The numbers of the agents that speak under the session's uid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Speakers {
    /// The last number before the latest jump.
    interrupted: Option<SequenceNum>,
    in_a_row: u8,
    last: Option<Instant>,
}

impl Speakers {
    /// Whether all of this is past.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.last.is_none_or(|at| now.saturating_duration_since(at) >= MEMORY)
    }

    /// The number jumps. Returns whether two agents are found to speak.
    fn jumped(&mut self, from: SequenceNum, to: SequenceNum, now: Instant) -> bool {
        let goes_on = self.interrupted.is_some_and(|interrupted| interrupted.next() == to);
        let counts = if self.is_idle(now) { 0 } else { self.in_a_row };
        let in_a_row = if goes_on { counts + 1 } else { 0 };
        *self = Self { interrupted: Some(from), in_a_row, last: Some(now) };
        if in_a_row >= INTERRUPTIONS_MAX {
            *self = Self::default();
        }
        in_a_row >= INTERRUPTIONS_MAX
    }
}

/// Whether this message is another agent's than the last one: both live, under one uid.
pub(super) fn speaks_for_another(
    session: &mut Session,
    scan: &AgentScan<'_>,
    now: Instant,
) -> bool {
    let (Some(last), Some(number)) = (session.numbers.agent(), scan.number()) else { return false };
    if number == last || number == last.next() {
        return false;
    }
    // A new process is the usual case, and a whole fleet may start anew: nothing is kept of that.
    if number.may_be_first() && session.cold.is_none() {
        return false;
    }
    session.cold_mut().speakers.jumped(last, number, now)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::Note;
    use super::super::tests::Harness;
    use super::super::tests::message::{self, Status, bytes};
    use super::*;
    use crate::ident::ConnectionId;
    use crate::opamp::proto::ServerToAgent;

    fn at(number: u64) -> SequenceNum {
        SequenceNum(number)
    }

    /// What the last request was answered with, if that was another uid.
    fn fresh(gateway: &mut Harness) -> Option<Vec<u8>> {
        let answer = gateway.effects.answers.pop_back()?;
        let answer = ServerToAgent::decode(&answer[..]).unwrap();
        Some(answer.agent_identification?.new_instance_uid)
    }

    fn polls(gateway: &mut Harness, number: u64) -> Option<Vec<u8>> {
        gateway.request(&bytes(&message::heartbeat(number)));
        gateway.wait(Duration::from_secs(15));
        fresh(gateway)
    }

    #[test]
    fn of_two_agents_that_poll_under_one_uid_one_gets_another() {
        let mut gateway = Harness::new(crate::clock::now());
        gateway.request(&bytes(&message::report(0, Status::FIRST)));
        gateway.effects.answers.clear();
        let given: Vec<_> = [500, 1, 501, 2, 502].map(|number| polls(&mut gateway, number)).into();
        let at = given.iter().position(Option::is_some);
        assert_eq!(at, Some(3), "{given:?}");
        assert_eq!(given[3].as_ref().map(Vec::len), Some(16));
        assert!(gateway.effects.notes.iter().any(|note| matches!(note, Note::CloneFound { .. })));
        // What the newcomer said is left aside: the other one goes on.
        let before = gateway.session.as_ref().unwrap().numbers.agent();
        assert_eq!(before, Some(SequenceNum(502)));
    }

    #[test]
    fn one_on_a_websocket_and_one_that_polls_are_found_out() {
        let mut gateway = Harness::new(crate::clock::now());
        gateway.agent_says(ConnectionId(1), &bytes(&message::report(0, Status::FIRST)));
        let mut found = None;
        for turn in 1..6 {
            found = found.or(polls(&mut gateway, 100 + turn));
            gateway.agent_says(ConnectionId(1 + turn), &bytes(&message::heartbeat(turn)));
        }
        let given = gateway.effects.to_agent.iter();
        let given = given.filter_map(|sent| {
            ServerToAgent::decode(&sent.bytes[..]).unwrap().agent_identification
        });
        assert!(found.is_some() || given.count() > 0);
    }

    #[test]
    fn losses_and_restarts_and_a_late_message_are_one_agent() {
        let now = crate::clock::now();
        let mut speakers = Speakers::default();
        // Losses: the numbers rise.
        assert!((1..20).all(|n| !speakers.jumped(at(n * 3), at(n * 3 + 3), now)));
        // It starts again and again.
        assert!((1..20).all(|n| !speakers.jumped(at(100 + n), at(0), now)));
        // Messages that come late, each once.
        let mut speakers = Speakers::default();
        assert!(!speakers.jumped(at(7), at(5), now) && !speakers.jumped(at(5), at(8), now));
        assert!(!speakers.jumped(at(40), at(38), now) && !speakers.jumped(at(38), at(41), now));
        assert!(!speakers.is_idle(now) && speakers.is_idle(now + MEMORY));
    }

    #[test]
    fn interruptions_long_apart_do_not_count() {
        let now = crate::clock::now();
        let mut speakers = Speakers::default();
        let jumps = [(0, 500), (500, 1), (1, 501), (501, 2), (2, 502)];
        let mut later = now;
        for (from, to) in jumps {
            assert!(!speakers.jumped(at(from), at(to), later));
            later += MEMORY;
        }
        let found = jumps.map(|(from, to)| speakers.jumped(at(from), at(to), later));
        assert!(found.contains(&true));
    }
}
