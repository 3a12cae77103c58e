//! The task of one member: dials it, takes what it dials, and keeps one connection in use for as long as the
//! member has a lease. `core::peer_link::Pairing` says which one, `core::link::Redial` when to dial.
//!
//! What takes time (a dial, the wait for streams, the service of a link) is a task of its own, whose end
//! is an event here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Endpoint;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::accept::dial;
use super::driver::NodeConnection;
use super::error::{CloseCode, NotLinked, report_not_accepted};
use super::events::NodeLinkEvents;
use super::link::NodeLink;
use super::members::{KnownMembers, Member};
use super::open::{LinkStreams, begin, follow};
use super::serve::serve;
use crate::clock;
use crate::core::backoff::Rule;
use crate::core::link::{Redial, RedialFacts, RedialStep};
use crate::core::ownership::NodeIncarnation;
use crate::core::peer_link::{
    Attempt, Dialler, FrameBounds, LinkEnd, Pairing, PairingEffect, PairingEvent,
};
use crate::telemetry::events::cluster as telemetry;

/// Nodes are few, and a link that is down holds agents up: dials follow each other soon, and at most 3 s
/// apart, so that a peer that is back is linked within a third of a lease time.
const REDIAL: Rule = Rule {
    initial: Duration::from_millis(200),
    max: Duration::from_secs(2),
    stable_after: Duration::from_secs(5),
};

/// What all members' tasks share.
#[derive(Clone)]
pub(super) struct PeerSurroundings {
    pub(super) endpoint: Endpoint,
    pub(super) incarnation: NodeIncarnation,
    pub(super) members: KnownMembers,
    pub(super) bounds: FrameBounds,
    pub(super) events: Arc<dyn NodeLinkEvents>,
    /// Whether this node stops.
    pub(super) stopped: watch::Receiver<bool>,
}

/// See the module's text.
pub(super) struct PeerTask {
    around: PeerSurroundings,
    member: Member,
    inbox: mpsc::Receiver<NodeConnection>,
    pairing: Pairing,
    redial: Redial,
    /// Failures since the member was last linked.
    failures: u32,
    next_attempt: u64,
    connections: HashMap<Attempt, OpenConnection>,
    work: JoinSet<PeerWork>,
    dial: Option<AbortHandle>,
    /// Held while a link is in use: the next one is reached after this one is lost.
    one_at_a_time: Arc<Semaphore>,
}

/// A connection that is open.
struct OpenConnection {
    connection: NodeConnection,
    dialler: Dialler,
    /// What a follower has found on it.
    streams: Option<LinkStreams>,
    /// Once it is in use.
    link: Option<NodeLink>,
}

/// What has ended.
enum PeerWork {
    Dial(Result<NodeConnection, NotLinked>),
    /// A follower's wait for the decider.
    Follow(Attempt, Result<LinkStreams, NotLinked>),
    /// A connection that waited unused.
    Wait(Attempt, NotLinked),
    Serve(Attempt, Result<Served, NotLinked>),
}

/// A link that was reached and is lost.
struct Served {
    since: Instant,
}

/// What the task has waited for.
enum PeerHappened {
    Accepted(NodeConnection),
    Ended(PeerWork),
    DialDue,
    LeaseChanged,
    Nothing,
    Stop,
}

impl PeerTask {
    pub(super) fn new(
        around: PeerSurroundings,
        member: Member,
        inbox: mpsc::Receiver<NodeConnection>,
    ) -> Self {
        let pairing = Pairing::new(around.incarnation < member.incarnation);
        Self {
            around,
            member,
            inbox,
            pairing,
            redial: Redial::new(REDIAL, clock::now()),
            failures: 0,
            next_attempt: 0,
            connections: HashMap::new(),
            work: JoinSet::new(),
            dial: None,
            one_at_a_time: Arc::new(Semaphore::new(1)),
        }
    }

