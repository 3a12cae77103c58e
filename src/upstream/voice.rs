//! Whether this node may speak to servers, for all that do. One node alone always may. In a fleet the right can be
//! lost at any moment (docs/OWNERSHIP.md, "Who may speak"); `core::ownership` decides, and the fleet says so here.
//!
//! A node that *holds still* is to its sessions one whose links are down: messages are refused, permits are kept
//! back, state waits. Its links end and none is dialled. Whenever the right was lost, even for a moment, what
//! waits on links is dropped unwritten: each connection belongs to one uninterrupted right, and every write of it
//! asks for that ([`GatedStream`]), so that a machine which was stopped finds out before another byte.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How soon a gate that was shut is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Asked before each write to a server.
pub trait SpeakGate: Send + Sync + 'static {
    /// Whether the node may speak at this moment, by its clocks. Called often, from any task: returns at once.
    fn may_write(&self) -> bool;
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Voice {
    fleet: OnceLock<FleetRules>,
    holds_still: AtomicBool,
    told: watch::Sender<VoiceCounts>,
}

/// What holds for the connections of a node that is one of a fleet.
struct FleetRules {
    gate: Arc<dyn SpeakGate>,
    unconfirmed_max: Duration,
}

/// What tasks are told, as counts, so that a change shows even if its opposite follows at once.
#[derive(Debug, Clone, Copy, Default)]
struct VoiceCounts {
    holds_still: bool,
    /// Losses of the right to speak.
    losses: u64,
    /// Ends of holding still.
    returns: u64,
}

impl Voice {
    /// Sets the gate that every write asks, and how long bytes may stay unconfirmed. Only the first call counts.
    pub(super) fn join_fleet(&self, gate: Arc<dyn SpeakGate>, unconfirmed_max: Duration) {
        let _ = self.fleet.set(FleetRules { gate, unconfirmed_max });
    }

    /// How long bytes may stay unconfirmed before their connection ends (`TCP_USER_TIMEOUT`); `None`: as long as
    /// the system likes.
    pub(super) fn unconfirmed_max(&self) -> Option<Duration> {
        self.fleet.get().map(|fleet| fleet.unconfirmed_max)
    }

    /// Whether the node has been told to hold still.
    pub(super) fn holds_still(&self) -> bool {
        self.holds_still.load(Ordering::Acquire)
    }

    /// Whether a word may go to a server now.
    pub(super) fn may_speak(&self) -> bool {
        !self.holds_still() && self.fleet.get().is_none_or(|fleet| fleet.gate.may_write())
    }

    /// From here on the node holds still.
    pub(super) fn hold_still(&self) {
        self.holds_still.store(true, Ordering::Release);
        self.told.send_modify(|told| {
            told.holds_still = true;
            told.losses += 1;
        });
    }

    /// The node may speak again.
    pub(super) fn speak(&self) {
        self.holds_still.store(false, Ordering::Release);
        self.told.send_modify(|told| {
            told.returns += u64::from(told.holds_still);
            told.holds_still = false;
        });
    }

    /// What waits on links is dropped, and the links end.
    pub(super) fn drop_waiting(&self) {
        self.told.send_modify(|told| told.losses += 1);
    }

    /// The right to speak as it is now.
    pub(super) fn listen(self: &Arc<Self>) -> Right {
        let told = self.told.subscribe();
        let losses = told.borrow().losses;
        Right { voice: Arc::clone(self), told, losses }
    }
}

/// The right to speak since a certain moment. It is lost once and for all; [`Right::renew`] takes the present one.
#[derive(Clone)]
pub(super) struct Right {
    voice: Arc<Voice>,
    told: watch::Receiver<VoiceCounts>,
    losses: u64,
}

impl Right {
    /// Whether a word may go to a server under this right.
    pub(super) fn may_write(&self) -> bool {
        !self.is_lost() && self.voice.may_speak()
    }

