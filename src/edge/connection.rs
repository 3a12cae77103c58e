//! A connection's first bytes: the request head, within its bound and its time, and what it asks
//! for.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::admission::{Applicant, ArrivalSource, CountedArrival, Entered};
use super::agent::AgentSocket;
use super::conversation::Conversation;
use super::{Edge, admission, http, lingering_close};
use crate::ident::InstanceUid;
use crate::scratch;
use crate::telemetry::events::edge::{
    CloseReason, ConnectionAccepted, ConnectionClosed, ConnectionUpgraded, RefuseReason,
    RequestRefused,
};
use crate::websocket::{self, Key, RequestHead};

/// One connection until it is in or has come to nothing. At the door.
pub(super) async fn serve(
    edge: Arc<Edge>,
    socket: TcpStream,
    peer: SocketAddr,
    room: OwnedSemaphorePermit,
) {
    let mut closed = Closed { peer, uid: None, reason: CloseReason::Internal };
    ConnectionAccepted { peer }.emit();
    match Box::pin(source(&edge, socket, peer)).await {
        Ok((socket, request)) => match socket.into_std() {
            Ok(socket) => {
                let serving = edge.serving.clone();
                serving.spawn(live(edge, (socket, request), closed, room));
            }
            Err(_) => closed.reason = CloseReason::Reset,
        },
        Err(reason) => closed.reason = reason,
    }
}

/// The rest of its life, inside.
async fn live(
    edge: Arc<Edge>,
    (socket, request): (std::net::TcpStream, Box<Request>),
    mut closed: Closed,
    _room: OwnedSemaphorePermit,
) {
    // Boxed: what the handshake needs is gone when the connection idles.
    let opened = match TcpStream::from_std(socket) {
        Ok(socket) => Box::pin(open(&edge, socket, request, closed.peer)).await,
        Err(_) => Opened::Done(CloseReason::Reset),
    };
    drop(edge);
    match opened {
        Opened::Agent(agent) => {
            let (uid, reason) = agent.run().await;
            closed.uid = uid;
            closed.reason = reason;
        }
        Opened::Done(reason) => closed.reason = reason,
    }
}

/// Says on every path, a panic's too, that the connection is over.
struct Closed {
    peer: SocketAddr,
    uid: Option<InstanceUid>,
    reason: CloseReason,
}

impl Drop for Closed {
    fn drop(&mut self) {
        ConnectionClosed { peer: self.peer, uid: self.uid, reason: self.reason }.emit();
    }
}

/// What became of the handshake.
enum Opened<S> {
    /// A WebSocket.
    Agent(Box<AgentSocket<S>>),
    /// It was plain HTTP, served to its end, or came to nothing.
    Done(CloseReason),
}

/// A request that is to be answered: what it asks for, and what has been read and not used up.
struct Request {
    asked: Asked,
    rest: Vec<u8>,
}

enum Asked {
    /// What is left in the head's buffer belongs to the WebSocket.
    WebSocket(Key),
    /// A message of ours on plain HTTP.
    Post,
    /// Anything else, faults included, is hyper's to answer.
    Other,
}

/// Reads the request's head, and waits until its sender may come in.
async fn source(
    edge: &Edge,
    mut socket: TcpStream,
    peer: SocketAddr,
) -> Result<(TcpStream, Box<Request>), CloseReason> {
    let mut counted = CountedArrival::new();
    // Boxed, so that whoever waits does not hold the room for what it has behind it.
    let (asked, source, rest) = Box::pin(ask(edge, &mut socket, peer)).await?;
    if !matches!(asked, Asked::Other) {
        let mut applicant = Http1Applicant { socket: &mut socket };
        match admission::enter(&edge.admission, source, &mut applicant, &mut counted).await {
            Entered::Admitted => {}
            Entered::Left => return Err(CloseReason::AgentClosed),
            Entered::Refused => {
                RequestRefused { peer, reason: RefuseReason::NotYet }.emit();
                return Err(CloseReason::Refused);
            }
        }
    }
    Ok((socket, Box::new(Request { asked, rest })))
}

