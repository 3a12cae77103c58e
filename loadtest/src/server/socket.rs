//! One WebSocket of the stand-in, in the manner of opamp-go's server: strictly in order, one
//! message read, worked through and answered before the next. WebSocket framing is tungstenite's,
//! so that a mistake in the gateway's own framing shows.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use seawall::clock;
use seawall::ident::InstanceUid;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::links::LinkHold;
use super::reply::{Origin, StandIn};
use super::store::AgentRoute;

/// Pushes waiting for one connection.
const PUSHES_MAX: usize = 64;
/// Replies held back by `--reply-delay` on one connection; with more, reading stops.
const LATE_MAX: usize = 100_000;
/// The specification's limit of a message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How long a peer that closes may take to read what was said before.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What happens to a connection.
enum SocketEvent {
    Message(Bytes),
    Push(Bytes),
    LateReply(Bytes),
    /// Ping, pong: tungstenite sees to them.
    Nothing,
    Ended,
}

struct StandInSocket {
    server: Arc<StandIn>,
    socket: WebSocketStream<TcpStream>,
    route: AgentRoute,
    link: Arc<LinkHold>,
    pushes: mpsc::Receiver<Bytes>,
    /// Agents that have spoken here.
    agents: HashSet<InstanceUid>,
    late: VecDeque<(Instant, Bytes)>,
    messages: u64,
    /// The switch of faults under which this connection has stalled.
    stalled: Option<u64>,
}

/// Serves a WebSocket whose handshake is done until it ends. `early` was read with the handshake, and
/// `number` is the connection's.
pub(crate) async fn serve(
    server: Arc<StandIn>,
    stream: TcpStream,
    early: Vec<u8>,
    (number, link): (u64, Arc<LinkHold>),
) {
    server.counts.websockets.one();
    if server.faults.current().accept_and_close {
        server.counts.websockets_closed.one();
        return;
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    let (outbox, pushes) = mpsc::channel(PUSHES_MAX);
    let route = AgentRoute { connection: number, outbox };
    let mut connection = StandInSocket {
        server,
        socket,
        route,
        link,
        pushes,
        agents: HashSet::new(),
        late: VecDeque::new(),
        messages: 0,
        stalled: None,
    };
    while connection.step().await.is_ok() {}
    connection.end().await;
}

impl StandInSocket {
    async fn step(&mut self) -> Result<(), Error> {
        match self.next_event().await? {
            SocketEvent::Message(message) => self.on_message(&message).await,
            SocketEvent::Push(bytes) => {
                let fed = self.socket.feed(Message::Binary(bytes.clone())).await;
                if fed.is_err() {
                    super::push::say_later(&self.server, &bytes);
                }
                fed
            }
            SocketEvent::LateReply(bytes) => self.socket.feed(Message::Binary(bytes)).await,
            SocketEvent::Nothing => Ok(()),
            SocketEvent::Ended => Err(Error::ConnectionClosed),
        }
    }

    async fn next_event(&mut self) -> Result<SocketEvent, Error> {
        let may_read = self.late.len() < LATE_MAX;
        // While there is more to read, replies gather; then they go out in one write.
        if may_read && let Some(read) = self.socket.next().now_or_never() {
            return of_read(read);
        }
        self.socket.flush().await?;
        let due = self.late.front().map(|(due, _)| tokio::time::Instant::from_std(*due));
        tokio::select! {
            read = self.socket.next(), if may_read => of_read(read),
            Some(push) = self.pushes.recv() => Ok(SocketEvent::Push(push)),
            () = until(due) => {
                Ok(self.late.pop_front().map_or(SocketEvent::Nothing, |(_, reply)| SocketEvent::LateReply(reply)))
            }
        }
    }

    async fn on_message(&mut self, message: &Bytes) -> Result<(), Error> {
        let faults = self.server.faults.current();
        if let Some(per_second) = faults.capacity {
            // Replies to what is done go out before this.
            self.socket.flush().await?;
            self.server.faults.work(per_second).await;
        }
        let is_first = self.messages == 0;
        self.messages += 1;
        let origin = Origin { link: &self.link, route: Some(&self.route), is_first };
        let handled = self.server.handle(message, origin);
        if let Some(uid) = handled.new_here {
            self.agents.insert(uid);
        }
        if let Some(delay) = faults.reply_delay {
            self.late.push_back((clock::now() + delay.0, handled.reply));
        } else {
            self.socket.feed(Message::Binary(handled.reply)).await?;
        }
        let version = self.server.faults.version();
        if let (Some(after), Some(pause)) = (faults.stall_after, faults.stall_for)
            && self.messages >= after
            && self.stalled != Some(version)
        {
            self.stalled = Some(version);
            self.socket.flush().await?;
            tokio::time::sleep(pause.0).await;
        }
        Ok(())
    }

    /// The peer has closed, or is gone. What was said before its Close was read still goes out; what was not is said when
    /// the agent is heard next, as a server does that is told that it could not send.
    async fn end(mut self) {
        let _ = tokio::time::timeout(FLUSH_PATIENCE, self.socket.flush()).await;
        self.server.counts.websockets_closed.one();
        for uid in self.agents {
            self.server.store.lose_route(uid, self.route.connection);
        }
        self.pushes.close();
        while let Some(unsaid) = self.pushes.recv().await {
            super::push::say_later(&self.server, &unsaid);
        }
    }
}

fn of_read(read: Option<Result<Message, Error>>) -> Result<SocketEvent, Error> {
    Ok(match read {
        Some(Ok(Message::Binary(bytes))) => SocketEvent::Message(bytes),
        Some(Ok(Message::Close(_))) | None => SocketEvent::Ended,
        Some(Ok(_)) => SocketEvent::Nothing,
        Some(Err(error)) => return Err(error),
    })
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
