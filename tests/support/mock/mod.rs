//! An OpAMP server in the test's own process: it behaves until told otherwise, and counts who dials
//! it. Independent of the gateway's code below OpAMP messages: its WebSocket is tungstenite's.

mod posts;
pub(crate) mod state;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use prost::Message as _;
use seawall::clock;
use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::PATIENCE;
use super::agent::Agent;
use super::ports::free_port;
use state::{Accept, Behaviour, State};

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
type Upgraded = WebSocketStream<Box<dyn Stream>>;

/// The server. What it knows outlives [`Mock::stop`], unless it is told to forget.
pub(crate) struct Mock {
    address: SocketAddr,
    /// Bound for as long as the server may come back, so that its port stays reserved.
    _port: TcpSocket,
    tls: Option<TlsAcceptor>,
    /// It speaks plain HTTP alone.
    plain: bool,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Rises with every change of the state.
    changed: watch::Sender<u64>,
    /// Rises with every cut.
    cuts: watch::Sender<u64>,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

impl Mock {
    /// A server that is still absent.
    pub(crate) fn absent() -> Self {
        let shared = Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
        };
        let (address, port) = reserve();
        let shared = Arc::new(shared);
        Self { address, _port: port, tls: None, plain: false, shared, accepting: None }
    }

    /// A server that has the plain-HTTP transport alone, and is still absent.
    pub(crate) fn absent_http() -> Self {
        let mut server = Self::absent();
        server.plain = true;
        server
    }

    /// The same, and it listens.
    pub(crate) async fn start_http() -> Self {
        Self::absent_http().started().await
    }

    /// The same over TLS.
    pub(crate) async fn start_https(acceptor: TlsAcceptor) -> Self {
        let mut server = Self::absent_http();
        server.tls = Some(acceptor);
        server.started().await
    }

    /// A server that listens.
    pub(crate) async fn start() -> Self {
        Self::absent().started().await
    }

    /// A server that listens for TLS.
    pub(crate) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        let mut server = Self::absent();
        server.tls = Some(acceptor);
        server.started().await
    }

    async fn started(mut self) -> Self {
        self.listen().await;
        self
    }

    /// Comes (back).
    pub(crate) async fn listen(&mut self) {
        let socket = bind(self.address).expect("the port is kept");
        // Accepted sockets inherit it: a server that stalls is felt soon.
        socket.set_recv_buffer_size(64 << 10).expect("a buffer's size");
        let listener = socket.listen(1024).expect("a bound socket listens");
        let speaks = Speaks { tls: self.tls.clone(), plain: self.plain };
        let task = accept(listener, Arc::clone(&self.shared), speaks);
        self.accepting = Some(tokio::spawn(task));
    }

    /// Goes, with every connection.
    pub(crate) async fn stop(&mut self) {
        if let Some(task) = self.accepting.take() {
            task.abort();
            // Only then is the port free again.
            let _ = task.await;
        }
        self.wait("all connections gone", |state| state.open == 0).await;
    }

    /// Cuts every connection, and listens on.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match (self.plain, self.tls.is_some()) {
            (false, false) => "ws",
            (false, true) => "wss",
            (true, false) => "http",
            (true, true) => "https",
        };
        format!("{scheme}://{}/v1/opamp", self.address)
    }

    /// Behaves otherwise from now on.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.shared.change(|state| change(&mut state.behaviour));
    }

    /// Looks at the state, or changes it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(look)
    }

    /// Sends a message on the connection that its agent was heard on last.
    pub(crate) async fn push(&self, message: &ServerToAgent) {
        let uid = message.instance_uid.clone();
        self.wait("the agent", |state| state.writer_of(&uid).is_some()).await;
        let writer = self.with(|state| state.writer_of(&uid)).expect("it was just there");
        self.write(&writer, message).await;
    }

    /// Sends a message on some connection.
    pub(crate) async fn push_anywhere(&self, message: &ServerToAgent) {
        let writer = self.with(|state| state.any_writer()).expect("there is a connection");
        self.write(&writer, message).await;
    }

    /// Says on every connection that it closes, as the protocol wants it.
    pub(crate) async fn close(&self) {
        for writer in self.with(|state| state.writers()) {
            writer.send(Message::Close(None)).await.expect("the connection stands");
        }
    }

    /// Sends a message on a connection.
    pub(crate) async fn write(&self, writer: &mpsc::Sender<Message>, message: &ServerToAgent) {
        writer.send(encode(message)).await.expect("the connection stands");
    }

    /// Waits until the state is as wanted. Fails the test after [`PATIENCE`].
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = changed.wait_for(|_| wanted(&self.shared.state.lock()));
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        let state = || self.shared.state.lock().describe();
        assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}; {}", state());
    }

    /// Waits until these agents' states are what it believes them to be.
    pub(crate) async fn converged(&self, agents: &[&Agent]) {
        let knows = |state: &State| agents.iter().all(|agent| state.knows(&agent.truth()));
        self.wait("the agents' states", knows).await;
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if let Some(task) = &self.accepting {
            task.abort();
        }
    }
}

