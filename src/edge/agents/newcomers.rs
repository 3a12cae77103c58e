//! Agents that come on a connection which has others: each asks for admission as one that dials would, and what it says
//! waits meanwhile, so that the others go on. One that has to come again does so here: the gateway
//! that carries it has no use for a refusal.
//!
//! Bounded: with as many waiting as may, the connection is read no further, and its sender is as slow as admission.

use std::collections::HashMap;
use std::future::Future as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::Edge;
use super::super::admission::{self, CountedArrival, Entered, SharingApplicant};
use super::super::budget::HeldBytes;
use crate::ident::InstanceUid;

/// Agents of one connection that ask at one time.
const ASKING_MAX: usize = 64;
/// Messages that wait, and their bytes; one more may be on its way.
const MESSAGES_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;
/// When an agent asks again that was told no time.
const ASKS_AGAIN: Duration = Duration::from_secs(1);

/// See the module's text. Dropping it ends what is asked.
pub(super) struct Newcomers {
    asking: JoinSet<InstanceUid>,
    waiting: HashMap<InstanceUid, Vec<Box<[u8]>>>,
    messages: usize,
    bytes: usize,
    held: HeldBytes,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskOutcome {
    /// The agent is in.
    Admitted,
    /// It waits, and so does its message.
    Waits,
    /// There is no room for its message.
    NoRoom,
}

impl Newcomers {
    pub(super) fn new(edge: &Edge) -> Self {
        Self {
            asking: JoinSet::new(),
            waiting: HashMap::new(),
            messages: 0,
            bytes: 0,
            held: HeldBytes::new(&edge.buffered),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether this agent waits.
    pub(super) fn has(&self, uid: InstanceUid) -> bool {
        self.waiting.contains_key(&uid)
    }

    /// Whether there is room for one more message, of whichever agent.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ASKING_MAX && self.messages < MESSAGES_MAX && self.bytes < BYTES_MAX
    }

    /// An agent that is new to the node says its first message.
    pub(super) fn ask(
        &mut self,
        edge: &Arc<Edge>,
        peer: SocketAddr,
        (uid, message): (InstanceUid, &[u8]),
    ) -> AskOutcome {
        let mut asks = Box::pin(enter(Arc::clone(edge), peer, uid));
        // While the gate is open there is nothing to wait for.
        if asks.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return AskOutcome::Admitted;
        }
        if !self.hold(uid, message) {
            return AskOutcome::NoRoom;
        }
        self.asking.spawn_on(asks, &edge.serving);
        AskOutcome::Waits
    }

    /// Keeps a message of an agent that waits. `false`: too much waits at this node.
    pub(super) fn hold(&mut self, uid: InstanceUid, message: &[u8]) -> bool {
        if !self.held.set(self.bytes + message.len()) {
            self.held.set(self.bytes);
            return false;
        }
        self.bytes += message.len();
        self.messages += 1;
        self.waiting.entry(uid).or_default().push(message.into());
        true
    }

    /// The next agent that is in by now, with what it has said.
    pub(super) fn poll_admitted(
        &mut self,
        context: &mut Context<'_>,
    ) -> Option<(InstanceUid, Vec<Box<[u8]>>)> {
        let Poll::Ready(Some(ended)) = self.asking.poll_join_next(context) else { return None };
        match ended {
            Ok(uid) => {
                let said = self.waiting.remove(&uid).unwrap_or_default();
                self.messages -= said.len();
                self.bytes -= said.iter().map(|message| message.len()).sum::<usize>();
                self.held.set(self.bytes);
                Some((uid, said))
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // It is cancelled by the end of the connection or of the runtime alone.
                Err(_) => None,
            },
        }
    }
}

/// Asks until the agent is in. A drain ends the connection as a whole, and refuses no agent here.
async fn enter(edge: Arc<Edge>, peer: SocketAddr, uid: InstanceUid) -> InstanceUid {
    let mut source = edge.admission.source_of_agent(uid, peer);
    // Others use the connection: a refusal holds up none of them.
    source.patience = source.patience.unheld();
    loop {
        edge.recognise(&mut source, Some(uid), false);
        let mut applicant = SharingApplicant::default();
        let mut counted = CountedArrival::new();
        let entering = admission::enter(&edge.admission, source, &mut applicant, &mut counted);
        let is_in = matches!(Box::pin(entering).await, Entered::Admitted(_));
        if is_in || edge.drains() {
            return uid;
        }
        tokio::time::sleep(applicant.refused.unwrap_or(ASKS_AGAIN)).await;
    }
}
