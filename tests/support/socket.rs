//! A WebSocket client that leaves everything to its test: answers to pings, and masks.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use seawall::websocket::{Decoder, Incoming, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;
use super::message::{from_payload, with_header};

/// First bytes of a frame that is a whole message of its kind.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The stream has ended, in whichever way.
    End,
}

/// An open WebSocket.
pub(crate) struct Socket {
    stream: TcpStream,
    decoder: Decoder,
    buffer: Vec<u8>,
    got: VecDeque<Got>,
}

/// A request that opens a WebSocket.
pub(crate) const UPGRADE: &str = "GET /v1/opamp HTTP/1.1\r\nHost: seawall\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client's frame; with `mask`, as the protocol wants it.
pub(crate) fn frame(first: u8, mask: bool, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = announce(first, mask, payload.len() as u64);
    if !mask {
        bytes.extend_from_slice(payload);
        return bytes;
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame's header, up to its length.
pub(crate) fn announce(first: u8, mask: bool, length: u64) -> Vec<u8> {
    let bit = if mask { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => bytes.push(bit | short),
        (_, Ok(middle)) => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

impl Socket {
    /// Connects and upgrades.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_as(address, "").await
    }

    /// The same with more headers.
    pub(crate) async fn open_as(address: SocketAddr, headers: &str) -> Self {
        Self::over(TcpStream::connect(address).await.expect("the edge listens"), headers).await
    }

    /// The same with a small receive buffer, for an agent that stops reading.
    pub(crate) async fn open_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8 << 10).expect("a buffer's size");
        Self::over(socket.connect(address).await.expect("the edge listens"), "").await
    }

    async fn over(mut stream: TcpStream, headers: &str) -> Self {
        stream.set_nodelay(true).expect("an option");
        let upgrade = UPGRADE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
        stream.write_all(upgrade.as_bytes()).await.expect("a fresh connection takes a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
            head.push(read.expect("an answer in time").expect("an answer"));
        }
        let head = String::from_utf8(head).expect("an answer is text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let answer = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(head.contains(answer), "the key of RFC 6455, section 1.3: {head}");
        let decoder = Decoder::new(Role::Client);
        Self { stream, decoder, buffer: Vec::new(), got: VecDeque::new() }
    }

    /// Writes bytes as they are. The edge may have closed already, which is for the test to judge.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a frame, masked.
    pub(crate) async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.raw(&frame(first, true, payload)).await.expect("the edge reads");
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &AgentToServer) {
        self.frame(BINARY, &with_header(message)).await;
    }

    /// Sends a message and returns its reply.
    pub(crate) async fn ask(&mut self, message: &AgentToServer) -> ServerToAgent {
        self.send(message).await;
        self.reply().await
    }

    /// The next thing that comes. Safe to cancel; waits for ever.
    pub(crate) async fn next_ever(&mut self) -> Got {
        loop {
            if let Some(got) = self.got.pop_front() {
                return got;
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => self.decode(),
                Ok(0) | Err(_) => return Got::End,
            }
        }
    }

    fn decode(&mut self) {
        let (mut position, mut input) = (0, std::mem::take(&mut self.buffer));
        while let Some(next) = self
            .decoder
            .feed(&mut input, &mut position, usize::MAX)
            .expect("the edge keeps to the protocol")
        {
            self.got.push_back(match next {
                Incoming::Message(payload) => Got::Message(payload.to_vec()),
                Incoming::PassedOver { .. } => continue,
                Incoming::Ping(payload) => Got::Ping(payload.to_vec()),
                Incoming::Pong(payload) => Got::Pong(payload.to_vec()),
                Incoming::Close(code) => Got::Close(code),
            });
        }
    }

    /// The next thing that comes. Fails the test after [`PATIENCE`].
    pub(crate) async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(PATIENCE, self.next_ever()).await;
        next.expect("nothing comes")
    }

    /// The next message; pings before it are answered.
    pub(crate) async fn reply(&mut self) -> ServerToAgent {
        loop {
            match self.next().await {
                Got::Message(payload) => return from_payload(&payload),
                Got::Ping(payload) => self.frame(PONG, &payload).await,
                Got::Pong(_) => {}
                other => panic!("{other:?} instead of a message"),
            }
        }
    }

    /// Reads on to the Close, answers it, and returns its code; `None` if the stream ends first.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Got::Close(code) => {
                    let payload = code.map(u16::to_be_bytes);
                    let answer = frame(CLOSE, true, payload.as_ref().map_or(&[], |code| code));
                    // The edge may have gone already.
                    let _ = self.raw(&answer).await;
                    return code;
                }
                Got::End => return None,
                _ => {}
            }
        }
    }
}
