//! The client's side of the opening handshake (RFC 6455, section 4.1).
//!
//! Writes the request and judges the answer. What to do about a refusal is the upstream's concern.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::head::{HeadFault, Headers, has_token};

/// What a client's opening request says.
#[derive(Debug, Clone, Copy)]
pub struct ClientRequest<'a> {
    /// Host, and port unless it is the scheme's own.
    pub authority: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Headers beside the handshake's own, such as `Authorization`.
    pub headers: &'a HeaderMap,
    /// `Sec-WebSocket-Key`, from [`super::generate_key`].
    pub key: &'a str,
}

/// Appends the request that asks for a WebSocket. `Origin` is left out: servers compare it with their own
/// name.
pub fn client_request(request: &ClientRequest<'_>, out: &mut Vec<u8>) {
    let ClientRequest { authority, target, headers, key } = *request;
    for part in [
        "GET ",
        target,
        " HTTP/1.1\r\nHost: ",
        authority,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        key,
        "\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The head of an HTTP/1 response.
#[derive(Debug, Clone)]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The minor version of HTTP/1: 0 or 1.
    pub minor_version: u8,
    /// The headers.
    pub headers: Headers<'a>,
    /// How long the head is, in bytes; what follows is the body, or frames.
    pub head_bytes: usize,
}

impl<'a> ResponseHead<'a> {
    /// Finds the head at the beginning of `bytes`; empty while it is incomplete. How long it may
    /// become is for the caller to bound.
    ///
    /// # Errors
    /// If the bytes are something else than the beginning of a response; see [`HeadFault`].
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, HeadFault> {
        let mut headers = Headers::new();
        let mut response = httparse::Response::new(&mut headers.all);
        match response.parse(bytes).map_err(HeadFault::from_httparse)? {
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(head_bytes) => {
                let (status, count) = (response.code.unwrap_or_default(), response.headers.len());
                let minor_version = response.version.unwrap_or_default();
                headers.count = count;
                Ok(Some(Self { status, minor_version, headers, head_bytes }))
            }
        }
    }

    /// Whether another answer follows this one (RFC 9110, section 15.2): 100, 103 and their like. 101 is the last.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, of which the rest from `now` on
    /// is meant. The server's wish; any cap is the caller's.
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        retry_after(self.headers.get("retry-after")?, now)
    }
}

/// The value of `Retry-After`; see [`ResponseHead::retry_after`].
pub fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Why a server's answer fails to open a WebSocket. The server's fault; the status says whether retrying
/// helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server answered {status}: {reason}")]
pub struct Refused {
    /// The status; 101 if the answer is wrong in another way.
    pub status: u16,
    /// How long the server asks to wait; see [`ResponseHead::retry_after`].
    pub retry_after: Option<Duration>,
    /// What is wrong with the answer.
    pub reason: &'static str,
}

/// Judges the answer to a [`client_request`] with this key (RFC 6455, section 4.1, end). `now` is for
/// a `Retry-After` that is a date.
///
/// # Errors
/// If the answer fails to open a WebSocket.
pub fn check_response(head: &ResponseHead<'_>, key: &str, now: SystemTime) -> Result<(), Refused> {
    let refused =
        |reason| Err(Refused { status: head.status, retry_after: head.retry_after(now), reason });
    if head.status != 101 {
        return refused("it does not switch protocols");
    }
    if head.minor_version == 0 {
        return refused("HTTP/1.0 has no upgrades");
    }
    if !head.headers.all("upgrade").any(|value| has_token(value, "websocket")) {
        return refused("Upgrade: websocket is missing");
    }
    if !head.headers.all("connection").any(|value| has_token(value, "upgrade")) {
        return refused("Connection: Upgrade is missing");
    }
    let accept = head.headers.get("sec-websocket-accept").unwrap_or_default();
    if accept.trim_ascii() != derive_accept_key(key.as_bytes()).as_bytes() {
        return refused("Sec-WebSocket-Accept does not fit the key");
    }
    if head.headers.all("sec-websocket-extensions").any(names_something) {
        return refused("it uses an extension that was not offered");
    }
    if head.headers.all("sec-websocket-protocol").any(names_something) {
        return refused("it uses a subprotocol that was not offered");
    }
    Ok(())
}

/// Whether a comma-separated list has an element that is not empty (RFC 9110, section 5.6.1.2).
fn names_something(list: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|element| !element.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests;
