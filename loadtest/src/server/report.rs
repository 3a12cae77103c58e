//! The stand-in's second port: counts, the agents' digests, and switches for tests.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

use super::counts::Counts;
use super::misbehave::Misbehaviour;
use super::peaks::PeaksPerSecond;
use super::push::Order;
use super::reply::Server;
use super::store::Totals;
use crate::http1::{self, Head};

/// The longest order.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The body of `/report`.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    counts: &'a Counts,
    #[serde(flatten)]
    peaks: PeaksPerSecond,
    #[serde(flatten)]
    totals: Totals,
}

/// Answers for ever.
pub(crate) async fn accept(server: Arc<Server>, listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(server.clone(), stream));
        }
    }
}

async fn serve(server: Arc<Server>, mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(head) = http1::read_head(&mut stream, &mut buffer).await? {
        let length = head.content_length;
        let body = http1::read_body(&mut stream, &mut buffer, length, BODY_BYTES_MAX).await?;
        match respond(&server, &head, &body).await {
            Ok(answer) => {
                let kind = "200 OK\r\nContent-Type: application/json\r\n";
                http1::answer(&mut stream, kind, &answer).await?;
            }
            Err(fault) => {
                let kind = "400 Bad Request\r\nContent-Type: text/plain\r\n";
                http1::answer(&mut stream, kind, fault.as_bytes()).await?;
            }
        }
        if !head.keep_alive {
            break;
        }
    }
    Ok(())
}

async fn respond(server: &Arc<Server>, head: &Head, body: &[u8]) -> Result<Vec<u8>, String> {
    match (head.method.as_str(), head.path.as_str()) {
        ("GET", "/report") => {
            let report = Report {
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
            let (order, targets) = Order::read(body, server)?;
            let answer = format!("{{\"targets\":{}}}", targets.len());
            tokio::spawn(order.carry_out(server.clone(), targets));
            Ok(answer.into_bytes())
        }
        (method, path) => Err(format!(
            "{method} {path} is not known; GET /report, GET /agents, GET or POST /misbehave, POST /reset, POST /push are"
        )),
    }
}

/// One JSON object a line, so that readers need not hold the whole.
fn agent_lines(server: &Server) -> Vec<u8> {
    let mut out = Vec::new();
    server.store.lines(|line| {
        // Numbers and text into memory: this cannot fail.
        serde_json::to_writer(&mut out, &line).expect("a line is plain data");
        out.push(b'\n');
    });
    out
}
