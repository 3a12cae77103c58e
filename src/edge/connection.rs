//! The life of one connection over HTTP/1.1: accepted and admitted on the accept runtime, served on the other
//! as a WebSocket or as plain HTTP. It is generic over its transport.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;

use super::admission::{Applicant, CountedArrival, Entered, RefusalForm};
use super::agent::AgentSocket;
use super::conversation::Conversation;
use super::ending::upgraded_and_refused;
use super::refusal::{HttpRefusal, OVERLOADED_RETRY_AFTER};
use super::request::{Asked, FirstRequest, first_request};
use super::request_admission::RequestAdmission;
use super::transport::AgentTransport;
use super::{Edge, admission, http, lingering_close};
use crate::ident::InstanceUid;
use crate::telemetry::events::edge::{
    CloseReason, ConnectionAccepted, ConnectionClosed, ConnectionUpgraded, RefuseReason,
    RequestRefused,
};
use crate::websocket;

/// One connection until it is admitted or is over. On the accept runtime.
///
/// Every parked arrival pays for this future, and every idle agent for that of [`live`]. So their blocks capture
/// what they need: the future of an `async fn` has room for each argument twice.
#[expect(clippy::manual_async_fn, reason = "an async fn's future is larger by its arguments")]
pub(super) fn serve<T: AgentTransport>(
    edge: Arc<Edge>,
    socket: T,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    async move {
        let mut closed = Closed { peer, uid: None, reason: CloseReason::Internal };
        ConnectionAccepted { peer }.emit();
        match Box::pin(admit(&edge, socket, peer)).await {
            Ok((socket, request)) => match socket.detach() {
                Ok(socket) => {
                    let serving = edge.serving.clone();
                    serving.spawn(live::<T>(edge, socket, request, closed, permit));
                }
                Err(_) => closed.reason = CloseReason::Reset,
            },
            Err(reason) => closed.reason = reason,
        }
    }
}

/// The rest of its life. On the runtime that serves admitted agents.
#[expect(clippy::manual_async_fn, reason = "an async fn's future is larger by its arguments")]
fn live<T: AgentTransport>(
    edge: Arc<Edge>,
    socket: T::Detached,
    request: Box<FirstRequest>,
    mut closed: Closed,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    async move {
        // Boxed: what the handshake needs is gone when the connection idles.
        let opened = Box::pin(open(&edge, T::attach(socket), request, closed.peer)).await;
        drop(edge);
        match opened {
            Handshake::Agent(agent) => {
                let (uid, reason) = agent.run().await;
                closed.uid = uid;
                closed.reason = reason;
            }
            Handshake::Done(reason) => closed.reason = reason,
        }
        // In this order: the place is free before the connection is counted as closed.
        drop((permit, closed));
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
enum Handshake<S> {
    /// A WebSocket.
    Agent(Box<AgentSocket<S>>),
    /// The connection is over: it broke, or was plain HTTP and served to its end.
    Done(CloseReason),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Handshake<S> {
    /// Notes the form in which the agent is sent away later.
    fn sent_away_by(mut self, form: RefusalForm) -> Self {
        if let Self::Agent(agent) = &mut self {
            agent.sent_away_by(form);
        }
        self
    }
}

/// Reads the request's head, and waits until its sender is admitted.
async fn admit<T: AgentTransport>(
    edge: &Edge,
    mut socket: T,
    peer: SocketAddr,
) -> Result<(T, Box<FirstRequest>), CloseReason> {
    let mut counted = CountedArrival::new();
    // Boxed: a parked arrival should hold memory only for what it does now.
    let mut request = Box::pin(first_request(edge, &mut socket, peer)).await?;
    if !matches!(request.asked, Asked::Other) {
        let mut applicant = Http1Applicant { socket: &mut socket, request: &request };
        let entered =
            admission::enter(&edge.admission, request.source, &mut applicant, &mut counted);
        match entered.await {
            Entered::Admitted(by) => request.admitted = Some((by, counted.waited())),
            Entered::Left => {
                // It may have ended its own side alone, and wait for an answer still.
                if matches!(request.asked, Asked::Post) {
                    let refusal = HttpRefusal::not_yet(OVERLOADED_RETRY_AFTER);
                    Box::pin(refusal.write(&mut socket)).await;
                }
                return Err(CloseReason::AgentClosed);
            }
            Entered::Refused => {
                RequestRefused { peer, reason: RefuseReason::NotYet }.emit();
                return Err(CloseReason::Refused);
            }
        }
    }
    Ok((socket, request))
}

/// An arrival over HTTP/1.1: the connection.
struct Http1Applicant<'a, T> {
    socket: &'a mut T,
    request: &'a FirstRequest,
}

impl<T: AgentTransport> Applicant for Http1Applicant<'_, T> {
    async fn gone(&mut self) {
        self.socket.gone().await;
    }

    fn is_gone(&mut self) -> bool {
        self.socket.is_gone()
    }

    fn may_listen(&self) -> bool {
        matches!(self.request.asked, Asked::Post)
    }

    async fn refuse(&mut self, retry_after: Duration) {
        let FirstRequest { asked, source, named, .. } = self.request;
        let form = source.patience.refusal;
        match asked {
            Asked::WebSocket { key, .. } if form == RefusalForm::Message => {
                let answer = upgraded_and_refused(key, retry_after);
                lingering_close::write(self.socket, &answer).await;
            }
            _ => HttpRefusal::come_again(form, *named, retry_after).write(self.socket).await,
        }
    }
}

async fn open<T: AgentTransport>(
    edge: &Arc<Edge>,
    mut socket: T,
    request: Box<FirstRequest>,
    peer: SocketAddr,
) -> Handshake<T> {
    let FirstRequest { asked, rest, held, admitted, source, .. } = *request;
    match asked {
        Asked::WebSocket { key, waits } => {
            let mut answer = Vec::new();
            if waits {
                websocket::continue_response(&mut answer);
            }
            websocket::accept_response(&key, &mut answer);
            let opened = upgrade(edge, socket, answer, rest, peer).await;
            opened.sent_away_by(source.patience.refusal)
        }
        Asked::Post | Asked::Other => {
            // A request that went past admission because it is no agent's is answered once.
            let admission = admitted.filter(|_| matches!(asked, Asked::Post));
            let admission = admission.map_or_else(RequestAdmission::of_others, |(by, parked)| {
                RequestAdmission::of_agents(by, parked)
            });
            // From here on the body is counted as it is read.
            drop(held);
            // The runtime has yet to learn that the socket takes bytes, and hyper gives up an answer to a
            // faulty request if it has to wait for that.
            if socket.writable().await.is_err() {
                return Handshake::Done(CloseReason::Reset);
            }
            Handshake::Done(http::serve(edge, socket, rest, peer, &admission).await)
        }
    }
}

/// Answers the upgrade with `answer`. `early`: what came behind the request's head.
async fn upgrade<S>(
    edge: &Arc<Edge>,
    mut socket: S,
    answer: Vec<u8>,
    early: Vec<u8>,
    peer: SocketAddr,
) -> Handshake<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let written = async {
        socket.write_all(&answer).await?;
        socket.flush().await
    };
    match tokio::time::timeout(edge.params.head_timeout, written).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Handshake::Done(CloseReason::Reset),
        Err(_) => return Handshake::Done(CloseReason::SlowReader),
    }
    ConnectionUpgraded { peer }.emit();
    let conversation = Conversation::new(Arc::clone(edge), peer);
    Handshake::Agent(Box::new(AgentSocket::new(socket, conversation, early)))
}

#[cfg(test)]
mod tests;
