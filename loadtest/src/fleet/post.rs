//! A connection of plain HTTP: one POST, one answer, again and again. How long a client waits for each
//! part of an answer, and when it lets an idle connection go, is its own ([`super::clients`]).

use std::future::{Future, poll_fn};
use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::websocket::ResponseHead;
use tokio::net::TcpStream;

use super::clients::habits::Idle;
use super::scratch;

/// The longest answer taken.
const ANSWER_BYTES_MAX: usize = 65 << 20;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    pub(crate) stream: TcpStream,
    /// When its last answer came, and after which time its client closes it then.
    used: Instant,
    idle_max: Duration,
    /// How many answers it has brought.
    answers: u32,
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// The connection takes another request.
    keeps: bool,
    /// `Keep-Alive: timeout=N`.
    timeout: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The connection failed, or what came is no answer.
    Failed,
    /// It failed before a byte came, on a connection that had brought answers: it was most likely closed
    /// while it was idle.
    Stale,
    /// The client's deadline passed.
    GivenUp,
}

impl HttpConnection {
    /// For a connection just opened.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, used: clock::now(), idle_max: Duration::MAX, answers: 0 }
    }

    /// Whether its client would use it once more.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        if now.saturating_duration_since(self.used) >= self.idle_max {
            return false;
        }
        // Whatever can be read from an idle connection is its end.
        let read = self.stream.try_read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads its answer, within `deadline` for each part of it.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub(crate) async fn exchange(
        &mut self,
        (head, body): (&[u8], &[u8]),
        writes_apart: bool,
        deadline: Option<Duration>,
    ) -> Result<HttpAnswer, NoAnswer> {
        let is_new = self.answers == 0;
        let mut unsent = Vec::new();
        let mut held = Vec::new();
        let wrote = if writes_apart {
            scratch::write(&self.stream, head, &mut unsent)
                .and_then(|()| scratch::write(&self.stream, body, &mut unsent))
        } else {
            scratch::write(&self.stream, &[head, body].concat(), &mut unsent)
        };
        let failed = |held: &[u8]| {
            if is_new || !held.is_empty() { NoAnswer::Failed } else { NoAnswer::Stale }
        };
        wrote.map_err(|_| failed(&held))?;
        loop {
            let read = poll_fn(|cx| scratch::poll_io(&mut self.stream, &mut unsent, cx));
            let count = within(deadline, read).await.ok_or(NoAnswer::GivenUp)?;
            let count = count.ok().filter(|count| *count > 0).ok_or_else(|| failed(&held))?;
            scratch::with(|scratch| held.extend_from_slice(&scratch.read[..count]));
            if let Some(answer) = parse(&held).map_err(|()| NoAnswer::Failed)? {
                return Ok(answer);
            }
            if held.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::Failed);
            }
        }
    }

    /// After an answer: whether the connection is kept.
    pub(crate) fn keeps(&mut self, answer: &HttpAnswer, idle: Idle) -> bool {
        self.used = clock::now();
        self.answers = self.answers.saturating_add(1);
        let told = answer.timeout.filter(|_| idle.heeds_header);
        // A second before the server would.
        let told = told.map(|timeout| timeout.saturating_sub(Duration::from_secs(1)));
        self.idle_max = told.unwrap_or(idle.after);
        answer.keeps
    }
}

async fn within<T>(deadline: Option<Duration>, what: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout(deadline, what).await.ok(),
        None => Some(what.await),
    }
}

/// The answer at the beginning of these bytes, once it is whole; interim ones are passed over.
fn parse(mut bytes: &[u8]) -> Result<Option<HttpAnswer>, ()> {
    loop {
        let Some(head) = ResponseHead::parse(bytes).map_err(|_| ())? else { return Ok(None) };
        let rest = &bytes[head.head_bytes..];
        if head.is_interim() {
            bytes = rest;
            continue;
        }
        let header = |name: &str| {
            let value = head.headers.get(name)?;
            std::str::from_utf8(value).ok()
        };
        let length: usize =
            header("content-length").unwrap_or("0").trim().parse().map_err(|_| ())?;
        // An answer in chunks is another gateway's.
        if header("transfer-encoding").is_some() {
            return Err(());
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let has = |name: &str, wanted: &str| {
            header(name).is_some_and(|value| value.to_ascii_lowercase().contains(wanted))
        };
        let keep_alive = header("keep-alive").unwrap_or_default();
        let timeout = keep_alive.split(',').find_map(|part| part.trim().strip_prefix("timeout="));
        return Ok(Some(HttpAnswer {
            status: head.status,
            retry_after: head.retry_after(clock::wall()),
            body: body.to_vec(),
            keeps: head.minor_version > 0 && !has("connection", "close"),
            timeout: timeout.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let whole = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nKeep-Alive: timeout=75, max=9\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), Ok(None), "{cut}");
        }
        let answer = parse(whole).unwrap().unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.keeps), (200, &b"abc"[..], true));
        assert_eq!(answer.timeout, Some(Duration::from_secs(75)));
        let refusal = b"HTTP/1.1 503 x\r\nRetry-After: 7\r\nConnection: Close\r\n\r\n";
        let refusal = parse(refusal).unwrap().unwrap();
        assert_eq!((refusal.status, refusal.keeps), (503, false));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)));
        for wrong in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(parse(wrong), Err(()));
        }
    }

    async fn pair() -> (HttpConnection, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (HttpConnection::new(stream), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_when_the_answer_says_so() {
        let (mut connection, _peer) = pair().await;
        let answer = parse(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=75\r\n\r\n").unwrap().unwrap();
        let idle = Idle { after: Duration::from_secs(4), heeds_header: true };
        assert!(connection.keeps(&answer, idle));
        let at = |seconds| connection.used + Duration::from_secs(seconds);
        assert!(connection.is_usable(at(73)) && !connection.is_usable(at(74)));
        let (mut connection, _peer) = pair().await;
        connection.keeps(&answer, Idle { heeds_header: false, ..idle });
        assert!(!connection.is_usable(connection.used + Duration::from_secs(4)));
    }

    #[tokio::test]
    async fn who_waits_too_long_gives_up_and_who_was_cut_off_while_idle_is_stale() {
        let (mut connection, peer) = pair().await;
        let deadline = Some(Duration::from_millis(20));
        let request = (&b"POST / HTTP/1.1\r\n\r\n"[..], &b""[..]);
        let answer = connection.exchange(request, true, deadline).await;
        assert_eq!(answer, Err(NoAnswer::GivenUp));
        drop(peer);
        assert_eq!(connection.exchange(request, false, None).await, Err(NoAnswer::Failed));
        let (mut connection, peer) = pair().await;
        connection.answers = 1;
        drop(peer);
        assert_eq!(connection.exchange(request, false, None).await, Err(NoAnswer::Stale));
    }
}
