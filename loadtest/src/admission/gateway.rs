//! One node's gate under a policy: the gateway's own code, or the bare bucket of the others.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use seawall::core::admission::{
    Admission, AdmissionVerdict, Arrival, Identity, ParkVerdict, Refusal, Ticket,
};
use seawall::core::bucket::Bucket;

use super::scenario::{GatePolicy, Policy};
use crate::fleet::Mix;

/// What an agent notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is in.
    In,
    /// It waits.
    None,
    /// It is refused after `hold`, and told `retry_after` if anything.
    Refused { hold: Duration, retry_after: Option<Duration> },
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { hold: refusal.hold, retry_after: Some(refusal.retry_after) }
    }
}

/// A node.
pub(crate) struct Node {
    gate: Gate,
    /// Whether it is known already when it is to be polled.
    pub(crate) poll_due: bool,
}

enum Gate {
    Bare { bucket: Bucket, policy: Policy },
    Own { admission: Box<Admission>, parked: HashMap<Ticket, u32>, policy: GatePolicy },
}

impl Node {
    pub(crate) fn new(policy: Policy, rate: NonZeroU32, now: Instant) -> Self {
        let gate = match policy {
            Policy::Gate(policy) => {
                let admission = Box::new(Admission::new(policy.params(rate), now));
                Gate::Own { admission, parked: HashMap::new(), policy }
            }
            policy => {
                let bucket = Bucket::with_depth(rate, Duration::from_secs(1), now);
                Gate::Bare { bucket, policy }
            }
        };
        Self { gate, poll_due: false }
    }

    pub(crate) fn set_rate(&mut self, rate: NonZeroU32, now: Instant) {
        match &mut self.gate {
            Gate::Bare { bucket, .. } => bucket.set_rate(rate, now),
            Gate::Own { admission, .. } => admission.set_rate(rate, now),
        }
    }

    /// The rate will be this.
    pub(crate) fn tell_change(&mut self, rate: NonZeroU32) {
        if let Gate::Own { admission, policy, .. } = &mut self.gate
            && policy.change_expected
        {
            admission.expect_rate(Some(rate));
        }
    }

    /// So many are outside, of this node's part.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
    pub(crate) fn tell_backlog(&mut self, agents: u64) {
        if let Gate::Own { admission, policy, .. } = &mut self.gate {
            let told = policy.backlog_told.map(|factor| (agents as f64 * factor).ceil() as u64);
            admission.set_backlog(told);
        }
    }

    pub(crate) fn arrive(&mut self, agent: u32, now: Instant, mix: &mut Mix) -> Answer {
        match &mut self.gate {
            Gate::Bare { bucket, policy } => {
                if bucket.take(now).is_ok() {
                    return Answer::In;
                }
                let retry_after = match *policy {
                    Policy::Within(from, to) => {
                        Some(Duration::from_secs_f64((to - from).mul_add(mix.unit(), from).round()))
                    }
                    Policy::Nothing | Policy::Gate(_) => None,
                };
                Answer::Refused { hold: Duration::ZERO, retry_after }
            }
            Gate::Own { admission, parked, policy } => {
                let identity = policy.identities.then(|| Identity::new(u64::from(agent)));
                let arrival = Arrival { over_share: false, identity };
                match admission.arrive(arrival, now, &mut || mix.unit()) {
                    AdmissionVerdict::Admit => Answer::In,
                    AdmissionVerdict::Park { ticket, .. } => {
                        parked.insert(ticket, agent);
                        Answer::None
                    }
                    AdmissionVerdict::Refuse(refusal) => refusal.into(),
                }
            }
        }
    }

    pub(crate) const fn hold_ended(&mut self) {
        if let Gate::Own { admission, .. } = &mut self.gate {
            admission.hold_ended();
        }
    }

    /// Those whose turn it is, and when to ask again.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        mix: &mut Mix,
        answers: &mut Vec<(u32, Answer)>,
    ) -> Option<Instant> {
        let Gate::Own { admission, parked, .. } = &mut self.gate else { return None };
        let mut turns = Vec::new();
        let next = admission.poll(now, &mut || mix.unit(), &mut turns);
        let answered = turns.into_iter().filter_map(|(ticket, turn)| {
            let answer = match turn {
                ParkVerdict::Admit => Answer::In,
                ParkVerdict::Refuse(refusal) => refusal.into(),
            };
            parked.remove(&ticket).map(|agent| (agent, answer))
        });
        answers.extend(answered);
        next
    }
}
