//! As much HTTP/1.1 as the load generator needs: request heads for the stand-in, and a client for
//! its report and the gateway's metrics. Bounded everywhere.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest request head taken.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest answer read by the client: the views of a million agents.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// How long the client waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A request's head, as far as anybody here looks at it.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The key of a WebSocket upgrade.
    pub(crate) websocket_key: Option<String>,
    pub(crate) content_type: String,
    pub(crate) content_length: usize,
    pub(crate) keep_alive: bool,
}

/// Reads a head and takes it off the front of `buffer`; what follows it stays there. `None` when
/// the peer closes between requests.
///
/// # Errors
/// When the connection fails, or what arrives is not HTTP or is too long.
pub(crate) async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Head>> {
    loop {
        if let Some((head, length)) = parse_head(buffer)? {
            buffer.drain(..length);
            return Ok(Some(head));
        }
        if buffer.len() >= HEAD_BYTES_MAX {
            return Err(invalid("request head longer than 16 KiB"));
        }
        buffer.reserve(2048);
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

fn parse_head(buffer: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer).map_err(invalid)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        keep_alive: request.version == Some(1),
        ..Head::default()
    };
    for header in request.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(invalid)?.trim();
        match header.name.to_ascii_lowercase().as_str() {
            "sec-websocket-key" => head.websocket_key = Some(value.to_owned()),
            "content-type" => value.clone_into(&mut head.content_type),
            "content-length" => head.content_length = value.parse().map_err(invalid)?,
            "connection" if value.eq_ignore_ascii_case("close") => head.keep_alive = false,
            "transfer-encoding" => return Err(invalid("transfer-encoding is not taken")),
            _ => {}
        }
    }
    Ok(Some((head, length)))
}

/// Reads the rest of a body of `length` bytes and takes it off `buffer`.
///
/// # Errors
/// When the connection fails, or the body is longer than `bytes_max`.
pub(crate) async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    length: usize,
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    if length > bytes_max {
        return Err(invalid("request body too long"));
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}

/// Writes a whole answer. `head` is the status line and headers, each ended, without lengths.
///
/// # Errors
/// When the connection fails.
pub(crate) async fn answer(stream: &mut TcpStream, head: &str, body: &[u8]) -> io::Result<()> {
    let mut out = format!("HTTP/1.1 {head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    stream.write_all(&out).await
}

/// Fetches `http://host:port/path`, by POST if there is a body, and returns the answer's body.
///
/// # Errors
/// When the URL is not of that form, nobody answers, or the status is not 2xx.
pub(crate) async fn fetch(url: &str, body: Option<&str>) -> io::Result<Vec<u8>> {
    let context = |error: io::Error| io::Error::new(error.kind(), format!("{url}: {error}"));
    tokio::time::timeout(ANSWER_TIMEOUT, fetch_now(url, body))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(context)
}

async fn fetch_now(url: &str, body: Option<&str>) -> io::Result<Vec<u8>> {
    let rest = url.strip_prefix("http://").ok_or_else(|| invalid("only http:// is understood"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority).await?;
    // HTTP/1.0, so that the answer ends with the connection and is not chunked.
    let request = match body {
        None => format!("GET /{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n"),
        Some(body) => format!(
            "POST /{path} HTTP/1.0\r\nHost: {authority}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    };
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(&answer).map_err(invalid)? {
        httparse::Status::Complete(length) if matches!(response.code, Some(200..300)) => {
            Ok(answer.split_off(length))
        }
        httparse::Status::Complete(length) => Err(invalid(format!(
            "answered with status {}: {}",
            response.code.unwrap_or_default(),
            String::from_utf8_lossy(&answer[length..]).trim()
        ))),
        httparse::Status::Partial => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_nonsense_is_not() {
        let text =
            b"POST /v1/opamp HTTP/1.1\r\nContent-Length: 5\r\nCONTENT-TYPE: a/b\r\n\r\nhello";
        let (head, length) = parse_head(text).unwrap().unwrap();
        assert_eq!(&text[length..], b"hello");
        assert_eq!((head.method.as_str(), head.content_length), ("POST", 5));
        assert!(head.keep_alive && head.content_type == "a/b");
        assert!(parse_head(&text[..20]).unwrap().is_none());
        assert!(parse_head(b"\x01\x02\x03 nonsense\r\n\r\n").is_err());
        assert!(parse_head(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
