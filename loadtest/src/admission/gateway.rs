//! Admission of one node under a policy: the gateway's own code, or the bare token bucket of other
//! gateways.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use seawall::core::admission::{
    Admission, AdmissionVerdict, Arrival, Identity, ParkVerdict, Refusal, Ticket,
};
use seawall::core::bucket::Bucket;

use super::scenario::{AdmissionPolicy, RefusalPolicy};
use crate::fleet::Mix;

/// What an agent notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdmissionAnswer {
    /// It is in.
    Admitted,
    /// It waits.
    None,
    /// It is refused after `hold`, and told `retry_after` if anything.
    Refused { hold: Duration, retry_after: Option<Duration> },
}

impl From<Refusal> for AdmissionAnswer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { hold: refusal.hold, retry_after: Some(refusal.retry_after) }
    }
}

/// A node.
pub(crate) struct AdmissionNode {
    admission: NodeAdmission,
    /// Whether its next poll is scheduled already.
    pub(crate) poll_due: bool,
}

enum NodeAdmission {
    Bare { bucket: Bucket, policy: RefusalPolicy },
    Own { admission: Box<Admission>, parked: HashMap<Ticket, u32>, policy: AdmissionPolicy },
}

impl AdmissionNode {
    pub(crate) fn new(policy: RefusalPolicy, rate: NonZeroU32, now: Instant) -> Self {
        let admission = match policy {
            RefusalPolicy::Admission(policy) => {
                let admission = Box::new(Admission::new(policy.params(rate), now));
                NodeAdmission::Own { admission, parked: HashMap::new(), policy }
            }
            policy => {
                let bucket = Bucket::with_depth(rate, Duration::from_secs(1), now);
                NodeAdmission::Bare { bucket, policy }
            }
        };
        Self { admission, poll_due: false }
    }

    pub(crate) fn set_rate(&mut self, rate: NonZeroU32, now: Instant) {
        match &mut self.admission {
            NodeAdmission::Bare { bucket, .. } => bucket.set_rate(rate, now),
            NodeAdmission::Own { admission, .. } => admission.set_rate(rate, now),
        }
    }

    /// The rate will be this.
    pub(crate) fn tell_change(&mut self, rate: NonZeroU32) {
        if let NodeAdmission::Own { admission, policy, .. } = &mut self.admission
            && policy.change_expected
        {
            admission.expect_rate(Some(rate));
        }
    }

    /// Tells how many agents of this node's part are disconnected.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
    pub(crate) fn tell_backlog(&mut self, agents: u64) {
        if let NodeAdmission::Own { admission, policy, .. } = &mut self.admission {
            let told = policy.backlog_told.map(|factor| (agents as f64 * factor).ceil() as u64);
            admission.set_backlog(told);
        }
    }

    pub(crate) fn arrive(&mut self, agent: u32, now: Instant, mix: &mut Mix) -> AdmissionAnswer {
        match &mut self.admission {
            NodeAdmission::Bare { bucket, policy } => {
                if bucket.take(now).is_ok() {
                    return AdmissionAnswer::Admitted;
                }
                let retry_after = match *policy {
                    RefusalPolicy::Within(from, to) => {
                        Some(Duration::from_secs_f64((to - from).mul_add(mix.unit(), from).round()))
                    }
                    RefusalPolicy::Nothing | RefusalPolicy::Admission(_) => None,
                };
                AdmissionAnswer::Refused { hold: Duration::ZERO, retry_after }
            }
            NodeAdmission::Own { admission, parked, policy } => {
                let identity = policy.identities.then(|| Identity::new(u64::from(agent)));
                let arrival = Arrival { identity, ..Arrival::default() };
                match admission.arrive(arrival, now, &mut || mix.unit()) {
                    AdmissionVerdict::Admit | AdmissionVerdict::Pass(_) => {
                        AdmissionAnswer::Admitted
                    }
                    AdmissionVerdict::Park { ticket, .. } => {
                        parked.insert(ticket, agent);
                        AdmissionAnswer::None
                    }
                    AdmissionVerdict::Refuse(refusal) => refusal.into(),
                }
            }
        }
    }

    pub(crate) fn hold_ended(&mut self) {
        if let NodeAdmission::Own { admission, .. } = &mut self.admission {
            admission.hold_ended();
        }
    }

    /// Appends the answers that are due now, and returns when to ask again.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        mix: &mut Mix,
        answers: &mut Vec<(u32, AdmissionAnswer)>,
    ) -> Option<Instant> {
        let NodeAdmission::Own { admission, parked, .. } = &mut self.admission else { return None };
        let mut turns = Vec::new();
        let next = admission.poll(now, &mut || mix.unit(), &mut turns);
        let answered = turns.into_iter().filter_map(|(ticket, turn)| {
            let answer = match turn {
                ParkVerdict::Admit | ParkVerdict::Pass => AdmissionAnswer::Admitted,
                ParkVerdict::Refuse(refusal) => refusal.into(),
            };
            parked.remove(&ticket).map(|agent| (agent, answer))
        });
        answers.extend(answered);
        next
    }
}
