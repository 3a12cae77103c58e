//! Asks a running node for `/cluster`, over its administration port.

use std::io;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::table;
use super::view::ClusterView;
use crate::connect;

/// How long a dial may take.
const DIAL_TIME: Duration = Duration::from_secs(5);
/// How long the answer may take: the node itself asks all others, for a second.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// The longest answer: 256 nodes with 4 KiB each, and more.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Why the fleet cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No process listens there: the node is down, or the operator has named another address than its
    /// `admin.listen`.
    #[error(
        "{address} cannot be reached: {source}; is it the node's admin.listen, and is the node running?"
    )]
    Unreachable {
        /// Where the node was looked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The node's fault, or its machine's: it is stopped or overloaded.
    #[error(
        "{0} takes connections and does not answer: the process is stopped, or its machine is overloaded"
    )]
    Silent(String),
    /// The operator has named another program's address, or an older Seawall's.
    #[error("{address} answers {status}: it is no Seawall, or one that knows no /cluster")]
    Other {
        /// Where the node was looked for.
        address: String,
        /// What it answers.
        status: StatusCode,
    },
    /// What answers is no Seawall, or broke off.
    #[error("{address} does not answer as Seawall does: {what}")]
    Malformed {
        /// Where the node was looked for.
        address: String,
        /// What is wrong.
        what: String,
    },
}

/// What a node has answered.
#[derive(Debug)]
pub struct ClusterAnswer {
    json: String,
    view: ClusterView,
}

impl ClusterAnswer {
    /// As the node has written it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// As a table for a terminal.
    pub fn table(&self) -> String {
        table::render(&self.view)
    }

    /// Whether every node may speak, every shard has a home, and nothing is under way.
    pub const fn is_whole(&self) -> bool {
        self.view.attention.is_empty()
    }

    fn read(json: String) -> Result<Self, serde_json::Error> {
        let view = serde_json::from_str(&json)?;
        Ok(Self { json, view })
    }
}

/// Asks the node whose administration port is at `address`, as host and port.
///
/// # Errors
/// Says why there is no answer, and whose fault that is.
pub async fn ask(address: &str) -> Result<ClusterAnswer, AskError> {
    // As a browser shows it.
    let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let unreachable = |source| AskError::Unreachable { address: address.to_owned(), source };
    let late = |_| unreachable(io::ErrorKind::TimedOut.into());
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let port = port.parse().map_err(|_| unreachable(io::ErrorKind::InvalidInput.into()))?;
    let dialled = connect::connect(host.trim_matches(['[', ']']), port);
    let dialled = timeout(DIAL_TIME, dialled).await.map_err(late)?;
    let stream = dialled.map_err(unreachable)?;
    let answer = timeout(ANSWER_TIME, fetch(stream, address)).await;
    let (status, body) = answer.map_err(|_| AskError::Silent(address.to_owned()))??;
    if status != StatusCode::OK {
        return Err(AskError::Other { address: address.to_owned(), status });
    }
    let answer = ClusterAnswer::read(body).map_err(|error| malformed(address, &error))?;
    // Every other JSON reads as an answer in which each field is missing.
    if answer.view.asked.is_empty() {
        return Err(malformed(address, &"the answer names no node"));
    }
    Ok(answer)
}

fn malformed(address: &str, what: &dyn std::fmt::Display) -> AskError {
    AskError::Malformed { address: address.to_owned(), what: what.to_string() }
}

async fn fetch(stream: TcpStream, address: &str) -> Result<(StatusCode, String), AskError> {
    let wrong = |error: hyper::Error| malformed(address, &error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(wrong)?;
    let request = Request::builder().uri("/cluster").header(header::HOST, address);
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| malformed(address, &error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(wrong)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| malformed(address, &error))?.to_bytes();
        Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
    };
    let connection = async {
        // Its error is the answer's as well.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        () = connection => Err(malformed(address, &"the connection ended")),
    }
}
