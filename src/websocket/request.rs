//! The server's side of the opening handshake (RFC 6455, section 4.2).
//!
//! Says whether a request asks for a WebSocket and what is wrong with it. Path, authentication and
//! limits are the edge's concern.

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::head::{HeadFault, Headers, has_token};
use super::host::{HostFault, check_host};

/// The head of an HTTP/1 request.
#[derive(Debug, Clone)]
pub struct RequestHead<'a> {
    /// As it stands: `GET`, `POST`.
    pub method: &'a str,
    /// The request target as it stands: path and query.
    pub target: &'a str,
    /// The minor version of HTTP/1: 0 or 1.
    pub minor_version: u8,
    /// The headers.
    pub headers: Headers<'a>,
    /// How long the head is, in bytes; what follows is the body, or frames.
    pub head_bytes: usize,
}

/// What follows a path (RFC 3986, section 3).
const PATH_ENDS: [char; 2] = ['?', '#'];

impl<'a> RequestHead<'a> {
    /// Finds the head at the beginning of `bytes`; empty while it is incomplete. How long it may
    /// become is for the caller to bound.
    ///
    /// # Errors
    /// If the bytes are something else than the beginning of a request; see [`HeadFault`].
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, HeadFault> {
        let mut headers = Headers::new();
        let mut request = httparse::Request::new(&mut headers.all);
        match request.parse(bytes).map_err(HeadFault::from_httparse)? {
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(head_bytes) => {
                let (method, target) =
                    (request.method.unwrap_or_default(), request.path.unwrap_or_default());
                let (minor_version, count) =
                    (request.version.unwrap_or_default(), request.headers.len());
                headers.count = count;
                Ok(Some(Self { method, target, minor_version, headers, head_bytes }))
            }
        }
    }

    /// The target up to its query; of one in absolute form, which a server has to take as well (RFC 9112, section
    /// 3.2.2), what follows the authority. A fragment has no place in a target. It ends the path here, because hyper
    /// drops it.
    pub fn path(&self) -> &'a str {
        let target = match self.target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(PATH_ENDS) && !scheme.contains('/') => {
                rest.find(['/', '?', '#']).map_or("/", |end| &rest[end..])
            }
            _ => self.target,
        };
        let path = target.split_once(PATH_ENDS).map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// Checks that the request says which host it is for; see [`check_host`].
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn host(&self) -> Result<(), HostFault> {
        check_host(self.minor_version, self.headers.all("host"))
    }

    /// Whether the sender waits for a 100 before it goes on (RFC 9110, section 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.headers.all("expect").any(|value| has_token(value, "100-continue"))
    }

    /// Checks that the request asks for a WebSocket; see [`check_upgrade`].
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn upgrade(&self) -> Result<Key, UpgradeFault> {
        let key = check_upgrade(self.method, self.headers.iter())?;
        if self.minor_version == 0 { Err(UpgradeFault::HttpVersion) } else { Ok(key) }
    }
}

/// A client's `Sec-WebSocket-Key`: 16 bytes in base 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 24]);

impl Key {
    fn parse(value: &[u8]) -> Option<Self> {
        let key: [u8; 24] = value.trim_ascii().try_into().ok()?;
        let digits =
            key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
        (digits && key.ends_with(b"==")).then_some(Self(key))
    }
}

/// Why a request fails to open a WebSocket. The client's fault; retrying is in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeFault {
    /// It asks for something else: `Upgrade: websocket` is missing.
    #[error("the request does not ask for a WebSocket")]
    NotAsked,
    /// The method differs from GET.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// HTTP/1.0 lacks upgrades.
    #[error("a WebSocket is opened with HTTP/1.1")]
    HttpVersion,
    /// `Connection: Upgrade` is missing.
    #[error("the header Connection: Upgrade is missing")]
    Connection,
    /// `Sec-WebSocket-Version` differs from 13.
    #[error("the header Sec-WebSocket-Version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is missing, there twice, or something else than 16 bytes in base 64.
    #[error("the header Sec-WebSocket-Key is not 16 bytes in base 64")]
    Key,
    /// It has a body, which would have to be read before the first frame (RFC 9110, section 7.8).
    #[error("a request that opens a WebSocket has no body")]
    Body,
}

impl UpgradeFault {
    /// The status that answers the request. 426 goes with `Upgrade: websocket`, and for
    /// [`UpgradeFault::Version`] with `Sec-WebSocket-Version: 13` (RFC 6455, section 4.4).
    pub const fn status(self) -> u16 {
        match self {
            Self::NotAsked | Self::Version => 426,
            Self::Method => 405,
            Self::HttpVersion | Self::Connection | Self::Key | Self::Body => 400,
        }
    }
}

/// Checks that a request asks for a WebSocket as RFC 6455, section 4.2.1, says. Extensions and
/// subprotocols that it offers are declined, by leaving them out of the answer.
///
/// # Errors
/// What is missing or wrong; [`UpgradeFault::NotAsked`] tells plain HTTP from a faulty upgrade.
pub fn check_upgrade<'a>(
    method: &str,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Key, UpgradeFault> {
    let (mut upgrade, mut connection, mut version, mut body) = (false, false, false, false);
    let mut keys = 0;
    let mut key = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("upgrade") {
            upgrade |= has_token(value, "websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            connection |= has_token(value, "upgrade");
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            version |= has_token(value, "13");
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            keys += 1;
            key = Key::parse(value);
        } else if name.eq_ignore_ascii_case("content-length") {
            body |= value.trim_ascii() != b"0";
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body = true;
        }
    }
    if !upgrade {
        return Err(UpgradeFault::NotAsked);
    }
    if method != "GET" {
        return Err(UpgradeFault::Method);
    }
    if !connection {
        return Err(UpgradeFault::Connection);
    }
    if !version {
        return Err(UpgradeFault::Version);
    }
    if body {
        return Err(UpgradeFault::Body);
    }
    key.filter(|_| keys == 1).ok_or(UpgradeFault::Key)
}

/// Appends what a client that says `Expect: 100-continue` waits for. It goes before the answer that opens the WebSocket
/// (RFC 9110, section 7.8).
pub fn continue_response(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends the answer that opens the WebSocket (RFC 6455, section 4.2.2).
pub fn accept_response(key: &Key, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(derive_accept_key(&key.0).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests;
