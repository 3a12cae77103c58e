//! One life of the connection to a peer, as its senders see it: a queue for each stream. Once the link is
//! lost it stays so; the next one is another value. Connections are `serve`'s.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::members::Member;
use crate::core::ownership::{NodeIncarnation, NodeName};
use crate::core::peer_link::{
    FrameBounds, Haste, LinkEnd, NotQueued, STREAMS, StreamIndex, StreamQueue,
};
use crate::ident::InstanceUid;
use crate::telemetry::events::cluster as telemetry;

/// A link to a peer. A clone is the same link.
#[derive(Debug, Clone)]
pub struct NodeLink(Arc<LinkState>);

#[derive(Debug)]
struct LinkState {
    peer: Member,
    bounds: FrameBounds,
    outgoing: [StreamOut; STREAMS],
    shortly: LingerAlarm,
    soon: LingerAlarm,
    /// Woken when the link must end in good order.
    release: Notify,
    /// Woken when it must end at once.
    overflow: Notify,
    /// Why this node has closed the connection, if it has.
    closed_as: OnceLock<LinkEnd>,
}

/// Frames wait that can wait a little.
#[derive(Debug, Default)]
struct LingerAlarm {
    /// How many. Who has them written is woken for the first.
    frames: AtomicU32,
    wake: Notify,
}

/// What waits for one stream, and its writer's alarm.
#[derive(Debug, Default)]
pub(super) struct StreamOut {
    pub(super) queue: Mutex<StreamQueue>,
    pub(super) wake: Notify,
}

/// A frame that a link has taken for sending. [`crate::cluster::LinkLoss::was_handed`] tells its fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SentFrame {
    pub(super) stream: StreamIndex,
    /// Counts the frames of the stream.
    pub(super) number: u64,
}

/// Control frames begin with one byte that says what they are.
pub(super) const CONTROL_MESSAGE: u8 = 0;
pub(super) const CONTROL_PING: u8 = 1;
pub(super) const CONTROL_PONG: u8 = 2;

impl NodeLink {
    pub(super) fn new(peer: Member, bounds: FrameBounds) -> Self {
        let outgoing = std::array::from_fn(|_| StreamOut::default());
        Self(Arc::new(LinkState {
            peer,
            bounds,
            outgoing,
            shortly: LingerAlarm::default(),
            soon: LingerAlarm::default(),
            release: Notify::new(),
            overflow: Notify::new(),
            closed_as: OnceLock::new(),
        }))
    }

    /// Which life of which node this leads to.
    pub fn peer(&self) -> NodeIncarnation {
        self.0.peer.incarnation
    }

    /// The name of that node.
    pub fn peer_name(&self) -> &NodeName {
        &self.0.peer.name
    }

