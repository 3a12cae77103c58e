//! One connection in use: every stream is read whatever becomes of writes, and written in batches. One task
//! serves them all and drives the connection, so that a datagram, its frames, their answers and the next datagram
//! need one wake.
//!
//! **Goodbye.** The node that stops closes its queues, writes what waits, and finishes its streams. The peer
//! reads all of it, does the same, and then the first one closes the connection: both have read everything.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{ConnectionError, RecvStream, SendStream};

use super::driver::NodeConnection;
use super::error::CloseCode;
use super::events::NodeLinkEvents;
use super::link::{CONTROL_MESSAGE, CONTROL_PING, CONTROL_PONG, NodeLink};
use super::loss::LinkLoss;
use super::open::{LinkStream, LinkStreams};
use super::parts::Parts;
use super::transport::{GOODBYE_TIMEOUT, PING_INTERVAL, PING_TIMEOUT, patience};
use crate::clock;
use crate::core::link::{KeepAlive, KeepAliveStep};
use crate::core::peer_link::{
    FrameReader, Haste, Linger, LinkEnd, NOTED_EVERY, STREAMS, SideAtWork, StreamIndex,
};
use crate::telemetry::events::cluster as telemetry;

/// Pieces that one read takes: about what one datagram's worth of small frames or 40 KB of a big one bring.
const CHUNKS: usize = 32;

/// What the parts of a link's service share.
pub(super) struct Service<'a> {
    link: &'a NodeLink,
    connection: &'a NodeConnection,
    events: &'a dyn NodeLinkEvents,
    alive: Mutex<KeepAlive>,
    at_work: Mutex<SideAtWork>,
    /// How many of the peer's streams are read to their end.
    read_to_end: AtomicUsize,
    /// This node said goodbye first.
    leaves: AtomicBool,
}

/// Serves the link until it is over; says how it ended.
pub(super) async fn serve(
    link: &NodeLink,
    connection: &NodeConnection,
    mut streams: LinkStreams,
    events: &dyn NodeLinkEvents,
) -> LinkLoss {
    let alive = Mutex::new(KeepAlive::new(PING_INTERVAL, PING_TIMEOUT, clock::now()));
    let (read_to_end, leaves) = (AtomicUsize::new(0), AtomicBool::new(false));
    let at_work = Mutex::new(SideAtWork::new(clock::now()));
    let service = Service { link, connection, events, alive, at_work, read_to_end, leaves };
    let mut batches: [Vec<u8>; STREAMS] = Default::default();
    let end = {
        // The driver first: it sends all that a round has written.
        let mut parts = Parts::new();
        parts.add(connection.drive());
        let mut writers = Vec::with_capacity(STREAMS);
        for (LinkStream { index, send, recv }, batch) in streams.iter_mut().zip(&mut batches) {
            parts.add(service.read(*index, recv));
            writers.push(service.write(*index, send, batch));
        }
        writers.into_iter().for_each(|writer| parts.add(writer));
        parts.add(service.watch());
        parts.add(service.linger(Haste::Shortly));
        parts.add(service.linger(Haste::Soon));
        parts.add(service.release());
        parts.add(service.overflow());
        parts.add(service.closed());
        parts.first().await
    };
    service.close(end);
    service.loss(end, &batches)
}

