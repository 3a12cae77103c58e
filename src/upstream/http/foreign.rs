//! An answer that says success and is something else than a `ServerToAgent` (OpAMP specification, "Plain HTTP
//! Transport"): a page of a proxy or balancer in front of the server, or nothing at all.

use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::opamp::header;
use crate::opamp::server::ServerScan;

/// What is shown of a header.
const SHOWN_CHARS_MAX: usize = 100;

/// What came, for the log.
#[derive(Debug)]
pub(super) struct Foreign {
    status: StatusCode,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The body is empty.
    Nothing,
    /// It is packed in this way, which was not asked for.
    Packed(String),
    /// It is of this type, if the server says so.
    Unreadable(Option<String>),
}

impl Foreign {
    /// Looks at an answer; `None`: it is a message.
    pub(super) fn find(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let packed = headers.get(CONTENT_ENCODING).map(shown);
        let what = if body.is_empty() {
            What::Nothing
        } else if let Some(coding) = packed.filter(|coding| !is_plain(coding)) {
            What::Packed(coding)
        } else if ServerScan::parse(header::strip(body)).is_err() {
            What::Unreadable(headers.get(CONTENT_TYPE).map(shown))
        } else {
            return None;
        };
        Some(Self { status, what })
    }
}

/// An empty list names no coding (RFC 9110, section 5.6.1.2).
fn is_plain(coding: &str) -> bool {
    coding.split(',').all(|one| matches!(one.trim().to_ascii_lowercase().as_str(), "" | "identity"))
}

/// A header as the log may show it.
fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().take(SHOWN_CHARS_MAX).collect()
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, what } = self;
        write!(f, "{status} with ")?;
        match what {
            What::Nothing => f.write_str("nothing")?,
            What::Packed(coding) => {
                write!(f, "Content-Encoding: {coding}, which was not asked for")?;
            }
            What::Unreadable(Some(kind)) => write!(f, "a body of type {kind}")?,
            What::Unreadable(None) => f.write_str("a body of no known type")?,
        }
        f.write_str(" instead of a ServerToAgent: is there an OpAMP server at the path of url?")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(http::HeaderName, &str)], body: &[u8]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let headers: HeaderMap = headers.collect();
        Foreign::find(StatusCode::OK, &headers, body).map(|foreign| foreign.to_string())
    }

    #[test]
    fn a_message_is_told_from_what_is_none() {
        // A uid of 16 bytes.
        let message = [&[10, 16][..], &[7; 16]].concat();
        assert_eq!(found(&[], &message), None);
        assert_eq!(found(&[(CONTENT_TYPE, "text/plain")], &message), None, "what it is, counts");
        assert_eq!(found(&[(CONTENT_ENCODING, "identity")], &message), None);
        assert_eq!(found(&[(CONTENT_ENCODING, " ")], &message), None);
        let page = b"<html><body>Down for maintenance</body></html>";
        for (headers, body, expected) in [
            (&[][..], &b""[..], "200 OK with nothing instead"),
            (&[(CONTENT_TYPE, "text/html")], page, "200 OK with a body of type text/html instead"),
            (&[], page, "200 OK with a body of no known type instead"),
            (&[], b"{\"status\": \"ok\"}", "200 OK with a body of no known type"),
            (&[], b"OK", "200 OK with a body of no known type"),
            (&[(CONTENT_ENCODING, "gzip")], &message, "200 OK with Content-Encoding: gzip"),
        ] {
            let told = found(headers, body).unwrap();
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
