//! Agents' connections here whose sessions are at another node, which the test is.

mod requests;
mod rounds;
mod sockets;

use super::ways::{FakeWays, HOME, node};
use super::*;
use crate::core::node_link::{
    AgentFrame, Attached, AttachmentId, CloseOrder, ForAgentKind, Handle, ToFront,
};
use crate::core::ownership::Epoch;
use crate::opamp::field_set::FieldSet;

/// The table of a node that is one of a fleet.
struct FrontBench {
    bench: Bench,
    ways: Arc<FakeWays>,
}

impl FrontBench {
    fn new(params: SessionsParams) -> Self {
        let (bench, ways) = (Bench::new(params), Arc::<FakeWays>::default());
        bench.sessions.join_fleet(Arc::clone(&ways) as _);
        let it = Self { bench, ways };
        it.moves(Some((HOME, 1)));
        it.ways.sent_to(HOME);
        it
    }

    fn fleet(&self) -> InFleet<'_> {
        self.bench.sessions.in_fleet().unwrap()
    }

    /// All shards have this home and tenure from now on.
    fn moves(&self, home: Option<(u64, u64)>) {
        self.ways.set_home(home);
        self.fleet().homes_changed();
    }

    /// The home says this of the agent's latest connection.
    fn home_says(&self, n: u8, message: impl FnOnce(Handle) -> ToFront<'static>) {
        let handle = self.handle(n);
        self.home_says_of(handle, message);
    }

    fn home_says_of(&self, handle: Handle, message: impl FnOnce(Handle) -> ToFront<'static>) {
        let mut frame = Vec::new();
        message(handle).encode(&mut frame);
        self.fleet().from_node(node(HOME), &frame).unwrap();
    }

    /// The name of the agent's latest connection.
    fn handle(&self, n: u8) -> Handle {
        self.fleet().joined.fronts.latest_handle(uid(n)).unwrap()
    }

    /// An agent that is attached, and has the answer to its first report.
    fn attached(&self, n: u8) -> Agent<'_> {
        let mut agent = Agent::new(&self.bench, n, u64::from(n));
        assert_eq!(agent.says(full()), []);
        self.home_says(n, |handle| attached(handle, 1));
        self.home_says(n, |handle| answer(handle, 1, &[]));
        assert_eq!(agent.reads().len(), 1);
        self.ways.sent_to(HOME);
        agent
    }

    fn sent(&self) -> Vec<String> {
        self.ways.sent_to(HOME)
    }
}

impl Default for FrontBench {
    fn default() -> Self {
        Self::new(SessionsParams::default())
    }
}

fn attached(handle: Handle, had: u64) -> ToFront<'static> {
    let epoch = Epoch { number: 1, taker: node(HOME) };
    let id = AttachmentId { epoch, number: handle.connection.0 };
    let needs = FieldSet::EMPTY;
    ToFront::Attached(handle, Attached { id, epoch: 1, had, needs, credit: 1 << 20 })
}

fn answer(handle: Handle, had: u64, bytes: &'static [u8]) -> ToFront<'static> {
    let kind = ForAgentKind::Answer;
    ToFront::AgentFrame(handle, AgentFrame { epoch: 1, had, number: 0, kind, bytes })
}

/// An empty offer of a configuration, with its number.
fn push(handle: Handle, number: u64) -> ToFront<'static> {
    let kind = ForAgentKind::Unasked;
    let bytes = &[0x1a, 0];
    ToFront::AgentFrame(handle, AgentFrame { epoch: 1, had: 1, number, kind, bytes })
}

fn close(handle: Handle, order: CloseOrder) -> ToFront<'static> {
    ToFront::Close(handle, order)
}