/// A port, and the socket that reserves it. Connections of an earlier run may still occupy a port
/// that is otherwise free.
fn reserve() -> (SocketAddr, TcpSocket) {
    const ATTEMPTS: usize = 1000;
    let attempt = |_| {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        bind(address).ok().map(|socket| (address, socket))
    };
    (0..ATTEMPTS).find_map(attempt).expect("some port is free")
}

/// A socket that shares its port with others made here alone.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn encode(message: &ServerToAgent) -> Message {
    let mut bytes = vec![0];
    message.encode(&mut bytes).expect("a vector grows");
    Message::Binary(bytes.into())
}

/// What a connection is served with.
#[derive(Clone)]
struct Speaks {
    tls: Option<TlsAcceptor>,
    plain: bool,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, speaks: Speaks) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        let open = Open::new(Arc::clone(&shared));
        let Speaks { tls, plain } = speaks.clone();
        let mut cuts = shared.cuts.subscribe();
        cuts.mark_unchanged();
        connections.spawn(async move {
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(socket),
                Some(acceptor) => match acceptor.accept(socket).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            let mut serving = Box::pin(serve(&open, stream, plain));
            tokio::select! {
                () = &mut serving => {}
                // Counted before the stream goes: a peer that sees its end may dial again at once.
                _ = cuts.changed() => open.end(),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A connection, counted for as long as it is open.
struct Open {
    id: u64,
    shared: Arc<Shared>,
}

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        let id = shared.change(|state| state.accepted(clock::now()));
        Self { id, shared }
    }

    /// Counts it as closed; a second time changes nothing.
    fn end(&self) {
        self.shared.change(|state| state.closed(self.id));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(open: &Open, mut stream: Box<dyn Stream>, plain: bool) {
    let accept = open.shared.state.lock().behaviour.accept.clone();
    match &accept {
        Accept::CutBeforeUpgrade => return,
        Accept::Refuse(answer) => return refuse(&mut stream, answer).await,
        Accept::Serve if plain => return posts::serve(open, stream).await,
        Accept::CutAfterUpgrade | Accept::Serve => {}
    }
    // The size of the error is the library's choice.
    #[allow(clippy::result_large_err)]
    let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        open.shared.change(|state| state.heads.push(request.headers().clone()));
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, note).await else { return };
    if matches!(accept, Accept::CutAfterUpgrade) {
        return;
    }
    let (sink, source) = socket.split();
    let (writer, queue) = mpsc::channel(1024);
    open.shared.change(|state| state.opened(open.id, writer.clone()));
    tokio::select! {
        () = write(sink, queue) => {}
        () = read(open, source, writer) => {}
    }
}

async fn refuse(stream: &mut Box<dyn Stream>, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn write(mut sink: SplitSink<Upgraded, Message>, mut queue: mpsc::Receiver<Message>) {
    while let Some(message) = queue.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

async fn read(open: &Open, mut source: SplitStream<Upgraded>, writer: mpsc::Sender<Message>) {
    let mut changed = open.shared.changed.subscribe();
    loop {
        let moving = changed.wait_for(|_| !open.shared.state.lock().behaviour.stalled);
        drop(moving.await);
        let Some(Ok(message)) = source.next().await else { return };
        let payload = match message {
            Message::Binary(payload) => payload,
            Message::Close(Some(close)) => {
                open.shared.change(|state| state.closes.push(close.code.into()));
                continue;
            }
            _ => continue,
        };
        let report = payload.strip_prefix(&[0]).expect("the gateway writes the header");
        let report = AgentToServer::decode(report).expect("an AgentToServer");
        let ends = open.shared.state.lock().behaviour.ends.clone();
        if ends.concern(&report, payload.len()) {
            open.shared.change(|state| state.ended.push(clock::now()));
            let Some(code) = ends.code else { return };
            let reason = "of one message".into();
            let _ =
                writer.send(Message::Close(Some(CloseFrame { code: code.into(), reason }))).await;
            // The gateway's answer, or its end.
            while source.next().await.is_some_and(|next| next.is_ok()) {}
            return;
        }
        let Some((delay, reply)) = open.shared.change(|state| state.take(open.id, report)) else {
            continue;
        };
        answer(&writer, delay, encode(&reply)).await;
    }
}

async fn answer(writer: &mpsc::Sender<Message>, delay: Duration, reply: Message) {
    if delay.is_zero() {
        let _ = writer.send(reply).await;
        return;
    }
    let writer = writer.clone();
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let _ = writer.send(reply).await;
    });
}
