//! One dial: TCP, then the upgrade.

use std::future::{Future, poll_fn};
use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::websocket::{ResponseHead, check_response};
use tokio::net::{TcpSocket, TcpStream};

use super::{AgentFleet, CutWith, scratch};

/// gorilla's handshake timeout.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(45);
/// The longest answer to an upgrade.
const HEAD_BYTES_MAX: usize = 16 << 10;

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

/// Dials the fleet's target number `target` for the agent with this number in the whole fleet,
/// until `cut` completes: a wave takes connections that still await their first answer as well. `asked` is set to the
/// instant at which the upgrade was asked for.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn dial(
    fleet: &AgentFleet,
    (target, index): (usize, u32),
    cut: impl Future<Output = ()>,
    asked: &mut Option<Instant>,
) -> Result<Open, Failure> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, open(fleet, (target, index), cut, asked))
        .await
        .unwrap_or(Err(Failure::Failed))
}

async fn open(
    fleet: &AgentFleet,
    (target, index): (usize, u32),
    cut: impl Future<Output = ()>,
    asked: &mut Option<Instant>,
) -> Result<Open, Failure> {
    let goal = &fleet.options.targets[target];
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    if let Some(source) = goal.source(index) {
        socket.bind(source)?;
    }
    let mut stream = socket.connect(goal.address).await?;
    let outcome = tokio::select! {
        outcome = upgrade(fleet, target, &mut stream, asked) => Some(outcome),
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

/// Makes the end of this connection, which is to follow, one of the kind wanted.
pub(crate) fn cut_off(stream: &TcpStream, how: CutWith) {
    if how == CutWith::Rst {
        // Closing a socket with a linger time of zero resets the connection.
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}

/// Asks for the WebSocket; returns what came right behind the answer.
async fn upgrade(
    fleet: &AgentFleet,
    target: usize,
    stream: &mut TcpStream,
    asked: &mut Option<Instant>,
) -> Result<Vec<u8>, Failure> {
    let (request, key) = &fleet.requests[target];
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
