//! What an arrival does between its request and its answer: it asks, and then waits at little cost.
//!
//! The same for each transport. An arrival is what a transport takes for one: over HTTP/1.1 a connection, or an
//! agent's first request on a connection that others use, too; over HTTP/2 or HTTP/3 it would be a stream.

use std::future::{Future, pending};
use std::time::{Duration, Instant};

use super::shared::{Decided, HeldRefusal};
use super::{AdmissionService, ArrivalSource};
use crate::clock;
use crate::core::admission::{Outcome, ParkVerdict, PassReason};
use crate::telemetry::events::admission::AdmissionDecided;

/// The agent behind an arrival, as its transport knows it.
pub(in crate::edge) trait Applicant: Send {
    /// Completes when the agent has gone away. It may be dropped before and asked for again; what the agent
    /// has sent stays unread.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether the agent has gone away by now: looked at when its moment comes, whatever it has sent before.
    fn is_gone(&mut self) -> bool;

    /// Whether an agent that looks gone may wait for its answer still: it may have ended its own side alone.
    fn may_listen(&self) -> bool;

    /// Tells the agent, in the form that its client obeys, to come again after this time, in whole seconds, and ends the
    /// arrival.
    fn refuse(&mut self, retry_after: Duration) -> impl Future<Output = ()> + Send;
}

/// An agent on a connection that others use, too. The task of the connection drops it when the connection ends.
#[derive(Default)]
pub(in crate::edge) struct SharingApplicant {
    /// When it should come again, if it was refused.
    pub(in crate::edge) refused: Option<Duration>,
}

impl Applicant for SharingApplicant {
    fn gone(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }

    fn is_gone(&mut self) -> bool {
        false
    }

    fn may_listen(&self) -> bool {
        true
    }

    async fn refuse(&mut self, retry_after: Duration) {
        self.refused = Some(retry_after);
    }
}

/// By what an agent is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum LetIn {
    /// An entry of the rate.
    Entry,
    /// Its session.
    Session,
    /// The share of clients that can be told nothing.
    Untold,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Entered {
    /// The agent is let in.
    Admitted(LetIn),
    /// The agent has been told to come again; the arrival is over.
    Refused,
    /// The agent has gone.
    Left,
}

/// Counts an arrival with exactly one outcome, on every path.
pub(in crate::edge) struct CountedArrival {
    open: bool,
    parked: Option<Instant>,
    /// How long it was parked before it was let in.
    waited: Duration,
}

impl CountedArrival {
    /// An arrival that has yet to ask.
    pub(in crate::edge) const fn new() -> Self {
        Self { open: true, parked: None, waited: Duration::ZERO }
    }

    /// How long it was parked.
    pub(in crate::edge) const fn waited(&self) -> Duration {
        self.waited
    }

    fn count(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.open) {
            let parked = self.parked.map(|since| clock::now().saturating_duration_since(since));
            self.waited = parked.unwrap_or_default();
            AdmissionDecided { outcome, parked: self.waited }.emit();
        }
    }
}

impl Drop for CountedArrival {
    fn drop(&mut self) {
        let parked = self.parked.is_some();
        self.count(if parked { Outcome::Left } else { Outcome::NotAsked });
    }
}

/// Asks for admission, waits if it has to, and refuses if that is the verdict.
pub(in crate::edge) async fn enter(
    admission: &AdmissionService,
    source: ArrivalSource,
    applicant: &mut impl Applicant,
    counted: &mut CountedArrival,
) -> Entered {
    // In an accept queue that was left alone stand agents that have long given up.
    let is_gone = applicant.is_gone();
    if is_gone && !applicant.may_listen() {
        counted.count(Outcome::Left);
        return Entered::Left;
    }
    let refused = match admission.shared.arrive(admission.arrival(source)) {
        Decided::Admit => {
            counted.count(Outcome::Admitted);
            return Entered::Admitted(LetIn::Entry);
        }
        Decided::Pass(pass) => {
            counted.count(Outcome::Passed(pass));
            return Entered::Admitted(match pass {
                PassReason::Session => LetIn::Session,
                PassReason::Untold => LetIn::Untold,
            });
        }
        Decided::Refuse(refused) => refused,
        Decided::Park(_) if is_gone => {
            counted.count(Outcome::Left);
            return Entered::Left;
        }
        Decided::Park(mut parked) => {
            counted.parked = Some(clock::now());
            let verdict = tokio::select! {
                biased;
                verdict = parked.verdict() => verdict,
                () = applicant.gone() => None,
            };
            match verdict {
                Some(ParkVerdict::Admit | ParkVerdict::Pass) if applicant.is_gone() => {
                    if verdict == Some(ParkVerdict::Admit) {
                        parked.give_back();
                    }
                    counted.count(Outcome::Left);
                    return Entered::Left;
                }
                Some(ParkVerdict::Admit) => {
                    counted.count(Outcome::AdmittedFromPark);
                    return Entered::Admitted(LetIn::Entry);
                }
                Some(ParkVerdict::Pass) => {
                    counted.count(Outcome::Passed(PassReason::Session));
                    return Entered::Admitted(LetIn::Session);
                }
                Some(ParkVerdict::Refuse(refusal)) => parked.refused(refusal),
                None => {
                    counted.count(Outcome::Left);
                    return Entered::Left;
                }
            }
        }
    };
    counted.count(Outcome::Refused(refused.refusal.reason));
    // Boxed: a parked arrival should hold memory only for what it does now.
    Box::pin(refuse(refused, applicant)).await;
    Entered::Refused
}

/// Holds the refusal, then sends it.
async fn refuse(refused: HeldRefusal, applicant: &mut impl Applicant) {
    let refusal = refused.refusal;
    if !refusal.hold.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(refusal.hold) => {}
            () = applicant.gone() => return,
        }
    }
    // The place is free again before the transport closes, which takes its time.
    drop(refused);
    // The same for a held one.
    Box::pin(applicant.refuse(refusal.retry_after)).await;
}
