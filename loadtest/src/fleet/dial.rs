//! One dial: TCP, then the upgrade.

use std::future::{Future, poll_fn};
use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::websocket::{ResponseHead, check_response};
use tokio::net::{TcpSocket, TcpStream};

use super::target::{DialTarget, Requests};
use super::{AgentFleet, CutWith, scratch};

/// The longest answer to an upgrade.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Who dials what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialling {
    /// The place of the agent's client in the fleet's shares.
    pub(crate) client: usize,
    /// The place of the target.
    pub(crate) target: usize,
    /// The agent's number in the whole fleet.
    pub(crate) index: u32,
}

/// A WebSocket just opened.
pub(crate) struct Open {
    pub(crate) stream: TcpStream,
    /// What came right behind the handshake.
    pub(crate) early: Vec<u8>,
}

/// Why a dial failed.
pub(crate) enum Failure {
    /// The other side refused; with the `Retry-After` that opamp-go obeys.
    Refused(Option<Duration>),
    /// The client's deadline passed after it had asked.
    GivenUp,
    /// Anything else.
    Failed,
    /// The second wave came meanwhile.
    Cut,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

/// Dials as the agent's client does, until `cut` completes: a wave takes connections that still await their first answer
/// as well. `asked` is set to the instant at which the upgrade was asked for.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn dial(
    fleet: &AgentFleet,
    dialling: Dialling,
    cut: impl Future<Output = ()>,
    asked: &mut Option<Instant>,
) -> Result<Open, Failure> {
    let deadline = fleet.options.clients.parts()[dialling.client].habits().deadline.answer;
    let opening = open(fleet, dialling, cut, asked);
    let Some(deadline) = deadline else { return opening.await };
    match tokio::time::timeout(deadline, opening).await {
        Ok(outcome) => outcome,
        Err(_) if asked.is_some() => Err(Failure::GivenUp),
        Err(_) => Err(Failure::Failed),
    }
}

async fn open(
    fleet: &AgentFleet,
    dialling: Dialling,
    cut: impl Future<Output = ()>,
    asked: &mut Option<Instant>,
) -> Result<Open, Failure> {
    let Dialling { client, target, index } = dialling;
    let mut stream = connect(&fleet.options.targets[target], Some(index)).await?;
    let requests = fleet.requests_of(client, target);
    let outcome = tokio::select! {
        outcome = upgrade(requests, &mut stream, asked) => Some(outcome),
        () = cut => None,
    };
    match outcome {
        Some(early) => Ok(Open { stream, early: early? }),
        None => {
            cut_off(&stream, fleet.options.cut_with);
            Err(Failure::Cut)
        }
    }
}

/// Connects, from the address that is this agent's own if there is one.
///
/// # Errors
/// When the target cannot be reached.
pub(crate) async fn connect(goal: &DialTarget, index: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    if let Some(source) = index.and_then(|index| goal.source(index)) {
        socket.bind(source)?;
    }
    socket.connect(goal.address).await
}

/// Makes the end of this connection, which is to follow, one of the kind wanted.
pub(crate) fn cut_off(stream: &TcpStream, how: CutWith) {
    if how == CutWith::Rst {
        // Closing a socket with a linger time of zero resets the connection.
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}

/// Asks for the WebSocket; returns what came right behind the answer.
async fn upgrade(
    Requests { upgrade: request, key, .. }: &Requests,
    stream: &mut TcpStream,
    asked: &mut Option<Instant>,
) -> Result<Vec<u8>, Failure> {
    let mut unsent = Vec::new();
    scratch::write(stream, request, &mut unsent)?;
    *asked = Some(clock::now());
    let mut held = Vec::new();
    loop {
        let count = poll_fn(|cx| scratch::poll_io(stream, &mut unsent, cx)).await?;
        if count == 0 {
            return Err(Failure::Failed);
        }
        let answer = scratch::with(|scratch| {
            if held.is_empty() {
                let (answer, used) = judge(&scratch.read[..count], key)?;
                held.extend_from_slice(&scratch.read[used..count]);
                Ok::<bool, Failure>(answer)
            } else {
                held.extend_from_slice(&scratch.read[..count]);
                let (answer, used) = judge(&held, key)?;
                held.drain(..used);
                Ok(answer)
            }
        })?;
        if answer {
            return Ok(held);
        }
        if held.len() > HEAD_BYTES_MAX {
            return Err(Failure::Failed);
        }
    }
}

/// Whether the handshake is done, and how many bytes it took.
fn judge(bytes: &[u8], key: &str) -> Result<(bool, usize), Failure> {
    let Some(head) = ResponseHead::parse(bytes).map_err(|_| Failure::Failed)? else {
        return Ok((false, 0));
    };
    let length = head.head_bytes;
    match check_response(&head, key, clock::wall()) {
        Ok(()) => Ok((true, length)),
        Err(refused) if refused.status == 101 => Err(Failure::Failed),
        Err(refused) => {
            Err(Failure::Refused(super::backoff::obeyed(refused.status, refused.retry_after)))
        }
    }
}
