//! A gate in front of the server stand-in, as simple as it can be: a number of connections a second, in
//! a line or refused with `Retry-After`, and an admin port where the rate is set. It knows no OpAMP;
//! what is tested with it is the instrument.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a connection that the rate has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It waits unanswered.
    Park,
    /// It is told to come back after this many seconds.
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

/// Admits one connection in each interval, and at first as many as a second would.
struct Line {
    rate: f64,
    next: Instant,
}

impl Line {
    /// When the next connection is admitted. It takes that place if it comes now or the gate `parks`.
    #[allow(clippy::disallowed_methods, reason = "a test of its own program's clock")]
    fn place(&mut self, parks: bool) -> Option<Instant> {
        let now = Instant::now();
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let place = self.next.max(earliest) + Duration::from_secs_f64(1.0 / self.rate);
        if place > now && !parks {
            return None;
        }
        self.next = place;
        Some(place)
    }
}

impl Gate {
    /// In front of this port; its admin port knows POST /admission or answers everything with 404.
    #[allow(clippy::disallowed_methods, reason = "a test of its own program's clock")]
    pub(crate) fn start(server: u16, manner: Manner, knows_rates: bool) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let line = Arc::new(Mutex::new(Line { rate: 1e6, next: Instant::now() }));
        let told = Arc::new(Mutex::new(Vec::new()));
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (agents, admin) = (bind(), bind());
        let [port, admin_port] =
            [&agents, &admin].map(|listener| listener.local_addr().unwrap().port());
        let rates = Rates { knows_rates, line: line.clone(), told: told.clone() };
        runtime.spawn(async move {
            while let Ok((stream, _)) = admin.accept().await {
                tokio::spawn(operate(stream, rates.clone()));
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

/// What the admin port sets.
#[derive(Clone)]
struct Rates {
    knows_rates: bool,
    line: Arc<Mutex<Line>>,
    told: Arc<Mutex<Vec<f64>>>,
}

async fn operate(stream: TcpStream, rates: Rates) -> Result<(), hyper::Error> {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, io::Error>(rates.answer(&request).unwrap_or_else(|| {
            let mut unknown = Response::new(Full::default());
            *unknown.status_mut() = StatusCode::NOT_FOUND;
            unknown
        }))
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

impl Rates {
    fn answer(&self, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let uri = request.uri();
        let is_rate = request.method() == Method::POST && uri.path() == "/admission";
        let rate: f64 = uri.query()?.strip_prefix("rate=")?.parse().ok()?;
        (self.knows_rates && is_rate).then(|| {
            self.line.lock().rate = rate;
            self.told.lock().push(rate);
            Response::new(Full::from(format!("{{\"rate\":{rate}}}")))
        })
    }
}

/// Bytes are passed on as they are, so that the instrument meets the stand-in itself.
async fn serve(
    mut agent: TcpStream,
    server: u16,
    manner: Manner,
    line: Arc<Mutex<Line>>,
) -> io::Result<()> {
    let place = line.lock().place(manner == Manner::Park);
    match (place, manner) {
        (Some(place), _) => tokio::time::sleep_until(place.into()).await,
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
