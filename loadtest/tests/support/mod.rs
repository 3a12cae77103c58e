//! A gate in front of the server stand-in, as simple as it can be: so many connections a second, in a
//! line or refused with `Retry-After`, and an operators' port where the rate is set. It knows no
//! OpAMP; what is tested with it is the instrument.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a connection whose turn has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It waits unanswered.
    Park,
    /// It is told to come back after so many seconds.
    Refuse(u32),
}

/// A gate that lives as long as this.
pub(crate) struct Gate {
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    /// Rates that have been set.
    pub(crate) told: Arc<Mutex<Vec<f64>>>,
    _runtime: tokio::runtime::Runtime,
}

/// Admits one every so often, and at first as many as a second would.
struct Line {
    rate: f64,
    next: Instant,
}

impl Line {
    fn set(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// When this one's turn comes, which it takes if that is now or `parks`.
    #[allow(clippy::disallowed_methods, reason = "a test of its own program's clock")]
    fn turn(&mut self, parks: bool) -> Option<Instant> {
        let now = Instant::now();
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let turn = self.next.max(earliest) + Duration::from_secs_f64(1.0 / self.rate);
        if turn > now && !parks {
            return None;
        }
        self.next = turn;
        Some(turn)
    }
}

impl Gate {
    /// In front of this port; with an operators' port that knows POST /admission, or one that does not.
    #[allow(clippy::disallowed_methods, reason = "a test of its own program's clock")]
    pub(crate) fn start(server: u16, manner: Manner, knows_rates: bool) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let line = Arc::new(Mutex::new(Line { rate: 1e6, next: Instant::now() }));
        let told = Arc::new(Mutex::new(Vec::new()));
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (agents, operators) = (bind(), bind());
        let [port, admin_port] =
            [&agents, &operators].map(|listener| listener.local_addr().unwrap().port());
        let set = knows_rates.then(|| (line.clone(), told.clone()));
        runtime.spawn(async move {
            while let Ok((stream, _)) = operators.accept().await {
                tokio::spawn(operate(stream, set.clone()));
            }
        });
        runtime.spawn(async move {
            while let Ok((stream, _)) = agents.accept().await {
                tokio::spawn(serve(stream, server, manner, line.clone()));
            }
        });
        Self { port, admin_port, told, _runtime: runtime }
    }
}

type Rates = (Arc<Mutex<Line>>, Arc<Mutex<Vec<f64>>>);

async fn operate(mut stream: TcpStream, rates: Option<Rates>) -> io::Result<()> {
    let mut head = [0; 1024];
    let count = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    let asked = head.strip_prefix("POST /admission?rate=").and_then(|rest| rest.split(' ').next());
    let answer = match (asked.and_then(|rate| rate.parse().ok()), rates) {
        (Some(rate), Some((line, told))) => {
            line.lock().set(rate);
            told.lock().push(rate);
            let state = format!("{{\"rate\":{rate}}}");
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{state}", state.len())
        }
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    stream.write_all(answer.as_bytes()).await
}

async fn serve(
    mut agent: TcpStream,
    server: u16,
    manner: Manner,
    line: Arc<Mutex<Line>>,
) -> io::Result<()> {
    let turn = line.lock().turn(manner == Manner::Park);
    match (turn, manner) {
        (Some(turn), _) => tokio::time::sleep_until(turn.into()).await,
        (None, Manner::Refuse(seconds)) => {
            let mut head = [0; 1024];
            let _ = agent.read(&mut head).await?;
            let answer = format!(
                "HTTP/1.1 503 No\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            return agent.write_all(answer.as_bytes()).await;
        }
        (None, Manner::Park) => return Ok(()),
    }
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    copy_bidirectional(&mut agent, &mut server).await.map(drop)
}