impl Service<'_> {
    async fn read(&self, stream: StreamIndex, recv: &mut RecvStream) -> LinkEnd {
        let mut reader = FrameReader::new(self.link.bounds().frame_bytes_max);
        let mut chunks: [Bytes; CHUNKS] = Default::default();
        loop {
            let Ok(read) = recv.read_chunks(&mut chunks).await else {
                // The connection is over, or the peer has reset the stream, which closes it.
                return self.broken().await;
            };
            let Some(count) = read else {
                return self.end_of_stream(&reader).await;
            };
            for chunk in &mut chunks[..count] {
                if let Err(end) = self.feed(stream, &mut reader, &std::mem::take(chunk)) {
                    return end;
                }
            }
            // A peer that sends without end must leave the thread's other tasks their time.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn feed(
        &self,
        stream: StreamIndex,
        reader: &mut FrameReader,
        bytes: &[u8],
    ) -> Result<(), LinkEnd> {
        if self.was_stopped() {
            return Err(LinkEnd::Silent);
        }
        let (mut frames, mut unknown) = (0, None);
        let fed = reader.feed(bytes, &mut |frame| {
            frames += 1;
            if stream != StreamIndex::CONTROL {
                self.events.frame(self.link, frame);
            } else if !self.control(frame) {
                unknown = frame.first().copied().or(Some(u8::MAX));
            }
        });
        telemetry::FramesReceived { frames, bytes: bytes.len() }.emit();
        let peer = self.link.peer_name();
        if let Err(error) = fed {
            telemetry::LinkFault { peer: peer.as_str(), error: &error }.emit();
            return Err(LinkEnd::ProtocolFault);
        }
        if let Some(kind) = unknown {
            let error = format!("control message of unknown kind {kind}");
            telemetry::LinkFault { peer: peer.as_str(), error: &error }.emit();
            return Err(LinkEnd::ProtocolFault);
        }
        Ok(())
    }

    /// `false`: the frame is of a kind that there is not.
    fn control(&self, frame: &[u8]) -> bool {
        match frame.split_first() {
            Some((&CONTROL_MESSAGE, message)) => self.events.control(self.link, message),
            Some((&CONTROL_PING, _)) => self.link.send_sign_of_life(CONTROL_PONG),
            Some((&CONTROL_PONG, _)) => self.heard(),
            _ => return false,
        }
        true
    }

    /// The peer has given the sign of life that it was asked for.
    fn heard(&self) {
        let now = clock::now();
        let asked = {
            let mut alive = self.alive.lock();
            let asked = alive.pinged_at();
            alive.heard(now);
            asked
        };
        if let Some(asked) = asked {
            telemetry::NodeAlive { took: now.saturating_duration_since(asked) }.emit();
        }
    }

    /// The peer says goodbye, or answers this node's.
    async fn end_of_stream(&self, reader: &FrameReader) -> LinkEnd {
        if reader.is_within_a_frame() {
            let peer = self.link.peer_name().as_str();
            telemetry::LinkFault { peer, error: &"a stream ends within a frame" }.emit();
            return LinkEnd::ProtocolFault;
        }
        if self.read_to_end.fetch_add(1, Ordering::Relaxed) + 1 < STREAMS {
            return pending().await;
        }
        if self.leaves.load(Ordering::Relaxed) {
            return LinkEnd::Released;
        }
        self.link.close_queues();
        // The peer closes the connection when it has read the rest.
        tokio::time::sleep(GOODBYE_TIMEOUT).await;
        LinkEnd::Closed
    }

    async fn write(
        &self,
        stream: StreamIndex,
        send: &mut SendStream,
        batch: &mut Vec<u8>,
    ) -> LinkEnd {
        let outgoing = self.link.outgoing(stream);
        loop {
            let (frames, is_closed) = {
                let mut queue = outgoing.queue.lock();
                (queue.take(batch), queue.is_closed())
            };
            if frames == 0 && is_closed {
                let _ = send.finish();
                return pending().await;
            }
            if frames == 0 {
                outgoing.wake.notified().await;
                // Other tasks that are ready to run may have a frame for the same datagram.
                tokio::task::yield_now().await;
                continue;
            }
            let mut written = 0;
            while written < batch.len() {
                let Ok(bytes) = send.write(&batch[written..]).await else {
                    return self.broken().await;
                };
                written += bytes;
                outgoing.queue.lock().written(bytes);
            }
            telemetry::FramesSent { frames, bytes: batch.len() }.emit();
        }
    }

    /// Whether this side was stopped for so long that the peer may have given the link up.
    fn was_stopped(&self) -> bool {
        self.at_work.lock().was_stopped(clock::now())
    }

    /// Asks for signs of life; returns when there is none.
    async fn watch(&self) -> LinkEnd {
        loop {
            let step = self.alive.lock().next(clock::now());
            match step {
                KeepAliveStep::Wait(until) => {
                    let look = until.min(clock::now() + NOTED_EVERY);
                    tokio::time::sleep(look.saturating_duration_since(clock::now())).await;
                    if self.was_stopped() {
                        return LinkEnd::Silent;
                    }
                    self.alive.lock().woken(look, clock::now());
                }
                KeepAliveStep::Ping => self.link.send_sign_of_life(CONTROL_PING),
                KeepAliveStep::Dead => return LinkEnd::Silent,
            }
        }
    }

    /// Has frames written that could wait and found no other to go with.
    async fn linger(&self, haste: Haste) -> LinkEnd {
        let mut linger = Linger::new(haste, patience(haste), clock::now());
        loop {
            self.link.has_patient_frames(haste).await;
            let wait = linger.wait(clock::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            linger.went(self.link.call_writers(haste), clock::now());
        }
    }

    async fn release(&self) -> LinkEnd {
        self.link.released().await;
        self.leaves.store(true, Ordering::Relaxed);
        self.link.close_queues();
        tokio::time::sleep(GOODBYE_TIMEOUT).await;
        LinkEnd::Released
    }

    async fn overflow(&self) -> LinkEnd {
        self.link.overflowed().await;
        LinkEnd::Overflowed
    }

    /// A stream is broken: because the connection is over, whose end says more, or by the peer's fault.
    async fn broken(&self) -> LinkEnd {
        match self.connection.close_reason() {
            Some(_) => pending().await,
            None => LinkEnd::ProtocolFault,
        }
    }

    async fn closed(&self) -> LinkEnd {
        let error = self.connection.closed().await;
        if let Some(end) = self.link.closed_as() {
            return end;
        }
        match error {
            ConnectionError::TimedOut => LinkEnd::Silent,
            ConnectionError::ApplicationClosed(close) => {
                let is = |code: CloseCode| close.error_code == code.into();
                if is(CloseCode::Goodbye) {
                    LinkEnd::Closed
                } else if is(CloseCode::Surplus) {
                    LinkEnd::Replaced
                } else {
                    LinkEnd::Reset
                }
            }
            _ => LinkEnd::Reset,
        }
    }

    fn close(&self, end: LinkEnd) {
        let code = match end {
            LinkEnd::Closed | LinkEnd::Released | LinkEnd::Reset => CloseCode::Goodbye,
            LinkEnd::Silent => CloseCode::Silent,
            LinkEnd::ProtocolFault => CloseCode::ProtocolFault,
            LinkEnd::Replaced => CloseCode::Surplus,
            LinkEnd::LeaseGone => CloseCode::LeaseGone,
            LinkEnd::Overflowed => CloseCode::Overflowed,
        };
        self.connection.close(code.into(), b"");
    }

    /// What became of the frames. From here on the link takes none.
    fn loss(&self, end: LinkEnd, batches: &[Vec<u8>; STREAMS]) -> LinkLoss {
        let (mut handed, mut queued) = ([0; STREAMS], [0; STREAMS]);
        for (stream, batch) in StreamIndex::all().zip(batches) {
            let mut queue = self.link.outgoing(stream).queue.lock();
            queue.close();
            handed[stream.place()] = queue.handed(batch);
            queued[stream.place()] = queue.queued();
        }
        LinkLoss { end, handed, queued }
    }
}