    /// Whether this is the same link as `other`, and not another one to the same peer.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Sends a frame of this agent's, which `write` writes at the end of a buffer. A frame that says
    /// something of many agents goes for one of them: all must have the same
    /// [`StreamIndex::of_agent`].
    ///
    /// # Errors
    /// If the frame is refused. It has gone nowhere then.
    pub fn send(
        &self,
        uid: InstanceUid,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<SentFrame, NotQueued> {
        self.send_when(uid, at_once(write))
    }

    /// Sends a frame of this agent's; `write` also says when it must go.
    ///
    /// # Errors
    /// If the frame is refused. It has gone nowhere then.
    pub fn send_when(
        &self,
        uid: InstanceUid,
        write: impl FnOnce(&mut Vec<u8>) -> Haste,
    ) -> Result<SentFrame, NotQueued> {
        self.push(StreamIndex::of_agent(uid), write)
    }

    /// Sends a control message, which goes before all frames that wait.
    ///
    /// # Errors
    /// If the message is refused. It has gone nowhere then.
    pub fn send_control(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<SentFrame, NotQueued> {
        let write = |out: &mut Vec<u8>| {
            out.push(CONTROL_MESSAGE);
            write(out);
        };
        self.push(StreamIndex::CONTROL, at_once(write))
    }

    /// A ping or a pong. Where control's queue is full the peer reads too slowly to be alive.
    pub(super) fn send_sign_of_life(&self, kind: u8) {
        let _ = self.push(StreamIndex::CONTROL, at_once(|out| out.push(kind)));
    }

    fn push(
        &self,
        stream: StreamIndex,
        write: impl FnOnce(&mut Vec<u8>) -> Haste,
    ) -> Result<SentFrame, NotQueued> {
        let StreamOut { queue, wake } = &self.0.outgoing[stream.place()];
        let mut queue = queue.lock();
        let mut haste = Haste::Now;
        let number = queue.push(&self.0.bounds, |out| haste = write(out));
        // The writer takes all there is, so it is called once.
        let calls = number.is_ok() && haste == Haste::Now && queue.call();
        let is_patient = queue.is_patient();
        drop(queue);
        match number {
            Ok(number) => {
                if calls {
                    wake.notify_one();
                }
                if is_patient
                    && let Some(alarm) = self.linger_alarm(haste)
                    && alarm.frames.fetch_add(1, Ordering::Relaxed) == 0
                {
                    alarm.wake.notify_one();
                }
                Ok(SentFrame { stream, number })
            }
            Err(refused) => {
                telemetry::FrameRefused { refused }.emit();
                Err(refused)
            }
        }
    }

    /// Bytes that wait for all streams.
    pub fn waiting_bytes(&self) -> usize {
        self.0.outgoing.iter().map(|outgoing| outgoing.queue.lock().waiting_bytes()).sum()
    }

    pub(super) fn bounds(&self) -> &FrameBounds {
        &self.0.bounds
    }

    pub(super) fn outgoing(&self, stream: StreamIndex) -> &StreamOut {
        &self.0.outgoing[stream.place()]
    }

    fn linger_alarm(&self, haste: Haste) -> Option<&LingerAlarm> {
        match haste {
            Haste::Now => None,
            Haste::Shortly => Some(&self.0.shortly),
            Haste::Soon => Some(&self.0.soon),
        }
    }

    /// Waits for a frame of this haste, which can wait; for ever if none can.
    pub(super) async fn has_patient_frames(&self, haste: Haste) {
        match self.linger_alarm(haste) {
            Some(alarm) => alarm.wake.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Frames of this haste have waited long enough: has all that waits written. Returns how many of this haste waited.
    pub(super) fn call_writers(&self, haste: Haste) -> u32 {
        let frames =
            self.linger_alarm(haste).map_or(0, |alarm| alarm.frames.swap(0, Ordering::Relaxed));
        for StreamOut { queue, wake } in &self.0.outgoing {
            let mut queue = queue.lock();
            if queue.is_patient() && queue.call() {
                wake.notify_one();
            }
        }
        frames
    }

    /// From now on nothing is accepted; writers write what waits.
    pub(super) fn close_queues(&self) {
        for StreamOut { queue, wake } in &self.0.outgoing {
            queue.lock().close();
            wake.notify_one();
        }
    }

    /// Ends the link at once, for one whose frames were refused as [`NotQueued::Full`] and have no other way.
    /// From here on it takes none, so that no later frame of an agent goes before an earlier one.
    pub fn end_overflowed(&self) {
        self.0.outgoing.iter().for_each(|outgoing| outgoing.queue.lock().close());
        self.0.overflow.notify_one();
    }

    /// Waits for [`NodeLink::end_overflowed`].
    pub(super) async fn overflowed(&self) {
        self.0.overflow.notified().await;
    }

    /// Ends the link in good order: what waits is written, and what the peer has sent is read.
    pub(super) fn release(&self) {
        self.0.release.notify_one();
    }

    /// This node closes the connection, for this reason.
    pub(super) fn closes_as(&self, end: LinkEnd) {
        let _ = self.0.closed_as.set(end);
    }

    /// Why this node has closed the connection.
    pub(super) fn closed_as(&self) -> Option<LinkEnd> {
        self.0.closed_as.get().copied()
    }

    /// Waits for [`NodeLink::release`].
    pub(super) async fn released(&self) {
        self.0.release.notified().await;
    }
}

fn at_once(write: impl FnOnce(&mut Vec<u8>)) -> impl FnOnce(&mut Vec<u8>) -> Haste {
    |out| {
        write(out);
        Haste::Now
    }
}
