//! The head of an HTTP/1.1 request or response, found in bytes: start line and headers.
//!
//! Borrows from what was read and stays off the heap. What the headers mean is left to the caller.

use httparse::{EMPTY_HEADER, Header};

/// The most headers in one head. No protocol has a limit, and proxies add many; 100 is what others take.
pub const HEADERS_MAX: usize = 128;

/// Why bytes are refused as a head. The peer's fault; retrying is in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// More than [`HEADERS_MAX`] headers.
    #[error("more than {HEADERS_MAX} headers")]
    TooManyHeaders,
    /// Something else than HTTP/1.
    #[error("malformed HTTP: {0}")]
    Malformed(#[from] httparse::Error),
}

impl HeadFault {
    /// The status that answers such a request (RFC 6585, section 5; RFC 9110, section 15.5.1).
    pub const fn status(self) -> u16 {
        match self {
            Self::TooManyHeaders => 431,
            Self::Malformed(_) => 400,
        }
    }

    pub(super) const fn from_httparse(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyHeaders,
            other => Self::Malformed(other),
        }
    }
}

/// The headers of a head, in their order.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    pub(super) all: [Header<'a>; HEADERS_MAX],
    pub(super) count: usize,
}

impl<'a> Headers<'a> {
    pub(super) const fn new() -> Self {
        Self { all: [EMPTY_HEADER; HEADERS_MAX], count: 0 }
    }

    /// Name and value of each; names as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
        self.all[..self.count].iter().map(|header| (header.name, header.value))
    }

    /// The values of all headers with this name, whatever the case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The value of the first header with this name, whatever the case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }
}

/// Whether a comma-separated list has the token, whatever the case (RFC 9110, section 5.6.1).
pub(super) fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
