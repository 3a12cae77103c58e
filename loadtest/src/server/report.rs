//! The stand-in's second port: counts, the agents' digests, and switches for tests.

use std::io;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use seawall::ident::InstanceUid;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

use super::counts::Counts;
use super::misbehave::Misbehaviour;
use super::peaks::PeaksPerSecond;
use super::push::PushOrder;
use super::reply::StandIn;
use super::store::Totals;
use crate::http::{StandInAnswer, read_body};

/// The longest order.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Where the links of one agent are, by its uid.
const LINKS_OF: &str = "/links/";

/// The body of `/report`.
#[derive(Serialize)]
struct StandInReport<'a> {
    #[serde(flatten)]
    counts: &'a Counts,
    #[serde(flatten)]
    peaks: PeaksPerSecond,
    #[serde(flatten)]
    totals: Totals,
}

/// Accepts connections until the runtime ends.
pub(crate) async fn accept(server: Arc<StandIn>, listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(server.clone(), stream));
        }
    }
}

async fn serve(server: Arc<StandIn>, stream: TcpStream) -> Result<(), hyper::Error> {
    let service = service_fn(|request| respond(&server, request));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

async fn respond(server: &Arc<StandIn>, request: Request<Incoming>) -> io::Result<StandInAnswer> {
    let (head, body) = request.into_parts();
    let body = read_body(body, BODY_BYTES_MAX).await?;
    let answer = http::Response::builder();
    match carry_out(server, (head.method.as_str(), head.uri.path()), &body).await {
        Ok(json) => answer.header(CONTENT_TYPE, "application/json").body(json.into()),
        Err(fault) => answer
            .status(StatusCode::BAD_REQUEST)
            .header(CONTENT_TYPE, "text/plain")
            .body(fault.into()),
    }
    .map_err(io::Error::other)
}

async fn carry_out(
    server: &Arc<StandIn>,
    asked: (&str, &str),
    body: &[u8],
) -> Result<Vec<u8>, String> {
    match asked {
        ("GET", "/report") => {
            let report = StandInReport {
                counts: &server.counts,
                peaks: server.peaks.per_second(),
                totals: server.store.totals(),
            };
            serde_json::to_vec(&report).map_err(|error| error.to_string())
        }
        ("GET", "/agents") => {
            let server = server.clone();
            // Digests of agents that have reported since the last time are made now.
            let lines = tokio::task::spawn_blocking(move || agent_lines(&server));
            lines.await.map_err(|error| error.to_string())
        }
        ("GET", "/links") => Ok(server.links.lines()),
        ("GET", "/homes") => Ok(server.links.homes()),
        ("GET", path) if path.starts_with(LINKS_OF) => {
            let text = path.trim_start_matches(LINKS_OF);
            let uid = InstanceUid::parse(text).ok_or_else(|| format!("`{text}` is not a uid"))?;
            serde_json::to_vec(&server.links.of_agent(&uid)).map_err(|error| error.to_string())
        }
        ("GET", "/misbehave") => {
            serde_json::to_vec(&*server.faults.current()).map_err(|error| error.to_string())
        }
        ("POST", "/reset") => {
            server.counts.reset();
            server.peaks.reset();
            Ok(b"{}".to_vec())
        }
        ("POST", "/misbehave") => {
            server.faults.switch(Misbehaviour::from_json(body)?);
            Ok(b"{}".to_vec())
        }
        ("POST", "/push") => {
            let (order, targets) = PushOrder::read(body, server)?;
            let answer = format!("{{\"targets\":{}}}", targets.len());
            tokio::spawn(order.carry_out(server.clone(), targets));
            Ok(answer.into_bytes())
        }
        (method, path) => Err(format!(
            "{method} {path} is not known; GET /report, GET /agents, GET /links, GET /links/UID, GET /homes, GET or POST /misbehave, POST /reset, POST /push are"
        )),
    }
}

/// One JSON object a line, so that readers can take them one by one.
fn agent_lines(server: &StandIn) -> Vec<u8> {
    let mut out = Vec::new();
    server.store.lines(|uid, mut line| {
        line.links = server.links.of_several_nodes(uid);
        // Numbers and text into memory: this always succeeds.
        serde_json::to_writer(&mut out, &line).expect("a line is plain data");
        out.push(b'\n');
    });
    out
}