    /// Whether the right was lost since it was taken.
    pub(super) fn is_lost(&self) -> bool {
        self.told.borrow().losses != self.losses
    }

    /// Takes the present right. Returns whether the former one was lost.
    pub(super) fn renew(&mut self) -> bool {
        let losses = self.told.borrow().losses;
        std::mem::replace(&mut self.losses, losses) != losses
    }

    /// Returns when the right is lost. Cancel-safe.
    pub(super) async fn lost(&mut self) {
        let losses = self.losses;
        if self.told.wait_for(|told| told.losses != losses).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the node may speak. Cancel-safe.
    pub(super) async fn may_speak(&mut self) {
        while !self.voice.may_speak() {
            if self.told.wait_for(|told| !told.holds_still).await.is_err() {
                std::future::pending::<()>().await;
            }
            if !self.voice.may_speak() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Returns when the node may speak again after it has held still, once for each time. `seen` is the caller's
    /// count, 0 at first. Cancel-safe.
    pub(super) async fn returned(&mut self, seen: &mut u64) {
        let before = *seen;
        let returns = self.told.wait_for(|told| told.returns != before).await;
        let Some(returns) = returns.ok().map(|told| told.returns) else {
            return std::future::pending().await;
        };
        *seen = returns;
    }
}

/// A connection to a server that writes only as long as the right is held under which it was dialled.
pub(super) struct GatedStream {
    stream: TcpStream,
    right: Right,
}

impl GatedStream {
    pub(super) const fn new(stream: TcpStream, right: Right) -> Self {
        Self { stream, right }
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.right.may_write() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.right.may_write() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Default)]
    struct Gate(AtomicBool);

    impl SpeakGate for Gate {
        fn may_write(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_is_lost_even_if_the_node_may_speak_again_at_once() {
        let voice = Arc::new(Voice::default());
        let (mut right, mut seen) = (voice.listen(), 0);
        assert!(right.may_write());
        voice.hold_still();
        assert!(!voice.may_speak() && !right.may_write());
        voice.speak();
        assert!(voice.may_speak() && right.is_lost() && !right.may_write());
        right.lost().await;
        right.returned(&mut seen).await;
        assert_eq!(seen, 1);
        assert!(right.renew() && right.may_write() && !right.renew());
        voice.drop_waiting();
        assert!(voice.may_speak() && !right.may_write());
        voice.speak();
        let again = tokio::time::timeout(Duration::from_secs(1), right.returned(&mut seen)).await;
        assert!(again.is_err(), "it has spoken all the time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shut_gate_is_asked_again() {
        let (voice, gate) = (Arc::new(Voice::default()), Arc::new(Gate::default()));
        voice.join_fleet(Arc::clone(&gate) as _, Duration::from_secs(1));
        let mut right = voice.listen();
        assert!(!right.may_write());
        let opens = async {
            tokio::time::sleep(LOOK_AGAIN * 5).await;
            gate.0.store(true, Ordering::Relaxed);
        };
        tokio::join!(right.may_speak(), opens);
        assert!(right.may_write());
    }

    #[tokio::test]
    async fn no_byte_is_written_after_the_gate_is_shut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (voice, gate) = (Arc::new(Voice::default()), Arc::new(Gate::default()));
        gate.0.store(true, Ordering::Relaxed);
        voice.join_fleet(Arc::clone(&gate) as _, Duration::from_secs(1));
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = GatedStream::new(socket, voice.listen());
        let (mut server, _) = listener.accept().await.unwrap();
        stream.write_all(b"before").await.unwrap();
        gate.0.store(false, Ordering::Relaxed);
        let refused = stream.write_all(b"after").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionAborted);
        gate.0.store(true, Ordering::Relaxed);
        stream.write_all(b" and again").await.unwrap();
        voice.drop_waiting();
        assert!(stream.write_all(b"later").await.is_err());
        drop(stream);
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "before and again");
    }
}
