//! Connections over TCP cost little; a transport that lives in memory is admitted and served like TCP.

use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt as _, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::edge::admission::ArrivalSource;
use crate::edge::params::EdgeParams;
use crate::edge::tcp::AgentTcp;
use crate::sessions::Sessions;
use crate::sessions::fake_uplink::FakeUplink;

fn edge(params: EdgeParams) -> Arc<Edge> {
    let sessions = Arc::new(Sessions::new(
        Default::default(),
        Default::default(),
        Arc::new(FakeUplink::down()),
    ));
    Edge::new(params, sessions, 64)
}

async fn permit(edge: &Arc<Edge>) -> OwnedSemaphorePermit {
    Arc::clone(&edge.permits).acquire_owned().await.unwrap()
}

/// A connection that has just been accepted, with its edge and its permit.
async fn connection() -> (Arc<Edge>, AgentTcp, SocketAddr, OwnedSemaphorePermit) {
    let edge = edge(EdgeParams::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let socket = AgentTcp::attach(std::net::TcpStream::connect(peer).unwrap());
    let permit = permit(&edge).await;
    (edge, socket, peer, permit)
}

/// The runtime adds 104 bytes of its own and rounds up to a multiple of 128: with these it is 384.
const TASK_BYTES_MAX: usize = 280;

/// What an idle agent costs beside its socket and session is this one allocation and the boxed
/// [`AgentSocket`]: a field or a future added without thought shows here first.
#[tokio::test]
async fn an_idle_agents_task_is_small() {
    let (edge, socket, peer, permit) = connection().await;
    let closed = Closed { peer, uid: None, reason: CloseReason::Internal };
    let source = ArrivalSource::default();
    let request = Box::new(FirstRequest {
        asked: Asked::Other,
        source,
        named: None,
        rest: Vec::new(),
        held: None,
        admitted: None,
    });
    let socket = socket.detach().unwrap();
    let task = size_of_val(&live::<AgentTcp>(edge, socket, request, closed, permit));
    assert!(task <= TASK_BYTES_MAX, "the task has {task} bytes");
    let agent = size_of::<AgentSocket<AgentTcp>>();
    // Anything from 257 to 320 bytes takes the allocator's 320.
    assert!(agent <= 312, "the agent's socket has {agent} bytes");
}

/// What a parked arrival costs beside its socket: the task above, this allocation, what is left of its head, a
/// channel, and its entries in the park and the table of waiting arrivals.
#[tokio::test]
async fn a_parked_arrival_costs_little() {
    let (edge, socket, peer, _) = connection().await;
    let waiting = size_of_val(&admit(&edge, socket, peer));
    assert!(waiting <= 720, "what waits has {waiting} bytes");
    let (edge, socket, peer, permit) = connection().await;
    let task = size_of_val(&serve(edge, socket, peer, permit));
    assert!(task <= TASK_BYTES_MAX, "the task has {task} bytes");
}

/// A stream in memory. Its peer says by a signal of its own that it has gone.
struct MemoryStream {
    stream: DuplexStream,
    gone: watch::Receiver<bool>,
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AgentTransport for MemoryStream {
    type Detached = Self;

    async fn gone(&mut self) {
        let _ = self.gone.wait_for(|gone| *gone).await;
    }

    fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    async fn writable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn detach(self) -> io::Result<Self> {
        Ok(self)
    }

    fn attach(detached: Self) -> Self {
        detached
    }
}

/// An agent at the other end of a [`MemoryStream`].
struct MemoryAgent {
    stream: DuplexStream,
    gone: watch::Sender<bool>,
    /// The connection until it is admitted or over.
    admission: JoinHandle<()>,
}

impl MemoryAgent {
    /// Connects, and says `request`.
    async fn ask(edge: &Arc<Edge>, request: &str) -> Self {
        let (mut stream, other) = tokio::io::duplex(16 << 10);
        let gone = watch::Sender::new(false);
        let socket = MemoryStream { stream: other, gone: gone.subscribe() };
        stream.write_all(request.as_bytes()).await.unwrap();
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let permit = permit(edge).await;
        let admission = tokio::spawn(serve(Arc::clone(edge), socket, peer, permit));
        Self { stream, gone, admission }
    }

    /// The first line of the answer.
    async fn status(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }
}

const UPGRADE: &str = "GET /v1/opamp HTTP/1.1\r\nHost: seawall\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One entry a second, of which the first is free; the park holds `park` seconds' worth.
fn one_a_second(park: Duration) -> Arc<Edge> {
    let mut params = EdgeParams::default();
    params.admission.rate = NonZeroU32::new(1);
    params.admission.admission.park_horizon = park;
    params.admission.admission.hold_max = Duration::ZERO;
    edge(params)
}

/// Waits until this many arrivals are parked.
async fn parked(edge: &Edge, wanted: usize) {
    let reached = async {
        while edge.admission().parked != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the arrival is parked");
}

#[tokio::test]
async fn an_arrival_over_a_stream_in_memory_waits_for_its_entry_and_is_served() {
    let edge = one_a_second(Duration::from_secs(20));
    let mut first = MemoryAgent::ask(&edge, UPGRADE).await;
    assert_eq!(first.status().await, "HTTP/1.1 101 Switching Protocols");
    let mut second = MemoryAgent::ask(&edge, UPGRADE).await;
    parked(&edge, 1).await;
    edge.set_admission_rate(NonZeroU32::new(1_000));
    edge.start_probe().unwrap();
    assert_eq!(second.status().await, "HTTP/1.1 101 Switching Protocols");
    second.admission.await.unwrap();
}

#[tokio::test]
async fn a_parked_arrival_whose_transport_says_it_has_gone_frees_its_place() {
    let edge = one_a_second(Duration::from_secs(20));
    MemoryAgent::ask(&edge, UPGRADE).await.status().await;
    let agent = MemoryAgent::ask(&edge, UPGRADE).await;
    parked(&edge, 1).await;
    agent.gone.send_replace(true);
    agent.admission.await.unwrap();
    assert_eq!(edge.admission().parked, 0);
}

const POST: &str = "POST /v1/opamp HTTP/1.1\r\nHost: seawall\r\n\
    Content-Type: application/x-protobuf\r\nContent-Length: 1\r\n\r\n!";

/// A client that ends its own side with its request looks as one that has gone, and reads on.
#[tokio::test]
async fn a_parked_request_whose_sender_has_said_all_is_answered() {
    let edge = one_a_second(Duration::from_secs(20));
    MemoryAgent::ask(&edge, UPGRADE).await.status().await;
    let mut agent = MemoryAgent::ask(&edge, POST).await;
    parked(&edge, 1).await;
    agent.gone.send_replace(true);
    assert_eq!(agent.status().await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(edge.admission().parked, 0);
}

#[tokio::test]
async fn an_arrival_over_a_stream_in_memory_is_told_when_to_come_again() {
    let edge = one_a_second(Duration::ZERO);
    MemoryAgent::ask(&edge, UPGRADE).await.status().await;
    let mut refused = MemoryAgent::ask(&edge, UPGRADE).await;
    assert_eq!(refused.status().await, "HTTP/1.1 503 Service Unavailable");
    let mut rest = String::new();
    refused.stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("Retry-After: "), "{rest}");
    drop(refused.stream);
    refused.admission.await.unwrap();
}

#[tokio::test]
async fn plain_http_is_served_over_a_stream_in_memory() {
    let edge = edge(EdgeParams::default());
    let mut agent = MemoryAgent::ask(&edge, POST).await;
    assert_eq!(agent.status().await, "HTTP/1.1 400 Bad Request");
    let mut other = MemoryAgent::ask(&edge, "GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.status().await, "HTTP/1.1 404 Not Found");
}
