//! A connection that ends at another node stands behind [`AttachmentPort`] as one of this node does: what the session
//! asks of it becomes frames, by `core::attachment`.

use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::core::attachment::{
    ConnectionAt, HomeAttachment, HomeMoment, HomePolicy, HomePort, SessionCall,
};
use crate::core::node_link::{
    AgentReport, AgentTransport, Attach, CloseOrder, ForAgentKind, ToFront,
};
use crate::core::ownership::{Epoch, NodeIncarnation};
use crate::core::session::ToAgent;
use crate::opamp::field_set::FieldSet;
use crate::sessions::attachment_port::{AttachmentPort, Credit};

/// Frames on their way to the front.
#[derive(Default)]
struct Frames(Vec<Vec<u8>>);

impl<'a> HomePort<'a> for Frames {
    fn to_front(&mut self, _: NodeIncarnation, message: &ToFront<'_>) {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        self.0.push(frame);
    }

    fn needs(&self, _: &AgentReport<'_>) -> FieldSet {
        FieldSet::EMPTY
    }

    fn session(&mut self, _: SessionCall<'a>) {}

    fn next_number(&mut self) -> u64 {
        1
    }
}

/// The home's side of a connection, with a lock of its own, as an outbox has one.
struct FarConnection {
    epoch: Epoch,
    state: Mutex<(HomeAttachment, Frames)>,
}

impl AttachmentPort for FarConnection {
    fn message(
        &self,
        kind: ToAgent,
        credit: &Credit<'_>,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let mut bytes = Vec::with_capacity(kind.expected_bytes());
        write(&mut bytes);
        let kind = match kind {
            ToAgent::ReplyNow | ToAgent::Acknowledgement | ToAgent::Reply(_) => {
                ForAgentKind::Answer
            }
            ToAgent::Push(_) | ToAgent::Stored(_) => ForAgentKind::Unasked,
        };
        let (home, frames) = &mut *self.state.lock();
        let before = home.unwritten_bytes();
        let fits = home.for_agent(kind, &bytes, self.epoch, frames);
        credit.counters.outbox_changed(before, home.unwritten_bytes());
        fits
    }

    fn reply_due(&self, at: Option<Instant>) {
        self.state.lock().0.reply_due(at);
    }

    fn close(&self, counters: &Counters, why: AttachmentEnd) -> bool {
        let order = match why {
            AttachmentEnd::Replaced => CloseOrder::Replaced,
            AttachmentEnd::Overflowed => CloseOrder::Overflowed,
            AttachmentEnd::Left | AttachmentEnd::Answered { .. } => CloseOrder::Left,
            AttachmentEnd::Stopping => CloseOrder::Stopping,
            AttachmentEnd::Draining => CloseOrder::Draining,
        };
        let (home, frames) = &mut *self.state.lock();
        let before = home.unwritten_bytes();
        let unwritten = home.close(order, frames);
        counters.outbox_changed(before, home.unwritten_bytes());
        unwritten
    }

    fn close_when_written(&self) {
        let (home, frames) = &mut *self.state.lock();
        home.close(CloseOrder::Draining, frames);
    }
}

fn attached(now: Instant) -> FarConnection {
    let taker = NodeIncarnation::new(1).unwrap();
    let epoch = Epoch { number: 3, taker };
    let policy = HomePolicy { answer_wait: Duration::from_secs(1), credit: 1_000 };
    let attach = Attach {
        resumes: None,
        transport: AgentTransport::WebSocket,
        client: 0,
        identity: &[],
        forwarded_lately: false,
        next: 1,
        had: 0,
        credit: 100,
        heartbeats: None,
        first: None,
    };
    let at = ConnectionAt { front: NodeIncarnation::new(2).unwrap(), connection: ConnectionId(5) };
    let (mut home, mut frames) =
        (HomeAttachment::new(InstanceUid::from_bytes([7; 16])), Frames::default());
    home.attach(at, &attach, &HomeMoment { now, epoch, policy: &policy }, &mut frames);
    FarConnection { epoch, state: Mutex::new((home, frames)) }
}

#[test]
fn a_connection_of_another_node_is_driven_through_the_same_port() {
    let (now, counters) = (clock::now(), Counters::default());
    let far = attached(now);
    let credit = Credit { bytes_max: 100, total_bytes_max: 1_000, counters: &counters };
    let put = |kind, bytes: &[u8]| {
        far.message(kind, &credit, &mut |out: &mut Vec<u8>| out.extend_from_slice(bytes))
    };
    let offer = [&[0x1a, 80][..], &[0x1a; 80]].concat();
    assert!(put(ToAgent::ReplyNow, &[]) && counters.agent_bytes() == 0, "it says nothing");
    assert!(put(ToAgent::Push(82), &offer));
    assert_eq!(counters.agent_bytes(), 82);
    far.reply_due(Some(now));
    assert_eq!(far.state.lock().0.deadline(), Some(now));
    assert!(far.close(&counters, AttachmentEnd::Replaced), "the offer is not known to be written");
    assert_eq!(counters.agent_bytes(), 0);
    let frames = std::mem::take(&mut far.state.lock().1.0);
    let kinds: Vec<_> = frames.iter().map(|frame| ToFront::decode(frame).unwrap()).collect();
    assert!(matches!(
        kinds[..],
        [
            ToFront::Attached(..),
            ToFront::ForAgent(_, _),
            ToFront::ForAgent(_, _),
            ToFront::Close(_, CloseOrder::Replaced),
        ]
    ));
    let next = attached(now);
    let put = |bytes: &[u8]| {
        next.message(ToAgent::Push(82), &credit, &mut |out: &mut Vec<u8>| {
            out.extend_from_slice(bytes);
        })
    };
    assert!(
        put(&offer) && !put(&offer),
        "an agent that reads too slowly costs itself its connection"
    );
}