/// Finds out what is asked, in the time that there is for it. Returns also what has not been used up.
async fn ask(
    edge: &Edge,
    socket: &mut TcpStream,
    peer: SocketAddr,
) -> Result<(Asked, ArrivalSource, Vec<u8>), CloseReason> {
    let mut head = Vec::new();
    let reading = read_head(edge, socket, &mut head, peer);
    match tokio::time::timeout(edge.params.head_timeout, reading).await {
        Ok(Ok((asked, source))) => {
            head.shrink_to_fit();
            Ok((asked, source, head))
        }
        Ok(Err(reason)) => {
            if reason == CloseReason::TooBig {
                RequestRefused { peer, reason: RefuseReason::HeadTooLarge }.emit();
                refuse(socket, "431 Request Header Fields Too Large").await;
            }
            Err(reason)
        }
        Err(_) => {
            RequestRefused { peer, reason: RefuseReason::HeaderTimeout }.emit();
            refuse(socket, "408 Request Timeout").await;
            Err(CloseReason::HeadTimeout)
        }
    }
}

async fn open(
    edge: &Arc<Edge>,
    socket: TcpStream,
    request: Box<Request>,
    peer: SocketAddr,
) -> Opened<TcpStream> {
    let Request { asked, rest } = *request;
    match asked {
        Asked::WebSocket(key) => upgrade(edge, socket, &key, (rest, peer)).await,
        Asked::Post | Asked::Other => {
            // Whoever was let past the gate, not being an agent, is answered once.
            let keep_alive = matches!(asked, Asked::Post);
            // The runtime does not know yet that the socket takes bytes, and hyper gives up an answer to a
            // faulty request that cannot be written at once.
            if socket.writable().await.is_err() {
                return Opened::Done(CloseReason::Reset);
            }
            Opened::Done(http::serve(edge, socket, (rest, peer), keep_alive).await)
        }
    }
}

/// So much is read at once while the head is incomplete: what comes behind it stays in the kernel, where
/// it costs nothing while its sender has to wait.
const READ_BYTES: usize = 448;

/// Reads until the head is complete. What is left in `head` has not been used up.
async fn read_head(
    edge: &Edge,
    socket: &mut TcpStream,
    head: &mut Vec<u8>,
    peer: SocketAddr,
) -> Result<(Asked, ArrivalSource), CloseReason> {
    loop {
        let read = poll_fn(|context| {
            scratch::poll_read_up_to(READ_BYTES, Pin::new(&mut *socket), context, |bytes| {
                if bytes.is_empty() {
                    return Err(CloseReason::AgentClosed);
                }
                head.extend_from_slice(bytes);
                Ok(())
            })
        });
        read.await.map_err(|_: io::Error| CloseReason::Reset)??;
        let nothing_of_ours = Ok((Asked::Other, ArrivalSource::default()));
        match RequestHead::parse(head) {
            Ok(None) if head.len() >= edge.params.head_bytes_max => {
                return Err(CloseReason::TooBig);
            }
            Ok(None) => {}
            Err(_) => return nothing_of_ours,
            Ok(Some(request)) => {
                if request.head_bytes > edge.params.head_bytes_max {
                    return Err(CloseReason::TooBig);
                }
                if request.path() != edge.params.path {
                    return nothing_of_ours;
                }
                let source = edge.admission.source_of(request.headers.iter(), peer);
                let Ok(key) = request.upgrade() else {
                    let ours = request.method == "POST";
                    return Ok((if ours { Asked::Post } else { Asked::Other }, source));
                };
                let end = request.head_bytes;
                head.drain(..end);
                return Ok((Asked::WebSocket(key), source));
            }
        }
    }
}

async fn upgrade<S>(
    edge: &Arc<Edge>,
    mut socket: S,
    key: &Key,
    (early, peer): (Vec<u8>, SocketAddr),
) -> Opened<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut answer = Vec::new();
    websocket::accept_response(key, &mut answer);
    let written = async {
        socket.write_all(&answer).await?;
        socket.flush().await
    };
    match tokio::time::timeout(edge.params.head_timeout, written).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Opened::Done(CloseReason::Reset),
        Err(_) => return Opened::Done(CloseReason::SlowReader),
    }
    ConnectionUpgraded { peer }.emit();
    let conversation = Conversation::new(Arc::clone(edge), peer);
    Opened::Agent(Box::new(AgentSocket::new(socket, conversation, early)))
}

