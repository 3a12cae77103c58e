//! Why a dial failed, in words that say what to look at.

use std::io;
use std::time::Duration;

use crate::core::server::FailedDial;
use crate::telemetry::events::upstream::DialResult;
use crate::tls::TlsError;
use crate::websocket;

/// Why a dial failed. The server's, the proxy's or the network's fault; retrying may help.
#[derive(Debug, thiserror::Error)]
pub(in crate::upstream) enum DialError {
    /// The server is missing at the address: the name is unknown, or connections are refused.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The proxy between it and Seawall opened no way to it.
    #[error("the proxy {proxy}: {fault}")]
    Proxy {
        /// Which, without its credentials.
        proxy: String,
        /// What it did.
        fault: ProxyFault,
    },
    /// A file that is read at each dial is unreadable, or holds something else than it should.
    #[error("a file that the dial needs: {0}")]
    File(String),
    /// The files for TLS are unreadable, or hold something else than they should.
    #[error("the files for TLS: {0}")]
    TlsFiles(#[from] TlsError),
    /// TLS: the certificate is of an unknown authority, or the server speaks something else than TLS.
    #[error("TLS handshake: {source}{}", hint(source, plain))]
    Tls {
        /// What the TLS library says.
        #[source]
        source: io::Error,
        /// The scheme of plain text.
        plain: &'static str,
    },
    /// The server answered the upgrade with something else.
    #[error("{}", refusal(.0))]
    Refused(#[from] websocket::Refused),
    /// The answer is something else than HTTP.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(#[from] websocket::HeadFault),
    /// The connection broke during the handshake.
    #[error("connection lost during the handshake: {0}")]
    Lost(#[source] io::Error),
    /// The head of the answer is over the limit.
    #[error("the answer's headers are longer than {0} bytes")]
    TooLong(usize),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// What a proxy did instead of opening a way to the server.
#[derive(Debug, thiserror::Error)]
pub(in crate::upstream) enum ProxyFault {
    /// It is missing at its address.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// It answered CONNECT with another status.
    #[error("{}", proxy_refusal(*status))]
    Refused {
        /// It.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Its answer is something else than HTTP.
    #[error("its answer is not HTTP: {0}")]
    NotHttp(#[from] websocket::HeadFault),
    /// The connection broke before it answered.
    #[error("connection lost before it answered: {0}")]
    Lost(#[source] io::Error),
    /// The head of its answer is over the limit.
    #[error("its answer's headers are longer than {0} bytes")]
    TooLong(usize),
    /// Its answer brings something along, before the server was asked anything.
    #[error("its answer has a body, instead of opening a way to the server")]
    Body,
}

/// What the TLS library says, and what an operator can do about it.
const HINTS: [(&str, &str); 4] = [
    (
        "CaUsedAsEndEntity",
        " (the server shows an authority's own certificate: make one for the server, with \
         basicConstraints CA:FALSE and its name in subjectAltName, signed by that authority or by itself)",
    ),
    (
        "UnknownIssuer",
        " (no authority that Seawall trusts has signed the server's certificate: name its authority in ca_file)",
    ),
    (
        "BadSignature",
        " (an authority with the name of one that Seawall trusts, and another key, has signed the server's certificate: \
         is ca_file outdated?)",
    ),
    (
        "not valid for any names",
        " (make a certificate with the server's name in subjectAltName: a name in CN alone does not count)",
    ),
];

/// A server that answers a TLS handshake with plain text has the other scheme in its URL.
fn hint(error: &io::Error, plain: &str) -> String {
    let text = error.to_string();
    if text.contains("InvalidContentType") {
        return format!(" (does the server speak plain text? then use {plain}://)");
    }
    let found = HINTS.iter().find(|(said, _)| text.contains(said));
    found.map(|(_, hint)| (*hint).to_owned()).unwrap_or_default()
}

/// Two statuses say what an operator has to look at.
fn refusal(refused: &websocket::Refused) -> String {
    match refused.status {
        401 => "the server refuses the credentials (401)".to_owned(),
        404 => "no OpAMP at this path (404): check the path of url".to_owned(),
        _ => refused.to_string(),
    }
}

fn proxy_refusal(status: u16) -> String {
    match status {
        407 => "it refuses the credentials in its address (407)".to_owned(),
        _ => format!("it answered {status} to CONNECT"),
    }
}

impl DialError {
    pub(in crate::upstream) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::Proxy { fault: ProxyFault::Refused { retry_after, .. }, .. } => *retry_after,
            _ => None,
        }
    }

    /// What it means for the server's other links. 429 and 503 say that it has too much to do; other
    /// statuses say that it refuses this client. A proxy's say nothing of the server.
    pub(in crate::upstream) fn failed_dial(&self) -> FailedDial {
        let overloaded =
            matches!(self, Self::Refused(refused) if matches!(refused.status, 429 | 503));
        FailedDial { retry_after: self.retry_after(), overloaded }
    }

    pub(in crate::upstream) const fn label(&self) -> DialResult {
        match self {
            Self::Refused(_) | Self::NotHttp(_) | Self::TooLong(_) => DialResult::Refused,
            Self::Connect(_)
            | Self::Proxy { .. }
            | Self::File(_)
            | Self::TlsFiles(_)
            | Self::Tls { .. }
            | Self::Lost(_) => DialResult::Failed,
            Self::Timeout(_) => DialResult::Timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_dial_says_what_to_look_at() {
        let refused = |status| {
            let reason = "it does not switch protocols";
            let refused = websocket::Refused { status, retry_after: None, reason };
            DialError::from(refused).to_string()
        };
        assert_eq!(refused(401), "the server refuses the credentials (401)");
        assert_eq!(refused(404), "no OpAMP at this path (404): check the path of url");
        assert_eq!(refused(503), "the server answered 503: it does not switch protocols");
    }

    #[test]
    fn a_proxys_refusal_is_named_as_its_own_and_says_nothing_of_the_server() {
        let refused = |status| {
            let retry_after = Some(Duration::from_secs(3));
            let fault = ProxyFault::Refused { status, retry_after };
            DialError::Proxy { proxy: "p:3128".to_owned(), fault }
        };
        assert_eq!(
            refused(407).to_string(),
            "the proxy p:3128: it refuses the credentials in its address (407)"
        );
        assert_eq!(refused(503).to_string(), "the proxy p:3128: it answered 503 to CONNECT");
        let expected = FailedDial { retry_after: Some(Duration::from_secs(3)), overloaded: false };
        assert_eq!(refused(503).failed_dial(), expected);
        assert_eq!(refused(503).label(), DialResult::Failed);
    }

    #[test]
    fn a_failed_tls_handshake_says_what_to_do() {
        let tls = |text: &str| {
            let source = io::Error::other(text.to_owned());
            DialError::Tls { source, plain: "ws" }.to_string()
        };
        assert_eq!(
            tls("received corrupt message of type InvalidContentType"),
            "TLS handshake: received corrupt message of type InvalidContentType (does the server \
             speak plain text? then use ws://)"
        );
        assert_eq!(tls("invalid peer certificate"), "TLS handshake: invalid peer certificate");
        for (said, advice) in [
            ("Other(OtherError(CaUsedAsEndEntity))", "CA:FALSE"),
            ("UnknownIssuer", "name its authority in ca_file"),
            ("BadSignature", "is ca_file outdated?"),
            ("certificate is not valid for any names", "subjectAltName"),
        ] {
            let told = tls(&format!("invalid peer certificate: {said}"));
            assert!(told.contains(said) && told.contains(advice), "{told}");
        }
    }

    #[test]
    fn an_overloaded_server_is_told_from_one_that_refuses_this_client() {
        for (status, overloaded) in [(429, true), (503, true), (401, false), (500, false)] {
            let retry_after = Some(Duration::from_secs(3));
            let refused = websocket::Refused { status, retry_after, reason: "" };
            let expected = FailedDial { retry_after, overloaded };
            assert_eq!(DialError::from(refused).failed_dial(), expected);
        }
        assert_eq!(DialError::Timeout(Duration::ZERO).failed_dial(), FailedDial::default());
    }
}