    /// Runs until the lease is gone or this node stops.
    pub(super) async fn run(mut self) {
        let end = loop {
            match self.next().await {
                PeerHappened::Accepted(connection) => self.opened(connection, Dialler::Peer),
                PeerHappened::Ended(done) => self.done(done),
                PeerHappened::DialDue => self.start_dial(),
                PeerHappened::Nothing => {}
                PeerHappened::LeaseChanged => {
                    match self.around.members.by_incarnation(self.member.incarnation) {
                        Some(member) => self.member = member,
                        None => break LinkEnd::LeaseGone,
                    }
                }
                PeerHappened::Stop => break LinkEnd::Released,
            }
        };
        self.end(end).await;
    }

    async fn next(&mut self) -> PeerHappened {
        let due = self.dial_due();
        let due = async {
            match due {
                Some(due) => tokio::time::sleep(due.saturating_duration_since(clock::now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(connection) = self.inbox.recv() => PeerHappened::Accepted(connection),
            // An error is a dial that was given up.
            Some(done) = self.work.join_next() => done.map_or(PeerHappened::Nothing, PeerHappened::Ended),
            () = due => PeerHappened::DialDue,
            () = self.around.members.changed() => PeerHappened::LeaseChanged,
            _ = self.around.stopped.wait_for(|stopped| *stopped) => PeerHappened::Stop,
        }
    }

    /// When to dial, if at all.
    fn dial_due(&mut self) -> Option<Instant> {
        if self.member.address.is_none() || !self.pairing.wants_dial() {
            return None;
        }
        let facts =
            RedialFacts { released: false, holds_still: false, held: None, jitter: rand::random() };
        let now = clock::now();
        match self.redial.next(facts, now) {
            RedialStep::Wait(until) => Some(until),
            RedialStep::Dial | RedialStep::HoldStill | RedialStep::End => Some(now),
        }
    }

    fn start_dial(&mut self) {
        self.pair(PairingEvent::Dialling);
        let (endpoint, member) = (self.around.endpoint.clone(), self.member.clone());
        let dial = self.work.spawn(async move { PeerWork::Dial(dial(endpoint, member).await) });
        self.dial = Some(dial);
    }

    fn opened(&mut self, connection: NodeConnection, dialler: Dialler) {
        let attempt = Attempt(self.next_attempt);
        self.next_attempt += 1;
        let open =
            OpenConnection { connection: connection.clone(), dialler, streams: None, link: None };
        self.connections.insert(attempt, open);
        if self.around.incarnation < self.member.incarnation {
            self.work
                .spawn(async move { PeerWork::Wait(attempt, connection.closed().await.into()) });
        } else {
            self.work.spawn(async move { PeerWork::Follow(attempt, follow(&connection).await) });
        }
        self.pair(PairingEvent::Open(attempt, dialler));
    }

    fn done(&mut self, done: PeerWork) {
        match done {
            PeerWork::Dial(Ok(connection)) => self.opened(connection, Dialler::Own),
            PeerWork::Dial(Err(error)) => {
                self.failed(&error);
                self.pair(PairingEvent::DialFailed);
            }
            PeerWork::Follow(attempt, Ok(streams)) => {
                if let Some(open) = self.connections.get_mut(&attempt) {
                    open.streams = Some(streams);
                    self.pair(PairingEvent::Begun(attempt));
                }
            }
            // A connection in use ends with its service.
            PeerWork::Wait(attempt, _) if self.pairing.in_use() == Some(attempt) => {}
            PeerWork::Follow(attempt, Err(error)) | PeerWork::Wait(attempt, error) => {
                self.ended(attempt, Some(&error));
            }
            PeerWork::Serve(attempt, Err(error)) => self.ended(attempt, Some(&error)),
            PeerWork::Serve(attempt, Ok(Served { since })) => {
                self.failures = 0;
                self.redial.lost(rand::random(), since, clock::now());
                self.ended(attempt, None);
            }
        }
    }

    /// Counts and reports that no link came of it.
    fn failed(&mut self, error: &NotLinked) {
        let (peer, address) = (self.member.name.as_str(), self.member.address);
        // Without another connection in use the dials must keep their distance all the same.
        if matches!(error, NotLinked::Surplus) && self.pairing.in_use().is_some() {
            telemetry::NodeDialSurplus { peer, address }.emit();
            return;
        }
        let retry_after = self.redial.failed(rand::random(), None, clock::now());
        let (first, result, culprit) = (self.failures == 0, error.dial_result(), error.culprit());
        self.failures = self.failures.saturating_add(1);
        telemetry::NodeDialFailed {
            peer,
            address,
            result,
            error,
            culprit: &culprit,
            first,
            retry_after,
        }
        .emit();
    }

    /// A connection is over. With an error if it was never in use.
    fn ended(&mut self, attempt: Attempt, error: Option<&NotLinked>) {
        let Some(open) = self.connections.remove(&attempt) else { return };
        open.connection.close(CloseCode::Surplus.into(), b"");
        match (error, open.dialler) {
            (None, _) => {}
            (Some(error), Dialler::Own) => self.failed(error),
            (Some(error), Dialler::Peer) => {
                report_not_accepted(open.connection.remote_address(), error);
            }
        }
        self.pair(PairingEvent::Ended(attempt));
    }

    fn pair(&mut self, event: PairingEvent) {
        for effect in self.pairing.handle(event) {
            match effect {
                PairingEffect::AbortDial => {
                    if let Some(dial) = self.dial.take() {
                        dial.abort();
                    }
                }
                PairingEffect::Close(attempt) => self.close(attempt, LinkEnd::Replaced),
                PairingEffect::Begin(attempt) | PairingEffect::Use(attempt) => self.serve(attempt),
            }
        }
    }

    /// Closes a connection. Its task reports the end.
    fn close(&self, attempt: Attempt, end: LinkEnd) {
        let Some(open) = self.connections.get(&attempt) else { return };
        let code = match end {
            LinkEnd::LeaseGone => CloseCode::LeaseGone,
            _ => CloseCode::Surplus,
        };
        if let Some(link) = &open.link {
            link.closes_as(end);
        }
        open.connection.close(code.into(), b"");
    }

    /// Uses a connection.
    fn serve(&mut self, attempt: Attempt) {
        let Some(open) = self.connections.get_mut(&attempt) else { return };
        let link = NodeLink::new(self.member.clone(), self.around.bounds);
        open.link = Some(link.clone());
        let (connection, streams) = (open.connection.clone(), open.streams.take());
        let (events, dialler) = (Arc::clone(&self.around.events), open.dialler);
        let one_at_a_time = Arc::clone(&self.one_at_a_time);
        self.work.spawn(async move {
            let streams = match streams {
                Some(streams) => Ok(streams),
                None => begin(&connection).await,
            };
            let streams = match streams {
                Ok(streams) => streams,
                Err(error) => return PeerWork::Serve(attempt, Err(error)),
            };
            // The semaphore is never closed.
            let _alone = one_at_a_time.acquire_owned().await;
            let since = clock::now();
            let peer = link.peer_name().as_str();
            telemetry::NodeLinkUp { peer, dialler }.emit();
            events.reached(&link);
            let loss = serve(&link, &connection, streams, &*events).await;
            let held = clock::now().saturating_duration_since(since);
            let (handed, dropped) = (loss.handed_frames(), loss.dropped_frames());
            telemetry::NodeLinkLost { peer, end: loss.end, held, handed, dropped }.emit();
            events.lost(&link, &loss);
            PeerWork::Serve(attempt, Ok(Served { since }))
        });
    }

    /// Ends what there is: with a goodbye if this node stops, else at once.
    async fn end(mut self, end: LinkEnd) {
        self.inbox.close();
        if let Some(dial) = self.dial.take() {
            dial.abort();
        }
        let in_use = self.pairing.in_use();
        for (attempt, open) in &self.connections {
            match &open.link {
                Some(link) if end == LinkEnd::Released && in_use == Some(*attempt) => {
                    link.release()
                }
                _ => self.close(*attempt, end),
            }
        }
        while let Some(done) = self.work.join_next().await {
            // What a dial has brought in the meantime is closed by being dropped.
            drop(done);
        }
    }
}