/// An arrival over HTTP/1.1.
struct Http1Applicant<'a> {
    socket: &'a mut TcpStream,
}

impl Applicant for Http1Applicant<'_> {
    /// What the agent has sent behind the request's head stays in the kernel: read here, it would have to be
    /// stored. While there is such, the socket is ready all the time and has to be looked at again and again.
    async fn gone(&mut self) {
        const LOOK_AGAIN: Duration = Duration::from_secs(1);
        loop {
            match self.socket.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK_AGAIN).await,
                _ => return,
            }
        }
    }

    async fn refuse(&mut self, retry_after: Duration) {
        let status = format!("503 Service Unavailable\r\nRetry-After: {}", retry_after.as_secs());
        refuse(self.socket, &status).await;
    }
}

/// Answers without a body and closes. A peer that does not take it at once gets nothing.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, status: &str) {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let written =
        tokio::time::timeout(lingering_close::PATIENCE, socket.write_all(answer.as_bytes()));
    if let Ok(Ok(())) = written.await {
        lingering_close::close(socket).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pacing::{Class, Permit};
    use crate::core::session::Route;
    use crate::ident::ServerId;
    use crate::sessions::Sessions;
    use crate::sessions::{NotSent, ServerHello, Uplink};

    /// No servers at all.
    struct Nowhere;

    impl Uplink for Nowhere {
        fn route(&self, _: InstanceUid) -> Option<Route> {
            None
        }
        fn admit(&self, _: InstanceUid, _: Route) -> Permit {
            Permit::Granted
        }

        fn state_lost(&self, _: Route) -> bool {
            false
        }

        fn send(
            &self,
            _: InstanceUid,
            _: Route,
            _: &mut dyn FnMut(&mut Vec<u8>),
        ) -> Result<(), NotSent> {
            Err(NotSent::Down)
        }
        fn orphaned(&self, _: Route, _: u32) {}
        fn announced(&self, _: InstanceUid, _: ServerId) {}
        fn server_hello(&self, _: ServerId) -> Arc<ServerHello> {
            Arc::default()
        }
        fn enqueue(&self, _: InstanceUid, _: Class) {}
        fn release(&self, _: InstanceUid) {}
    }

    /// A connection that has just been accepted, with its edge and its room there.
    async fn connection() -> (Arc<Edge>, TcpStream, SocketAddr, OwnedSemaphorePermit) {
        let sessions =
            Arc::new(Sessions::new(Default::default(), Default::default(), Arc::new(Nowhere)));
        let edge = Edge::new(Default::default(), sessions, 1);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let socket = TcpStream::connect(peer).await.unwrap();
        let room = Arc::clone(&edge.permits).acquire_owned().await.unwrap();
        (edge, socket, peer, room)
    }

    /// What an idle agent costs beside its socket and session is this one allocation and the boxed
    /// [`AgentSocket`]: a field or a future added without thought shows here first.
    #[tokio::test]
    async fn an_idle_agents_task_is_small() {
        let (edge, socket, peer, room) = connection().await;
        let closed = Closed { peer, uid: None, reason: CloseReason::Internal };
        let request = Box::new(Request { asked: Asked::Other, rest: Vec::new() });
        let socket = socket.into_std().unwrap();
        let task = size_of_val(&live(edge, (socket, request), closed, room));
        assert!(task <= 400, "the task has {task} bytes");
        let agent = size_of::<AgentSocket<TcpStream>>();
        assert!(agent <= 320, "the agent's socket has {agent} bytes");
    }

    /// What somebody who is parked costs beside its socket: the task above, this allocation, what is left
    /// of its head, a channel, and its entries in the line and the table of those who wait.
    #[tokio::test]
    async fn somebody_who_is_parked_costs_little() {
        let (edge, socket, peer, _) = connection().await;
        let waiting = size_of_val(&source(&edge, socket, peer));
        assert!(waiting <= 720, "what waits has {waiting} bytes");
        let (edge, socket, peer, room) = connection().await;
        let task = size_of_val(&serve(edge, socket, peer, room));
        assert!(task <= 400, "the task has {task} bytes");
    }
}
