//! R3: the agent's sequence number, which is followed, and the number towards the server, which rises by
//! one for each message sent on. What the messages say is left to others.

use std::num::NonZeroU64;

use crate::ident::SequenceNum;

/// What the number of an agent's message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberStep {
    /// The session's first message.
    First,
    /// The next one, as it should be.
    Next,
    /// The last message once more: over plain HTTP an agent repeats what stayed unanswered.
    Again,
    /// The agent's process has started again.
    NewProcess,
    /// Messages were lost before they came here.
    Gap {
        /// The number that was expected.
        expected: SequenceNum,
    },
}

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    agent: LastNumber,
    /// The last number used towards the server. The agent's first message sets it.
    upstream: SequenceNum,
}

/// The agent's last number; none before its first message. One word, since there are a million of them: the highest of
/// all numbers passes for the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct LastNumber(Option<NonZeroU64>);

impl LastNumber {
    const fn of(number: SequenceNum) -> Self {
        Self(NonZeroU64::new(if number.0 == u64::MAX { 1 } else { !number.0 }))
    }

    fn get(self) -> Option<SequenceNum> {
        self.0.map(|inverse| SequenceNum(!inverse.get()))
    }
}

impl Numbers {
    pub(super) fn from_record(agent: Option<SequenceNum>, upstream: SequenceNum) -> Self {
        Self { agent: agent.map_or_else(LastNumber::default, LastNumber::of), upstream }
    }

    /// Takes the number of an agent's message. `repeats`: it has the bytes of the last one.
    pub(super) fn follow(&mut self, number: SequenceNum, repeats: bool) -> NumberStep {
        let step = match self.agent.get() {
            None => {
                // Numbers towards the server start from the agent's.
                self.upstream = SequenceNum(number.0.wrapping_sub(1));
                NumberStep::First
            }
            Some(last) if number == last.next() => NumberStep::Next,
            Some(last) if number == last && (!number.may_be_first() || repeats) => {
                NumberStep::Again
            }
            Some(_) if number.may_be_first() => NumberStep::NewProcess,
            Some(last) => NumberStep::Gap { expected: last.next() },
        };
        self.agent = LastNumber::of(number);
        step
    }

    /// Whether a message of this number would be of the same process as the last one, whatever is lost between.
    pub(super) fn goes_on(&self, number: SequenceNum) -> bool {
        self.agent.get().is_some_and(|last| number == last.next() || !number.may_be_first())
    }

    /// Takes the number of the last of several heartbeats. The lost ones among them, if any, said nothing.
    /// [`NumberStep::Again`]: the session has heard of it.
    pub(super) fn pass_to(&mut self, number: SequenceNum) -> NumberStep {
        match self.agent.get() {
            None => self.follow(number, false),
            Some(last) if number <= last => NumberStep::Again,
            Some(_) => {
                self.agent = LastNumber::of(number);
                NumberStep::Next
            }
        }
    }

    /// The agent's last number.
    pub(super) fn agent(&self) -> Option<SequenceNum> {
        self.agent.get()
    }

    /// The last number used towards the server.
    pub(super) const fn upstream(&self) -> SequenceNum {
        self.upstream
    }

    /// The number of the next message towards the server. [`Numbers::use_next`] takes it.
    pub(super) const fn next(&self) -> SequenceNum {
        self.upstream.next()
    }

    /// A message went to a server.
    pub(super) const fn use_next(&mut self) {
        self.upstream = self.upstream.next();
    }

    /// Takes a number back: a breach of R3 that the simulation must notice.
    pub(super) const fn give_back(&mut self) {
        self.upstream = SequenceNum(self.upstream.0.wrapping_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_jump_has_its_meaning() {
        let mut numbers = Numbers::default();
        let steps =
            [5, 6, 6, 9, 1, 1, 2, 0].map(|number| numbers.follow(SequenceNum(number), false));
        assert_eq!(
            steps,
            [
                NumberStep::First,
                NumberStep::Next,
                NumberStep::Again,
                NumberStep::Gap { expected: SequenceNum(7) },
                NumberStep::NewProcess,
                NumberStep::NewProcess,
                NumberStep::Next,
                NumberStep::NewProcess,
            ]
        );
        assert_eq!(numbers.agent(), Some(SequenceNum(0)));
        assert_eq!(numbers.follow(SequenceNum(0), true), NumberStep::Again);
    }

    #[test]
    fn numbers_of_heartbeats_are_passed_over() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.pass_to(SequenceNum(7)), NumberStep::First);
        let steps = [9, 9, 8].map(|number| numbers.pass_to(SequenceNum(number)));
        assert_eq!(steps, [NumberStep::Next, NumberStep::Again, NumberStep::Again]);
        assert_eq!(numbers.follow(SequenceNum(10), false), NumberStep::Next);
        assert_eq!(numbers.next(), SequenceNum(7), "none of them went to the server");
    }

    #[test]
    fn numbers_towards_the_server_start_from_the_agents_and_rise_by_one() {
        let mut numbers = Numbers::default();
        numbers.follow(SequenceNum(0), false);
        assert_eq!(numbers.next(), SequenceNum(0));
        numbers.use_next();
        numbers.follow(SequenceNum(40), false);
        assert_eq!((numbers.upstream(), numbers.next()), (SequenceNum(0), SequenceNum(1)));
    }
}
